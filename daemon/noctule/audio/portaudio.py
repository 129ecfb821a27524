"""The one place that imports PyAudio, and what it knows of sound cards.

PortAudio lists devices once, when it is initialised; so every `session()` initialises it anew, or a microphone that
was plugged in later would never be found. ALSA's own devices come first: they are there without anybody logged in.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from noctule.core.errors import DeviceError
from noctule.core.native_stderr import captured_stderr

INSTALL = "apt-get install python3-pyaudio; from a checkout, then scripts/install again"


@dataclass(frozen=True)
class SoundDevice:
    """index: PortAudio's, valid for one session; inputs, outputs: channels; rate: the device's own, in Hz."""

    index: int
    name: str
    api: str
    inputs: int
    outputs: int
    rate: int


#: where the kernel shows its sound cards.
CARDS = Path("/dev/snd")


@dataclass
class CardWatch:
    """Notices that sound cards came or went, without PortAudio: their device files, with who may use them."""

    folder: Path = CARDS
    _seen: tuple[tuple[str, int, int], ...] | None = field(default=None, init=False)

    def changed(self) -> bool:
        """True once for each change since the last call; the first call only looks."""
        found = []
        with contextlib.suppress(OSError):  # no card, no folder
            for path in self.folder.iterdir():
                about = path.stat()
                found.append((path.name, about.st_mode, about.st_gid))
        before, self._seen = self._seen, tuple(sorted(found))
        return before is not None and before != self._seen


def load() -> Any:
    """The pyaudio module. Raises DeviceError when it, or the library below it, is not there."""
    try:
        import pyaudio
    except ImportError as error:
        raise DeviceError("Sound needs PyAudio and PortAudio, which are not here.", INSTALL) from error
    return pyaudio


#: what PortAudio says -> what it means. Nobody is answered with the text of a library.
_MEANS = (
    ("unavailable", "another program holds it"),
    ("busy", "another program holds it"),
    ("sample rate", "it does not know these rates"),
    ("number of channels", "it has not so many channels"),
    ("no such", "it is gone"),
    ("invalid device", "it is gone"),
)


def in_words(error: BaseException | str) -> str:
    """Why a device does not open."""
    said = str(error).lower()
    return next((means for sign, means in _MEANS if sign in said), "its driver refuses")


@contextlib.contextmanager
def session(module: Any | None = None) -> Iterator[Any]:
    """A freshly initialised PyAudio object; ALSA's chatter about absent sound servers is swallowed."""
    module = module or load()
    with captured_stderr():
        try:
            audio = module.PyAudio()
        except OSError as error:
            raise DeviceError("The sound system does not start here.", "aplay -l; arecord -l") from error
    try:
        yield audio
    finally:
        with captured_stderr():
            audio.terminate()


def devices(audio: Any) -> list[SoundDevice]:
    """All devices, ALSA's first."""
    found = []
    for index in range(audio.get_device_count()):
        about = audio.get_device_info_by_index(index)
        api = audio.get_host_api_info_by_index(about["hostApi"])["name"]
        found.append(
            SoundDevice(
                index,
                str(about["name"]),
                str(api),
                int(about["maxInputChannels"]),
                int(about["maxOutputChannels"]),
                int(about["defaultSampleRate"]),
            )
        )
    return sorted(found, key=lambda d: (d.api != "ALSA", d.index))


def choose(found: list[SoundDevice], wanted: str, *, inputs: bool) -> SoundDevice:
    """The device whose name contains `wanted` (case does not matter), or the likeliest when it is empty.

    Raises DeviceError that names what there is.
    """
    what = "microphone" if inputs else "loudspeaker"
    usable = [d for d in found if (d.inputs if inputs else d.outputs) > 0]
    if not usable:
        raise DeviceError(f"This board has no {what}.", "plug one in; `arecord -l` shows what Linux sees")
    if wanted:
        named = [d for d in usable if wanted.lower() in d.name.lower()]
        if not named:
            names = ", ".join(f'"{d.name}"' for d in usable)
            raise DeviceError(f'There is no {what} named "{wanted}"; there is {names}.', "correct it in [audio]")
        return named[0]
    # "default" follows the board's own setting (~/.asoundrc, the sound server); then real hardware.
    return min(usable, key=lambda d: (d.name != "default", "hw:" not in d.name, d.index))
