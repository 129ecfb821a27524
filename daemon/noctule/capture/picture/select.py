"""Choosing among pictures. Pure: it sees a time, flags and 64 x 36 brightness values, and knows nothing of devices.

Every function takes any iterable of pictures in order of time (decoded ones of a file, Frames of a live source) and
yields `Pick`s as soon as they are certain. The rule for times: the picture on screen at t is the last with pts <= t.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

Luma = npt.NDArray[np.float32]


class Look(Protocol):
    """What selection needs of a picture."""

    @property
    def pts(self) -> Fraction: ...
    @property
    def flags(self) -> frozenset[str]: ...
    def small_luma(self, width: int = 64, height: int = 36) -> Luma: ...


L = TypeVar("L", bound=Look)


@dataclass(frozen=True)
class Pick(Generic[L]):
    """A chosen picture; reason: every, nth, at, keyframe, start, scene, motion; time: the time asked for, if one was;
    picture: None when nothing was on screen yet at that time; score: how strong a scene cut or motion was."""

    picture: L | None
    reason: str
    time: Fraction | None = None
    score: float | None = None


def on_screen(pictures: Iterable[L], times: Iterable[Fraction], reason: str = "at") -> Iterator[Pick[L]]:
    """The picture on screen at each of `times` (ascending). `times` may be endless: it is read while there are
    pictures, and a finite rest is answered with the last picture, which stays on screen."""
    asked = iter(times)
    wanted = next(asked, None)
    held: L | None = None
    if wanted is None:
        return
    for picture in pictures:
        while wanted is not None and wanted < picture.pts:
            yield Pick(held, reason, wanted)
            wanted = next(asked, None)
        if wanted is None:
            return
        held = picture
    endless = isinstance(asked, _Endless)
    while wanted is not None:
        if endless and (held is None or wanted > held.pts):
            return
        yield Pick(held, reason, wanted)
        wanted = next(asked, None)


class _Endless(Iterator[Fraction]):
    def __init__(self, start: Fraction, step: Fraction) -> None:
        self._times = (start + step * i for i in itertools.count())

    def __next__(self) -> Fraction:
        return next(self._times)


def every(pictures: Iterable[L], step: Fraction, start: Fraction | None = None) -> Iterator[Pick[L]]:
    """The picture on screen every `step` seconds, from `start` (by default the first picture's time) to the last."""
    source = iter(pictures)
    first = next(source, None)
    if first is not None:
        begin = first.pts if start is None else start
        yield from on_screen(itertools.chain([first], source), _Endless(begin, step), "every")


def nth(pictures: Iterable[L], n: int) -> Iterator[Pick[L]]:
    """Pictures 0, n, 2 n …"""
    return (Pick(picture, "nth") for picture in itertools.islice(pictures, 0, None, n))


def keyframes(pictures: Iterable[L]) -> Iterator[Pick[L]]:
    """Pictures that stand for themselves in the compressed stream."""
    return (Pick(picture, "keyframe") for picture in pictures if "key" in picture.flags)


class SceneDetector:
    """Finds cuts: the mean brightness difference to the last picture is large, and large beside the recent ones.

    threshold: of the mean absolute difference of the small luma (0-255). A cut also has to be `ratio` times the
    median of the last differences, so that constant strong motion is not a series of cuts.
    """

    def __init__(self, threshold: float = 12.0, ratio: float = 3.0) -> None:
        self.threshold, self.ratio = threshold, ratio
        self._last: Luma | None = None
        self._recent: deque[float] = deque(maxlen=12)

    def update(self, luma: Luma) -> float | None:
        """The difference when this picture begins a new scene, else None. The first picture begins none."""
        last, self._last = self._last, luma
        if last is None:
            return None
        difference = float(np.abs(luma - last).mean())
        usual = float(np.median(self._recent)) if self._recent else 0.0
        self._recent.append(difference)
        if difference < self.threshold or difference < self.ratio * usual:
            return None
        return difference


#: blocks that have changed become background this many times more slowly.
_GHOST = np.float32(8.0)


class MotionDetector:
    """Says when something begins and ceases to move before a background that may change slowly.

    A block of the small luma has changed when it is more than `contrast` away from the background, after the mean
    change of the whole picture (exposure, clouds) is taken off. Motion begins when at least `area` (a fraction) of
    the blocks has changed in two pictures running, and ends after `quiet` seconds without.
    """

    def __init__(self, area: float = 0.004, contrast: float = 14.0, quiet: float = 2.0, adapt: float = 4.0) -> None:
        self.area, self.contrast, self.quiet, self.adapt = area, contrast, quiet, adapt
        self.moving = False
        self._background: Luma | None = None
        self._time = 0.0
        self._last_change = float("-inf")
        self._running = 0

    def update(self, luma: Luma, time: float) -> tuple[str, float] | None:
        """("begin" or "end", changed fraction) when that happens at `time` (seconds), else None."""
        if self._background is None:
            self._background, self._time = luma.copy(), time
            return None
        difference = luma - self._background
        light = np.float32(np.median(difference))
        moved = np.abs(difference - light) > self.contrast
        changed = float(moved.mean())
        rate = np.float32(min(1.0, max(0.0, time - self._time) / self.adapt))
        # What moves must not burn itself into the background, or it would leave a ghost that moves on its own.
        self._background += np.where(moved, rate / _GHOST, rate) * (luma - self._background)
        self._time = time
        if changed >= self.area:
            self._running += 1
            if self._running >= 2:
                self._last_change = time
        else:
            self._running = 0
        if not self.moving and self._last_change == time:
            self.moving = True
            return "begin", changed
        if self.moving and time - self._last_change > self.quiet:
            self.moving = False
            return "end", changed
        return None


def scenes(pictures: Iterable[L], threshold: float = 12.0) -> Iterator[Pick[L]]:
    """The first picture, and the first of every new scene."""
    detector = SceneDetector(threshold)
    for index, picture in enumerate(pictures):
        score = detector.update(picture.small_luma())
        if index == 0:
            yield Pick(picture, "start")
        elif score is not None:
            yield Pick(picture, "scene", score=round(score, 2))


def motion(pictures: Iterable[L], area: float = 0.004) -> Iterator[Pick[L]]:
    """The picture with which each motion begins."""
    detector = MotionDetector(area)
    for picture in pictures:
        found = detector.update(picture.small_luma(), float(picture.pts))
        if found is not None and found[0] == "begin":
            yield Pick(picture, "motion", score=round(found[1], 4))


def ascending(times: Sequence[Fraction]) -> list[Fraction]:
    """Times in order, each once."""
    return sorted(set(times))
