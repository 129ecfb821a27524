"""What a Brain needs of a language model, and what it answers. Data only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from noctule.assistant.actions.registry import Call, Result
from noctule.core.events import Bus
from noctule.inference.manifest import Manifest
from noctule.lm.text.chat import Message
from noctule.lm.text.request import Options, TextChunk


class Pieces(Protocol):
    """What of a tokenizer is needed."""

    control: dict[str, int]
    bos: int | None
    eos: frozenset[int]

    def encode(self, text: str, *, start: bool = True) -> list[int]:
        """Ids without control pieces."""


class TextModel(Protocol):
    """What of `noctule.lm.text.model.TextLM` is needed."""

    manifest: Manifest
    tokenizer: Any

    @property
    def context(self) -> int:
        """Most positions of a sequence."""

    def generate(self, prompt: Sequence[int], options: Options, *, keep: int = 0) -> Iterator[TextChunk]:
        """Continue tokens."""

    def chat(self, messages: Sequence[Message], options: Options) -> Iterator[TextChunk]:
        """Answer a conversation."""


@dataclass
class Answer:
    """One answered request. ok: the action, if any, succeeded; seconds: where the time went."""

    reply: str
    ok: bool = True
    call: Call | None = None
    command: str = ""
    result: Result | None = None
    #: probability the model gave to the action it chose, among those allowed; None without an action model
    confidence: float | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    finish: str = "stop"
    seconds: dict[str, float] = field(default_factory=dict)

    def count(self, chunk: TextChunk) -> None:
        """Add what a generation cost, from its last chunk."""
        if chunk.finish is None or chunk.stats is None:
            return
        self.finish = chunk.finish
        self.prompt_tokens = self.prompt_tokens or chunk.stats.prompt_tokens
        self.completion_tokens += chunk.stats.completion_tokens
        spent = chunk.stats.prefill_seconds + chunk.stats.decode_seconds
        self.seconds["model"] = self.seconds.get("model", 0.0) + spent

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form for the API."""
        return {
            "reply": self.reply,
            "ok": self.ok,
            "call": None if self.call is None else self.call.as_dict(),
            "command": self.command or None,
            "data": None if self.result is None else dict(self.result.data),
            "confidence": None if self.confidence is None else round(self.confidence, 4),
            "tokens": {"prompt": self.prompt_tokens, "completion": self.completion_tokens},
            "finish": self.finish,
            "seconds": {name: round(value, 4) for name, value in self.seconds.items()},
        }


@dataclass(frozen=True)
class Settings:
    """What of the configuration an answer depends on. options: for models that answer freely."""

    options: Options = field(default_factory=Options)


def tell(bus: Bus, action: str, turn: Answer, arguments: str) -> None:
    """Publish that an action was taken, or failed."""
    fields: dict[str, Any] = {"action": action, "arguments": arguments, "seconds": round(turn.seconds["action"], 4)}
    if turn.ok:
        bus.publish("action.done", "brain", f"Action {action} was taken", **fields)
    else:
        # The sentence may quote the request (a timer's name), so it is a private field too.
        bus.publish("action.failed", "brain", f"Action {action} failed", 4, reply=turn.reply, **fields)


def refused(sentence: str, on_delta: Callable[[str], None]) -> Answer:
    """Nothing was done, and this is said."""
    on_delta(sentence)
    return Answer(sentence, call=Call("none"))


def nothing(text: str) -> None:
    """Nobody listens to the pieces of the reply."""
