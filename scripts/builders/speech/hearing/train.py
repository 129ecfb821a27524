"""Training, in two stages on one thread: everything together, then the text model on frozen codes.

Resumable: a checkpoint holds weights, their running mean, the optimiser and all random states, and is written only
while every weight is finite.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from builders.speech.augment import Noises, disturbed
from builders.speech.features import WARPS, log_mel, power
from builders.speech.hearing.dataset import Batch, ClipStore, batches
from builders.speech.hearing.examples import IGNORED
from builders.speech.hearing.lm import SpeechTextModel
from builders.speech.hearing.network import Encoder, Heads, quantise
from builders.speech.optimise import Optimisers
from builders.speech.shape import CODEBOOKS, DIGITS, MELS, STEPS, LmShape
from builders.speech.tokenizer import Pieces

Stage = Literal["joint", "listen"]
#: what is a table, or speaks to one: trained with AdamW like gains and biases
_TABLES = (
    "taps", "text_emb.weight", "text_linear.weight", "extra_heads.0.weight", "project.weight", "features.weight",
    *(f"heard.{i}.weight" for i in range(CODEBOOKS)),
)  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """steps: of each stage; muon: how many times higher the rate of matrices is (see `optimise`); decay: the share
    of a stage's end over which the rate falls to `last` of itself."""

    joint_steps: int = 5300
    listen_steps: int = 600
    rate: float = 1.5e-3
    muon: float = 6.0
    warm_up: int = 200
    decay: float = 0.85
    last: float = 0.03
    #: far more is learned in the same minutes than with 12: Muon's own work, which does not depend on them, is a
    #: third of a step of 12
    batch: int = 48
    mean: float = 0.998
    #: heard batches that are kept, and how often one of them is used again instead of a new one
    kept: int = 48
    again: float = 0.5
    #: the same once the encoder is frozen, when only codes need to be kept
    kept_codes: int = 200
    again_codes: float = 0.6
    listen_rate: float = 4e-4
    shares: dict[str, float] = field(
        default_factory=lambda: {
            "espeak": 0.18,
            "flite": 0.15,
            "rhvoice": 0.08,
            "espeak_plain": 0.05,
            "flite_plain": 0.05,
            "espeak_mixed": 0.18,
            "flite_mixed": 0.22,
            "rhvoice_mixed": 0.09,
            "recordings": 0.5,
        }
    )

    def steps(self, stage: Stage) -> int:
        return self.joint_steps if stage == "joint" else self.listen_steps

    def rate_at(self, stage: Stage, step: int) -> float:
        """Warm-up, then constant, then a straight fall; the second stage falls all the way."""
        total = self.steps(stage)
        begin = total * ((1 - self.decay) if stage == "joint" else 0.4)
        fall = min(1.0, max(0.0, (step - begin) / max(1.0, total - begin)))
        floor = self.last if stage == "joint" else 0.002
        warm = min(1.0, (step + 1) / self.warm_up) if stage == "joint" else min(1.0, (step + 1) / 100)
        rate = self.rate if stage == "joint" else self.listen_rate
        return rate * warm * (1 - fall * (1 - floor))


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


def autocast() -> torch.autocast:
    """Matrix products in bfloat16: a third faster on processors that have them."""
    return torch.autocast("cpu", torch.bfloat16)


