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

from builders.text.generate import Example, Generator
from builders.text.mutate import courtesies
from builders.text.split import Part, action_sources
from noctule.assistant.actions.commands import UserCommands
from noctule.assistant.actions.declared import SPECS
from noctule.assistant.actions.registry import ActionRegistry, Call, Result
from noctule.assistant.brain import Brain
from noctule.assistant.brain.doubt import Doubt, has_unfamiliar
from noctule.assistant.phrases.request import Request, read
from noctule.core.events import Bus
from noctule.lm.text.model import TextLM

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


#: Thresholds tried. 1.0 means: with such words never act.
_GRID = (
    0.0, 0.3, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.88, 0.9, 0.92, 0.94, 0.95, 0.96, 0.97, 0.98,
    0.985, 0.99, 0.993, 0.995, 0.997, 0.998, 0.999, 0.9995, 1.0,
)  # fmt: skip


def common_words() -> frozenset[str]:
    """Words of the courtesies around requests."""
    return frozenset(word for line in courtesies() for word in read(line).texts)


def own_words() -> dict[str, frozenset[str]]:
    """Action -> words of its phrasings that are trained on."""
    words: dict[str, set[str]] = {}
    for source in action_sources()["train"]:
        words.setdefault(source.action, set()).update(read(_SLOT.sub(" ", source.template.line)).texts)
    return {action: frozenset(found) for action, found in words.items()}


def choose_doubt(inside: Score, outside: Score, aim: float) -> Doubt:
    """Thresholds that keep false actions at `aim` and cost the fewest exact calls; where the aim cannot be met,
    each false action above it weighs as twenty exact calls. Both scores must have been taken without doubts.
    """
    common = common_words()
    own = {action: words | common for action, words in own_words().items()}
    every = common.union(*own.values())
    right = [_signs(answer, own, every) for answer in inside.answers if answer.exact]
    wrong = [_signs(answer, own, every) for answer in outside.answers if answer.acted]

    def share(signs: list[tuple[float, int]], least: tuple[float, float, float], total: int) -> float:
        return sum(p >= least[strange] for p, strange in signs) / max(1, total)

    def worth(least: tuple[float, float, float]) -> float:
        false = share(wrong, least, len(outside.answers))
        return share(right, least, len(inside.answers)) - 20 * max(0.0, false - aim)

    choices = [(t, f, u) for t in _GRID[:-3] for f in _GRID if f >= t for u in _GRID if u >= f]
    threshold, foreign, unfamiliar = max(choices, key=worth)
    return Doubt(threshold, unfamiliar, every, foreign, own)


def _signs(answer: Answer, own: dict[str, frozenset[str]], every: frozenset[str]) -> tuple[float, int]:
    """(probability, 0: only words of the action, 1: words of another one too, 2: words of none)."""
    request = read(answer.example.text)
    strange = has_unfamiliar(request, answer.call, own[answer.call.action])
    return answer.confidence, strange + has_unfamiliar(request, answer.call, every)
