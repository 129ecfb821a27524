"""pocket-tts's Mimi over continuous latents, as streaming signatures with explicit state.

    decode   latent [1, latent], input_pos (frames so far), states → pcm [1, frame_samples]
    encode   pcm [1, frame_samples], input_pos, states             → row [1, dim] that a voice conditions with

Reference: pocket_tts/models/mimi.py, modules/resample.py, and `TTSModel._encode_audio`.
"""

from __future__ import annotations

import numpy as np

from builders.export.kyutai.layers import Precision
from builders.export.mimi.config import decoder_stages, encoder_stages
from builders.export.mimi.waves import ConvPrecision, Waves
from builders.export.pocket.checkpoint import PocketCheckpoint
from builders.export.pocket.transformer import Transformer, ring_capacity
from builders.tflite.writer import Graph, Model, Tensor


def decode_graph(model: Model, checkpoint: PocketCheckpoint, linear: Precision, conv: ConvPrecision) -> Graph:
    """Add `decode`. The latents' mean and deviation are folded into the quantiser's projection."""
    c, take = checkpoint.config.mimi, checkpoint.take
    project = take("mimi.quantizer.output_proj.weight")[:, :, 0]
    bias = project @ take("flow_lm.emb_mean")
    weight = model.add(np.ascontiguousarray(project * take("flow_lm.emb_std")), "quantizer")
    stack = Transformer(model, checkpoint, c.decoder_stack, "mimi.decoder_transformer.transformer", linear)
    waves = Waves(model, decoder_stages(c.decoder), checkpoint.wave, conv)
    kernel = model.add(np.ascontiguousarray(take("mimi.upsample.convtr.convtr.weight")[:, 0].T), "upsample")
    g = model.graph("decode")
    latent, frame = g.input("latent", [1, c.latent]), g.input("input_pos", [1], "int32")
    x = g.linear(latent, weight, model.add(bias.astype(np.float32), "quantizer.bias"))
    spread = g.mul(x, g.weight(kernel))  # depthwise: a frame becomes 2 * steps, half of which overlap the next
    head = g.slice(spread, [0, 0], [c.steps, c.outer])
    x = g.add(head, g.input("state_upsample", [c.steps, c.outer]))
    g.output("state_upsample", g.slice(spread, [c.steps, 0], [c.steps, c.outer]))  # after the old one was read
    x = _projected(g, model, checkpoint, stack, "mimi.decoder_transformer", x, frame, linear)
    x = waves(g, g.reshape(x, [1, 1, c.steps, c.decoder.dim]))
    g.output("pcm", g.reshape(x, [1, c.frame_samples]))
    return g


def encode_graph(model: Model, checkpoint: PocketCheckpoint) -> Graph:
    """Add `encode`, in float32: a voice is encoded once."""
    c, take = checkpoint.config.mimi, checkpoint.take
    exact = Precision("float32", "float32")
    stack = Transformer(model, checkpoint, c.encoder_stack, "mimi.encoder_transformer.transformer", exact)
    waves = Waves(model, encoder_stages(c.encoder), checkpoint.wave, "float32")
    dim = c.encoder.dim
    g = model.graph("encode")
    pcm, frame = g.input("pcm", [1, c.frame_samples]), g.input("input_pos", [1], "int32")
    x = g.reshape(waves(g, g.reshape(pcm, [1, 1, c.frame_samples, 1])), [c.steps, dim])
    x = _projected(g, model, checkpoint, stack, "mimi.encoder_transformer", x, frame, exact)
    # downsampling repeats the first step to the left of the first frame (pad_mode "replicate")
    state = g.input("state_downsample", [c.steps, dim])
    first = g.reshape(g.less(g.cast_float(frame), g.floats([1.0])), [1, 1])
    opening = g.mul(first, g.slice(x, [0, 0], [1, dim]))
    past = g.add(g.mul(state, g.sub(g.floats([1.0]), first)), opening)
    joined = g.concat([past, x], 0)
    g.output("state_downsample", g.slice(joined, [c.steps, 0], [c.steps, dim]))
    kernel = take("mimi.downsample.conv.conv.weight").transpose(0, 2, 1).reshape(c.inner, -1)
    x = g.linear(g.reshape(joined, [1, 2 * c.steps * dim]), model.add(np.ascontiguousarray(kernel), "downsample"))
    g.output("row", g.linear(x, model.add(take("flow_lm.speaker_proj_weight"), "speaker")))
    return g


def _projected(
    g: Graph,
    model: Model,
    checkpoint: PocketCheckpoint,
    stack: Transformer,
    prefix: str,
    x: Tensor,
    frame: Tensor,
    precision: Precision,
) -> Tensor:
    """A transformer between its projections, over the steps of one frame."""
    s, steps = stack.stack, checkpoint.config.mimi.steps
    position = g.mul(frame, g.ints([steps]))
    if s.dim != s.inputs:
        weight = checkpoint.matrix(f"{prefix}.input_proj.weight")
        x = g.linear(x, precision.matrix(model, weight, f"{prefix}.input"))
    x = stack(g, x, position, ring_capacity(s.context, steps), ring=True)
    if s.dim != s.inputs:
        weight = checkpoint.matrix(f"{prefix}.output_projs.0.weight")
        x = g.linear(x, precision.matrix(model, weight, f"{prefix}.output"))
    return x