class Trainer:
    """One run in `folder`: what is trained, and where it stands."""

    def __init__(
        self, folder: Path, store: ClipStore, pieces: Pieces, plan: Plan, shape: LmShape, seed: int,
        labels: dict[str, dict[str, int]],
    ) -> None:  # fmt: skip
        self.folder, self.store, self.pieces, self.plan, self.shape = folder, store, pieces, plan, shape
        self.labels = labels
        torch.manual_seed(seed)
        self.random, self.generator = Random(seed), torch.Generator().manual_seed(seed)
        self.model = SpeechModel(shape, {name: len(found) + 1 for name, found in labels.items()})
        self.mean = {name: value.detach().clone() for name, value in self.model.state_dict().items()}
        self.bank = Noises(seed)
        self.stage: Stage = "joint"
        self.step = 0
        self.skipped = 0
        self._kept: list[Heard] = []
        self.optimiser = self._optimiser()

    def _optimiser(self) -> Optimisers:
        trained = self.model if self.stage == "joint" else self.model.lm
        return Optimisers(trained.named_parameters(), _TABLES, self.plan.muon)

    def begin(self, stage: Stage) -> None:
        """Start a stage from the running mean of the weights."""
        self.model.load_state_dict(self.mean)
        self.stage, self.step = stage, 0
        self._kept = []
        self.optimiser = self._optimiser()

    def warm(self, encoder: Mapping[str, Tensor], text: Mapping[str, Tensor]) -> None:
        """Begin with these weights. The heads say nothing at first, so that they do not pull at the encoder before
        they have learned what its codes mean."""
        self.model.encoder.load_state_dict(encoder)
        self.model.lm.load_state_dict(text)
        for name, value in self.model.heads.named_parameters():
            if name.startswith(("first", "all")) and ".2." in name:
                nn.init.zeros_(value)
        self.mean = {name: value.detach().clone() for name, value in self.model.state_dict().items()}

    def _next(self, source: Iterator[Batch]) -> Heard:
        """A new batch, or one of the kept ones: speaking and disturbing costs as much as learning from it."""
        plan, g = self.plan, self.generator
        joint = self.stage == "joint"
        room, again = (plan.kept, plan.again) if joint else (plan.kept_codes, plan.again_codes)
        if len(self._kept) >= min(room, 32) and float(torch.rand(1, generator=g)) < again:
            return self._kept[int(torch.randint(0, len(self._kept), (1,), generator=g))]
        keep = joint and float(torch.rand(1, generator=g)) < 0.5
        heard = hear(next(source), g, self.bank, keep)
        if not joint:
            with torch.no_grad(), autocast():
                codes, _ = quantise(self.model.encoder(heard.features).float())
            heard = replace(heard, features=codes)
        if len(self._kept) < room:
            self._kept.append(heard)
        else:
            self._kept[int(torch.randint(0, len(self._kept), (1,), generator=g))] = heard
        return heard

    def save(self, path: Path) -> bool:
        """Write a checkpoint if every weight is finite; whether it was."""
        if not all(bool(torch.isfinite(value).all()) for value in self.model.state_dict().values()):
            return False
        content = {
            "stage": self.stage, "step": self.step, "model": self.model.state_dict(), "mean": self.mean,
            "optimisers": self.optimiser.state_dict(), "random": self.random.getstate(),
            "generator": self.generator.get_state(), "torch": torch.get_rng_state(), "labels": self.labels,
            "plan": self.plan.__dict__, "shape": self.shape.__dict__,
        }  # fmt: skip
        temporary = path.with_suffix(".part")
        torch.save(content, temporary)
        temporary.replace(path)
        return True

    def load(self, path: Path) -> None:
        """Go on from a checkpoint."""
        content = torch.load(path, weights_only=False)
        self.stage, self.step = content["stage"], content["step"]
        self.model.load_state_dict(content["model"])
        self.mean = content["mean"]
        self.optimiser = self._optimiser()
        self.optimiser.load_state_dict(content["optimisers"])
        self.random.setstate(content["random"])
        self.generator.set_state(content["generator"])
        torch.set_rng_state(content["torch"])

    def run(
        self, say: Callable[[str], None], every: float = 180.0, refresh: Callable[[], None] | None = None
    ) -> None:
        """The rest of this stage."""
        total = self.plan.steps(self.stage)
        source = batches(
            self.store, self.plan.shares, self.plan.batch, self.random, self.pieces, self.shape, self.labels
        )
        sums: dict[str, float] = {}
        begin, saved, first = time.monotonic(), time.monotonic(), self.step
        while self.step < total:
            rate = self.plan.rate_at(self.stage, self.step)
            self.optimiser.rate(rate)
            heard = self._next(source)
            with autocast():
                terms = losses(self.model, heard, self.stage, self.shape, self.generator)
            loss = torch.stack(list(terms.values())).sum()
            self.step += 1
            if not bool(torch.isfinite(loss)):
                self.skipped += 1
                continue
            self.optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            if not bool(torch.isfinite(norm)):
                self.skipped += 1
                continue
            self.optimiser.step()
            self._average()
            for name, term in terms.items():
                sums[name] = sums.get(name, 0.0) + float(term.detach())
            if self.step % 100 == 0:
                now = time.monotonic()
                left = (now - begin) / max(1, self.step - first) * (total - self.step)
                shown = " ".join(f"{name} {value / 100:.3f}" for name, value in sums.items())
                say(
                    f"{self.stage} {self.step}/{total} {shown} rate {rate:.1e} skipped {self.skipped},"
                    f" about {left / 60:.0f} min left"
                )
                sums = {}
                if refresh is not None:
                    refresh()
                if now - saved > every:
                    self.save(self.folder / "checkpoint.pt")
                    saved = now
        self.save(self.folder / f"{self.stage}.pt")
        self.save(self.folder / "checkpoint.pt")

    @torch.no_grad()
    def _average(self) -> None:
        share = min(self.plan.mean, (1 + self.step) / (10 + self.step))
        state: dict[str, Any] = self.model.state_dict()
        names = list(state)
        mean = [self.mean[name] for name in names]
        torch._foreach_lerp_(mean, [state[name] for name in names], 1 - share)
        if not math.isfinite(float(mean[0].flatten()[0])):
            raise FloatingPointError("the running mean of the weights is not finite")
