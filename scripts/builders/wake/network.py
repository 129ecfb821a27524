"""The network: a causal convolution stack over feature frames, one logit every 30 ms.

A strided convolution takes 5 frames of 40 channels every 3 frames (the streaming input), then dilated ones reach
1.9 s back. While training, each dilated layer adds its input to what its normalised convolution says of it; both are
linear, so export folds them into one plain convolution (as RepVGG does, arXiv 2101.03697, and RepCNN for wake words,
arXiv 2406.02652): better training at no cost on the board. Their third branch, a convolution of width 1, made a step
half as long again for a loss that Muon (`muon.py`) reaches earlier without it.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from builders.wake.tflite_writer import STRIDE, Layer
from noctule.wake.features import CHANNELS, FEATURE_SCALE

FIRST_KERNEL, KERNEL = 5, 3
DILATIONS = (1, 2, 4, 8, 8, 8)
#: input steps of 30 ms that the dilated layers look back.
REACH = (KERNEL - 1) * sum(DILATIONS)
#: training works on features of about unit size: real feature * INPUT_GAIN.
INPUT_GAIN = 0.1


def to_float(features: NDArray[np.int8]) -> Tensor:
    """int8 features [..., 40] to the network's input scale."""
    return (torch.from_numpy(features.astype(np.float32)) + 128.0) * (FEATURE_SCALE * INPUT_GAIN)


def step_frames(steps: int) -> NDArray[np.int64]:
    """Last frame that each of `steps` outputs has seen, counted in the input of a whole scene."""
    return STRIDE * (np.arange(steps) + REACH) + FIRST_KERNEL - 1


class Block(nn.Module):
    """One dilated layer: a convolution beside its own input."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.dilation = dilation
        self.wide = nn.Conv1d(channels, channels, KERNEL, dilation=dilation, bias=False)
        self.norm = nn.BatchNorm1d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, channels, steps] to [batch, channels, steps - 2 * dilation]."""
        return torch.relu(self.norm(self.wide(x)) + x[:, :, (KERNEL - 1) * self.dilation :])

    def folded(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """One kernel [out, 3, in] and bias [out] equal to both."""
        kernel, bias = _fold(self.wide.weight, self.norm)
        kernel[:, -1] += np.eye(len(kernel), dtype=np.float32)
        return kernel, bias


class Network(nn.Module):
    """Features [batch, frames, 40] to logits [batch, (frames - 5) // 3 + 1 - REACH]."""

    def __init__(self, channels: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.channels = channels
        self.first = nn.Conv1d(CHANNELS, channels, FIRST_KERNEL, stride=STRIDE, bias=False)
        self.first_norm = nn.BatchNorm1d(channels)
        self.blocks = nn.ModuleList(Block(channels, dilation) for dilation in DILATIONS)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Conv1d(channels, 1, 1)
        nn.init.constant_(self.head.bias, -3.0)  # type: ignore[arg-type]

    def forward(self, x: Tensor, taps: list[Tensor] | None = None) -> Tensor:
        """`taps` collects every layer's activations, for the quantisation scales."""
        x = torch.relu(self.first_norm(self.first(x.transpose(1, 2))))
        for layer in [None, *self.blocks]:
            if layer is not None:
                x = layer(x)
            if taps is not None:
                taps.append(x)
        return self.head(self.dropout(x))[:, 0]


def _fold(weight: Tensor, norm: nn.BatchNorm1d) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Kernel [out, k, in] and bias [out] of a convolution followed by an (evaluated) batch norm."""
    assert norm.running_var is not None
    assert norm.running_mean is not None
    gain = (norm.weight / torch.sqrt(norm.running_var + norm.eps)).detach()
    kernel = (weight.detach() * gain[:, None, None]).numpy().transpose(0, 2, 1).copy()
    bias = (norm.bias - norm.running_mean * gain).detach().numpy().copy()
    return kernel, bias


def fold(network: Network, features: NDArray[np.int8], quantile: float = 0.99997) -> list[Layer]:
    """All layers folded, with activation scales measured on `features` [scenes, frames, 40]."""
    network.eval()
    taps: list[Tensor] = []
    with torch.no_grad():
        network(to_float(features), taps)
    scales = [float(np.quantile(tap.numpy().ravel()[::7], quantile)) / 255 for tap in taps]
    kernel, bias = _fold(network.first.weight, network.first_norm)
    layers = [Layer(kernel * INPUT_GAIN, bias, 1, FEATURE_SCALE, scales[0])]
    for index, block in enumerate(network.blocks):
        assert isinstance(block, Block)
        kernel, bias = block.folded()
        layers.append(Layer(kernel, bias, block.dilation, scales[index], scales[index + 1]))
    return layers
