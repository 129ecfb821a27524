"""What a healthy runtime answers: logits of a short seeded prompt, from the float reference and from the file.

A runtime that cannot run a file may answer zeros instead of failing (tflite-runtime 2.14 does, with per-channel
int8), so every package carries these and a loader compares. They come from the finished file on the device
runtime; the float reference beside it says what quantisation cost.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from builders.export.text.graph import Decoder
from noctule.inference import runtime as tflite

TOKENS = 8  # long enough that attention over several slots counts, short enough to check at every start
_SEED = 20260
_TOP, _HEAD = 5, 8  # ids and logits kept a step
#: Kernels of different CPUs round differently, and dynamic quantisation turns a rounding into a step: largest
#: difference allowed, as a share of the largest logit's magnitude.
RTOL = {"float32": 1e-3, "int8-tensor": 0.15}  # tflite-runtime rounds activations more coarsely: 9 % seen
RTOL_QUANTISED = 0.05


@dataclass(frozen=True)
class Gap:
    """Quantised file against float reference over the golden prompt."""

    relative: float  # RMS of the difference / standard deviation of the reference's logits
    top1: float  # share of steps whose most likely token is the same


def golden_tokens(vocab: int) -> list[int]:
    """Seeded ids, the same for every model of this vocabulary size."""
    ids = np.random.default_rng(_SEED).integers(0, vocab, TOKENS)
    return [int(i) for i in ids]


@torch.no_grad()
def reference_logits(decoder: Decoder, tokens: list[int], slots: int) -> NDArray[np.float32]:
    """[len(tokens), vocab] of the torch decoder, one decode step a token."""
    cache = decoder.empty_cache(slots)
    rows = []
    for position, token in enumerate(tokens):
        out = decoder(torch.tensor([[token]], dtype=torch.int32), torch.tensor([position], dtype=torch.int32), cache)
        cache = {name.removeprefix("kv_cache_"): out[name] for name in out if name.startswith("kv_cache_")}
        rows.append(out["logits"][0].numpy())
    return np.stack(rows).astype(np.float32)


def runtime_logits(path: Path, signature: str, tokens: list[int]) -> NDArray[np.float32]:
    """[len(tokens), vocab] of a file on the device runtime."""
    with tflite.load_model(path) as model:
        names = [name for name in model.signature(signature).inputs if name.startswith("kv_cache_")]
        runner = model.runner(signature, alias={name: name for name in names})
        rows = []
        for position, token in enumerate(tokens):
            runner.write("tokens", np.array([[token]], np.int32))
            runner.write("input_pos", np.array([position], np.int32))
            runner.run()
            rows.append(runner.read("logits")[0])
    return np.stack(rows)


def gap(reference: NDArray[np.float32], logits: NDArray[np.float32]) -> Gap:
    error = float(np.sqrt(np.mean((reference - logits) ** 2)) / np.std(reference))
    return Gap(error, float(np.mean(reference.argmax(-1) == logits.argmax(-1))))


def golden_entry(
    signature: str, tokens: list[int], logits: NDArray[np.float32], scheme: str, cost: Gap
) -> dict[str, Any]:
    """The manifest's "golden" object."""
    top = np.argsort(-logits, axis=-1, kind="stable")[:, :_TOP]
    return {
        "signature": signature,
        "tokens": tokens,
        "top": top.tolist(),
        "logits": [[round(float(x), 6) for x in row[:_HEAD]] for row in logits],
        "rtol": RTOL.get(scheme, RTOL_QUANTISED),
        "x_float_gap": {"relative": round(cost.relative, 6), "top1": round(cost.top1, 4)},
    }
