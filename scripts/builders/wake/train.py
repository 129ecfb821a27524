"""Stages `train` and `refine`: fit the network on scenes, always looking hardest at what it gets wrong.

Loss. Of a phrase scene, the six best steps within -0.05 … 0.33 s of the phrase's end should say yes (max pooling
over time: the network chooses when). Of every other step, the eight worst should say no, and the mean a little,
too; a confusable counts an eighth of ordinary speech, else nearness is all that the network learns to refuse. Scenes
that were easy negatives last time are drawn less. Kernels are trained by Muon, the rest by AdamW; weights are
averaged over time (EMA) for export.
Steps are counted, not minutes, so that one seed gives one model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from builders.common.muon import Muon
from builders.common.progress import Progress
from builders.sound.signal import RATE
from builders.wake.augment import frame_end
from builders.wake.network import Network, step_frames, to_float
from noctule.core.errors import NoctuleError

#: share of a batch that is the phrase.
_POSITIVES = 0.38
#: what a scene of confusables counts in the loss beside one of ordinary speech.
_CONFUSABLE = 0.12


@dataclass(frozen=True)
class TrainSpec:
    """Numbers of one training run."""

    channels: int = 48
    batch: int = 40
    steps: int = 3600
    #: highest learning rates: of the kernels (Muon), and of norms and head (AdamW).
    kernel_rate: float = 0.02
    rate: float = 2.5e-3
    #: more threads gain little on a network this small, and one makes the result independent of the machine.
    threads: int = 1
    seed: int = 1


class Scenes:
    """All scenes in memory: features int8 [n, 468, 40], end sample [n] (-1: none), kind [n]."""

    def __init__(self, files: Sequence[Path]) -> None:
        parts = [np.load(file) for file in files]
        self.features: NDArray[np.int8] = np.concatenate([part["features"] for part in parts])
        self.end: NDArray[np.int64] = np.concatenate([part["end"] for part in parts])
        self.kind: NDArray[np.str_] = np.concatenate([part["kind"] for part in parts])

    def __len__(self) -> int:
        return len(self.features)


def regions(end: NDArray[np.int64], steps: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Of each scene's output steps [n, steps]: where the phrase should be heard, and where nothing is asked."""
    after = (frame_end(step_frames(steps))[None] - end[:, None]) / RATE
    phrase = end[:, None] >= 0
    return phrase & (after > -0.05) & (after < 0.33), phrase & (after > -0.30) & (after < 0.60)


def disturb(features: NDArray[np.int8], end: NDArray[np.int64], rng: np.random.Generator) -> Tensor:
    """A batch as the network sees it: bands and moments blanked, frequency axis bent, tempo and level changed."""
    batch, frames, channels = features.shape
    # Tempo: frames are picked at another pace around the phrase's end, which therefore stays where it is.
    pace = np.where(rng.random(batch) < 0.5, np.exp(rng.uniform(-0.13, 0.13, batch)), 1.0)[:, None]
    pivot = np.where(end >= 0, (end - int(frame_end(0))) / 160, frames / 2)[:, None]
    picked = np.clip(np.rint(pivot + (np.arange(frames) - pivot) * pace), 0, frames - 1).astype(np.int64)
    bent = features[np.arange(batch)[:, None], picked]
    for row in range(batch):
        if rng.random() < 0.4:
            first = int(rng.integers(0, channels - 3))
            bent[row, :, first : first + int(rng.integers(1, 7))] = -128
        if rng.random() < 0.25:
            first = int(rng.integers(0, frames - 15))
            bent[row, first : first + int(rng.integers(1, 12))] = -128
    # A longer or shorter vocal tract: each scene's filter-bank axis is resampled by its own [40, 40] matrix.
    factor = np.where(rng.random(batch) < 0.5, np.exp(rng.uniform(-0.11, 0.11, batch)), 1.0)
    at = np.clip(np.arange(channels) * factor[:, None], 0, channels - 1.001)
    near = 1 - np.abs(np.arange(channels)[None, :, None] - at[:, None, :])
    x = torch.bmm(to_float(bent), torch.from_numpy(np.maximum(near, 0).astype(np.float32)))
    gain = 1 + 0.1 * rng.standard_normal((batch, 1, 1)) + 0.08 * rng.standard_normal((batch, 1, channels))
    start = int(rng.integers(0, len(_hiss()) - x.numel()))
    x.mul_(torch.from_numpy(gain.astype(np.float32)))
    return x.add_(_hiss()[start : start + x.numel()].view_as(x)).relu_()


@cache
def _hiss() -> Tensor:
    """Weak noise of which every batch takes a random part; drawing it anew would cost a third of a step."""
    return 0.03 * torch.randn(4_000_000, generator=torch.Generator().manual_seed(0))


