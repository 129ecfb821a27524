"""How good noctule-tiny is, measured where it will run: the int8 package, through Brain, grammar and all.

The actions themselves do nothing here (`rehearsal`); everything before and after them is the device's own code.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from noctule.actions.commands import UserCommands
from noctule.actions.declared import SPECS
from noctule.actions.registry import ActionRegistry, Call, Result
from noctule.actions.words import Request, read
from noctule.brain import Brain
from noctule.brain.doubt import Doubt, has_unfamiliar
from noctule.events import Bus
from noctule.lm.text_lm import TextLM
from tiny.generate import Example, Generator
from tiny.mutate import courtesies
from tiny.split import Part, action_sources

_SLOT = re.compile(r"\{[a-z]+\}|[\[\]|]")
#: Seeds of the drawn sets. The test set is used for nothing but the card.
VALIDATION_SEED, TEST_SEED = 101, 202


@dataclass(frozen=True)
class Answer:
    """What the model did with an example. reply: the declared template it chose, "" when it had no choice."""

    example: Example
    call: Call
    confidence: float
    reply: str
    seconds: float

    @property
    def acted(self) -> bool:
        return self.call.action != "none"

    @property
    def exact(self) -> bool:
        """The right action with exactly the right arguments."""
        said = {name: read(value.text).plain for name, value in self.call.arguments.items()}
        return self.call.action == self.example.action and said == dict(self.example.arguments)


@dataclass
class Score:
    """Counts of one set of answers."""

    answers: list[Answer] = field(default_factory=list)

    @property
    def exact(self) -> float:
        return _share(answer.exact for answer in self.answers)

    @property
    def right_action(self) -> float:
        return _share(answer.call.action == answer.example.action for answer in self.answers)

    @property
    def refused(self) -> float:
        return _share(not answer.acted for answer in self.answers)

    @property
    def false_actions(self) -> float:
        return _share(answer.acted for answer in self.answers)

    @property
    def fitting_reply(self) -> float:
        return _share(answer.reply == answer.example.reply for answer in self.answers)

    def by(self, key: Callable[[Answer], str], wrong: Callable[[Answer], bool]) -> list[tuple[str, int, int]]:
        """(key, wrong, all), the most wrong first."""
        total = Counter(key(answer) for answer in self.answers)
        bad = Counter(key(answer) for answer in self.answers if wrong(answer))
        return sorted(((name, bad[name], total[name]) for name in total), key=lambda row: (-row[1], row[0]))


def _share(values: Iterable[bool]) -> float:
    found = list(values)
    return sum(found) / max(1, len(found))


def rehearsal() -> ActionRegistry:
    """Every declared action, bound to nothing: its result is its placeholders in braces."""
    registry = ActionRegistry(SPECS)

    def handler(call: Call, request: Request) -> Result:
        return Result({name: f"{{{name}}}" for name in registry.spec(call.action).fields})

    for spec in SPECS:
        registry.bind(spec.name, handler)
    return registry


def draw(part: Part, seed: int, count: int, inside: bool, file: str = "") -> list[Example]:
    """`count` different requests of a part, all for declared actions or all for something else.

    file: from the lines of this data file of phrasings (and the out-of-domain file of the same ending) alone.
    """
    seen: set[str] = set()
    examples: list[Example] = []
    # The small parts repeat themselves: stop when the draws stay stale.
    for example in islice(Generator(part, seed, file=file).stream(1.0 if inside else 0.0), 20 * count):
        text = read(example.text).plain
        if text not in seen:
            seen.add(text)
            examples.append(example)
        if len(examples) == count:
            break
    return examples


class Examiner:
    """Asks a package. doubts: False to see what the model would do without its thresholds."""

    def __init__(self, package: Path, threads: int = 1, *, doubts: bool = True) -> None:
        self.lm = TextLM.load(package, threads=threads)
        self.brain = Brain(self.lm, rehearsal(), UserCommands(dict), Bus())
        if not doubts:
            self.brain.doubt = Doubt()

    def answer(self, example: Example) -> Answer:
        began = time.perf_counter()
        turn = self.brain.ask(example.text)
        seconds = time.perf_counter() - began
        assert turn.call is not None
        assert turn.ok, turn.reply
        return Answer(example, turn.call, turn.confidence or 0.0, turn.reply, seconds)

    def score(self, examples: list[Example]) -> Score:
        return Score([self.answer(example) for example in examples])

    def close(self) -> None:
        self.lm.close()


#: Thresholds tried. 1.0 means: with unfamiliar words never act.
_GRID = (
    0.0, 0.1, 0.2, 0.3, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.98, 0.99,
    0.995, 0.999, 0.9995, 1.0,
)  # fmt: skip


def familiar_words() -> list[str]:
    """Words of the phrasings that are trained on, and of the courtesies around them."""
    words: set[str] = set()
    for source in action_sources()["train"]:
        words.update(read(_SLOT.sub(" ", source.template.line)).texts)
    for line in courtesies():
        words.update(read(line).texts)
    return sorted(words)


def choose_doubt(inside: Score, outside: Score, aim: float) -> Doubt:
    """Thresholds that keep false actions at `aim` and cost the fewest exact calls; where the aim cannot be met,
    each false action above it weighs as three exact calls. Both scores must have been taken without doubts.
    """
    words = frozenset(familiar_words())
    right = [_signs(answer, words) for answer in inside.answers if answer.exact]
    wrong = [_signs(answer, words) for answer in outside.answers if answer.acted]

    def share(signs: list[tuple[float, bool]], doubt: Doubt, total: int) -> float:
        passed = [p for p, strange in signs if p >= doubt.threshold and (not strange or p >= doubt.unfamiliar)]
        return len(passed) / max(1, total)

    def worth(doubt: Doubt) -> float:
        false = share(wrong, doubt, len(outside.answers))
        return share(right, doubt, len(inside.answers)) - 3 * max(0.0, false - aim)

    choices = [Doubt(t, u, words) for t in _GRID[:-3] for u in _GRID if u >= t]
    return max(choices, key=worth)


def _signs(answer: Answer, words: frozenset[str]) -> tuple[float, bool]:
    return answer.confidence, has_unfamiliar(read(answer.example.text), answer.call, words)
