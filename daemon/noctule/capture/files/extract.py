"""Real pictures out of files and live sources, chosen by a `Plan`. The Python API of `noctule extract`.

for shot in extract_file("a.mp4", Plan("at", times=(Fraction(125, 2),))):
    colour.rgb(shot.frame)  # uint8 [height, width, 3]
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noctule.capture.files.decoded import Decoded
from noctule.capture.files.reader import VideoFile, every_in_file
from noctule.capture.picture import select
from noctule.capture.picture.frame import Frame
from noctule.core.errors import DeviceError, InputError

if TYPE_CHECKING:
    from noctule.capture.feed.feed import Feed

MODES = ("every", "nth", "at", "keyframes", "scenes", "motion")


@dataclass(frozen=True)
class Plan:
    """Which pictures. mode: one of MODES; step: seconds (every); n: (nth); times: seconds (at); threshold: of the
    detector, 0 for its usual one; corrupt: give damaged pictures too; limit: at most this many, 0 for all."""

    mode: str
    step: Fraction = Fraction(1)
    n: int = 1
    times: tuple[Fraction, ...] = ()
    threshold: float = 0.0
    corrupt: bool = False
    limit: int = 0


@dataclass(frozen=True)
class Shot:
    """One result. frame: the picture, or None where there is none to give, and then `problem` says why."""

    frame: Frame | None
    reason: str
    time: Fraction | None = None
    score: float | None = None
    problem: str = ""

    def about(self) -> dict[str, Any]:
        """The entry of the JSON index, without the file's name."""
        entry: dict[str, Any] = {"reason": self.reason}
        if self.time is not None:
            entry["asked"] = float(self.time)
        if self.score is not None:
            entry["score"] = self.score
        if self.frame is None:
            return {**entry, "problem": self.problem}
        width, height = self.frame.upright_size
        return {
            **entry,
            "pts": float(self.frame.pts),
            "pts_exact": str(self.frame.pts),
            "seq": self.frame.seq,
            "captured": round(self.frame.captured, 6),
            "width": width,
            "height": height,
            "rotation": self.frame.rotation,
            "flags": sorted(self.frame.flags),
        }


class FileShots(Iterator[Shot]):
    """The pictures of a file that `plan` chooses. Raises InputError, on opening or on the way.

    progress: told the fraction done (0-1); rate: pictures a second of a raw stream that does not say.
    """

    def __init__(
        self,
        path: Path | str,
        plan: Plan,
        progress: Callable[[float], None] = lambda _: None,
        rate: Fraction | None = None,
    ) -> None:
        self._file = VideoFile(path, rate)
        self._progress = progress
        self._end = float(self._file.duration) if self._file.duration else 0.0
        #: nobody knows where it ends: a pipe.
        self.endless = self._file.size is None
        self._shots = self._choose(plan)

    @property
    def notes(self) -> list[str]:
        """What had to be assumed, mended or left out, so far."""
        return self._file.timeline.notes

    def __next__(self) -> Shot:
        return next(self._shots)

    def close(self) -> None:
        self._file.close()

    def _choose(self, plan: Plan) -> Iterator[Shot]:
        given = 0
        try:
            for pick in _picks(self._file, plan, self._watched):
                if pick.time is not None:
                    self._tell(pick.time)
                shot = _shot(pick, plan.corrupt)
                if shot is None:
                    continue
                yield shot
                given += 1
                if plan.limit and given >= plan.limit:
                    break
            self._progress(1.0)
        finally:
            self._file.close()

    def _watched(self, pictures: Iterator[Decoded]) -> Iterator[Decoded]:
        for picture in pictures:
            self._tell(picture.pts)
            yield picture

    def _tell(self, at: Fraction) -> None:
        self._progress(min(1.0, float(at) / self._end) if self._end else self._file.fraction)


