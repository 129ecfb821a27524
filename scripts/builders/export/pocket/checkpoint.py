"""Which tensors a pocket-tts checkpoint must hold: those of `pocket_tts`'s TTSModel for its configuration."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from builders.export.kyutai.weights import Floats, Matrix, Tensors
from builders.export.mimi.config import Conv, Residual, Stage, decoder_stages, encoder_stages
from builders.export.pocket.config import FLOW_TYPES, PocketConfig, Stack
from noctule.core.errors import InputError

#: width of a time's sines and cosines before the sampler head's time layers
TIME_WIDTH = 256


class PocketCheckpoint:
    """The weights, checked against a configuration. `clones`: the encoder and the projection of a voice are there."""

    def __init__(self, path: Path, config: PocketConfig) -> None:
        if not path.is_file():
            raise InputError(f"{path}: no such file", "put it beside the configuration, which names it")
        self.config, self.tensors = config, Tensors(path)
        spoken, encoder = expected(config), expected_encoder(config)
        self.clones = all(name in self.tensors for name in encoder)
        self.tensors.expect(
            {**spoken, **(encoder if self.clones else {})}, ignore=() if self.clones else tuple(encoder)
        )
        # a release without voice cloning keeps the tensors and empties the projection
        self.clones = self.clones and bool(self._whole("flow_lm.speaker_proj_weight"))

    def _whole(self, name: str) -> bool:
        try:
            return bool(np.any(self.tensors.take(name)))
        except InputError:
            return False

    def take(self, name: str) -> Floats:
        """A tensor as float32."""
        return self.tensors.take(name)

    def matrix(self, name: str) -> Matrix:
        return Matrix(self.take(name))

    def wave(self, name: str) -> Floats:
        """A tensor of SEANet under the name that Mimi's stages give it."""
        return self.take(stored_wave(name))


def stored_wave(name: str) -> str:
    return "mimi." + name.replace(".conv.conv", ".conv").replace(".convtr.convtr", ".convtr")


def expected(c: PocketConfig) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor that speaking needs."""
    lm, d, f, latent = "flow_lm", c.stack.dim, c.flow_dim, c.mimi.latent
    shapes: dict[str, tuple[int, ...]] = {
        f"{lm}.emb_std": (latent,),
        f"{lm}.emb_mean": (latent,),
        f"{lm}.bos_emb": (latent,),
        f"{lm}.input_linear.weight": (d, latent),
        f"{lm}.out_norm.weight": (d,),
        f"{lm}.out_norm.bias": (d,),
        f"{lm}.out_eos.weight": (1, c.z),
        f"{lm}.out_eos.bias": (1,),
        f"{lm}.conditioner.embed.weight": (c.bins + 1, c.rank or d),
    }
    if c.rank:
        shapes[f"{lm}.conditioner.proj.weight"] = (d, c.rank)
    if c.projects:
        shapes[f"{lm}.z_proj.weight"] = (c.z, d)
    if c.voice_start:
        shapes[f"{lm}.bos_before_voice"] = (1, 1, d)
    shapes |= _stack(c.stack, f"{lm}.transformer")
    net = f"{lm}.flow_net"
    for i in range(FLOW_TYPES[c.flow][0]):
        p = f"{net}.time_embed.{i}"
        shapes[f"{p}.freqs"] = (TIME_WIDTH // 2,)
        shapes |= _linear(f"{p}.mlp.0", f, TIME_WIDTH) | _linear(f"{p}.mlp.2", f, f)
        shapes[f"{p}.mlp.3.alpha"] = (f,)
    shapes |= _linear(f"{net}.cond_embed", f, c.z) | _linear(f"{net}.input_proj", f, latent)
    for i in range(c.flow_depth):
        p = f"{net}.res_blocks.{i}"
        shapes[f"{p}.in_ln.weight"] = shapes[f"{p}.in_ln.bias"] = (f,)
        shapes |= _linear(f"{p}.mlp.0", f, f) | _linear(f"{p}.mlp.2", f, f)
        shapes |= _linear(f"{p}.adaLN_modulation.1", 3 * f, f)
    shapes |= _linear(f"{net}.final_layer.linear", latent, f)
    shapes |= _linear(f"{net}.final_layer.adaLN_modulation.1", 2 * f, f)
    m = c.mimi
    shapes["mimi.quantizer.output_proj.weight"] = (m.outer, latent, 1)
    shapes["mimi.upsample.convtr.convtr.weight"] = (m.outer, 1, 2 * m.steps)
    return shapes | _projected(m.decoder_stack, "mimi.decoder_transformer") | _waves(decoder_stages(m.decoder))


def expected_encoder(c: PocketConfig) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor that only a new voice needs."""
    m = c.mimi
    return {
        "flow_lm.speaker_proj_weight": (c.stack.dim, m.inner),
        "mimi.downsample.conv.conv.weight": (m.inner, m.encoder.dim, 2 * m.steps),
        **_projected(m.encoder_stack, "mimi.encoder_transformer"),
        **_waves(encoder_stages(m.encoder)),
    }


def _linear(name: str, out: int, inputs: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (out, inputs), f"{name}.bias": (out,)}


def _stack(s: Stack, prefix: str) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for i in range(s.layers):
        p = f"{prefix}.layers.{i}"
        shapes[f"{p}.self_attn.in_proj.weight"] = ((s.heads + 2 * s.kv) * s.head, s.dim)
        shapes[f"{p}.self_attn.out_proj.weight"] = (s.dim, s.heads * s.head)
        for norm in ("norm1", "norm2"):
            shapes[f"{p}.{norm}.weight"] = shapes[f"{p}.{norm}.bias"] = (s.dim,)
        shapes[f"{p}.linear1.weight"], shapes[f"{p}.linear2.weight"] = (s.hidden, s.dim), (s.dim, s.hidden)
        if s.scaled:
            shapes[f"{p}.layer_scale_1.scale"] = shapes[f"{p}.layer_scale_2.scale"] = (s.dim,)
    return shapes


def _projected(s: Stack, prefix: str) -> dict[str, tuple[int, ...]]:
    shapes = _stack(s, f"{prefix}.transformer")
    if s.dim != s.inputs:
        shapes[f"{prefix}.input_proj.weight"] = (s.dim, s.inputs)
        shapes[f"{prefix}.output_projs.0.weight"] = (s.inputs, s.dim)
    return shapes


def _waves(stages: list[Stage]) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for stage in stages:
        for conv in stage.convs if isinstance(stage, Residual) else [stage] if isinstance(stage, Conv) else []:
            pair = (conv.inputs, conv.outputs) if conv.transposed else (conv.outputs, conv.inputs)
            shapes[stored_wave(f"{conv.name}.weight")] = (*pair, conv.width)
            shapes[stored_wave(f"{conv.name}.bias")] = (conv.outputs,)
    return shapes
