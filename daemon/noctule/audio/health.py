"""Is this microphone really hearing? Silence, clipping, a wrong rate and a dead stream look alike from outside
("it does not react"), and each has another remedy; so they are told apart here, from the samples alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from noctule.audio.chunk import RATE, Chunk

OK = "ok"
DEAD = "dead"
SILENT = "silent"
CLIPPING = "clipping"
WRONG_RATE = "wrong rate"
LOSING = "losing sound"

#: what to do about each, for `status` and `doctor`.
REMEDY = {
    OK: "",
    DEAD: "no samples arrive: is it plugged in, and does another program hold it?",
    SILENT: "every sample is zero: is it muted in `alsamixer`, or is it the wrong input or channel?",
    CLIPPING: "the loudest parts are cut off: lower its gain in `alsamixer` (F4)",
    LOSING: "the board is too busy to take every block: `top` shows with what; fewer lm.threads, or a smaller model",
    WRONG_RATE: "samples come too fast or too slowly: set audio.rate to what `arecord --dump-hw-params` shows",
}


#: each as what "the microphone …" does.
SENTENCE = {
    OK: "hears well",
    DEAD: "delivers nothing",
    SILENT: "gives digital silence",
    CLIPPING: "is too loud",
    LOSING: "loses sound",
    WRONG_RATE: "runs at a wrong rate",
}


@dataclass(frozen=True)
class SoundHealth:
    """One judgement.

    state: one of the words above; level_db: RMS of the window in dB full scale (-120 for digital silence); peak_db;
    clipped: share of samples at full scale; rate: samples a second by the monotonic clock, 0 before it is known.
    """

    state: str
    level_db: float
    peak_db: float
    clipped: float
    rate: float
    #: share of the samples that were lost before they reached us.
    lost: float = 0.0

    @property
    def remedy(self) -> str:
        return REMEDY[self.state]


class HealthMeter:
    """Judges the last whole window of `window` seconds. Not thread-safe; `latest` may be read from anywhere."""

    #: seconds without a chunk after which a stream counts as dead.
    DEAD_AFTER = 1.5
    #: share of samples at full scale that counts as clipping.
    CLIPPED = 0.001
    #: share of lost samples that words suffer from.
    LOST = 0.05
    #: relative deviation of the rate that cannot be a crystal or scheduling.
    RATE_ERROR = 0.1

    def __init__(self, window: float = 2.0) -> None:
        self._window = window
        self.latest: SoundHealth | None = None
        self._last_time: float | None = None
        self._due: int | None = None
        self._reset(None)

    def _reset(self, start: float | None) -> None:
        self._start = start
        self._count = self._lost = 0
        self._square = 0.0
        self._peak = 0
        self._clipped = 0
        self._loud = False

    def restart(self) -> None:
        """Forget the window, as after a device was reopened."""
        self._reset(None)
        self.latest = None
        self._last_time = self._due = None

    def feed(self, chunk: Chunk) -> None:
        """Count a chunk in; every full window makes a new judgement."""
        samples = chunk.samples
        if self._start is None:
            self._start = chunk.time
        wide = samples.astype(np.float64)
        self._square += float(wide @ wide)
        magnitude = np.abs(samples.astype(np.int32))
        self._peak = max(self._peak, int(magnitude.max()))
        self._clipped += int((magnitude >= 32767).sum())
        self._count += len(samples)
        self._lost += max(0, chunk.index - self._due) if self._due is not None else 0
        self._due = chunk.index + len(samples)
        self._last_time = chunk.time + len(samples) / RATE
        if self._last_time - self._start >= self._window:
            self.latest = self._judge(self._last_time - self._start)
            self._reset(self._last_time)

    def _judge(self, seconds: float) -> SoundHealth:
        given = self._count + self._lost
        rate, clipped, lost = given / seconds, self._clipped / self._count, self._lost / given
        state = OK
        if self._peak == 0:
            state = SILENT
        elif clipped > self.CLIPPED:
            state = CLIPPING
        elif lost > self.LOST:
            state = LOSING
        elif abs(rate / RATE - 1) > self.RATE_ERROR:
            state = WRONG_RATE
        rms = float(np.sqrt(self._square / self._count))
        return SoundHealth(state, _db(rms), _db(self._peak), clipped, rate, lost)

    def state(self, now: float) -> str:
        """The word for this moment: `DEAD` when nothing came for too long, else the latest judgement."""
        if self._last_time is not None and now - self._last_time > self.DEAD_AFTER:
            return DEAD
        return self.latest.state if self.latest else OK


def _db(value: float) -> float:
    return round(max(-120.0, 20 * float(np.log10(max(value, 1e-9) / 32768))), 1)