def extract_file(
    path: Path | str, plan: Plan, progress: Callable[[float], None] = lambda _: None, rate: Fraction | None = None
) -> Iterator[Shot]:
    """See `FileShots`; nothing is opened before the first is asked for."""
    yield from FileShots(path, plan, progress, rate)


def _picks(
    file: VideoFile, plan: Plan, watched: Callable[[Iterator[Decoded]], Iterator[Decoded]]
) -> Iterator[select.Pick[Decoded]]:
    if plan.mode == "at":
        return file.at(select.ascending(plan.times))
    if plan.mode == "every":
        return every_in_file(file, plan.step)
    if plan.mode == "keyframes":
        return select.keyframes(watched(file.key_pictures()))
    return _sequential(watched(file.pictures()), plan)


def _sequential(pictures: Iterator[select.L], plan: Plan) -> Iterator[select.Pick[select.L]]:
    if plan.mode == "nth":
        return select.nth(pictures, plan.n)
    if plan.mode == "scenes":
        return select.scenes(pictures, plan.threshold or 12.0)
    if plan.mode == "motion":
        return select.motion(pictures, plan.threshold or 0.004)
    if plan.mode == "every":
        return select.every(pictures, plan.step)
    if plan.mode == "at":
        return select.on_screen(pictures, select.ascending(plan.times))
    if plan.mode == "keyframes":
        return select.keyframes(pictures)
    raise InputError(f'there is no way of extracting named "{plan.mode}"', f"ways: {', '.join(MODES)}")


def _shot(pick: select.Pick[Decoded] | select.Pick[Frame], corrupt: bool) -> Shot | None:
    """None for a damaged picture that nobody asked for by its time."""
    picture = pick.picture
    if picture is None:
        return Shot(None, pick.reason, pick.time, problem="no picture is on screen yet at this time")
    if "corrupt" in picture.flags and not corrupt:
        if pick.time is None:
            return None
        return Shot(None, pick.reason, pick.time, problem="the picture at this time is damaged")
    frame = picture if isinstance(picture, Frame) else picture.frame()
    return Shot(frame, pick.reason, pick.time, pick.score)


def extract_live(feed: Feed, plan: Plan, seconds: float, timeout: float = 10.0) -> Iterator[Shot]:
    """The same from a live source, for `seconds`; times count from its first picture. Raises DeviceError with the
    reason when it stops giving pictures for `timeout` seconds."""
    yield from choose(_live(feed, seconds, timeout), plan)


def choose(frames: Iterator[Frame], plan: Plan) -> Iterator[Shot]:
    """What `plan` chooses of any frames in order of time."""
    given = 0
    for pick in _sequential(frames, plan):
        shot = _shot(pick, plan.corrupt)
        if shot is None:
            continue
        yield shot
        given += 1
        if plan.limit and given >= plan.limit:
            return


def _live(feed: Feed, seconds: float, timeout: float) -> Iterator[Frame]:
    with feed.subscribe(8) as viewer:
        began: float | None = None
        zero = Fraction(0)
        while True:
            frame = viewer.get(timeout)
            if frame is None:
                reason = feed.error.message if feed.error is not None else "it gives no pictures"
                raise DeviceError(f"{feed.spec.name}: {reason}")
            if began is None:
                began, zero = time.monotonic(), frame.pts
            if time.monotonic() - began > seconds:
                return
            yield replace(frame, pts=frame.pts - zero)


_CLOCK = re.compile(r"(?:(?:(\d+):)?(\d{1,2}):)?(\d+(?:\.\d+)?)s?")


def parse_time(text: str) -> Fraction:
    """Seconds from "62.5", "62.5s", "1:02.5" or "1:01:02.5". InputError for anything else."""
    found = _CLOCK.fullmatch(text.strip())
    if found is None:
        raise InputError(f'"{text}" is not a time', "times look like 62.5 or 1:02.5")
    hours, minutes, seconds = found.groups()
    return Fraction(seconds) + 60 * int(minutes or 0) + 3600 * int(hours or 0)
