"""Tokens in, logits out, over a KV cache that stays where it is. L2; knows nothing of text or sampling.

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
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noctule.core.errors import ModelError
from noctule.inference.runner import Buffers, Model, Runner, Signature, TensorSpec

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


def open_graph(model: Model, layout: str, context: int) -> TextGraph:
    """The graph of a loaded model in the layout its manifest names."""
    if layout == "noctule":
        return NoctuleGraph(model, context)
    from noctule.lm.text.graph_community import CommunityGraph

    return CommunityGraph(model, context)


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


@dataclass
class _Bucket:
    slots: int
    decode: Runner
    prefill: dict[int, Runner]

    @property
    def state(self) -> Buffers:
        return self.decode.state


class NoctuleGraph(TextGraph):
    """decode_{C}, prefill_{T}_{C}."""

    def __init__(self, model: Model, context: int) -> None:
        self._model = model
        self._sizes: dict[int, list[int]] = {}
        for name in model.signatures:
            if found := re.fullmatch(r"decode_(\d+)", name):
                self._sizes.setdefault(int(found[1]), [])
        for name in model.signatures:
            if found := re.fullmatch(r"prefill_(\d+)_(\d+)", name):
                self._sizes.setdefault(int(found[2]), []).append(int(found[1]))
        if not self._sizes:
            raise ModelError(f"{model.path}: has no decode_* signature, so it is no text model")
        self._widths = {self._check(slots, sizes) for slots, sizes in self._sizes.items()}
        if len(self._widths) != 1:
            raise ModelError(f"{model.path}: its buckets have logits of different widths: {sorted(self._widths)}")
        self.width = self._widths.pop()
        largest = max(self._sizes)
        if not 2 <= context <= largest:
            raise ModelError(f"{model.path}: cannot hold a context of {context}, its largest bucket is {largest}")
        self.context = self._whole = context
        self._buckets: dict[int, _Bucket] = {}
        self._now = self._bucket(min(self._sizes))

    def _check(self, slots: int, sizes: list[int]) -> int:
        """Shapes of one bucket's signatures; returns the width of the logits."""
        path = self._model.path
        sizes.sort()
        for name, length in [(f"decode_{slots}", 1), *((f"prefill_{size}_{slots}", size) for size in sizes)]:
            where = f"{path}: signature {name!r}"
            signature = self._model.signature(name)
            check_inputs(where, signature, {"tokens", "input_pos"})
            expect(where, "tokens", signature.inputs.get("tokens"), (length, 1), INT)
            expect(where, "input_pos", signature.inputs.get("input_pos"), (1,), INT)
            for cache in caches(signature):
                if slots not in signature.inputs[cache].shape:
                    raise ModelError(f"{where}: {cache} is {signature.inputs[cache]}, it should have {slots} slots")
        logits = self._model.signature(f"decode_{slots}").outputs.get("logits")
        width = logits.shape[-1] if logits is not None else 0
        expect(f"{path}: signature 'decode_{slots}'", "logits", logits, (1, width), np.dtype(np.float32))
        return width

    def _bucket(self, slots: int) -> _Bucket:
        if slots not in self._buckets:
            name = f"decode_{slots}"
            alias = caches(self._model.signature(name))
            decode = self._model.runner(name, alias=alias)
            prefill = {
                size: self._model.runner(f"prefill_{size}_{slots}", alias=alias, share=decode.state)
                for size in self._sizes[slots]
            }
            self._buckets[slots] = _Bucket(slots, decode, prefill)
        return self._buckets[slots]

    @property
    def smallest(self) -> int:
        return min(self._whole, *self._sizes)

    def lean(self, on: bool) -> None:
        self.context = self.smallest if on else self._whole
        self._now = self._bucket(min(self._sizes))
        if on:
            self._buckets = {self._now.slots: self._now}
        self.clear()

    @property
    def slots(self) -> int:
        """Size of the bucket in use."""
        return self._now.slots

    def reserve(self, length: int, kept: int) -> None:
        if not kept <= length <= self.context:
            raise ValueError(f"reserve({length}, {kept}) of {self.context}")
        fits = min(slots for slots in self._sizes if slots >= length)
        if self._now.slots < length or (kept == 0 and fits < self._now.slots):
            old, self._now = self._now, self._bucket(fits)
            if kept:
                _move(old.decode, self._now.decode)

    def decode(self, token: int, position: int) -> Logits:
        runner = self._now.decode
        runner.write("tokens", np.array([[token]], np.int32))
        runner.write("input_pos", np.array([position], np.int32))
        runner.run()
        return runner.read("logits").reshape(-1)

    def prefill(self, tokens: Sequence[int], position: int) -> int:
        size = pick(self._sizes[self._now.slots], len(tokens), self._now.slots - position)
        if size == 0:
            self.decode(tokens[0], position)
            return 1
        count = min(size, len(tokens))
        chunk = np.zeros((size, 1), np.int32)
        chunk[:count, 0] = tokens[:count]
        runner = self._now.prefill[size]
        runner.write("tokens", chunk)
        runner.write("input_pos", np.array([position], np.int32))
        runner.run()
        return count

    def warm_up(self) -> None:
        self._now.decode.run()
        for runner in self._now.prefill.values():
            runner.run()
        self.clear()

    def clear(self) -> None:
        for bucket in self._buckets.values():
            bucket.decode.zero_state()


def _move(old: Runner, new: Runner) -> None:
    """Copy every cache into a bucket of another size; slots are the one dimension that differs."""
    for name in old.alias:
        values = old.read(name)
        target = np.zeros(new.signature.inputs[name].shape, values.dtype)
        common = tuple(slice(0, min(a, b)) for a, b in zip(values.shape, target.shape, strict=True))
        target[common] = values[common]
        new.write(name, target)
