"""Settings of what keeps the service and its board healthy; see schema.py."""

from __future__ import annotations

from dataclasses import dataclass

from noctule.config.keys import key


@dataclass
class Supervision:
    """How parts that fail are brought back."""

    restarts: int = key(
        5, "Restarts of one part within the window before it is left degraded.", live=True, minimum=1, maximum=100
    )
    window: float = key(60.0, "Length of that window, in seconds.", live=True, minimum=1, maximum=3600)
    retry: float = key(
        30.0, "Seconds between attempts to bring back a degraded part.", live=True, minimum=0.1, maximum=3600
    )
    stall: float = key(15.0, "Seconds without work after which a part counts as frozen.", minimum=1, maximum=600)


@dataclass
class GovernorConfig:
    """Doing less while the board is hot, short of power or short of memory, and the same as before afterwards."""

    enabled: bool = key(True, "Act at all. Off: steps in force are undone.", live=True)
    interval: float = key(5.0, "Seconds between two looks at the board.", live=True, minimum=0.05, maximum=300)
    patience: float = key(
        10.0, "Seconds that a strain must last before the first step, and between steps.", live=True, minimum=0,
        maximum=3600,
    )  # fmt: skip
    recovery: float = key(
        60.0, "Seconds that all must be well before a step is undone, and between undoings.", live=True, minimum=0,
        maximum=86_400,
    )  # fmt: skip
    hot: float = key(80.0, "Degrees Celsius from which the board is too hot.", live=True, minimum=20, maximum=120)
    cool: float = key(72.0, "Degrees Celsius at which it is well again.", live=True, minimum=10, maximum=120)
    memory_low: float = key(7.0, "Percent of memory below which it is short.", live=True, minimum=0, maximum=100)
    memory_well: float = key(
        12.0, "Percent of free memory from which it is well again.", live=True, minimum=0, maximum=100
    )
    pressure: float = key(
        20.0, "Percent of the time in which programs wait for memory, from which it is short; a quarter is well.",
        live=True, minimum=0.1, maximum=100,
    )  # fmt: skip
    fps: float = key(5.0, "Pictures per second that a source is lowered to.", live=True, minimum=0.1, maximum=60)
