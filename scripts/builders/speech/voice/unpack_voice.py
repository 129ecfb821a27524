"""The weights of the shipped voice and of the codec's decoder, back in the shape in which they are trained."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from builders.speech.hearing.network import grid
from builders.speech.hearing.unpack import Constants, plain_weights, transformer
from builders.speech.shape import CARD, CODEBOOKS, LEVELS
from builders.speech.voice.decoder import Decoder
from builders.speech.voice.tts import ROWS, SpeakShape, one_hot


def decoder_weights(package: Path) -> dict[str, Tensor]:
    """The decoder of a codec package."""
    return plain_weights(Decoder(), Constants(package, "codec", graph=1))


def voice_weights(package: Path, shape: SpeakShape) -> dict[str, Tensor]:
    """What `SpeakingModel.load_state_dict` takes, from a package of the voice: the inverse of `checkpoint`.

    A table that was made by multiplying is taken apart into factors that give the same table; they need not be those
    that were trained.
    """
    found = Constants(package, "speech-lm")
    first = [Constants(package, "speech-lm", graph=1 + q) for q in range(CODEBOOKS)]
    codes = one_hot((grid() + (LEVELS - 1) / 2).long())
    table, rows = found["embedding"], shape.pieces + 1
    text, left, right = _factors(table[:rows], table[rows : 2 * rows], shape.dim)
    state = {
        "text.weight": text,
        "left.weight": left,
        "right.weight": right,
        "norm.alpha": found["out_norm.gain"].reshape(1, 1, -1),
        "begins.weight": found["text_linear"],
    }
    sounds = []
    for q in range(CODEBOOKS):
        at = 2 * rows + q * (CARD + 1)
        sounds.append(_map(codes, table[at : at + CARD]))
    state["sound"] = torch.cat(sounds)
    state["opening"] = table[2 * rows + CARD].clone()
    for name, value in transformer(found, shape.layers, shape.dim, shape.heads).items():
        state[f"layers.{name}"] = value
    said = first[0]["depformer_text_emb"]
    text, left, right = _factors(said[:rows], said[rows : 2 * rows], ROWS)
    state |= {"depth_text.weight": text, "depth_left.weight": left, "depth_right.weight": right}
    state["into"] = torch.stack([first[q][f"depformer_in.{q}"] for q in range(CODEBOOKS)])
    state["heads"] = torch.stack([_map(codes, first[q][f"linears.{q}"]) for q in range(CODEBOOKS)])
    state["before"] = torch.stack([first[q][f"depformer_emb.{q - 1}.low_rank"].T for q in range(1, CODEBOOKS)])
    layer = "depformer.layers.0"
    for norm in ("norm1", "norm2"):
        state[f"depformer.{norm}.alpha"] = first[0][f"{layer}.{norm}.gain"].reshape(1, 1, -1)
    for part in ("qkv", "out", "up", "down"):
        state[f"depformer.{part}.weight"] = torch.stack([first[q][f"{layer}.{part}.{q}"] for q in range(CODEBOOKS)])
    width = shape.depth_dim // shape.depth_heads
    state["depformer.qkv.weight"][:, : shape.depth_dim] *= width**0.5
    return state


def _map(known: Tensor, made: Tensor) -> Tensor:
    """The matrix that makes `made` out of `known`, the smallest where several do."""
    found: Tensor = torch.linalg.lstsq(known, made, driver="gelsd").solution
    return found


def _factors(one: Tensor, two: Tensor, rank: int) -> tuple[Tensor, Tensor, Tensor]:
    """A table [N, rank] and two matrices that make `one` and `two` out of it."""
    u, s, v = torch.linalg.svd(torch.cat([one, two], 1), full_matrices=False)
    table, back = (u * s)[:, :rank].contiguous(), v[:rank].T
    return table, back[: one.shape[1]].contiguous(), back[one.shape[1] :].contiguous()
