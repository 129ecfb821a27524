"""pocket-tts's flow language model as signatures: text rows, prompt, step, and the sampler head.

    embed       tokens int32 [T]                     → rows [T, dim]
    prompt_C    rows [T, dim], input_pos, caches     → caches of C slots
    step_C      latent [1, latent], input_pos, caches → hidden [1, z], end [1, 1], caches
    time        t [1, times]                         → time [1, flow]     (heads that are conditioned on times)
    head        hidden, x [1, latent] (, time)       → flow [1, latent]

Reference: pocket_tts/models/flow_lm.py and modules/mlp.py; the head is that of arXiv 2406.11838.
"""

from __future__ import annotations

import numpy as np

from builders.export.kyutai.config import Norm
from builders.export.kyutai.layers import NormWeights, Precision
from builders.export.pocket.checkpoint import PocketCheckpoint
from builders.export.pocket.config import FLOW_TYPES
from builders.export.pocket.transformer import Transformer
from builders.tflite.writer import Graph, Model, Tensor, Weight

#: rows of text or voice that one run of `prompt` reads
PROMPT_ROWS = 16
_HEAD_NORM = Norm("layer", 1e-6)
_TIME_EPS = 1e-5


class Flow:
    """Stores the weights and adds the signatures."""

    def __init__(self, model: Model, checkpoint: PocketCheckpoint, precision: Precision) -> None:
        self._model, self._checkpoint, self.c = model, checkpoint, checkpoint.config
        self._precision = precision
        self._stack = Transformer(model, checkpoint, self.c.stack, "flow_lm.transformer", precision)
        self._input = self._weight("input_linear")
        self._norm = self._stack.norm("flow_lm.out_norm")
        self._z = self._weight("z_proj") if self.c.projects else None
        # the end's one row stays exact: it is a decision
        self._end = model.add(checkpoint.take("flow_lm.out_eos.weight"), "out_eos"), self._bias("out_eos")

    def _weight(self, name: str) -> Weight:
        return self._precision.matrix(self._model, self._checkpoint.matrix(f"flow_lm.{name}.weight"), name)

    def _bias(self, name: str) -> Weight:
        return self._model.add(self._checkpoint.take(f"flow_lm.{name}.bias"), f"{name}.bias")

    def embed(self) -> Graph:
        g = self._model.graph("embed")
        tokens = g.input("tokens", [PROMPT_ROWS], "int32")
        table = self._precision.rows(
            self._model, [self._checkpoint.take("flow_lm.conditioner.embed.weight")], "embed"
        )
        rows = g.lookup(tokens, table)
        if self.c.rank:
            rows = g.linear(rows, self._weight("conditioner.proj"))
        g.output("rows", rows)
        return g

    def prompt(self, capacity: int) -> Graph:
        g = self._model.graph(f"prompt_{capacity}")
        rows = g.input("rows", [PROMPT_ROWS, self.c.stack.dim])
        self._stack(g, rows, g.input("input_pos", [1], "int32"), capacity, caches_only=True)
        return g

    def step(self, capacity: int) -> Graph:
        g = self._model.graph(f"step_{capacity}")
        x = g.linear(g.input("latent", [1, self.c.mimi.latent]), self._input)
        x = self._norm(g, self._stack(g, x, g.input("input_pos", [1], "int32"), capacity))
        if self._z is not None:
            x = g.linear(x, self._z)
        g.output("hidden", x)
        g.output("end", g.linear(x, *self._end))
        return g

    # -- the sampler head -------------------------------------------------------------------------------------

    def _affine(self, g: Graph, x: Tensor, name: str) -> Tensor:
        return g.linear(x, self._weight(name), self._bias(name))

    def time(self) -> Graph | None:
        """The mean of the embedded times; None for heads that take none."""
        count = FLOW_TYPES[self.c.flow][0]
        if not count:
            return None
        g = self._model.graph("time")
        t = g.input("t", [1, count])
        width, parts = self.c.flow_dim, []
        for i in range(count):
            p = f"flow_net.time_embed.{i}"
            freqs = g.weight(self._model.add(self._checkpoint.take(f"flow_lm.{p}.freqs")[None], f"{p}.freqs"))
            angles = g.mul(g.slice(t, [0, i], [1, 1]), freqs)
            x = self._affine(g, g.concat([g.unary("COS", angles), g.unary("SIN", angles)], 1), f"{p}.mlp.0")
            x = self._affine(g, _silu(g, x), f"{p}.mlp.2")
            centred = g.sub(x, g.mean(x))
            # the reference divides by the unbiased variance, without taking the mean off
            variance = g.mul(g.mean(g.mul(centred, centred)), g.floats([width / (width - 1)]))
            gain = g.weight(self._model.add(self._checkpoint.take(f"flow_lm.{p}.mlp.3.alpha"), f"{p}.alpha"))
            parts.append(g.mul(x, g.mul(gain, g.unary("RSQRT", g.add(variance, g.floats([_TIME_EPS]))))))
        total = parts[0] if count == 1 else g.mul(g.add(parts[0], parts[1]), g.floats([0.5]))
        g.output("time", total)
        return g

    def head(self) -> Graph:
        g, width = self._model.graph("head"), self.c.flow_dim
        hidden, x = g.input("hidden", [1, self.c.z]), g.input("x", [1, self.c.mimi.latent])
        x, y = self._affine(g, x, "flow_net.input_proj"), self._affine(g, hidden, "flow_net.cond_embed")
        if FLOW_TYPES[self.c.flow][0]:
            y = g.add(y, g.input("time", [1, width]))
        y = _silu(g, y)
        for i in range(self.c.flow_depth):
            p = f"flow_net.res_blocks.{i}"
            gain, bias = (
                self._model.add(self._checkpoint.take(f"flow_lm.{p}.in_ln.{n}"), p) for n in ("weight", "bias")
            )
            shift, scale, gate = self._modulation(g, y, p, 3)
            h = _modulate(g, NormWeights(_HEAD_NORM, gain, bias)(g, x), shift, scale)
            h = self._affine(g, _silu(g, self._affine(g, h, f"{p}.mlp.0")), f"{p}.mlp.2")
            x = g.add(x, g.mul(gate, h))
        shift, scale = self._modulation(g, y, "flow_net.final_layer", 2)
        plain = NormWeights(_HEAD_NORM, self._model.add(np.ones(width, np.float32), "ones"), None)
        g.output("flow", self._affine(g, _modulate(g, plain(g, x), shift, scale), "flow_net.final_layer.linear"))
        return g

    def _modulation(self, g: Graph, y: Tensor, p: str, count: int) -> list[Tensor]:
        rows, width = self._affine(g, y, f"{p}.adaLN_modulation.1"), self.c.flow_dim
        return [g.slice(rows, [0, i * width], [1, width]) for i in range(count)]


def _silu(g: Graph, x: Tensor) -> Tensor:
    return g.mul(x, g.unary("LOGISTIC", x))


def _modulate(g: Graph, x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    return g.add(g.mul(x, g.add(scale, g.floats([1.0]))), shift)
