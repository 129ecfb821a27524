"""Training the decoder on recordings of the one voice and the codes that the frozen encoder gives for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from builders.speech.clips import Audio, read_shard
from builders.speech.features import log_mel, power
from builders.speech.hearing.network import Encoder, from_codes, to_codes
from builders.speech.shape import CODEBOOKS, DIGITS, FRAME
from builders.speech.voice.decoder import SHIFT, Comparison, Decoder, DecoderShape
from builders.speech.voice.train import Course, MeanTrainer

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


class DecoderTrainer(MeanTrainer):
    """One run: the decoder and its data."""

    def __init__(self, sounds: Sequence[Audio], codes: list[Tensor], plan: DecoderPlan, seed: int) -> None:
        torch.manual_seed(seed)
        course = Course(
            "decoder", _TABLES, plan.steps, plan.rate, plan.muon, plan.mean, warm_up=50, last=0.02, betas=(0.8, 0.98)
        )
        shape = DecoderShape()
        super().__init__(Decoder(shape), shape, course, seed)
        self.plan, self.codes = plan, codes
        self.sounds = [np.concatenate([np.zeros(SHIFT, np.float32), s])[: len(s)] for s in sounds]
        self.compare = Comparison()

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
        found: dict[str, Tensor] = self.compare(self.model(values)[:, begin:], wanted[:, begin:])
        return found
