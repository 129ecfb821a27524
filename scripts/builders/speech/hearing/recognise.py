"""Greedy transcripts from the torch model, for a look at a training run; packages are measured elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from builders.speech.features import log_mel, power
from builders.speech.hearing.network import quantise
from builders.speech.hearing.train import SpeechModel
from builders.speech.shape import CODEBOOKS, FRAME
from builders.speech.tokenizer import Pieces

Audio = NDArray[np.float32]


@dataclass(frozen=True)
class Heard:
    """text; tokens with their probabilities; turn [frames + 1]: probability that all has been said; first: the step
    at which the first word was written, None for silence."""

    text: str
    tokens: list[int]
    probabilities: list[float]
    turn: NDArray[np.float32]
    first: int | None


@torch.no_grad()
def transcribe(
    model: SpeechModel, pieces: Pieces, audio: Sequence[Audio], codebooks: int = CODEBOOKS, rows: int = 40
) -> list[Heard]:
    """What the model writes, hearing each of these whole signals (with silence after them)."""
    found: list[Heard | None] = [None] * len(audio)
    order = sorted(range(len(audio)), key=lambda i: len(audio[i]))
    shape = model.lm.shape
    for first in range(0, len(order), rows):
        chosen = order[first : first + rows]
        frames = max(-(-len(audio[i]) // FRAME) for i in chosen)
        pcm = torch.zeros(len(chosen), frames * FRAME)
        for row, i in enumerate(chosen):
            pcm[row, : len(audio[i])] = torch.from_numpy(audio[i])
        codes, _ = quantise(model.encoder(log_mel(power(pcm))))
        previous = torch.full((len(chosen), 1), shape.pieces)
        chances, turns = [], []
        for step in range(frames + 1):
            logits, turn = model.lm(codes[:, :step], previous, codebooks)
            chance, token = logits[:, -1].softmax(-1).max(-1)
            chances.append(chance)
            turns.append(turn[:, -1].softmax(-1)[:, 1])
            previous = torch.cat([previous, token[:, None]], 1)
        for row, i in enumerate(chosen):
            tokens = previous[row, 1:].tolist()
            kept = [(t, float(c[row])) for t, c in zip(tokens, chances, strict=True) if t > shape.padding]
            found[i] = Heard(
                pieces.text([t for t, _ in kept]),
                [t for t, _ in kept],
                [p for _, p in kept],
                torch.stack([t[row] for t in turns]).numpy(),
                next((i for i, t in enumerate(tokens) if t > shape.padding), None),
            )
    return [heard for heard in found if heard is not None]
