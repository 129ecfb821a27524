"""From a trained network to the int8 file: folding, scales, where the threshold sits, and the int8-float gap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from builders.common.pool import save_arrays
from builders.wake import tflite_writer
from builders.wake.network import REACH, STRIDE, Network, fold, to_float
from builders.wake.scoring import WINDOW
from noctule.wake.model import WakeModel

#: where the calibrated threshold is put on the 0 … 1 scale, away from the ends where uint8 has few steps.
AIM = 0.7


def float_logits(network: Network, features: NDArray[np.int8]) -> NDArray[np.float32]:
    """Logits of a clip [frames, 40] as the stream gives them from its first full view on."""
    with torch.no_grad():
        out: NDArray[np.float32] = network(to_float(features[None]))[0].numpy()
    return out


def window_means(logits: NDArray[np.float32], shift: float) -> NDArray[np.float64]:
    """Mean scores over `WINDOW` steps with every logit moved by `shift`."""
    if len(logits) < WINDOW:
        return np.zeros(0)
    score = 1 / (1 + np.exp(-(logits.astype(np.float64) + shift)))
    return np.convolve(score, np.ones(WINDOW) / WINDOW, "valid")


def find_shift(network: Network, streams: Sequence[NDArray[np.int8]], fa_per_hour: float) -> float:
    """The bias that puts the wanted false-accept rate near score `AIM`.

    Works on one-second peaks of the float network over the calibration streams: of `hours` hours, the
    (rate * hours)-th highest peak should score `AIM`.
    """
    logits = [float_logits(network, stream) for stream in streams]
    hours = sum(len(stream) for stream in streams) / 360_000
    allowed = max(1, round(fa_per_hour * hours))
    low, high = -14.0, 8.0
    for _ in range(24):
        shift = (low + high) / 2
        peaks = np.concatenate([_peaks(window_means(item, shift)) for item in logits])
        over = int(np.sum(peaks > AIM))
        low, high = (shift, high) if over < allowed else (low, shift)
    return (low + high) / 2


def _peaks(means: NDArray[np.float64], span: int = 66) -> NDArray[np.float64]:
    """Highest value of every `span` steps (2 s, the refractory time)."""
    whole = means[: len(means) // span * span]
    return whole.reshape(-1, span).max(1) if len(whole) else np.zeros(0)


def export(network: Network, features: NDArray[np.int8], shift: float, description: str) -> bytes:
    """The model file, with activation scales from a sample of training scenes [n, 468, 40]."""
    layers = fold(network, features)
    weight = network.head.weight.detach().numpy().ravel()
    assert network.head.bias is not None
    bias = float(network.head.bias.detach()) + shift
    head = tflite_writer.Head(weight, bias, layers[-1].output_scale)
    return tflite_writer.model_bytes(layers, head, description)


def quantisation_gap(network: Network, model: WakeModel, scenes: NDArray[np.int8], shift: float) -> dict[str, float]:
    """How far int8 scores are from float ones over whole scenes: mean, 99th percentile and largest difference."""
    gaps = []
    for scene in scenes:
        model.reset()
        # The graph's first inference sees frames 0 … 2 and two frames of initial state before them; prepending one
        # frame of silence makes inference j see frames 3j - 3 … 3j + 1 of the scene: the float network's step j - 1.
        padded = np.concatenate([np.full((1, scene.shape[1]), -128, np.int8), scene])
        raw = [model.score(padded[at : at + STRIDE]) for at in range(0, len(padded) - STRIDE + 1, STRIDE)]
        wanted = 1 / (1 + np.exp(-(float_logits(network, scene) + shift)))
        got = np.array(raw)[REACH + 1 :][: len(wanted)]
        gaps.append(np.abs(got - wanted[: len(got)]))
    every = np.concatenate(gaps)
    return {"mean": float(every.mean()), "p99": float(np.quantile(every, 0.99)), "max": float(every.max())}


def mined(network: Network, files: Sequence[Path], keep: Mapping[str, int], out: Path) -> dict[str, int]:
    """Of each kind of freshly made negative scenes `keep` those that the network likes best; the count by kind.

    By kind, because confusables are liked far better than speech, and would be all that is kept.
    """
    features, kinds, worst = [], [], []
    for file in files:
        part = np.load(file)
        scenes = part["features"]
        with torch.no_grad():
            for at in range(0, len(scenes), 64):
                worst.append(network(to_float(scenes[at : at + 64])).topk(5, 1)[0].mean(1).numpy())
        features.append(scenes)
        kinds.append(part["kind"])
    order = np.argsort(-np.concatenate(worst), kind="stable")
    every = np.concatenate(kinds)
    order = np.concatenate([order[every[order] == name][:count] for name, count in keep.items()])
    kind = every[order]
    save_arrays(out, {"features": np.concatenate(features)[order], "end": np.full(len(order), -1), "kind": kind})
    return {str(name): int(np.sum(kind == name)) for name in np.unique(kind)}
