"""Delays: against a plain statement of the law, for many layouts, long past the ring's length."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noctule.core.errors import InputError, ModelError
from noctule.lm.speech.streams import UNGENERATED, ZERO, DelayRing, StreamLayout, delayed


def layout(n_q: int = 3, dep_q: int = 2, delays: tuple[int, ...] = (0, 0, 1, 2)) -> StreamLayout:
    return StreamLayout(n_q, dep_q, delays, 50, 20, 50, 20, 3, 0)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_the_ring_follows_the_law_of_delays(data):
    """Step t: stream k reads what belongs to time t - 1 - delay (written) or t - delay (outside); before, initial."""
    n_q = data.draw(st.integers(1, 6))
    dep_q = data.draw(st.integers(0, n_q))
    delays = tuple(data.draw(st.lists(st.integers(0, 5), min_size=n_q + 1, max_size=n_q + 1)))
    lay = layout(n_q, dep_q, delays)
    ring = DelayRing(lay)
    rng = np.random.default_rng(0)
    steps = 60
    outside = rng.integers(0, 20, (steps, lay.outside))
    written = rng.integers(0, 20, (steps, lay.written))
    for t in range(steps):
        ring.give(outside[t])
        frame = ring.frame()
        for k in range(lay.streams):
            if t <= delays[k]:
                want = lay.initial()[k]
            elif k < lay.written:
                want = written[t - 1, k]
            else:
                want = outside[t - delays[k], k - lay.written]
            assert frame[k] == want, (t, k)
        ring.commit(written[t])
        out = ring.aligned()
        if t < max(delays):
            assert out is None
        else:
            # stream k of aligned frame a was written at step a + delays[k]
            a = t - max(delays)
            want = [written[a + delays[k], k] for k in range(lay.written)]
            assert out is not None
            assert out.tolist() == want


def test_nothing_comes_out_until_the_delays_fill():
    ring = DelayRing(layout())
    seen = []
    for _ in range(5):
        ring.give([1])
        ring.frame()
        ring.commit([1, 2, 3])
        seen.append(ring.aligned() is None)
    assert seen == [True, True, False, False, False]


def test_reset_forgets_everything():
    ring = DelayRing(layout())

    def run() -> list[list[int]]:
        frames = []
        for t in range(12):
            ring.give([t])
            frames.append(ring.frame().tolist())
            ring.commit([t, t + 1, t + 2])
        return frames

    first = run()
    ring.reset()
    assert ring.offset == 0
    assert run() == first


def test_two_rings_share_nothing():
    a, b = DelayRing(layout()), DelayRing(layout())
    a.give([7])
    a.commit([1, 2, 3])
    b.give([9])
    assert b.offset == 0
    assert b.frame().tolist() == [50, 20, 20, 20]


def test_zero_tokens_pass_and_foreign_tokens_do_not():
    ring = DelayRing(layout(delays=(0, 0, 0, 0)))
    ring.give([ZERO])
    ring.commit([1, 2, 3])
    ring.give([ZERO])
    assert ring.frame()[3] == ZERO
    for bad in ([21], [-3]):
        with pytest.raises(InputError, match="codebooks have 20"):
            ring.give(bad)
    for count in ([], [1, 2]):
        with pytest.raises(InputError, match="wants 1 from outside"):
            ring.give(count)
    with pytest.raises(InputError, match="the model writes 3"):
        ring.commit([1])


def test_a_frame_that_was_never_given_is_refused():
    ring = DelayRing(layout(delays=(0, 0, 0, 0)))
    ring.give([1])
    ring.commit([1, 2, 3])
    with pytest.raises(InputError, match="stream 3 has no token for step 1"):
        ring.frame()


@pytest.mark.parametrize(
    "fields",
    [
        {"dep_q": 4},
        {"n_q": -1},
        {"delays": (0, 0)},
        {"delays": (0, 0, 0, -1)},
        {"delays": (0, 0, 0, 99_999)},
    ],
)
def test_impossible_layouts_are_refused(fields):
    with pytest.raises(ModelError):
        layout(**fields)
    with pytest.raises(ModelError):
        StreamLayout(1, 1, (0, 0), 0, 5, 0, 5, 3, 0)


def test_delayed_prompt():
    frames = np.array([[1, 2], [3, 4], [5, 6]], np.int32)
    u = UNGENERATED
    assert delayed(frames, [0, 1, 2]).tolist() == [[1, 2, u, u], [u, 3, 4, u], [u, u, 5, 6]]
    with pytest.raises(InputError):
        delayed(frames, [0])
