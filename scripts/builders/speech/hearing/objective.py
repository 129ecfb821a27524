"""What is trained, and towards what: the model, a batch as it reached the ear, every term of the loss."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from builders.speech.augment import Noises, disturbed
from builders.speech.features import WARPS, log_mel, power
from builders.speech.hearing.dataset import Batch
from builders.speech.hearing.examples import IGNORED
from builders.speech.hearing.lm import SpeechTextModel
from builders.speech.hearing.network import Encoder, Heads, quantise
from builders.speech.shape import CODEBOOKS, DIGITS, MELS, STEPS, LmShape

Stage = Literal["joint", "listen"]


class SpeechModel(nn.Module):
    """Encoder, heads and text model together."""

    def __init__(self, shape: LmShape, phones: dict[str, int]) -> None:
        super().__init__()
        self.encoder = Encoder()
        self.heads = Heads(phones)
        self.lm = SpeechTextModel(shape)


@dataclass(frozen=True)
class Heard:
    """A batch as it reached the ear: features [B, 8 T, 64] and (for half of the batches) the clean features that
    the codes should keep; or, once the encoder is frozen, only its codes [B, T, 40]. batch.audio is emptied."""

    batch: Batch
    features: Tensor
    target: Tensor | None


def hear(batch: Batch, g: torch.Generator, bank: Noises, keep: bool) -> Heard:
    """Disturb a batch and compute its features; keep: also the clean ones."""
    audio, clean = disturbed(batch.audio, batch.speech, g, bank)
    warp = int(torch.randint(0, len(WARPS), (1,), generator=g))
    features = log_mel(power(audio), warp)
    target = log_mel(power(clean), warp) if keep else None
    return Heard(replace(batch, audio=torch.empty(0)), features, target)


def masked(features: Tensor, g: torch.Generator) -> Tensor:
    """SpecAugment's frequency masks (Park et al., arXiv 1904.08779), drawn anew whenever a batch is used."""
    features = features.clone()
    rows = features.shape[0]
    for _ in range(2):
        first = int(torch.randint(0, MELS - 8, (1,), generator=g))
        width = int(torch.randint(1, 8, (1,), generator=g))
        chosen = (torch.rand(rows, 1, 1, generator=g) < 0.3).float()
        part = features[..., first : first + width]
        features[..., first : first + width] = part + chosen * (part.mean((1, 2), keepdim=True) - part)
    return features


def previous_tokens(text: Tensor, shape: LmShape, g: torch.Generator, share: float = 0.2) -> Tensor:
    """What stood in the text stream one step before, some of it wrong, as it will be at run time: words that were
    misheard or missed, and runs of words where there was nothing to write."""
    before = torch.cat([torch.full_like(text[:, :1], shape.pieces), text[:, :-1]], 1)
    chance = torch.randint(4, shape.pieces, before.shape, generator=g)
    wrong = (torch.rand(before.shape, generator=g) < share) & (before > shape.padding) & (before < shape.pieces)
    other = torch.where(torch.rand(before.shape, generator=g) < 0.5, chance, shape.padding)
    stray = torch.rand(before.shape, generator=g) < share / 5
    for _ in range(2):  # runs
        stray[:, 1:] |= stray[:, :-1] & (torch.rand(before[:, 1:].shape, generator=g) < 0.5)
    return torch.where(wrong, other, torch.where(stray & (before == shape.padding), chance, before))


@torch.no_grad()
def own_tokens(model: SpeechModel, codes: Tensor, before: Tensor, codebooks: int, g: torch.Generator) -> Tensor:
    """`before` with some of it replaced by what the model itself would have written (scheduled sampling: Bengio et
    al., arXiv 1506.03099): without it a misheard word makes the next ones garbage, up to the end."""
    logits, _ = model.lm(codes, before, codebooks)
    noise = -torch.log(-torch.log(torch.rand(logits.shape, generator=g).clamp(1e-6, 1 - 1e-6)))
    drawn = (logits.float() + 0.7 * noise).argmax(-1)
    written = torch.cat([before[:, :1], drawn[:, :-1]], 1)
    rows = torch.rand(before.shape[0], 1, generator=g) * 1.4 - 0.4
    return torch.where(torch.rand(before.shape, generator=g) < rows, written, before)


def losses(model: SpeechModel, heard: Heard, stage: Stage, shape: LmShape, g: torch.Generator) -> dict[str, Tensor]:
    """Every term, each already weighted. In the second stage `heard.features` are codes."""
    batch = heard.batch
    frames = batch.text.shape[1] - 1
    if stage == "joint":
        z = model.encoder(masked(heard.features, g)).float()
        codes, commitment = quantise(z, torch.rand(z.shape[0], 1, 1, generator=g) < 0.2)
    else:
        codes, commitment = heard.features, torch.zeros(())
    draw = float(torch.rand(1, generator=g))
    codebooks = 1 if draw < 0.1 else int(torch.randint(2, CODEBOOKS, (1,), generator=g)) if draw < 0.22 else CODEBOOKS
    before = own_tokens(model, codes, previous_tokens(batch.text, shape, g), codebooks, g)
    logits, turns = model.lm(codes, before, codebooks)
    weight = torch.ones(shape.pieces)
    weight[shape.padding] = 0.3
    inside = torch.arange(frames + 1)[None] <= batch.frames[:, None]
    wanted = torch.where(inside, batch.text, IGNORED)
    terms = {
        "text": F.cross_entropy(logits.float().flatten(0, 1), wanted.flatten(), weight=weight),
        "turn": 0.1 * F.cross_entropy(turns.float().flatten(0, 1), batch.turn.flatten()),
    }
    if stage == "listen":
        return terms
    parts = codes.unflatten(-1, (CODEBOOKS, DIGITS))
    for name, labels in batch.phones.items():
        rows = (labels != IGNORED).any(1)
        if rows.any():
            share = float(rows.float().mean())
            for kind, weight_of, heads, source in (
                ("phone1", 0.5, model.heads.first, parts[rows][..., 0, :]),
                ("phones", 1.0, model.heads.all, codes[rows]),
            ):
                guess = heads[name](source).unflatten(-1, (-1, model.heads.counts[name])).flatten(0, 2)
                term = weight_of * share * F.cross_entropy(guess.float(), labels[rows].flatten())
                terms[kind] = terms[kind] + term if kind in terms else term
    terms["bound"] = 0.1 * commitment
    if heard.target is None:
        return terms
    shown = inside[:, 1:].repeat_interleave(STEPS, 1)[..., None]
    terms["mel"] = 0.5 * ((model.heads.rebuilt(codes) - heard.target).abs() * shown).sum() / (shown.sum() * MELS)
    return terms
