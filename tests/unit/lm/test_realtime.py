"""The real-time verdict: from measured frame times to one sentence and one decision."""

from __future__ import annotations

import itertools

import pytest

from noctule.core.errors import ConfigError, UnavailableError
from noctule.lm.speech.realtime import FrameCost, judge, median_ms

FAST = FrameCost(temporal=20, codebook=0.5, codec=10)
SLOW = FrameCost(temporal=40, codebook=2, codec=10)
HOPELESS = FrameCost(temporal=150, codebook=2, codec=10)


@pytest.mark.parametrize("policy", ["refuse", "degrade", "allow"])
def test_a_fast_board_keeps_up_under_every_policy(policy):
    verdict = judge(FAST, 32, 80.0, policy=policy, droppable=True)
    assert verdict.keeps_up
    assert verdict.codebooks == 32
    assert verdict.sentence == "the speech model takes 46 ms for each 80 ms frame: this board keeps up"


def test_refusing_says_what_to_do():
    with pytest.raises(UnavailableError) as caught:
        judge(SLOW, 32, 80.0, policy="refuse")
    assert "114 ms for each 80 ms frame" in str(caught.value)
    assert "speech.realtime" in caught.value.hint


def test_degrading_writes_as_many_codebooks_as_fit():
    verdict = judge(SLOW, 32, 80.0, policy="degrade", droppable=True)
    assert verdict.keeps_up
    assert verdict.codebooks == 11  # 40 + 10 + 11 * 2 = 72 = 80 * 0.9
    assert verdict.milliseconds <= 72
    assert "11 of 32 codebooks" in verdict.sentence


@pytest.mark.parametrize(("cost", "droppable"), [(SLOW, False), (HOPELESS, True)])
def test_what_cannot_be_degraded_lags_and_says_so(cost, droppable):
    verdict = judge(cost, 32, 80.0, policy="degrade", droppable=droppable)
    assert not verdict.keeps_up
    assert verdict.codebooks == 32
    assert "s behind in each minute" in verdict.sentence


def test_allowing_never_degrades():
    assert judge(SLOW, 32, 80.0, policy="allow", droppable=True).codebooks == 32


def test_a_model_of_few_codebooks_keeps_them_all():
    cost = FrameCost(temporal=60, codebook=5, codec=5)
    assert not judge(cost, 4, 80.0, policy="degrade", droppable=True).keeps_up


def test_an_unknown_policy_is_a_config_error():
    with pytest.raises(ConfigError):
        judge(FAST, 8, 80.0, policy="hope")


def test_the_median_leaves_the_first_calls_out():
    ticks = itertools.accumulate([0, 9, 0, 9, 0, 0.001, 0, 0.003, 0, 0.002])
    calls = []
    assert median_ms(lambda: calls.append(1), frames=3, now=lambda: next(ticks)) == pytest.approx(2.0)
    assert len(calls) == 5
