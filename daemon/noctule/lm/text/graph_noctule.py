"""The cache of a text model in our own layout: context buckets, state kept in place. See graph.py."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from noctule.core.errors import ModelError
from noctule.inference.runner import Buffers, Model, Runner
from noctule.lm.text.graph import INT, Logits, TextGraph, caches, check_inputs, expect, pick


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
