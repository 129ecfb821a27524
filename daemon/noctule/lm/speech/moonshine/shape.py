"""The `recogniser` section of a speech-to-text package: what its graphs are called and how large they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from noctule.core.errors import ModelError

RATE = 16000
#: width and stride of the encoder's convolutions, in samples, then frames
_CONVOLUTIONS = ((127, 64), (7, 3), (3, 2))
#: seconds between two frames of the encoder
FRAME = 64 * 3 * 2 / RATE
#: added to the score of what must not be attended to
HIDDEN = -1e9


def frames_of(samples: int) -> tuple[int, int, int]:
    """Frames that each convolution makes of so many samples."""
    counts = []
    for width, stride in _CONVOLUTIONS:
        samples = max(0, (samples - width) // stride + 1)
        counts.append(samples)
    return counts[0], counts[1], counts[2]


@dataclass(frozen=True)
class BucketShape:
    """A length of sound that graphs exist for. name: as the signatures write it; slots: tokens its cache holds beside
    the room that the padding of a step needs."""

    name: str
    samples: int
    frames: int
    slots: int

    @property
    def encoder(self) -> str:
        return f"encode_{self.name}"

    def decoder(self, rows: int) -> str:
        return f"decode_{self.name}_{rows}"


@dataclass(frozen=True)
class RecogniserShape:
    """buckets and rows ascending; layers: of the decoder; confidence: below which a transcript is doubted."""

    buckets: tuple[BucketShape, ...]
    rows: tuple[int, ...]
    layers: int
    confidence: float
    golden: Mapping[str, Any]

    @property
    def longest(self) -> float:
        """Seconds of the longest bucket."""
        return self.buckets[-1].samples / RATE

    @classmethod
    def of(cls, where: str, raw: Mapping[str, Any]) -> RecogniserShape:
        """From a manifest. Raises ModelError."""
        section = raw.get("recogniser")
        try:
            if not isinstance(section, dict):
                raise ValueError("expected an object")
            if section["family"] != "moonshine" or int(section["sample_rate"]) != RATE:
                raise ValueError(f"family {section['family']!r} at {section['sample_rate']} Hz is not known here")
            buckets = tuple(
                BucketShape(str(b["name"]), int(b["samples"]), int(b["frames"]), int(b["slots"]))
                for b in section["buckets"]
            )
            rows = tuple(int(n) for n in section["rows"])
            if not buckets or list(buckets) != sorted(buckets, key=lambda b: b.samples):
                raise ValueError("the buckets are not in ascending order")
            if not rows or rows[0] != 1 or list(rows) != sorted(set(rows)):
                raise ValueError("the rows must ascend from 1")
            for bucket in buckets:
                if frames_of(bucket.samples)[2] != bucket.frames:
                    raise ValueError(f"bucket {bucket.name} has {bucket.frames} frames for {bucket.samples} samples")
            return cls(buckets, rows, int(section["layers"]), float(section["confidence"]), dict(section["golden"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(
                f"{where}: recogniser: cannot be read ({type(error).__name__}: {error})", "build the package again"
            ) from None
