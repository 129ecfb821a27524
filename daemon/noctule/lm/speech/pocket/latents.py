"""Mimi over continuous latents as streams: a latent to a frame of sound, a frame of sound to a row of a voice."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from noctule.inference.runtime import Model, Runner

Floats = NDArray[np.float32]


class _Stream:
    def __init__(self, model: Model, signature: str) -> None:
        found = model.signature(signature)
        states = [name for name in found.inputs if name in found.outputs]
        self._runner: Runner = model.runner(signature, alias={name: name for name in states})
        self._frames = 0

    def reset(self) -> None:
        """Back to the first frame."""
        self._runner.zero_state()
        self._frames = 0

    def _run(self, name: str, value: Floats, result: str) -> Floats:
        self._runner.write(name, np.ascontiguousarray(value, np.float32).reshape(1, -1))
        self._runner.write("input_pos", np.asarray([self._frames], np.int32))
        self._runner.run()
        self._frames += 1
        out: Floats = self._runner.read(result).reshape(-1)
        return out


class LatentDecoder(_Stream):
    """Latents to sound."""

    def __init__(self, model: Model) -> None:
        super().__init__(model, "decode")

    def step(self, latent: Floats) -> Floats:
        """float32 [latent] → [frame_samples]; may swing a little beyond [-1, 1]."""
        return self._run("latent", latent, "pcm")


class VoiceEncoder(_Stream):
    """Sound to what a voice conditions with."""

    def __init__(self, model: Model) -> None:
        super().__init__(model, "encode")

    def step(self, pcm: Floats) -> Floats:
        """float32 [frame_samples] → row [dim]."""
        return self._run("pcm", pcm, "row")
