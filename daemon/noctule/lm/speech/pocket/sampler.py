"""The sampler head: from a frame's conditioning and noise to its latent. Four kinds of training, four ways to sample.

`lsd`: Lagrangian self-distillation (arXiv 2505.18825), flow maps from time to time; `flow_matching`: Euler's method
along an optimal-transport flow (arXiv 2210.02747); `drifting`: the head's output is the sample; `pointwise`: noise
plus the head's output. Noise is always given from outside.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from noctule.inference.runtime import Model
from noctule.lm.speech.pocket.settings import FLOWS, PocketSettings

Floats = NDArray[np.float32]


class SamplerHead:
    """One head. It remembers nothing between frames."""

    def __init__(self, model: Model, settings: PocketSettings) -> None:
        self._settings = settings
        self._head = model.runner("head")
        times = FLOWS[settings.flow]
        #: what a frame's steps are conditioned on: [1, flow] each; None where there is nothing
        self._times: list[Floats | None] = [None] * (settings.steps if times else 1)
        if times:
            runner, steps = model.runner("time"), settings.steps
            for i in range(steps):
                t = [i / steps, (i + 1) / steps][:times]
                runner.write("t", np.asarray([t], np.float32))
                runner.run()
                self._times[i] = runner.read("time")

    def sample(self, hidden: Floats, noise: Floats) -> Floats:
        """hidden float32 [1, z], noise [latent] of variance `temperature` → latent [latent]."""
        x: Floats = noise.reshape(1, -1).astype(np.float32)
        self._head.write("hidden", hidden)
        for time in self._times:
            self._head.write("x", x)
            if time is not None:
                self._head.write("time", time)
            self._head.run()
            flow = self._head.read("flow")
            x = flow if self._settings.flow == "drifting" else x + flow / np.float32(len(self._times))
        latent: Floats = x.reshape(-1)
        return latent


def draw(rng: np.random.Generator, settings: PocketSettings) -> Floats:
    """Noise of one frame, float32 [latent]."""
    scale = np.float32(np.sqrt(settings.temperature))
    noise: Floats = rng.standard_normal(len(settings.bos), np.float32) * scale
    return noise
