"""Electing one of several wordings by what they mean."""

from __future__ import annotations

import pytest

from noctule.assistant.brain.vote import Meaning, Taken, elect

TIMER, MUTE, NOTHING = Meaning(("timer.set", ())), Meaning(("mute", ())), Meaning(None)


def test_wordings_that_mean_the_same_add_up():
    """The likeliest wording is outvoted by two others that agree."""
    taken = elect(["mute it", "set a timer", "set the timer"], [0.4, 0.35, 0.25], [MUTE, TIMER, TIMER])
    assert taken == Taken(1, pytest.approx(0.6))


def test_what_a_call_lacks_in_probability_is_nothings():
    unsure = Meaning(TIMER.call, 0.5)
    taken = elect(["set a timer", "sea"], [0.6, 0.4], [unsure, NOTHING])
    assert taken == Taken(1, pytest.approx(0.7))
    assert elect(["set a timer", "set timer"], [0.6, 0.4], [unsure, TIMER]) == Taken(0, pytest.approx(0.7))
    # nothing wins although every wording asks for something: the likeliest, at what it is worth
    assert elect(["set a timer", "mute"], [0.6, 0.4], [unsure, Meaning(MUTE.call, 0.4)]) == Taken(
        0, pytest.approx(0.3)
    )


def test_silence_votes_but_is_never_taken():
    assert elect(["", "stop"], [0.4, 0.6], [NOTHING, MUTE]) == Taken(1, pytest.approx(0.6))
    assert elect(["", "stop"], [0.9, 0.1], [NOTHING, MUTE]) == Taken(1, pytest.approx(0.1))
    assert elect(["", "hm", "stop"], [0.7, 0.2, 0.1], [NOTHING, NOTHING, MUTE]) == Taken(1, pytest.approx(0.2))
    with pytest.raises(ValueError, match="zip"):
        elect(["a"], [0.5, 0.5], [NOTHING])
