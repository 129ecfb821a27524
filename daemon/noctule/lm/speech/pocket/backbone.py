"""The flow language model of one utterance: its caches, the prompt it reads and the steps it takes.

A conversation begins in the smallest bucket that holds its prompt, and moves to the next when that is full, copying
its caches once. Source: "Continuous Audio Language Models", arXiv 2509.06926.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from noctule.core.errors import ModelError
from noctule.inference.runtime import Model, Runner

Floats = NDArray[np.float32]
_STEP = re.compile(r"step_(\d+)")


@dataclass(frozen=True)
class VoiceState:
    """Keys float32 [1, kv, T, D] and values [1, kv, D, T] of every layer after a voice was read."""

    keys: tuple[Floats, ...]
    values: tuple[Floats, ...]

    @property
    def length(self) -> int:
        """Steps read."""
        return int(self.keys[0].shape[2]) if self.keys else 0


class Backbone:
    """See the module. One thread at a time."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._buckets = sorted(int(m.group(1)) for name in model.signatures if (m := _STEP.fullmatch(name)))
        if not self._buckets:
            raise ModelError(f"{model.path} has no step_… signature: it is not a flow language model")
        first = model.signature(f"step_{self._buckets[0]}")
        self.layers = sum(name.startswith("state_k_") for name in first.inputs)
        #: rows that one run of the prompt reads
        self.rows = int(model.signature("embed").inputs["tokens"].shape[0])
        self._embed = model.runner("embed")
        self._steps: dict[int, Runner] = {}
        self._prompts: dict[int, Runner] = {}
        self._index = 0
        self.position = 0

    @property
    def context(self) -> int:
        """Steps that fit, of voice, text and speech together."""
        return self._buckets[-1]

    @property
    def shape(self) -> tuple[int, int]:
        """Key-value heads and the width of one."""
        found = self._model.signature(f"step_{self._buckets[0]}").inputs["state_k_0"].shape
        return found[1], found[3]

    def begin(self, voice: VoiceState | None = None, room: int = 0) -> None:
        """Back to the first step, or to where a voice ends. room: further steps that are expected."""
        length = 0 if voice is None else voice.length
        if length >= self.context:
            raise ModelError(f"{self._model.path} holds {self.context} steps, and the voice alone takes {length}")
        self._index = next(
            (i for i, size in enumerate(self._buckets) if size >= length + room), len(self._buckets) - 1
        )
        self.position = length
        if voice is not None:
            self._fill(voice)

    def text(self, tokens: list[int]) -> Floats:
        """Rows float32 [n, dim] of text tokens."""
        parts = []
        for start in range(0, len(tokens), self.rows):
            part = np.zeros(self.rows, np.int32)
            some = tokens[start : start + self.rows]
            part[: len(some)] = some
            self._embed.write("tokens", part)
            self._embed.run()
            parts.append(self._embed.read("rows")[: len(some)])
        return np.concatenate(parts) if parts else np.zeros((0, 0), np.float32)

    def prompt(self, rows: Floats) -> None:
        """Read rows [n, dim] of text or voice. ModelError when they do not fit."""
        for start in range(0, len(rows), self.rows):
            some = rows[start : start + self.rows]
            # whole runs are written: what stands behind the rows is written over by what follows
            while self.position + self.rows > self._buckets[self._index]:
                self._grow()
            runner = self._prompt_runner()
            block = np.zeros((self.rows, rows.shape[1]), np.float32)
            block[: len(some)] = some
            runner.write("rows", block)
            runner.write("input_pos", np.asarray([self.position], np.int32))
            runner.run()
            self.position += len(some)

    def step(self, latent: Floats) -> tuple[Floats, float]:
        """The frame before [latent] → conditioning of the next [1, z], and the logit of the end."""
        if self.position >= self._buckets[self._index]:
            self._grow()
        runner = self._step_runner()
        runner.write("latent", np.ascontiguousarray(latent, np.float32).reshape(1, -1))
        runner.write("input_pos", np.asarray([self.position], np.int32))
        runner.run()
        self.position += 1
        return runner.read("hidden"), float(runner.read("end").reshape(-1)[0])

    @property
    def full(self) -> bool:
        """No further step fits."""
        return self.position >= self.context

    def state(self) -> VoiceState:
        """A copy of what was read so far."""
        runner, n = self._step_runner(), self.position
        return VoiceState(
            tuple(runner.read(f"state_k_{i}")[:, :, :n].copy() for i in range(self.layers)),
            tuple(runner.read(f"state_v_{i}")[..., :n].copy() for i in range(self.layers)),
        )

    # -- runners ----------------------------------------------------------------------------------------------

    def _alias(self) -> dict[str, str | None]:
        return {f"state_{part}_{i}": f"state_{part}_{i}" for part in "kv" for i in range(self.layers)}

    def _step_runner(self) -> Runner:
        size = self._buckets[self._index]
        if size not in self._steps:
            self._steps[size] = self._model.runner(f"step_{size}", alias=self._alias())
        return self._steps[size]

    def _prompt_runner(self) -> Runner:
        size = self._buckets[self._index]
        if size not in self._prompts:
            shared = self._step_runner().state
            self._prompts[size] = self._model.runner(f"prompt_{size}", alias=self._alias(), share=shared)
        return self._prompts[size]

    def _fill(self, state: VoiceState) -> None:
        runner, n = self._step_runner(), state.length
        for i in range(self.layers):
            for name, value in ((f"state_k_{i}", state.keys[i]), (f"state_v_{i}", state.values[i])):
                whole = np.zeros(runner.signature.inputs[name].shape, np.float32)
                if name.startswith("state_k"):
                    whole[:, :, :n] = value
                else:
                    whole[..., :n] = value
                runner.write(name, whole)

    def _grow(self) -> None:
        if self._index + 1 >= len(self._buckets):
            raise ModelError(f"{self._model.path} holds {self.context} steps, and more were asked for")
        old = self.state()
        self._index += 1
        self._fill(old)
