"""What goes into a text generation and what comes out of it. Data only."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from noctule.lm.constraint import Constraint
from noctule.lm.sampler import Sampling

Cancel: TypeAlias = Callable[[], bool] | threading.Event
Finish = Literal["stop", "length", "cancelled"]


@dataclass(frozen=True)
class Options:
    """How to generate."""

    max_tokens: int = 256
    #: None: the package's default
    sampling: Sampling | None = None
    seed: int = 0
    #: strings that end the reply, besides the package's own
    stop: tuple[str, ...] = ()
    #: obeyed at every token; it may also produce special tokens, whose text is empty
    constraint: Constraint | None = None
    #: polled before every token and every prefill run, so that it can also carry the caller's heartbeat
    cancel: Cancel | None = None
    #: gets the logits of every step, float32 [V], before the sampler does, and may change them
    on_logits: Callable[[NDArray[np.float32]], None] | None = None

    def cancelled(self) -> bool:
        """Ask `cancel`."""
        if self.cancel is None:
            return False
        return self.cancel.is_set() if isinstance(self.cancel, threading.Event) else self.cancel()


@dataclass
class Stats:
    """What one request cost. Seconds are of the monotonic clock."""

    prompt_tokens: int = 0
    #: of the prompt, tokens that the cache already held
    reused_tokens: int = 0
    completion_tokens: int = 0
    #: how often the context was full and the oldest tokens were forgotten
    slides: int = 0
    prefill_seconds: float = 0.0
    #: from the start of the request to its first token
    first_token_seconds: float = 0.0
    #: everything after the prefill
    decode_seconds: float = 0.0


@dataclass(frozen=True)
class TextChunk:
    """Some text; the last chunk of a reply also says why it ended and what it cost."""

    text: str
    finish: Finish | None = None
    stats: Stats | None = None


def collect(chunks: Iterable[TextChunk]) -> tuple[str, Finish, Stats]:
    """Take a whole reply: its text, why it ended, what it cost."""
    parts: list[str] = []
    for chunk in chunks:
        parts.append(chunk.text)
        if chunk.finish is not None and chunk.stats is not None:
            return "".join(parts), chunk.finish, chunk.stats
    raise ValueError("the reply has no last chunk")
