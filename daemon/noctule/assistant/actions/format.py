"""The explicit form in which the language model writes a call and a reply. Pure. See docs/brain.md.

The model reads the words of the request and one separator, and continues with control pieces and words:

    <s> set a five minute big pot timer <call> <timer.set> <duration=> five minute <name=> big pot <reply> Timer for

<timer.set> names a declared action, <name=> an argument, <=camera> a choice, {length} a placeholder: each is one
control piece of the tokenizer, which no user text encodes to. The words after <duration=> and <name=> are copied
from the request; numbers among them are read by numbers.py, never by the model. After <reply> the model begins one
of the action's declared sentences and is stopped as soon as only one is left: "Timer for {name} set: {length}." A
reply therefore holds no fact but those its placeholders are filled with.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from noctule.assistant.actions.registry import Argument, Call, Spec, Value, placeholders
from noctule.assistant.phrases.names import name_spans
from noctule.assistant.phrases.numbers import Parser, Span, duration, percentage, spans
from noctule.assistant.phrases.request import Request, read
from noctule.core.errors import ModelError
from noctule.lm.grammar import Automaton

CALL = "<call>"
REPLY = "<reply>"

_UNIT = re.compile(r"\{[a-z_]+\}|[^\s{}]+")
_PARSERS: dict[str, Parser] = {"duration": duration, "percent": percentage}


def action_piece(name: str) -> str:
    """Control piece that names an action."""
    return f"<{name}>"


def argument_piece(name: str) -> str:
    """Control piece that begins an argument."""
    return f"<{name}=>"


def choice_piece(choice: str) -> str:
    """Control piece that is the value of a choice."""
    return f"<={choice}>"


def control_pieces(specs: Sequence[Spec]) -> list[str]:
    """Every control piece the declared actions need, in a fixed order: what the tokenizer is trained with."""
    pieces = [CALL, REPLY]
    for spec in specs:
        pieces.append(action_piece(spec.name))
        for argument in spec.arguments:
            pieces.append(argument_piece(argument.name))
            pieces.extend(choice_piece(choice) for choice in argument.choices)
        for reply in spec.replies:
            pieces.extend(f"{{{name}}}" for name in placeholders(reply))
    return list(dict.fromkeys(pieces))


@dataclass(frozen=True)
class Reply:
    """A declared reply in tokens. needs: arguments that must have been given."""

    template: str
    tokens: tuple[int, ...]
    needs: frozenset[str]


class CallFormat:
    """Prompts, grammars and parses calls in one tokenizer's ids.

    encode: text -> ids without control pieces, as the tokenizer does it; control: piece -> id.
    """

    def __init__(
        self, encode: Callable[[str], Sequence[int]], control: Mapping[str, int], bos: int, eos: int
    ) -> None:
        self._encode = encode
        self._control = control
        self._marks = frozenset(control.values())
        self._bos = bos
        self._eos = eos
        self._words: dict[str, tuple[int, ...]] = {}
        self._replies: dict[str, tuple[Reply, ...]] = {}
        self._known: dict[str, bool] = {}
        for piece in (CALL, REPLY):
            if piece not in control:
                raise ModelError(f"the tokenizer has no {piece}", "the package was not built for actions")
        self.reply_token = control[REPLY]

    def is_control(self, token: int) -> bool:
        """True for a piece that no text encodes to."""
        return token in self._marks

    def knows(self, spec: Spec) -> bool:
        """True when the tokenizer has every piece that the action needs, so that the model can write it."""
        if spec.name not in self._known:
            self._known[spec.name] = all(piece in self._control for piece in control_pieces([spec]))
        return self._known[spec.name]

    def action(self, spec: Spec) -> int:
        """The token that names the action."""
        return self._control[action_piece(spec.name)]

    def word(self, text: str) -> tuple[int, ...]:
        """Tokens of one word; the cache is bounded because users choose the words."""
        if text not in self._words:
            if len(self._words) > 4096:
                self._words.clear()
            self._words[text] = tuple(self._encode(text))
        return self._words[text]

    def prompt(self, request: Request) -> list[int]:
        """<s>, the words, <call>."""
        return [self._bos, *(token for text in request.texts for token in self.word(text)), self._control[CALL]]

    def replies(self, spec: Spec) -> tuple[Reply, ...]:
        """The action's replies in tokens."""
        if spec.name not in self._replies:
            self._replies[spec.name] = tuple(self._reply(spec, template) for template in spec.replies)
        return self._replies[spec.name]

    def _reply(self, spec: Spec, template: str) -> Reply:
        tokens: list[int] = []
        for text in _UNIT.findall(template):
            tokens += (self._control[text],) if text.startswith("{") else self.word(text)
        arguments = {argument.name for argument in spec.arguments}
        return Reply(template, tuple(tokens), frozenset(placeholders(template)) & arguments)

    # -- grammar ------------------------------------------------------------------------------------------------

    def candidates(self, argument: Argument, request: Request) -> list[tuple[Span | str, tuple[int, ...]]]:
        """What the argument may be, each with its tokens: choices, or spans of the request within the bounds."""
        if argument.kind == "choice":
            return [(choice, (self._control[choice_piece(choice)],)) for choice in argument.choices]
        words = request.texts
        if argument.kind == "words":
            found = name_spans(words, argument.most_words)
        else:
            found = [
                span
                for span in spans(words, _PARSERS[argument.kind])
                if argument.minimum <= span.value <= argument.maximum
            ]
        return [(span, self._span_tokens(words, span)) for span in found]

    def _span_tokens(self, words: Sequence[str], span: Span) -> tuple[int, ...]:
        return tuple(token for text in words[span.start : span.end] for token in self.word(text))

    def calls(self, request: Request, specs: Sequence[Spec]) -> Automaton:
        """Every call that may be written for `request`, each closed by <reply>. Unknown specs are left out."""
        automaton = Automaton()
        end = automaton.state()
        automaton.accept(end)
        # Arguments of the same kind and bounds offer the same tokens: find them once.
        cache: dict[Argument, list[tuple[int, ...]]] = {}
        for spec in specs:
            if self.knows(spec):
                self._add(automaton, end, spec, request, cache)
        return automaton

    def _add(
        self,
        automaton: Automaton,
        end: int,
        spec: Spec,
        request: Request,
        cache: dict[Argument, list[tuple[int, ...]]],
    ) -> None:
        named: list[list[Argument | None]] = []
        for argument in spec.arguments:
            if argument not in cache:
                cache[argument] = [tokens for _, tokens in self.candidates(argument, request)]
            options: list[Argument | None] = [argument] if cache[argument] else []
            if not argument.required:
                options.append(None)
            named.append(options)
        for chosen in product(*named):
            here = automaton.path(0, (self.action(spec),))
            for given in chosen:
                if given is not None:
                    begin = automaton.path(here, (self._control[argument_piece(given.name)],))
                    here = automaton.state()
                    for tokens in cache[given]:
                        automaton.path(begin, tokens, here)
            automaton.path(here, (self.reply_token,), end)

    def suitable(self, spec: Spec, call: Call) -> list[Reply]:
        """The declared replies whose arguments the call has."""
        return [reply for reply in self.replies(spec) if reply.needs <= call.arguments.keys()]

    def heads(self, replies: Sequence[Reply]) -> dict[tuple[int, ...], Reply]:
        """The fewest first tokens that tell each reply from the others: all that the model has to choose.

        One reply needs no token at all.
        """
        heads: dict[tuple[int, ...], Reply] = {}
        for reply in replies:
            tokens = (*reply.tokens, self._eos)
            others = [(*other.tokens, self._eos) for other in replies if other is not reply]
            length = next(n for n in range(len(tokens) + 1) if not any(o[:n] == tokens[:n] for o in others))
            heads[tokens[:length]] = reply
        return heads

    def choice_of(self, replies: Sequence[Reply]) -> Automaton:
        """What may follow <reply>: the head of one of `replies` (at least two)."""
        automaton = Automaton()
        end = automaton.state()
        automaton.accept(end)
        for head in self.heads(replies):
            automaton.path(0, head, end)
        return automaton

    # -- what was written ---------------------------------------------------------------------------------------

    def write_call(self, call: Call, spec: Spec) -> list[int]:
        """The tokens of a call, <reply> included."""
        tokens = [self._control[action_piece(call.action)]]
        for argument in spec.arguments:
            value = call.arguments.get(argument.name)
            if value is None:
                continue
            tokens.append(self._control[argument_piece(argument.name)])
            if argument.kind == "choice":
                tokens.append(self._control[choice_piece(value.text)])
            else:
                tokens.extend(token for text in read(value.text).texts for token in self.word(text))
        return [*tokens, self.reply_token]

    def write(self, call: Call, reply: str, spec: Spec) -> list[int]:
        """The tokens of a call and of the choice of its reply: what the model is trained to say."""
        heads = self.heads(self.suitable(spec, call))
        [chosen] = [head for head, known in heads.items() if known.template == reply]
        return [*self.write_call(call, spec), *chosen]

    def read_call(self, tokens: Sequence[int], request: Request, specs: Sequence[Spec]) -> Call:
        """The call in `tokens` (up to <reply> or the end). ModelError when they are not a call of `specs`."""
        names = {self.action(spec): spec for spec in specs if self.knows(spec)}
        if not tokens or tokens[0] not in names:
            raise ModelError("the model's answer names no declared action")
        spec = names[tokens[0]]
        arguments: dict[str, Value] = {}
        at = 1
        for argument in spec.arguments:
            if at >= len(tokens) or tokens[at] != self._control[argument_piece(argument.name)]:
                continue
            value, length = self._read_value(argument, tokens[at + 1 :], request)
            arguments[argument.name] = value
            at += 1 + length
        if at < len(tokens) and tokens[at] != self.reply_token:
            raise ModelError(f"the model's call of {spec.name} has a malformed argument")
        return Call(spec.name, arguments)

    def _read_value(self, argument: Argument, tokens: Sequence[int], request: Request) -> tuple[Value, int]:
        marks = set(self._control.values())
        length = next((at for at, token in enumerate(tokens) if at > 0 and token in marks), len(tokens))
        for candidate, spelled in self.candidates(argument, request):
            if tuple(tokens[:length]) == spelled:
                if isinstance(candidate, str):
                    return Value(candidate), length
                number = None if argument.kind == "words" else candidate.value
                return Value(request.quote(candidate.start, candidate.end), number), length
        raise ModelError(f"the model's {argument.name} is not a part of the request")
