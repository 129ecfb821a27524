"""Training the decoder on recordings of the one voice and the codes that the frozen encoder gives for them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from noctule.errors import NoctuleError
from speechmodel.clips import Audio, read_shard
from speechmodel.decoder import SHIFT, Comparison, Decoder, DecoderShape
from speechmodel.features import log_mel, power
from speechmodel.network import Encoder, from_codes, to_codes
from speechmodel.optimise import Optimisers
from speechmodel.shape import CODEBOOKS, DIGITS, FRAME
from speechmodel.voice_train import finite, mean_of, save_mean

#: trained with AdamW, as gains are (see `optimise`)
_TABLES = ("taps", "place", "head.weight")


@dataclass(frozen=True)
class DecoderPlan:
    """steps: of training; frames: of a piece of sound, of which the first `skip` only warm the state up."""

    steps: int = 2500
    batch: int = 8
    frames: int = 20
    skip: int = 3
    rate: float = 1e-3
    muon: float = 6.0
    mean: float = 0.998


@torch.no_grad()
def encode_clips(encoder: Encoder, clips: Sequence[Audio]) -> list[Tensor]:
    """Codes int16 [T, 8] of whole sounds, each from a fresh state."""
    encoder.eval()
    out = []
    for clip in clips:
        pcm = torch.from_numpy(clip[: len(clip) // FRAME * FRAME])[None]
        out.append(to_codes(encoder(log_mel(power(pcm))))[0].to(torch.int16))
    return out


def load_sounds(paths: Sequence[Path]) -> list[Audio]:
    """The sounds of some shards."""
    return [clip.audio for path in paths for clip in read_shard(path)]


class DecoderTrainer:
    """One run: weights, their running mean, the data."""

    def __init__(self, sounds: Sequence[Audio], codes: list[Tensor], plan: DecoderPlan, seed: int) -> None:
        torch.manual_seed(seed)
        self.plan, self.codes = plan, codes
        self.sounds = [np.concatenate([np.zeros(SHIFT, np.float32), s])[: len(s)] for s in sounds]
        self.model = Decoder(DecoderShape())
        self.mean = mean_of(self.model)
        self.compare = Comparison()
        self.random = np.random.default_rng(seed)
        self.step = self.skipped = 0

    def warm(self, state: dict[str, Tensor]) -> None:
        """Begin from other weights (of an earlier encoder, perhaps)."""
        self.model.load_state_dict(state)
        self.mean = mean_of(self.model)

    def batch(self) -> tuple[Tensor, Tensor]:
        """Codes [B, F, 8] and the sound they stand for [B, 1280 F]."""
        n = self.plan.frames
        codes, sounds = [], []
        while len(codes) < self.plan.batch:
            i = int(self.random.integers(len(self.codes)))
            total = len(self.codes[i])
            if total <= n:
                continue
            at = int(self.random.integers(total - n + 1))
            codes.append(self.codes[i][at : at + n].long())
            sounds.append(torch.from_numpy(self.sounds[i][at * FRAME : (at + n) * FRAME]))
        return torch.stack(codes), torch.stack(sounds)

    def losses(self) -> dict[str, Tensor]:
        """Of one batch; now and then the last codebooks are not given, which the decoder must bear."""
        codes, wanted = self.batch()
        values = from_codes(codes)
        if self.step % 8 == 0:
            values[:2, :, DIGITS * int(self.random.integers(2, CODEBOOKS)) :] = 0
        begin = self.plan.skip * FRAME
        return self.compare(self.model(values)[:, begin:], wanted[:, begin:])

    def run(self, say: Callable[[str], None], target: Path, encoder: str = "") -> None:
        """Train for the plan's steps; a checkpoint every two minutes beside `target`, and `target` at the end.

        encoder: the name of the weights whose codes these are.
        """
        plan = self.plan
        optimiser = Optimisers(self.model.named_parameters(), _TABLES, plan.muon, betas=(0.8, 0.98))
        begin = saved = time.monotonic()
        first = self.step
        sums: dict[str, float] = {}
        while self.step < plan.steps:
            cosine = 0.02 + 0.49 * (1 + math.cos(math.pi * self.step / plan.steps))
            optimiser.rate(plan.rate * min(1.0, (self.step + 1) / 50) * cosine)
            terms = self.losses()
            optimiser.zero_grad()
            torch.stack(list(terms.values())).sum().backward()  # type: ignore[no-untyped-call]
            norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.step += 1
            if not bool(torch.isfinite(norm)):
                self.skipped += 1
                continue
            optimiser.step()
            mean_of(self.model, self.mean, min(plan.mean, (1 + self.step) / (10 + self.step)))
            for name, term in terms.items():
                sums[name] = sums.get(name, 0.0) + float(term.detach())
            if self.step % 50 == 0:
                shown = " ".join(f"{name} {value / 50:.3f}" for name, value in sums.items())
                left = (time.monotonic() - begin) / (self.step - first) * (plan.steps - self.step) / 60
                say(f"decoder {self.step}/{plan.steps}: {shown}, skipped {self.skipped}, about {left:.0f} min left")
                sums = {}
            if time.monotonic() - saved > 120:
                self.save(target.with_suffix(".partial"), "")
                saved = time.monotonic()
        if not self.save(target, encoder):
            raise NoctuleError("the weights are not numbers any more", "train again with another seed")

    def save(self, target: Path, encoder: str) -> bool:
        """Write the running mean of the weights if every one is finite; whether it was."""
        return finite(self.mean) and save_mean(target, "decoder", self.mean, self.model.shape, self.step, encoder)
