"""A small Kyutai-shaped model trained on synthetic streams: logits with real margins, to measure quantisation on.

Random weights give flat logits whose top-1 flips at the slightest rounding. Here the streams have structure: a heard
symbol lasts a few frames, the text names it some frames later and pads in between, and the codebooks spoken follow
from the text and from what is heard, so a trained model is as sure as a real one.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from moshi.models.lm import LMModel
from moshi.utils.compile import no_compile
from safetensors.torch import load_file, save_file

from builders.export.kyutai.reference import build_model

Array = npt.NDArray[np.int64]

CONFIG: dict[str, Any] = {
    "dim": 128,
    "text_card": 64,
    "existing_text_padding_id": 3,
    "n_q": 6,
    "dep_q": 3,
    "card": 48,
    "num_heads": 4,
    "num_layers": 4,
    "hidden_scale": 4.125,
    "causal": True,
    "layer_scale": None,
    "context": 64,
    "max_period": 10000,
    "gating": "silu",
    "norm": "rms_norm_f32",
    "positional_embedding": "rope",
    "depformer_dim": 64,
    "depformer_dim_feedforward": 264,
    "depformer_num_heads": 2,
    "depformer_num_layers": 2,
    "depformer_layer_scale": None,
    "depformer_multi_linear": True,
    "depformer_context": 3,
    "depformer_max_period": 10000,
    "depformer_gating": "silu",
    "depformer_pos_emb": "none",
    "depformer_weights_per_step": True,
    "delays": [0, 0, 1, 1, 0, 1, 1],
}
_RATE = 2e-3
_LAG = 4  # frames from a symbol's first frame to its name in the text


def streams(rng: np.random.Generator, batch: int, frames: int) -> Array:
    """[batch, 1 + n_q, frames]: text, spoken codebooks, heard codebooks."""
    card, text_card = CONFIG["card"], CONFIG["text_card"]
    out = np.zeros((batch, 1 + CONFIG["n_q"], frames), np.int64)
    for row in out:
        lengths = rng.integers(3, 8, frames)
        starts = np.concatenate([[0], np.cumsum(lengths)])[: np.searchsorted(np.cumsum(lengths), frames) + 1]
        symbols = rng.integers(0, card, len(starts))
        which = np.searchsorted(starts, np.arange(frames), side="right") - 1
        heard, phase = symbols[which], np.arange(frames) - starts[which]
        row[0] = CONFIG["existing_text_padding_id"]
        named = starts[starts + _LAG < frames]
        row[0, named + _LAG] = 4 + symbols[: len(named)] % (text_card - 4)
        for k in range(3):
            row[4 + k] = (heard * (k + 1) + phase * (2 * k + 1)) % card
        late = np.concatenate([np.zeros(2, np.int64), heard[:-2]])
        row[1] = (7 * late + 3 * (row[0] != 3) + 5 * phase) % card
        row[2] = (row[1] * 3 + late) % card
        row[3] = (row[2] + 11 * row[0]) % card
    return out


def trained(cache: Path, steps: int = 600, seed: int = 0) -> LMModel:
    """The model, from `cache` or trained now: a few minutes of one thread, the same weights each time."""
    model = build_model(CONFIG, seed)
    file = cache / f"kyutai-synthetic-{seed}-{steps}.safetensors"
    if file.is_file():
        model.load_state_dict(load_file(file))
        return model.eval()
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    optimiser = torch.optim.AdamW(model.parameters(), lr=_RATE, betas=(0.9, 0.95), weight_decay=0.01)
    with no_compile():  # compiling would cost more than these minutes, and its warnings are errors in the tests
        for step in range(steps):
            share = step / steps
            for group in optimiser.param_groups:  # a short warm-up, then a cosine to a fiftieth
                group["lr"] = _RATE * min(1.0, (step + 1) / 30) * (0.02 + 0.49 * (1 + math.cos(math.pi * share)))
            codes = torch.from_numpy(streams(rng, 16, 64))
            out = model(codes)
            text = torch.nn.functional.cross_entropy(
                out.text_logits[out.text_mask].float(), codes[:, :1][out.text_mask]
            )
            audio = torch.nn.functional.cross_entropy(
                out.logits[out.mask].float(), codes[:, 1 : 1 + model.dep_q][out.mask]
            )
            optimiser.zero_grad()
            loss = text + audio
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
    cache.mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, file)
    return model.eval()
