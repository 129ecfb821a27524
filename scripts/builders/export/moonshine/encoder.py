"""The graph that hears: sound in, the keys and values over which every decoder layer attends out.

One graph a bucket, `encode_<seconds>`: audio float32 [1, samples]; valid float32 [1, 2], how many frames of the first
convolution and of the encoder the sound fills (what lies beyond is padding: it takes no part in the group norm's
statistics and is not attended to). cross_k_i [1, heads, frames, size] and cross_v_i [1, heads, size, frames] for each
decoder layer, computed once an utterance.
"""

from __future__ import annotations

import numpy as np

from builders.export.moonshine.config import frames_of
from builders.export.moonshine.layers import Layers, beyond
from builders.tflite.writer import Graph, Tensor

_EPSILON = 1e-5


def encoder_graph(layers: Layers, samples: int, name: str, *, hidden: bool = False) -> Graph:
    """samples: of the bucket, a multiple of 64. hidden: also give the encoder's states [frames, dim], for tests."""
    c = layers.config
    g = layers.model.graph(name)
    audio, valid = g.input("audio", [1, samples]), g.input("valid", [1, 2])
    x = _front_end(layers, g, audio, g.slice(valid, [0, 0], [1, 1]))
    frames = x.shape[0]
    angles = np.arange(frames, dtype=np.float32)[:, None] * layers.frequencies[None]
    still = np.ones((frames, c.head_dim - c.rotary), np.float32)
    cos = g.floats(np.concatenate([np.cos(angles), np.cos(angles), still], axis=1)[:, None])
    sin = g.floats(np.concatenate([-np.sin(angles), np.sin(angles), 0 * still], axis=1)[:, None])
    mask = beyond(g, frames, g.slice(valid, [0, 1], [1, 1]))
    for i in range(c.encoder_layers):
        x = _layer(layers, g, x, f"model.encoder.layers.{i}.", cos, sin, mask)
    x = layers.norm(g, x, "model.encoder.layer_norm.weight")
    for i in range(c.decoder_layers):
        p = f"model.decoder.layers.{i}.encoder_attn."
        both = g.linear(x, layers.matrix(p + "kv", [p + "k_proj.weight", p + "v_proj.weight"]))
        both = g.reshape(both, [frames, 2 * c.heads, c.head_dim])
        g.output(f"cross_k_{i}", layers.heads_first(g, both, 0))
        g.output(f"cross_v_{i}", layers.heads_first(g, both, c.heads, transposed=True))
    if hidden:
        g.output("hidden", x)
    return g


def _front_end(layers: Layers, g: Graph, audio: Tensor, valid: Tensor) -> Tensor:
    """The three convolutions, each as frames side by side times a matrix. valid [1, 1]: frames of the first."""
    c = layers.config
    first, second, third = frames_of(audio.shape[1])
    blocks = g.reshape(audio, [audio.shape[1] // 64, 64])
    x = g.concat([g.slice(blocks, [0, 0], [first, 64]), g.slice(blocks, [1, 0], [first, 64])], 1)
    x = g.unary("TANH", g.linear(x, layers.convolution("model.encoder.conv1.weight", pad=1, exact=True)))
    x = _group_norm(layers, g, x, valid)
    x = _strided(g, x, second, width=7, stride=3)
    bias = layers.vector("model.encoder.conv2.bias")
    x = g.gelu(g.linear(x, layers.convolution("model.encoder.conv2.weight"), bias))
    x = _strided(g, x, third, width=3, stride=2)
    bias = layers.vector("model.encoder.conv3.bias")
    assert x.shape[1] == 3 * 2 * c.dim
    return g.gelu(g.linear(x, layers.convolution("model.encoder.conv3.weight"), bias))


def _group_norm(layers: Layers, g: Graph, x: Tensor, valid: Tensor) -> Tensor:
    """One group over all channels and the valid frames; the others become the bias, and nobody looks at them."""
    index = np.arange(x.shape[0], dtype=np.float32)[:, None]
    inside = g.minimum(g.maximum(g.sub(valid, g.floats(index)), g.floats([0.0])), g.floats([1.0]))
    root = g.unary("RSQRT", valid)
    share = g.mul(root, root)  # 1 / valid
    mean = g.mul(g.sum(g.mean(g.mul(x, inside)), 0), share)
    centred = g.mul(g.sub(x, mean), inside)
    variance = g.mul(g.sum(g.mean(g.mul(centred, centred)), 0), share)
    x = g.mul(centred, g.unary("RSQRT", g.add(variance, g.floats([_EPSILON]))))
    x = g.mul(x, g.weight(layers.vector("model.encoder.groupnorm.weight")))
    return g.add(x, g.weight(layers.vector("model.encoder.groupnorm.bias")))


def _strided(g: Graph, x: Tensor, frames: int, *, width: int, stride: int) -> Tensor:
    """[n, channels] → [frames, width * channels]: the frames under each place of a strided convolution."""
    channels = x.shape[1]
    blocks = frames + -(-width // stride) - 1
    need = blocks * stride
    if need > x.shape[0]:
        x = g.concat([x, g.floats(np.zeros((need - x.shape[0], channels), np.float32))], 0)
    else:
        x = g.slice(x, [0, 0], [need, channels])
    x = g.reshape(x, [blocks, stride * channels])
    parts, left = [], width
    while left > 0:
        take = min(stride, left)
        parts.append(g.slice(x, [len(parts), 0], [frames, take * channels]))
        left -= take
    return g.concat(parts, 1)


def _layer(layers: Layers, g: Graph, x: Tensor, p: str, cos: Tensor, sin: Tensor, mask: Tensor) -> Tensor:
    c, frames = layers.config, x.shape[0]
    names = [f"{p}self_attn.{kind}_proj.weight" for kind in "qkv"]
    mixed = layers.matrix(f"{p}qkv", names, gain=c.head_dim**-0.5, turned=2)
    y = g.linear(layers.norm(g, x, f"{p}input_layernorm.weight"), mixed)
    y = g.reshape(y, [frames, 3 * c.heads, c.head_dim])
    turned = layers.rotate(g, g.slice(y, [0, 0, 0], [frames, 2 * c.heads, c.head_dim]), cos, sin)
    q, k = layers.heads_first(g, turned, 0), layers.heads_first(g, turned, c.heads)
    found = layers.attend(g, q, k, layers.heads_first(g, y, 2 * c.heads, transposed=True), mask)
    x = g.add(x, g.linear(found, layers.matrix(f"{p}o", [f"{p}self_attn.o_proj.weight"])))
    inner = g.linear(
        layers.norm(g, x, f"{p}post_attention_layernorm.weight"),
        layers.matrix(f"{p}fc1", [f"{p}mlp.fc1.weight"]),
        layers.vector(f"{p}mlp.fc1.bias"),
    )
    outer = layers.matrix(f"{p}fc2", [f"{p}mlp.fc2.weight"])
    return g.add(x, g.linear(g.gelu(inner), outer, layers.vector(f"{p}mlp.fc2.bias")))