def loss_of(logits: Tensor, end: NDArray[np.int64], confusable: NDArray[np.bool_]) -> tuple[Tensor, Tensor]:
    """The loss, and each scene's worst negative logit (for drawing); `confusable` [n] marks scenes of confusables."""
    wanted, ignored = (torch.from_numpy(item) for item in regions(end, logits.shape[1]))
    phrase = torch.from_numpy(end >= 0)
    best = logits.masked_fill(~wanted, -1e4).topk(6, 1)[0]
    missed = functional.softplus(-best)[phrase].mean() if bool(phrase.any()) else logits.sum() * 0
    others = logits.masked_fill(ignored, -1e4)
    worst = others.topk(8, 1)[0]
    weight = torch.where(phrase, 0.5, torch.where(torch.from_numpy(confusable), _CONFUSABLE, 1.0))
    false = (functional.softplus(worst).mean(1) * weight).mean() + 0.3 * functional.softplus(others).mean()
    return missed + 1.5 * false, worst[:, 0].detach()


def train(
    scenes: Scenes, spec: TrainSpec, first: int, last: int, checkpoint: Path | None, out: Path, title: str
) -> None:
    """Steps `first` … `last` of a schedule of `spec.steps`, going on from `checkpoint`; the state goes to `out`."""
    torch.set_num_threads(spec.threads)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(spec.seed)
    rng = np.random.default_rng([spec.seed, first])
    network, average = Network(spec.channels), Network(spec.channels)
    kernels = [network.first.weight, *(block.wide.weight for block in network.blocks)]
    rest = [item for item in network.parameters() if all(item is not kernel for kernel in kernels)]
    optimisers: list[tuple[torch.optim.Optimizer, float]] = [
        (Muon(kernels, spec.kernel_rate), spec.kernel_rate),
        (torch.optim.AdamW(rest, spec.rate, weight_decay=1e-3), spec.rate),
    ]
    if checkpoint is not None:
        state = torch.load(checkpoint, weights_only=True)
        network.load_state_dict(state["network"])
        average.load_state_dict(state["average"])
        for (optimiser, _), kept in zip(optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(kept)
    else:
        average.load_state_dict(network.state_dict())
    hardness = np.full(len(scenes), 5.0, np.float32)
    positives, negatives = np.flatnonzero(scenes.end >= 0), np.flatnonzero(scenes.end < 0)
    count = round(spec.batch * _POSITIVES)
    progress, mean = Progress(title, last - first), 0.0
    network.train()
    for step in range(first, last):
        share = min(1.0, (step + 1) / 100) * 0.5 * (1 + np.cos(np.pi * step / spec.steps)) + 0.008
        for optimiser, rate in optimisers:
            for group in optimiser.param_groups:
                group["lr"] = float(rate * share)  # a numpy scalar would make the checkpoint unreadable
        weights = np.where(hardness[negatives] > -3.0, 1.0, 0.3)
        drawn = rng.choice(negatives, spec.batch - count, replace=False, p=weights / weights.sum())
        batch = np.concatenate([rng.choice(positives, count, replace=False), drawn])
        features = disturb(scenes.features[batch], scenes.end[batch], rng)
        loss, worst = loss_of(network(features), scenes.end[batch], scenes.kind[batch] == "C")
        network.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(rest, 2.0)
        if not torch.isfinite(loss):
            raise NoctuleError(f"{title}: the loss is not finite at step {step}", "try another --seed")
        for optimiser, _ in optimisers:
            optimiser.step()
        hardness[batch] = worst.numpy()
        _follow(average, network, min(0.998, (step + 1) / (step + 20)))
        mean += (float(loss.detach()) - mean) * (0.02 if step > first + 50 else 0.2)
        progress.step(step + 1 - first, f"loss {mean:.3f}")
    progress.done(f"loss {mean:.3f}")
    state = {"network": network.state_dict(), "average": average.state_dict(),
             "optimisers": [optimiser.state_dict() for optimiser, _ in optimisers]}  # fmt: skip
    partial = out.with_suffix(".partial")
    torch.save({**state, "channels": spec.channels}, partial)
    partial.replace(out)


def _follow(average: Network, network: Network, keep: float) -> None:
    with torch.no_grad():
        for held, new in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
            if held.dtype.is_floating_point:
                held.mul_(keep).add_(new, alpha=1 - keep)
            else:
                held.copy_(new)


def load_average(path: Path) -> Network:
    """The averaged network of a checkpoint, ready to evaluate."""
    state: dict[str, Any] = torch.load(path, weights_only=True)
    network = Network(int(state["channels"]))
    network.load_state_dict(state["average"])
    network.eval()
    return network
