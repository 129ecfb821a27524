"""Thresholds: how sure a transcript must be to be acted on, and how sure the end of a turn. From validation alone."""

from __future__ import annotations

from collections.abc import Sequence

from builders.speech.hearing.answers import Answerer, intent_accuracy, quiet_share
from builders.speech.hearing.trials import Trial

_GRID = (0.0, 0.3, 0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.98, 0.99)
#: of what is no command, the share that must end without an action
QUIET = 0.97


def choose_confidence(trials: Sequence[Trial], answerer: Answerer) -> float:
    """The threshold that costs the fewest right actions while keeping `QUIET`; where that cannot be had, each false
    action above it weighs as three right ones."""

    def worth(threshold: float) -> float:
        outcomes = [answerer.outcome(trial, threshold) for trial in trials]
        return intent_accuracy(outcomes) - 3 * max(0.0, QUIET - quiet_share(outcomes))

    return max(_GRID, key=lambda threshold: (round(worth(threshold), 4), -threshold))


def choose_turn(curves: Sequence[tuple[Sequence[float], float]], early: float = 0.02) -> float:
    """The lowest threshold of the end of the turn that at most `early` of the utterances pass before they end.

    curves: for each utterance the head's probability at each frame from its first word on, and the index at which
    speech ends.
    """
    best = 0.95
    for threshold in (0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.55, 0.5):
        cut = sum(any(p >= threshold for p in curve[: int(end)]) for curve, end in curves)
        if cut > early * len(curves):
            break
        best = threshold
    return best
