"""Phonemes → what each of them sounds like and how long it lasts: VITS's text encoder and duration predictor.

One graph for each bucket of phoneme counts; the steps beyond the text are masked. The relative positions of the
attention (Shaw et al. 2018, window 4) are moved between "by offset" and "by position" with a pad and a reshape.
"""

from __future__ import annotations

import math

import numpy as np

from builders.export.piper.checkpoint import Voice
from builders.export.piper.operators import Layers
from builders.export.piper.spline import spline
from builders.tflite.writer import Tensor


def build_encoder(layers: Layers, voice: Voice, length: int) -> None:
    """Inputs: phonemes int32 [length], mask float32 [length], duration_noise float32 [length, 2] and, of a voice of
    several speakers, speaker int32 [1]. Outputs: mean and log_deviation float32 [length, channels], log_duration
    float32 [length] (in frames, before exp)."""
    g, hidden = layers.graph, voice.hidden
    ids = g.input("phonemes", [length], "int32")
    mask = g.reshape(g.input("mask", [length]), [1, 1, length, 1])
    noise = g.reshape(g.input("duration_noise", [length, 2]), [1, 1, length, 2])
    speaker = speaker_rows(layers, voice)
    table = layers.store(
        "enc_p.emb.weight", voice.array("enc_p.emb.weight") * np.float32(math.sqrt(hidden)), precision="float32"
    )
    x = g.mul(g.reshape(g.lookup(ids, table), [1, 1, length, hidden]), mask)
    # 0 where a phoneme is, -10000 beyond the text, as VITS fills it in before the softmax
    hide = g.mul(g.sub(g.reshape(mask, [1, 1, 1, length]), g.floats([1.0])), g.floats([1e4]))
    for number in range(len(voice.numbered("enc_p.encoder.attn_layers.{}.conv_q"))):
        x = _block(layers, voice, x, mask, hide, number)
    x = g.mul(x, mask)
    stats = g.mul(layers.dense(x, "enc_p.proj", voice.conv("enc_p.proj")), mask)
    g.output("mean", g.reshape(layers.channels(stats, 0, voice.channels), [length, voice.channels]))
    g.output(
        "log_deviation", g.reshape(layers.channels(stats, voice.channels, voice.channels), [length, voice.channels])
    )
    g.output("log_duration", g.reshape(_durations(layers, voice, x, mask, noise, speaker), [length]))


def speaker_rows(layers: Layers, voice: Voice) -> Tensor | None:
    """The chosen speaker's vector [1, 1, 1, dim]; None for a voice of one."""
    if voice.speakers == 1:
        return None
    table = layers.store("emb_g.weight", voice.array("emb_g.weight"), precision="float32")
    row = layers.graph.lookup(layers.graph.input("speaker", [1], "int32"), table)
    return layers.graph.reshape(row, [1, 1, 1, table.shape[1]])


def _block(layers: Layers, voice: Voice, x: Tensor, mask: Tensor, hide: Tensor, number: int) -> Tensor:
    g, values = layers.graph, voice.arrays
    y = _attention(layers, voice, x, hide, f"enc_p.encoder.attn_layers.{number}")
    x = layers.norm(g.add(x, y), f"enc_p.encoder.norm_layers_1.{number}.gamma", values)
    inner, outer = (f"enc_p.encoder.ffn_layers.{number}.conv_{i}" for i in (1, 2))
    y = layers.relu(layers.windows(g.mul(x, mask), inner, voice.conv(inner), same=True))
    y = g.mul(layers.windows(g.mul(y, mask), outer, voice.conv(outer), same=True), mask)
    return layers.norm(g.add(x, y), f"enc_p.encoder.norm_layers_2.{number}.gamma", values)


