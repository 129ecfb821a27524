"""The cache of a text model in the layout of litert-torch's generative exports. See text_graph."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from noctule.core.errors import ModelError
from noctule.inference.runner import Model, Runner, Signature
from noctule.lm.text.graph import INT, Logits, TextGraph, caches, check_inputs, expect, pick

#: What litert-torch's own runner adds to the score of a slot that must not be seen: finite, so that a row that
#: sees nothing stays a number.
_UNSEEN = np.float32(-0.7 * np.finfo(np.float32).max)


class CommunityGraph(TextGraph):
    """decode, prefill or prefill_{T}, as litert-torch exports them."""

    def __init__(self, model: Model, context: int) -> None:
        self._path = model.path
        self.context = context
        decode = model.signature("decode")
        self._slots = self._find_slots(decode, context)
        alias = caches(decode)
        self._check("decode", decode, 1)
        logits = decode.outputs.get("logits")
        self.width = logits.shape[-1] if logits is not None else 0
        expect(f"{model.path}: 'decode'", "logits", logits, (1, 1, self.width), np.dtype(np.float32))
        self._decode = model.runner("decode", alias=alias)
        self._prefill: dict[int, Runner] = {}
        for name, signature in model.signatures.items():
            if re.fullmatch(r"prefill(_\d+)?", name) and "tokens" in signature.inputs:
                length = signature.inputs["tokens"].shape[-1]
                self._check(name, signature, length)
                self._prefill[length] = model.runner(name, alias=alias, share=self._decode.state)
        self._sizes = sorted(self._prefill)

    def _find_slots(self, decode: Signature, context: int) -> int:
        mask = decode.inputs.get("mask")
        if mask is not None:
            slots = mask.shape[-1]
        else:
            # Which dimension counts slots differs between exports; the manifest's context tells.
            shapes = [decode.inputs[name].shape for name in caches(decode)]
            slots = context if shapes and all(context in shape for shape in shapes) else 0
        if not 2 <= context <= slots:
            raise ModelError(
                f"{self._path}: its caches do not have the {context} slots that limits.context promises",
                "set limits.context to the export's kv_cache_max_len",
            )
        return slots

    def _check(self, name: str, signature: Signature, length: int) -> None:
        where = f"{self._path}: signature {name!r}"
        check_inputs(where, signature, {"tokens", "input_pos", "mask"})
        expect(where, "tokens", signature.inputs.get("tokens"), (1, length), INT)
        expect(where, "input_pos", signature.inputs.get("input_pos"), (length,), INT)
        mask = signature.inputs.get("mask")
        if mask is not None:
            kind = np.dtype(np.bool_) if mask.dtype == np.bool_ else np.dtype(np.float32)
            expect(where, "mask", mask, (1, 1, length, self._slots), kind)

    def _write(self, runner: Runner, tokens: NDArray[np.int32], position: int) -> None:
        length = tokens.size
        positions = np.arange(position, position + length, dtype=np.int32)
        runner.write("tokens", tokens.reshape(1, length))
        runner.write("input_pos", positions)
        mask = runner.signature.inputs.get("mask")
        if mask is not None:
            seen = np.arange(self._slots)[None] <= positions[:, None]
            values = seen if mask.dtype == np.bool_ else np.where(seen, np.float32(0), _UNSEEN)
            runner.write("mask", values.reshape(mask.shape))

    def reserve(self, length: int, kept: int) -> None:
        if not kept <= length <= self.context:
            raise ValueError(f"reserve({length}, {kept}) of {self.context}")

    def decode(self, token: int, position: int) -> Logits:
        self._write(self._decode, np.array([token], np.int32), position)
        self._decode.run()
        return self._decode.read("logits").reshape(-1)

    def prefill(self, tokens: Sequence[int], position: int) -> int:
        size = pick(self._sizes, len(tokens), self._slots - position)
        if size == 0:
            self.decode(tokens[0], position)
            return 1
        count = min(size, len(tokens))
        chunk = np.zeros(size, np.int32)
        chunk[:count] = tokens[:count]
        self._write(self._prefill[size], chunk, position)
        self._prefill[size].run()
        return count

    def warm_up(self) -> None:
        self.decode(0, 0)
        for size in self._sizes:
            self._write(self._prefill[size], np.zeros(size, np.int32), 0)
            self._prefill[size].run()
        self.clear()

    def clear(self) -> None:
        self._decode.zero_state()
