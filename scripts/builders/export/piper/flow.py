"""The prior's frames → the decoder's: VITS's flow run backwards, in pieces of the time axis.

Convolutions are "valid": a piece comes with `reach(voice)` frames more on either side than it gives. Beyond the ends
of an utterance the frames are masked wherever VITS would pad with zeros, so that the pieces joined are the whole.
The changes of place between the flows are folded into the order of the weights.
"""

from __future__ import annotations

from dataclasses import replace

from builders.export.piper.checkpoint import Convolution, Voice
from builders.export.piper.encoder import speaker_rows
from builders.export.piper.operators import Layers
from builders.tflite.writer import Tensor


def flows(voice: Voice) -> list[int]:
    """The numbers of the coupling layers, in the order they are undone."""
    numbers = [n for n in range(0, 64, 2) if f"flow.flows.{n}.pre" in voice.convolutions]
    return numbers[::-1]


def reach(voice: Voice) -> int:
    """Frames on either side that a frame depends on."""
    total = 0
    for number in flows(voice):
        for name in voice.numbered(f"flow.flows.{number}.enc.in_layers." + "{}"):
            conv = voice.conv(name)
            total += (conv.kernel.shape[2] - 1) * conv.dilation // 2
    return total


def build_flow(layers: Layers, voice: Voice, frames: int) -> None:
    """Inputs: prior float32 [frames + 2 * reach, channels], mask float32 [frames + 2 * reach] (1 inside the
    utterance) and, of several speakers, speaker int32 [1]. Output: latent float32 [frames, channels]."""
    g, half = layers.graph, voice.channels // 2
    steps = frames + 2 * reach(voice)
    x = g.reshape(g.input("prior", [steps, voice.channels]), [1, 1, steps, voice.channels])
    mask = g.reshape(g.input("mask", [steps]), [1, 1, steps, 1])
    speaker = speaker_rows(layers, voice)
    x = g.mul(x, mask)
    low, high = layers.channels(x, 0, half), layers.channels(x, half, half)
    for index, number in enumerate(flows(voice)):
        turned = index % 2 == 0
        read, bent = (high, low) if turned else (low, high)
        shift = _shift(layers, voice, read, mask, speaker, number, turned)
        cut = (read.shape[2] - shift.shape[2]) // 2
        mask = layers.crop(mask, cut, cut)
        bent = g.mul(g.sub(layers.crop(bent, cut, cut), shift), mask)
        read = layers.crop(read, cut, cut)
        low, high = (bent, read) if turned else (read, bent)
    g.output("latent", g.reshape(g.concat([low, high], 3), [frames, voice.channels]))


def _shift(
    layers: Layers, voice: Voice, read: Tensor, mask: Tensor, speaker: Tensor | None, number: int, turned: bool
) -> Tensor:
    """What one half of the channels adds to the other: WaveNet's gated convolutions (VITS's WN)."""
    g, hidden = layers.graph, voice.hidden
    name = f"flow.flows.{number}"
    first, last = voice.conv(f"{name}.pre"), voice.conv(f"{name}.post")
    if turned:
        first, last = replace(first, kernel=first.kernel[:, ::-1]), _reversed(last)
    x = g.mul(layers.dense(read, f"{name}.pre", first), mask)
    inner = voice.numbered(name + ".enc.in_layers.{}")
    given = None
    if speaker is not None:
        given = layers.dense(speaker, f"{name}.enc.cond_layer", voice.conv(f"{name}.enc.cond_layer"))
    total: Tensor | None = None
    for i, layer in enumerate(inner):
        both = layers.conv(x, layer, voice.conv(layer), same=False)
        if given is not None:
            both = g.add(both, layers.channels(given, 2 * hidden * i, 2 * hidden))
        gate = g.unary("LOGISTIC", layers.channels(both, hidden, hidden))
        acts = g.mul(g.unary("TANH", layers.channels(both, 0, hidden)), gate)
        cut = (x.shape[2] - acts.shape[2]) // 2
        mask = layers.crop(mask, cut, cut)
        skip = f"{name}.enc.res_skip_layers.{i}"
        out = layers.dense(acts, skip, voice.conv(skip))
        if i + 1 < len(inner):
            x = g.mul(g.add(layers.crop(x, cut, cut), layers.channels(out, 0, hidden)), mask)
            out = layers.channels(out, hidden, hidden)
        total = out if total is None else g.add(layers.crop(total, cut, cut), out)
    assert total is not None
    return g.mul(layers.dense(g.mul(total, mask), f"{name}.post", last), mask)


def _reversed(conv: Convolution) -> Convolution:
    """The same with its outputs in the opposite order."""
    return replace(conv, kernel=conv.kernel[::-1], bias=None if conv.bias is None else conv.bias[::-1])
