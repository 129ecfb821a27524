"""The two graphs of a speech model as step functions: the temporal transformer and the depformer.

Temporal: one signature per context bucket, `temporal_{C}`; a conversation starts in the smallest bucket and moves
to the next when it is full, copying its KV cache once; in the last bucket the cache is a ring (slot = position
mod C), which equals attention over the last C frames. Depformer: one signature per codebook, `dep_{q}`, whose
history is the q codebooks before it. Source: arXiv 2410.00037, sections 3.2 and 3.4.2.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noctule.core.errors import ModelError
from noctule.inference.runtime import Model, Runner
from noctule.lm.speech.streams import UNGENERATED, Rows, Tokens

Floats = NDArray[np.float32]
Array = NDArray[Any]

_BUCKET = re.compile(r"temporal_(\d+)")
_EXTRA = re.compile(r"extra_(\d+)")


def temporal_buckets(model: Model) -> list[int]:
    """Context lengths the graph offers, ascending."""
    found = sorted(int(m.group(1)) for name in model.signatures if (m := _BUCKET.fullmatch(name)))
    if not found:
        raise ModelError(f"{model.path} has no temporal_… signature: it is not a speech language model")
    return found


class Temporal:
    """The temporal transformer of one conversation: its KV cache and the step over it.

    `conditions` are tensors that stay the same for the whole conversation (a speaker), by input name; buckets shorter
    than `shortest` frames are passed over.
    """

    def __init__(self, model: Model, conditions: Mapping[str, Array] | None = None, *, shortest: int = 0) -> None:
        self._model = model
        found = temporal_buckets(model)
        self._buckets = [size for size in found if size >= shortest] or found[-1:]
        self._conditions = dict(conditions or {})
        first = model.signature(f"temporal_{self._buckets[0]}")
        self._cache_names = tuple(n for n in first.inputs if n in first.outputs)
        fixed = set(first.inputs) - set(self._cache_names) - {"tokens", "input_pos"}
        if fixed != set(self._conditions):
            odd = ", ".join(sorted(fixed ^ set(self._conditions)))
            raise ModelError(f"{model.path} is conditioned on other inputs than were given: {odd}")
        self._extra = sorted((n for n in first.outputs if _EXTRA.fullmatch(n)), key=lambda n: int(n[6:]))
        self._index = 0
        self._runner = self._open(0)
        #: frames read since the last reset.
        self.position = 0

    @property
    def context(self) -> int:
        """Frames the model can look back on."""
        return self._buckets[-1]

    @property
    def bucket(self) -> int:
        """Length of the KV cache in use."""
        return self._buckets[self._index]

    def _open(self, index: int) -> Runner:
        alias: dict[str, str | None] = {name: name for name in self._cache_names}
        alias.update(dict.fromkeys(self._conditions))
        runner = self._model.runner(f"temporal_{self._buckets[index]}", alias=alias)
        for name, value in self._conditions.items():
            runner.write(name, value)
        return runner

    def reset(self) -> None:
        """Back to the first frame. Old cache slots are masked by the graph, but are cleared all the same."""
        self.position = 0
        if self._index:
            self._index = 0
            self._runner = self._open(0)
            return
        for name in self._cache_names:
            self._runner.zero(name)

    def step(self, rows: Tokens) -> tuple[Floats, Floats]:
        """One frame. rows: int32 [1, S] rows of the embedding table → hidden [1, dim], text logits [text_card]."""
        if self.position >= self.bucket and self._index + 1 < len(self._buckets):
            self._grow()
        runner = self._runner
        runner.write("tokens", rows)
        runner.write("input_pos", np.asarray([self.position], np.int32))
        runner.run()
        self.position += 1
        return runner.read("hidden"), runner.read("logits").reshape(-1)

    def follow(self, other: Temporal) -> None:
        """Stand where another conversation of the same model stands: its place and a copy of its KV cache."""
        if self._index != other._index:
            self._index = other._index
            self._runner = self._open(self._index)
        for name in self._cache_names:
            self._runner.write(name, other._runner.read(name))
        self.position = other.position

    def extra(self) -> list[Floats]:
        """Logits of the extra heads for the frame just read."""
        return [self._runner.read(name).reshape(-1) for name in self._extra]

    def _grow(self) -> None:
        """Copy the full cache into the front of the next bucket's."""
        old, self._index = self._runner, self._index + 1
        new = self._open(self._index)
        for name in self._cache_names:
            source = old.read(name)
            target = np.zeros(new.signature.inputs[name].shape, source.dtype)
            target[tuple(slice(0, n) for n in source.shape)] = source
            new.write(name, target)
        self._runner = new


class Depformer:
    """The depth transformer: predicts the codebooks of one frame one after another.

    It remembers nothing between frames, so one instance serves every conversation of a model.
    """

    def __init__(self, model: Model, dep_q: int) -> None:
        self.dep_q = dep_q
        self._runners = [model.runner(f"dep_{q}") for q in range(dep_q)]
        self._history: Floats | None = None
        if dep_q > 1:
            layers, two, heads, _, size = self._runners[1].signature.inputs["kv"].shape
            self._history = np.zeros((layers, two, heads, dep_q, size), np.float32)

    def run(
        self,
        hidden: Floats,
        text: int,
        rows: Rows,
        choose: Callable[[int, Floats], int],
        forced: Tokens | None = None,
        codebooks: int | None = None,
    ) -> Tokens:
        """Codebook tokens int32 [codebooks].

        hidden: float32 [1, dim] of the frame; text: its text token; choose(q, logits [card]) picks a token;
        forced [codebooks]: tokens to read instead of what would be chosen, UNGENERATED for none.
        """
        count = self.dep_q if codebooks is None else codebooks
        out = np.empty(count, np.int32)
        token = text
        for q in range(count):
            runner = self._runners[q]
            runner.write("hidden", hidden)
            runner.write("token", rows.depth(q, token))
            if q and self._history is not None:
                runner.write("kv", np.ascontiguousarray(self._history[:, :, :, :q]))
            runner.run()
            if self._history is not None:
                self._history[:, :, :, q : q + 1] = runner.read("kv_new")
            given = UNGENERATED if forced is None else int(forced[q])
            out[q] = choose(q, runner.read("logits").reshape(-1)) if given == UNGENERATED else given
            token = int(out[q])
        return out