def _attention(layers: Layers, voice: Voice, x: Tensor, hide: Tensor, name: str) -> Tensor:
    g, length = layers.graph, x.shape[2]
    keys = voice.array(f"{name}.emb_rel_k")[0]  # [2 * window + 1, size of a head]
    values = voice.array(f"{name}.emb_rel_v")[0]
    width, size = keys.shape
    heads = voice.hidden // size

    def project(which: str) -> Tensor:
        full = f"{name}.conv_{which}"
        rows = layers.dense(x, full, voice.conv(full))
        return g.transpose(g.reshape(rows, [1, length, heads, size]), [0, 2, 1, 3])

    query = g.mul(project("q"), g.floats([1 / math.sqrt(size)]))
    near = g.linear(query, layers.store(f"{name}.emb_rel_k", keys, precision="float32"))  # [1, heads, length, width]
    scores = g.add(g.matmul(query, project("k"), transpose_b=True), _by_position(layers, near))
    weights = g.softmax(g.add(scores, hide))
    mixed = g.matmul(weights, project("v"), transpose_b=False)
    beside = _by_offset(layers, weights, width)
    mixed = g.add(mixed, g.linear(beside, layers.store(f"{name}.emb_rel_v", values.T, precision="float32")))
    joined = g.reshape(g.transpose(mixed, [0, 2, 1, 3]), [1, 1, length, voice.hidden])
    return layers.dense(joined, f"{name}.conv_o", voice.conv(f"{name}.conv_o"))


def _by_position(layers: Layers, near: Tensor) -> Tensor:
    """[…, i, r] for the offset r - window → […, i, j], zero where j - i is outside the window.

    Rows of length + width cells read as rows of length + width - 1 shift row i to the right by i.
    """
    g = layers.graph
    _, heads, length, width = near.shape
    row = length + width - 1
    wide = layers.pad(near, [0, 0, 0, 0], [0, 0, 0, row + 1 - width])
    flat = g.slice(g.reshape(wide, [1, heads, length * (row + 1)]), [0, 0, 0], [1, heads, length * row])
    return g.slice(g.reshape(flat, [1, heads, length, row]), [0, 0, 0, width // 2], [1, heads, length, length])


def _by_offset(layers: Layers, weights: Tensor, width: int) -> Tensor:
    """The inverse: […, i, j] → […, i, r]."""
    g = layers.graph
    _, heads, length, _ = weights.shape
    row = length + width - 1
    wide = layers.pad(weights, [0, 0, 0, width // 2], [0, 0, 0, width // 2])
    flat = layers.pad(g.reshape(wide, [1, heads, length * row]), [0, 0, 0], [0, 0, length])
    return g.slice(g.reshape(flat, [1, heads, length, row + 1]), [0, 0, 0, 0], [1, heads, length, width])


def _separable(layers: Layers, voice: Voice, x: Tensor, mask: Tensor, name: str) -> Tensor:
    """Dilated depth-separable convolutions (VITS's DDSConv)."""
    g, values = layers.graph, voice.arrays
    for i, sep in enumerate(voice.numbered(name + ".convs_sep.{}")):
        y = layers.depthwise(g.mul(x, mask), sep, voice.conv(sep))
        y = g.gelu(layers.norm(y, f"{name}.norms_1.{i}.gamma", values))
        y = layers.dense(y, f"{name}.convs_1x1.{i}", voice.conv(f"{name}.convs_1x1.{i}"))
        x = g.add(x, g.gelu(layers.norm(y, f"{name}.norms_2.{i}.gamma", values)))
    return g.mul(x, mask)


def _durations(
    layers: Layers, voice: Voice, x: Tensor, mask: Tensor, noise: Tensor, speaker: Tensor | None
) -> Tensor:
    """The stochastic duration predictor run backwards: noise → log of the frames of each phoneme, [1, 1, T, 1]."""
    g = layers.graph
    x = layers.dense(x, "dp.pre", voice.conv("dp.pre"))
    if speaker is not None:
        x = g.add(x, layers.dense(speaker, "dp.cond", voice.conv("dp.cond")))
    x = _separable(layers, voice, x, mask, "dp.convs")
    x = g.mul(layers.dense(x, "dp.proj", voice.conv("dp.proj")), mask)
    noise = g.mul(noise, mask)
    # each flow reads one of the two values and bends the other; between flows they change places
    read, bent = layers.channels(noise, 1, 1), layers.channels(noise, 0, 1)
    for number in (7, 5, 3):
        name = f"dp.flows.{number}"
        h = g.add(layers.dense(read, f"{name}.pre", voice.conv(f"{name}.pre")), x)
        h = _separable(layers, voice, h, mask, f"{name}.convs")
        h = g.mul(layers.dense(h, f"{name}.proj", voice.conv(f"{name}.proj")), mask)
        read, bent = g.mul(spline(layers, bent, h, voice.hidden), mask), read
    mean, scale = float(voice.array("dp.flows.0.m").ravel()[0]), float(voice.array("dp.flows.0.scale").ravel()[0])
    # `read` is by now the value that was bent last
    return g.mul(g.sub(read, g.floats([mean])), g.floats([scale]))
