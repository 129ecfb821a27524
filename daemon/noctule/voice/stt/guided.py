"""How a command is read when it is known what can be asked: grammar and free text race, three numbers decide.

The score of the best sentence (log-probability a word) tells whether the sound is that sentence at all; its ratio to
the free text tells whether something else explains the sound much better; and where both are in doubt the words go to
the brain with their own confidence, as free text does. Clearly asked acts, near is asked back, the rest is left
alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from noctule.lm.speech.guided.race import Candidate, Race, run_race
from noctule.lm.speech.guided.search import GuidedSearch, bare
from noctule.lm.speech.guided.tokens import Tokens, Way, Words
from noctule.lm.speech.moonshine.belief import doubt, silent
from noctule.lm.speech.moonshine.model import MoonshineModel
from noctule.lm.speech.moonshine.words import words_of
from noctule.lm.speech.words import Word
from noctule.voice.stt.moonshine import Recognition

#: decisions
ACT, ASK, LEAVE, FREE = "act", "ask back", "leave alone", "free text"


class Askable(Protocol):
    """What can be asked."""

    @property
    def words(self) -> Words: ...
    @property
    def ways(self) -> Way: ...

    def meaning(self, text: str) -> Hashable | None:
        """What a sentence asks for; None for nothing."""

    def unfinished(self, text: str) -> bool:
        """Whether requests begin like it, and none is so short."""

    def over(self, text: str) -> bool:
        """Whether it is a whole request, and none that is longer begins like it."""


@dataclass(frozen=True)
class Thresholds:
    """A sentence with at least `score` and a `ratio` of at least that a word acts; one with at least `near_score` and
    `near_ratio` is asked back. A sentence of at most `few` words must be `few_better` better: much that is said
    sounds like two words. margin: by how much (natural logarithm) another meaning must be behind."""

    score: float = -1.3
    ratio: float = -0.8
    near_score: float = -1.7
    near_ratio: float = -1.1
    few: int = 3
    few_better: float = 0.6
    margin: float = 0.7


@dataclass(frozen=True)
class Decided:
    """runner: the sentence of ACT and ASK."""

    what: str
    runner: Candidate | None = None
    why: str = ""


def decide(race: Race, limits: Thresholds) -> Decided:
    """See Thresholds."""
    if race.free.looped and not race.runners:
        return Decided(LEAVE, None, "loop")
    if not race.runners:
        return Decided(FREE)
    best, *others = race.runners
    # what skips more words explains less: it is no rival
    rivals = [other for other in others if other.skipped <= best.skipped]
    close = any(best.ratio - other.ratio < limits.margin for other in rivals)
    ratio = best.ratio / max(1, best.words)
    more = limits.few_better if best.words <= limits.few else 0.0
    if best.score >= limits.score + more and ratio >= limits.ratio:
        return Decided(ASK if close else ACT, best, "two readings are alike" if close else "")
    if best.score >= limits.near_score + more and ratio >= limits.near_ratio:
        return Decided(ASK, best, "near")
    return Decided(FREE)


def told(race: Race, decided: Decided) -> dict[str, Any]:
    """The race as an event's fields: "sentences" as "text (score, ratio)", best first."""
    shown = [f"{bare(r.text)} ({r.score:.2f}, {r.ratio:.2f})" for r in race.runners[:3]]
    return {
        "text": race.free_text,
        "free_score": round(race.free_score, 2),
        "sentences": "; ".join(shown),
        "decision": decided.what,
        "why": decided.why,
    }


class GuidedReader:
    """See moonshine.Reader. askable: what can be asked now, asked for each utterance."""

    def __init__(self, askable: Callable[[], Askable], limits: Thresholds | None = None) -> None:
        self._askable, self._limits = askable, limits or Thresholds()
        self._of: Askable | None = None
        self._search: GuidedSearch | None = None

    def prepare(self, model: MoonshineModel) -> None:
        """Compile what the first utterance would wait for."""
        self._guide(model)

    def _guide(self, model: MoonshineModel) -> tuple[Askable, GuidedSearch]:
        askable = self._askable()
        if self._search is None or self._of is not askable:
            tokens = Tokens(askable.words, model.tokenizer, askable.ways)
            tokens.choices(tokens.begin())
            self._search, self._of = GuidedSearch(tokens, model.tokenizer), askable
        return askable, self._search

    def race(self, model: MoonshineModel, sound: NDArray[np.float32], lead: float = 0.0) -> Race:
        """The race alone. float32 [samples] that fit one utterance; lead: see run_race."""
        askable, search = self._guide(model)
        return run_race(model.encode(sound), search, askable.meaning, lead)

    def decide(self, race: Race) -> Decided:
        return decide(race, self._limits)

    def __call__(
        self, model: MoonshineModel, sound: NDArray[np.float32], *, whole: bool, lead: float = 0.0
    ) -> Recognition:
        if silent(sound):
            return Recognition(())
        race = self.race(model, sound, lead)
        seconds = len(sound) / 16000
        free = words_of(race.free, model.tokenizer, seconds)
        decided = self.decide(race)
        weighed = told(race, decided)
        if decided.runner is not None:
            acts = decided.what == ACT
            words = _timed(decided.runner, free, seconds)
            if acts or whole:
                over = acts and self._askable().over(decided.runner.text)
                asked = "" if acts else bare(decided.runner.text)
                return Recognition(words, over=over, asked=asked, weighed=weighed)
        why = doubt(race.free_text, race.free)
        if decided.what == LEAVE or (why is not None and (whole or why != "unended")):
            return Recognition((), weighed={**weighed, "decision": LEAVE, "why": why or decided.why})
        unfinished = self._askable().unfinished(race.free_text)
        return Recognition(tuple(free), unfinished=unfinished, weighed=weighed)


def _timed(runner: Candidate, free: Sequence[Word], seconds: float) -> tuple[Word, ...]:
    """The sentence's words spread over the time of the free words they stand for."""
    texts = runner.text.split()
    heard = free[runner.skipped :] or free
    start = heard[0].start if heard else 0.0
    end = heard[-1].end if heard else seconds
    step = (end - start) / max(1, len(texts))
    sure = min(1.0, math.exp(runner.score))
    return tuple(
        Word(text, start + step * i, start + step * (i + 1), max(sure, _TAKEN)) for i, text in enumerate(texts)
    )


#: confidence of words that the race decided for: it has judged them by other means
_TAKEN = 0.99
