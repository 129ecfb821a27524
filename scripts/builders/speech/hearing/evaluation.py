"""Everything the model card says, measured on the packages through the device's own classes."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from builders.speech.clips import Clip, read_shard
from builders.speech.hearing.answers import Answerer, Outcome, intent_accuracy, quiet_share
from builders.speech.hearing.trials import CONDITIONS, Conditions, Listener, Trial
from builders.speech.pool import PLAIN, Shard
from builders.speech.scoring import sentence_error, word_error

#: engines of the tests: whether their voices, or at least the engine, were heard in training
ENGINES = {
    "espeak": "espeak-ng, voices of the training",
    "flite": "flite slt, awb, rms (training)",
    "espeak_unseen": "espeak-ng, accents and variants never heard",
    "flite_kal": "flite kal, a voice never heard",
    "festival_ked": "festival ked, an engine never heard",
    "festival_slt_hts": "festival slt_hts, an engine never heard",
}
SEEN = ("espeak", "flite")
UNSEEN = ("festival_ked", "festival_slt_hts")


@dataclass(frozen=True)
class Cell:
    """One engine under one condition."""

    engine: str
    condition: str
    outcomes: tuple[Outcome, ...]

    @property
    def trials(self) -> list[Trial]:
        return [o.trial for o in self.outcomes]

    @property
    def word_error(self) -> float:
        return word_error([t.clip.text for t in self.trials], [t.text for t in self.trials])

    @property
    def sentence_error(self) -> float:
        return sentence_error([t.clip.text for t in self.trials], [t.text for t in self.trials])

    @property
    def intent(self) -> float:
        return intent_accuracy(self.outcomes)

    @property
    def quiet(self) -> float:
        return quiet_share(self.outcomes)


def test_shards(clips: int) -> list[Shard]:
    """What the tests speak; the same clips for every model."""
    return [Shard(engine, "test", 0, clips) for engine in ENGINES]


def plain_shards(clips: int) -> list[Shard]:
    """The plainest requests in the voices of the tests; their words were trained on, their slot values were not."""
    return [Shard(f"{engine}{PLAIN}", "test", 0, clips) for engine in ENGINES]


def validation_shards(clips: int) -> list[Shard]:
    """What thresholds are chosen on."""
    return [Shard(engine, "validation", 0, clips) for engine in ("espeak_unseen", "flite", "espeak")]


def measure(
    listener: Listener,
    answerer: Answerer,
    pool: Path,
    shards: Sequence[Shard],
    confidence: float,
    say: Callable[[str], None],
    conditions: Sequence[str] = CONDITIONS,
) -> list[Cell]:
    """Hear every clip under every condition."""
    spoken: dict[str, list[Clip]] = {s.engine: list(read_shard(pool / f"{s.name}.npz"))[: s.clips] for s in shards}
    others = [clip for clips in spoken.values() for clip in clips]
    disturb = Conditions()
    cells = []
    for engine, clips in spoken.items():
        for condition in conditions:
            trials = [listener.hear(clip, *disturb.apply(clip, condition, others)) for clip in clips]
            cell = Cell(engine, condition, tuple(answerer.outcome(trial, confidence) for trial in trials))
            cells.append(cell)
            say(
                f"{engine}, {condition}: word error {cell.word_error:.1%}, sentence error {cell.sentence_error:.1%},"
                f" intent {cell.intent:.1%}, nothing done on the rest {cell.quiet:.1%}"
            )
    return cells


@dataclass(frozen=True)
class Timing:
    """Of the clean trials: the end of the turn and the last word after the end of speech (median, p90, seconds),
    turns that ended too early or never, and frames (median, p99, milliseconds)."""

    turn: tuple[float, float]
    early: float
    never: float
    last: tuple[float, float]
    frame: tuple[float, float]


def timing(cells: Sequence[Cell]) -> Timing:
    """Out of the clean cells."""
    trials = [t for c in cells if c.condition == "clean" for t in c.trials]
    ended = sorted(t.ended for t in trials if t.ended is not None and t.ended >= 0)
    last = sorted(t.last for t in trials if t.last is not None)
    frames = sorted(ms for t in trials for ms in t.frame_ms)
    return Timing(
        _quantiles(ended),
        sum(t.ended is not None and t.ended < 0 for t in trials) / max(1, len(trials)),
        sum(t.ended is None for t in trials) / max(1, len(trials)),
        _quantiles(last),
        (statistics.median(frames), frames[int(0.99 * (len(frames) - 1))]) if frames else (0.0, 0.0),
    )


def _quantiles(values: Sequence[float]) -> tuple[float, float]:
    if not values:
        return (0.0, 0.0)
    return statistics.median(values), values[int(0.9 * (len(values) - 1))]


def average(cells: Sequence[Cell], engines: Sequence[str], condition: str, what: Callable[[Cell], float]) -> float:
    """Mean over engines, each counting the same."""
    found = [what(c) for c in cells if c.engine in engines and c.condition == condition]
    return sum(found) / max(1, len(found))
