"""Selection is pure: pictures are anything with a time, flags and a small luma."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from noctule.capture.files.extract import parse_time
from noctule.capture.picture import select
from noctule.capture.picture.select import Luma, MotionDetector, SceneDetector
from noctule.core.errors import InputError


@dataclass(frozen=True)
class Look:
    pts: Fraction
    flags: frozenset[str] = frozenset()
    luma: Luma = field(default_factory=lambda: np.zeros((36, 64), np.float32))

    def small_luma(self, width: int = 64, height: int = 36) -> Luma:
        return self.luma


def looks(*times: float) -> list[Look]:
    return [Look(Fraction(t).limit_denominator(1000)) for t in times]


def seen(picks: Iterator[select.Pick[Look]]) -> list[tuple[float, float | None]]:
    return [(float(p.time), None if p.picture is None else float(p.picture.pts)) for p in picks if p.time is not None]


def test_the_picture_on_screen_is_the_last_that_began() -> None:
    shown = looks(0.1, 0.5, 0.6, 2.0)
    times = [Fraction(t, 10) for t in (0, 1, 4, 5, 6, 19, 20, 99)]
    assert seen(select.on_screen(shown, times)) == [
        (0.0, None),
        (0.1, 0.1),
        (0.4, 0.1),
        (0.5, 0.5),
        (0.6, 0.6),
        (1.9, 0.6),
        (2.0, 2.0),
        (9.9, 2.0),
    ]
    assert list(select.on_screen(shown, [])) == []


@given(
    st.lists(st.integers(0, 500), min_size=1, max_size=40, unique=True),
    st.lists(st.integers(0, 600), max_size=40),
)
def test_on_screen_is_what_its_definition_says(pts: list[int], times: list[int]) -> None:
    pictures = [Look(Fraction(p)) for p in sorted(pts)]
    for pick in select.on_screen(pictures, [Fraction(t) for t in sorted(times)]):
        assert pick.time is not None
        want = max((p.pts for p in pictures if p.pts <= pick.time), default=None)
        assert (None if pick.picture is None else pick.picture.pts) == want


def test_picks_come_as_soon_as_they_are_certain() -> None:
    """A live source has no end: the pick for t must not wait longer than the first picture after t."""
    taken = []

    def live() -> Iterator[Look]:
        for look in looks(0, 0.4, 0.8, 1.2):
            taken.append(look.pts)
            yield look

    first = next(iter(select.on_screen(live(), [Fraction(1, 2), Fraction(9)])))
    assert first.picture is not None
    assert float(first.picture.pts) == 0.4
    assert float(taken[-1]) == 0.8


def test_every_goes_from_the_first_to_the_last() -> None:
    assert seen(select.every(looks(5, 5.4, 6, 6.9), Fraction(1, 2))) == [(5, 5), (5.5, 5.4), (6, 6), (6.5, 6)]
    assert list(select.every([], Fraction(1))) == []


def test_nth_and_keyframes() -> None:
    shown = [Look(Fraction(i), frozenset({"key"} if i % 3 == 0 else ())) for i in range(8)]
    assert [int(p.picture.pts) for p in select.nth(shown, 3) if p.picture] == [0, 3, 6]
    assert [int(p.picture.pts) for p in select.keyframes(shown) if p.picture] == [0, 3, 6]


def scene(level: float, noise: np.random.Generator) -> Luma:
    return np.asarray(level + noise.normal(0, 2, (36, 64)), np.float32)


def test_scene_cuts_are_found_and_steady_motion_is_none() -> None:
    rng = np.random.default_rng(1)
    shown = [Look(Fraction(i, 25), luma=scene([40, 90, 60][i // 20], rng)) for i in range(60)]
    picks = list(select.scenes(shown))
    assert [(p.reason, int(p.picture.pts * 25)) for p in picks if p.picture] == [
        ("start", 0),
        ("scene", 20),
        ("scene", 40),
    ]
    detector = SceneDetector()
    ramp = [detector.update(scene(15 * i % 200, rng)) for i in range(10)]
    assert sum(found is not None for found in ramp) <= 1  # strong change all the time is not a series of cuts


def test_motion_begins_and_ends_and_light_is_no_motion() -> None:
    rng = np.random.default_rng(2)
    detector = MotionDetector(quiet=1.0)
    events = []
    for i in range(200):
        luma = scene(80 + i * 0.1, rng)  # the sun comes up
        if 80 <= i < 110:
            luma[10:20, 2 * (i - 80) : 2 * (i - 80) + 6] = 200  # somebody walks through
        found = detector.update(luma, i / 10)
        if found:
            events.append((found[0], i))
    assert [kind for kind, _ in events] == ["begin", "end"]
    assert 80 <= events[0][1] <= 83
    assert 115 <= events[1][1] <= 140


def test_one_odd_picture_is_not_motion() -> None:
    detector = MotionDetector()
    flash = np.zeros((36, 64), np.float32)
    flash[:10] = 255
    still = np.full((36, 64), 50, np.float32)
    assert all(detector.update(flash if i == 5 else still, i / 10) is None for i in range(20))


def test_motion_picks() -> None:
    shown = []
    for i in range(40):
        luma = np.full((36, 64), 50, np.float32)
        if i >= 20:
            luma[5:15, i : i + 5] = 220
        shown.append(Look(Fraction(i, 10), luma=luma))
    picks = list(select.motion(shown))
    assert [int(p.picture.pts * 10) for p in picks if p.picture] == [21]
    assert picks[0].score is not None
    assert picks[0].score > 0.01


@pytest.mark.parametrize(
    ("text", "seconds"), [("62.5", "62.5"), ("2s", "2"), ("1:02.5", "62.5"), ("1:01:02.25", "3662.25"), ("0", "0")]
)
def test_times(text: str, seconds: str) -> None:
    assert parse_time(text) == Fraction(seconds)


@pytest.mark.parametrize("text", ["", "-1", "1:2:3:4", "abc", "1e5", "nan"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(InputError, match="is not a time"):
        parse_time(text)


def test_ascending() -> None:
    assert select.ascending([Fraction(2), Fraction(1), Fraction(2)]) == [1, 2]
