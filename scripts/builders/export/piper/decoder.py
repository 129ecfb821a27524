"""Latent frames → sound, in pieces of the time axis: VITS's HiFi-GAN generator (Kong, Kim & Bae 2020, 2010.05646).

A piece comes with a margin of frames on either side, of which every stage of the upsampling keeps only as much as the
stages after it need. Where an utterance ends, frames are masked wherever VITS would pad with zeros, so that the
pieces joined are the whole.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from builders.export.piper.checkpoint import Convolution, Voice
from builders.export.piper.encoder import speaker_rows
from builders.export.piper.operators import Layers
from builders.tflite.writer import Tensor

#: slopes below zero of the leaky rectifiers, the last one torch's default
_SLOPE, _LAST_SLOPE = 0.1, 0.01


@dataclass(frozen=True)
class _Block:
    """One residual block: rows of convolutions, each row added to what went in."""

    rows: tuple[tuple[str, ...], ...]
    reach: int


@dataclass(frozen=True)
class _Stage:
    """One upsampling and the blocks whose mean follows it; `reach` in its own, finer steps."""

    up: str
    stride: int
    blocks: tuple[_Block, ...]

    @property
    def reach(self) -> int:
        return max(block.reach for block in self.blocks)


def _half(voice: Voice, name: str) -> int:
    conv = voice.conv(name)
    return (conv.kernel.shape[2] - 1) * conv.dilation // 2


def _block(voice: Voice, name: str) -> _Block:
    """Piper's smaller voices have one convolution a row ("resblock 2"), its high ones two ("resblock 1")."""
    single = voice.numbered(name + ".convs.{}")
    rows: list[tuple[str, ...]] = [(n,) for n in single]
    if not single:
        firsts, seconds = voice.numbered(name + ".convs1.{}"), voice.numbered(name + ".convs2.{}")
        rows = list(zip(firsts, seconds, strict=True))
    return _Block(tuple(rows), sum(_half(voice, n) for row in rows for n in row))


def stages(voice: Voice) -> list[_Stage]:
    """The generator's stages."""
    ups = voice.numbered("dec.ups.{}")
    names = []
    while any(f"dec.resblocks.{len(names)}.{kind}.0" in voice.convolutions for kind in ("convs", "convs1")):
        names.append(f"dec.resblocks.{len(names)}")
    each = len(names) // len(ups)
    return [
        _Stage(up, voice.conv(up).stride, tuple(_block(voice, n) for n in names[i * each : (i + 1) * each]))
        for i, up in enumerate(ups)
    ]


def margins(voice: Voice) -> tuple[int, list[int]]:
    """(frames of margin at the entrance, steps of margin before each stage's upsampling), on either side."""
    need = _half(voice, "dec.conv_post")  # samples
    before: list[int] = []
    for stage in reversed(stages(voice)):
        # need + reach fine steps after the upsampling, whose first and last steps are not made
        padding = voice.conv(stage.up).padding
        need = -(-(need + stage.reach + max(padding, stage.stride - padding)) // stage.stride)
        before.insert(0, need)
    return before[0] + _half(voice, "dec.conv_pre"), before


def build_decoder(layers: Layers, voice: Voice, frames: int, *, inner: bool = False) -> None:
    """Inputs: latent float32 [frames + 2 * margin, channels]; unless inner, mask float32 [frames + 2 * margin] and of
    each stage i mask_i float32 (the same, finer); of several speakers, speaker int32 [1]. inner: for pieces whose
    margins lie inside the utterance, where nothing is to be masked. Output: sound float32 [frames * hop] in [-1, 1].
    """
    g = layers.graph
    margin, before = margins(voice)
    steps, parts = frames + 2 * margin, stages(voice)
    x = g.reshape(g.input("latent", [steps, voice.channels]), [1, 1, steps, voice.channels])
    mask = None if inner else g.reshape(g.input("mask", [steps]), [1, 1, steps, 1])
    x = layers.conv(_masked(layers, x, mask), "dec.conv_pre", voice.conv("dec.conv_pre"), same=False)
    speaker = speaker_rows(layers, voice)
    if speaker is not None:
        x = g.add(x, layers.dense(speaker, "dec.cond", voice.conv("dec.cond")))
    cut, scale = margin - before[0], 1
    mask = mask and layers.crop(mask, cut, cut)
    for i, stage in enumerate(parts):
        x = _masked(layers, layers.leaky(x, _SLOPE), mask)
        x = layers.upsample(x, stage.up, _shared(voice.conv(stage.up), parts[i - 1] if i else None))
        scale *= stage.stride
        after = before[i + 1] if i + 1 < len(before) else _half(voice, "dec.conv_post")
        # x begins at the second half of the margin's first step: step q * stride - padding of torch's result
        spare = before[i] * stage.stride - stage.stride + voice.conv(stage.up).padding
        wanted = after + stage.reach
        x = layers.crop(x, spare - wanted, x.shape[2] - (spare - wanted) - frames * scale - 2 * wanted)
        mask = None if inner else g.reshape(g.input(f"mask_{i}", [x.shape[2]]), [1, 1, x.shape[2], 1])
        x = layers.crop(_sum(layers, voice, stage, x, mask), stage.reach, stage.reach)
        mask = mask and layers.crop(mask, stage.reach, stage.reach)
    x = _masked(layers, layers.leaky(x, _LAST_SLOPE), mask)
    last = _shared(voice.conv("dec.conv_post"), parts[-1])
    g.output("sound", g.reshape(g.unary("TANH", layers.conv(x, "dec.conv_post", last, same=False)), [frames * scale]))


def _shared(conv: Convolution, stage: _Stage | None) -> Convolution:
    """The convolution after a stage, which takes the blocks' sum for their mean: leaky(x / 3) is leaky(x) / 3."""
    return conv if stage is None else replace(conv, kernel=conv.kernel / np.float32(len(stage.blocks)))


def _masked(layers: Layers, x: Tensor, mask: Tensor | None) -> Tensor:
    return x if mask is None else layers.graph.mul(x, mask)


def _sum(layers: Layers, voice: Voice, stage: _Stage, x: Tensor, mask: Tensor | None) -> Tensor:
    """The sum of the stage's blocks, as long as x; `reach` steps at each end are wrong and for the caller to cut off.

    Zeros instead of what lies beyond the ends spare a cut at each of the eighteen convolutions.
    """
    g = layers.graph
    entrance = _masked(layers, layers.leaky(x, _SLOPE), mask)
    total: Tensor | None = None
    for block in stage.blocks:
        y = x
        for number, row in enumerate(block.rows):
            z = entrance if number == 0 else _masked(layers, layers.leaky(y, _SLOPE), mask)
            for place, name in enumerate(row):
                if place:
                    z = _masked(layers, layers.leaky(z, _SLOPE), mask)
                z = layers.conv(z, name, voice.conv(name), same=True)
            y = g.add(z, y)
        total = y if total is None else g.add(total, y)
    assert total is not None
    return total
