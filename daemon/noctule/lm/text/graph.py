"""Tokens in, logits out, over a KV cache that stays where it is. Knows nothing of text or sampling.

A `TextGraph` holds one sequence. Position p is written once, by `prefill` or `decode`, and may be written again:
what lies at and beyond the position being written is never read (masked by position in the graph), so going back
to an earlier position is all it takes to reuse a prefix. Two layouts:

"noctule"           decode_{C} and prefill_{T}_{C} for each context bucket C. Attention costs time by C, so a
                    sequence starts in the smallest bucket that holds it and moves up; a move copies the cache once.
                    tokens int32 [T,1], input_pos int32 [1] (position of the first token), logits float32 [1,V].
"litert-community"  decode and prefill or prefill_{T}, one context C; the layout of litert-torch's generative
                    exports (its `utilities/converter.py`). tokens int32 [1,T], input_pos int32 [T], an optional
                    mask [1,1,T,C] (float: 0 or very low; bool: True = attend), logits float32 [1,1,V]. Only decode
                    has logits.

Prefill signatures have a fixed T. The end of a prompt is padded when that is cheaper than single steps and the
padding still fits the bucket; padded slots lie beyond the sequence and are overwritten by what comes there.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noctule.core.errors import ModelError
from noctule.inference.runner import Signature, TensorSpec

Logits = NDArray[np.float32]
#: A prefill of T tokens costs about as much as T / 4 single steps (FACTS: 3.6 against 12.6 ms per token).
_PREFILL_GAIN = 4
INT = np.dtype(np.int32)


class TextGraph(abc.ABC):
    """One sequence in one model's cache."""

    #: positions a sequence may have
    context: int
    #: width of the logits
    width: int

    @abc.abstractmethod
    def reserve(self, length: int, kept: int) -> None:
        """Make room for `length` positions, keeping what is in the first `kept`; length <= context."""

    @abc.abstractmethod
    def decode(self, token: int, position: int) -> Logits:
        """Write `token` at `position` and return the logits that follow it: float32 [width], the caller's own."""

    @abc.abstractmethod
    def prefill(self, tokens: Sequence[int], position: int) -> int:
        """Write the first of `tokens` from `position` on in one run; returns how many were taken (at least 1)."""

    @abc.abstractmethod
    def warm_up(self) -> None:
        """Run every signature of the smallest size once, so that the first request does not pay for it."""

    def lean(self, on: bool) -> None:
        """Offer only the smallest context that the graph has, and free what larger ones took; or all again.

        What the caches hold is lost. A graph with a single context has nothing to give.
        """
        del on

    @property
    def smallest(self) -> int:
        """The context that `lean` would offer."""
        return self.context

    @abc.abstractmethod
    def clear(self) -> None:
        """Set the caches to zero (a broken run may have left NaN, which masking does not hide)."""


def caches(signature: Signature) -> dict[str, str | None]:
    """Alias map of the KV inputs: each is replaced by the output of the same name."""
    return {name: name for name in signature.inputs if name.startswith("kv_cache_")}


def expect(where: str, what: str, spec: TensorSpec | None, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    wanted = TensorSpec(shape, dtype)
    if spec != wanted:
        raise ModelError(f"{where}: {what} is {spec or 'missing'}, a text model has {wanted}")


def check_inputs(where: str, signature: Signature, known: set[str]) -> None:
    held = caches(signature)
    if not held:
        raise ModelError(f"{where}: has no kv_cache_* inputs, so it is no text model")
    odd = sorted(signature.inputs.keys() - held.keys() - known)
    if odd:
        raise ModelError(f"{where}: needs the input {odd[0]!r}, which text generation does not provide")


def pick(sizes: Sequence[int], count: int, room: int) -> int:
    """Which prefill length (of rising `sizes`) to run for `count` tokens with `room` slots left; 0 for none."""
    whole = [size for size in sizes if size <= min(count, room)]
    if whole:
        return whole[-1]
    padded = [size for size in sizes if count < size <= room]
    return padded[0] if padded and count * _PREFILL_GAIN >= padded[0] else 0


# ---- layout "noctule" -----------------------------------------------------------------------------------------
