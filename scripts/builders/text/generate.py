"""Examples: a request as somebody might type or say it, the call it should become, and the reply.

`Generator(part, seed)` draws from the templates, slot values, decorations and mutations of one part of the split.
The same part and seed give the same examples.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from builders.text import slots
from builders.text.expand import Piece, expand, skeleton, spelled
from builders.text.mutate import decorate, disturb, mutate, salad
from builders.text.split import Fence, Part, Source, action_sources, outside_sources
from noctule.assistant.actions.declared import LONGEST_CLIP, LONGEST_TIMER, REFUSALS, SPECS
from noctule.assistant.actions.registry import placeholders
from noctule.assistant.phrases.names import name_spans
from noctule.assistant.phrases.numbers import duration as parse_duration
from noctule.assistant.phrases.numbers import percentage as parse_percentage
from noctule.assistant.phrases.numbers import spans
from noctule.assistant.phrases.request import read

_SPECS = {spec.name: spec for spec in SPECS}
_POLITE = {"please", "could", "would", "thanks", "thank", "kind"}
_SLOT_OF_PLACEHOLDER = {"length": "duration"}
#: Share of the requests of the training that come from the lines for training alone: they are few, but each stands
#: for thousands of sentences.
_TRAINED_SHARE = 0.3


@dataclass(frozen=True)
class Example:
    """text: the request; action, arguments: the call (slot values as the words of the request); reply: a template.

    topic: the action's name, or where an out-of-domain request comes from; line: the template.
    """

    text: str
    action: str
    arguments: tuple[tuple[str, str], ...]
    reply: str
    topic: str
    line: str


def _only(source: Source) -> bool:
    """True for a line of the files that are for training alone."""
    return source.file.startswith("trained")


def reply_for(action: str, arguments: tuple[tuple[str, str], ...], words: tuple[str, ...]) -> str:
    """The declared reply that suits: names as many given arguments as possible, and is polite to the polite."""
    spec = _SPECS[action]
    given = {name for name, _ in arguments}
    names = {argument.name for argument in spec.arguments}
    usable = [reply for reply in spec.replies if (set(placeholders(reply)) & names) <= given]
    most = max(len(set(placeholders(reply)) & names) for reply in usable)
    best = [reply for reply in usable if len(set(placeholders(reply)) & names) == most]
    return best[-1] if _POLITE & set(words) else best[0]


class Generator:
    """Draws examples of one part of the split.

    rich: share of requests with less common courtesies around them; file: from the templates of this data file alone;
    trained: False leaves out the files of lines for training alone.
    """

    def __init__(self, part: Part, seed: int, rich: float = 0.0, file: str = "", trained: bool = True) -> None:
        self.rich = rich
        self.part = part
        self.rng = Random(f"{part}/{seed}")
        self.held_out = part == "test"
        actions, outside = action_sources(), outside_sources()
        self._fence, self._fence_outside = Fence(part, actions), Fence(part, outside)
        self.actions = {
            part: [source for source in found if file in ("", source.file) and (trained or not _only(source))]
            for part, found in actions.items()
        }
        # The same division of the out-of-domain lines: outside.txt with phrasings.txt, and so on.
        other = file.replace("phrasings", "outside")
        self.outside = [
            source
            for source in outside[part]
            if (file == "" or source.file == other) and (trained or not _only(source))
        ]
        self._more_outside = [source for source in self.outside if _only(source)]
        self.by_topic: dict[str, list[Source]] = {}
        for source in self.outside:
            self.by_topic.setdefault(source.topic, []).append(source)
        self.by_action: dict[str, list[Source]] = {}
        for source in self.actions[part]:
            self.by_action.setdefault(source.action, []).append(source)
        self._more: dict[str, list[Source]] = {}
        for source in self.actions[part]:
            if _only(source):
                self._more.setdefault(source.action, []).append(source)

    def _fill(self, slot: str) -> str:
        rng, held = self.rng, self.held_out
        if slot == "d":
            return slots.duration(rng, held, int(LONGEST_TIMER))
        if slot == "c":
            return slots.duration(rng, held, int(LONGEST_CLIP))
        if slot == "p":
            return slots.percentage(rng, held)
        if slot == "s":
            return slots.step(rng, held)
        if slot == "name":
            return slots.name(rng, held)
        if slot == "task":
            return slots.task(rng, held)
        if slot == "n":
            return slots.number(rng)
        if slot == "clock":
            return slots.clock(rng)
        pools = {
            "city": slots.CITIES,
            "person": slots.PERSONS,
            "thing": slots.THINGS,
            "food": slots.FOODS,
            "song": slots.SONGS,
            "weekday": slots.WEEKDAYS,
            **slots.CROSSED,
        }
        # A third are words made up on the spot: unknown words must not look like an action.
        if slot in ("city", "person", "thing", "song", "food", "noun") and rng.random() < 0.3:
            return slots.pseudo_word(rng)
        return rng.choice(slots.share_of(slot, pools[slot], self.part))

    def inside(self) -> Example | None:
        """A request for a declared action; None when the draw came out ambiguous."""
        rng = self.rng
        # By action evenly mixed with by line: rare actions are seen, rich ones keep their variety.
        if self._more and rng.random() < _TRAINED_SHARE:
            source = rng.choice(self._more[rng.choice(sorted(self._more))])
        elif rng.random() < 0.45:
            source = rng.choice(self.by_action[rng.choice(sorted(self.by_action))])
        else:
            source = rng.choice(self.actions[self.part])
        pieces = expand(source.template.line, self._fill, rng)
        if self._fence.keeps_out(source, skeleton(pieces)) or self._spelled_out(source, pieces):
            return None
        beyond = False
        if rng.random() < 0.03 and any(piece.slot in ("d", "p") for piece in pieces):
            pieces = [self._beyond(piece) for piece in pieces]
            beyond = True
        if any(piece.slot == "name" and not piece.text for piece in pieces):
            return None
        values = {piece.slot: piece.text for piece in pieces if piece.slot}
        pieces = decorate(pieces, source.template.question, self.part, rng, self.rich)
        text = "".join(piece.text for piece in disturb(pieces, rng))
        arguments = []
        for name, value in source.template.call:
            if not value.startswith("$"):
                arguments.append((name, value))
            elif not (beyond and value in ("$d", "$p")):
                arguments.append((name, read(values[value[1:]]).plain))
        request = read(text)
        if not self._consistent(source.action, arguments, request.texts):
            return None
        order = [argument.name for argument in _SPECS[source.action].arguments]
        arguments.sort(key=lambda item: order.index(item[0]))
        reply = reply_for(source.action, tuple(arguments), request.texts)
        return Example(text, source.action, tuple(arguments), reply, source.action, source.template.line)

    def _spelled_out(self, source: Source, pieces: list[Piece]) -> bool:
        """True when a held-out line says in its own words what a slot of this line, for training alone, says."""
        return _only(source) and self._fence.keeps_out(source, spelled(pieces))

    def _beyond(self, piece: Piece) -> Piece:
        rng = self.rng
        if piece.slot == "d":
            return Piece(f"{slots.spoken(rng.randint(2, 60), rng)} {rng.choice(['days', 'weeks', 'day'])}", "d")
        if piece.slot == "p":
            return Piece(f"{slots.spoken(rng.randint(101, 900), rng)} percent", "p")
        return piece

    @staticmethod
    def _consistent(action: str, arguments: list[tuple[str, str]], words: tuple[str, ...]) -> bool:
        """True when the grammar would let the call be written: number arguments are among the spans it offers."""
        spec = _SPECS[action]
        for name, value in arguments:
            argument = spec.argument(name)
            if argument.kind in ("duration", "percent"):
                parser = parse_duration if argument.kind == "duration" else parse_percentage
                offered = {
                    " ".join(words[span.start : span.end])
                    for span in spans(words, parser)
                    if argument.minimum <= span.value <= argument.maximum
                }
                if value not in offered:
                    return False
            elif argument.kind == "words" and value not in {
                " ".join(words[span.start : span.end]) for span in name_spans(words, argument.most_words)
            }:
                return False
        return True

    def outside_request(self) -> Example | None:
        """A request for something else; None when another part has it."""
        rng = self.rng
        draw = rng.random()
        if draw < 0.3:
            source = rng.choice(self.actions[self.part])
            pieces = expand(source.template.line, self._fill, rng)
            text, refusal, topic = mutate("".join(piece.text for piece in pieces), source, self.part, rng)
            return self._refused(text, refusal, topic, source.template.line)
        if draw < 0.33:
            return self._refused(salad(self.part, rng), "unclear", "word salad", "")
        if self._more_outside and rng.random() < _TRAINED_SHARE:
            source = rng.choice(self._more_outside)
        elif rng.random() < 0.5:
            source = rng.choice(self.by_topic[rng.choice(sorted(self.by_topic))])
        else:
            source = rng.choice(self.outside)
        pieces = expand(source.template.line, self._fill, rng)
        if self._fence_outside.keeps_out(source, skeleton(pieces)):
            return None
        decorated = (
            decorate(pieces, rng.random() < 0.6, self.part, rng, self.rich) if source.refusal != "unclear" else pieces
        )
        text = "".join(piece.text for piece in disturb(decorated, rng))
        return self._refused(text, source.refusal, source.topic, source.template.line)

    def _refused(self, text: str, refusal: str, topic: str, line: str) -> Example:
        return Example(text, "none", (), REFUSALS[refusal], topic, line)

    def stream(self, inside_share: float = 0.5) -> Iterator[Example]:
        """Examples without end."""
        while True:
            example = self.inside() if self.rng.random() < inside_share else self.outside_request()
            if example is not None and read(example.text).words:
                yield example
