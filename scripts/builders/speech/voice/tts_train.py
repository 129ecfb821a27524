"""Training the speaking model on the voice's codes and on what `TextFeed` reads beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import sentencepiece
import torch
from torch import Tensor
from torch.nn import functional as F

from builders.speech.shape import CODEBOOKS, DIGITS, LEVELS
from builders.speech.voice.data import DELAY, Line
from builders.speech.voice.train import Course, MeanTrainer
from builders.speech.voice.tts import SpeakingModel, SpeakShape, digits_of, one_hot

_IGNORED = -100
#: trained with AdamW, as gains are (see `optimise`)
_TABLES = ("text.weight", "depth_text.weight", "sound", "begins.weight")


@dataclass(frozen=True)
class SpeakPlan:
    """steps: of training; wrong: at most this share of the digits heard is wrong, as it will be at run time; first:
    weight of the semantic codebook beside the others'."""

    steps: int = 6000
    batch: int = 20
    rate: float = 1e-3
    muon: float = 6.0
    mean: float = 0.998
    wrong: float = 0.15
    first: float = 2.0


def train_pieces(target: Path, texts: Sequence[str], pieces: int) -> None:
    """A SentencePiece model of the voice's words, with every letter. Ids as in Kyutai's own."""
    letters = list("abcdefghijklmnopqrstuvwxyz'")
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([*texts, *letters * 20]),
        model_prefix=str(target.with_suffix("")),
        vocab_size=pieces,
        model_type="unigram",
        character_coverage=1.0,
        unk_id=0,
        bos_id=1,
        eos_id=2,
        pad_id=3,
        # texts come as letters already (`spoken`); the usual rules would be most of the file
        normalization_rule_name="identity",
        hard_vocab_limit=True,
        num_threads=1,
        minloglevel=2,
    )
    target.with_suffix(".vocab").unlink(missing_ok=True)


@dataclass(frozen=True)
class Steps:
    """Lines made equal in length. before, now: text tokens [B, S] one step before and at the step; heard [B, S, 8, 5]
    digits one step before and whether there are any [B, S]; codes [B, S, 8, 5] to predict and where [B, S]; begins
    [B, S]: the mark to predict, or ignored."""

    before: Tensor
    now: Tensor
    heard: Tensor
    given: Tensor
    codes: Tensor
    wanted: Tensor
    begins: Tensor


def collate(lines: Sequence[tuple[Line, Tensor]], shape: SpeakShape) -> Steps:
    """Lines with their codes [T, 8]; the sound of step s is frame s - DELAY."""
    rows, steps = len(lines), max(len(line.text) for line, _ in lines)
    now = torch.full((rows, steps), shape.padding)
    codes = torch.zeros(rows, steps, CODEBOOKS, DIGITS, dtype=torch.long)
    wanted = torch.zeros(rows, steps, dtype=torch.bool)
    begins = torch.full((rows, steps), _IGNORED)
    for row, (line, sound) in enumerate(lines):
        count = len(line.text)
        now[row, :count] = torch.from_numpy(line.text)
        frames = min(count - DELAY, len(sound))
        codes[row, DELAY : DELAY + frames] = digits_of(sound[:frames].long())
        wanted[row, DELAY : DELAY + frames] = True
        mark = np.where(line.word, shape.new_word, shape.padding)
        begins[row, :count] = torch.from_numpy(np.where(line.asked, mark, _IGNORED))
    before = torch.cat([torch.full((rows, 1), shape.pieces), now[:, :-1]], 1)
    heard = torch.cat([torch.zeros_like(codes[:, :1]), codes[:, :-1]], 1)
    given = torch.cat([torch.zeros_like(wanted[:, :1]), wanted[:, :-1]], 1)
    return Steps(before, now, heard, given, codes, wanted, begins)


def speaking_losses(model: SpeakingModel, batch: Steps, plan: SpeakPlan, g: torch.Generator) -> dict[str, Tensor]:
    """Every term, each already weighted, and how many digits are right."""
    share = torch.rand(batch.heard.shape[0], 1, 1, 1, generator=g) * plan.wrong
    wrong = torch.rand(batch.heard.shape, generator=g) < share
    heard = torch.where(wrong, torch.randint(0, LEVELS, batch.heard.shape, generator=g), batch.heard)
    sound = one_hot(heard).flatten(-2) * batch.given[..., None]
    hidden = model.temporal(batch.before, sound)
    marks = F.cross_entropy(model.begins(hidden).flatten(0, 1), batch.begins.flatten(), ignore_index=_IGNORED)
    target = batch.codes[batch.wanted]  # [N, 8, 5]
    guess = model.depth(hidden[batch.wanted], batch.now[batch.wanted], one_hot(target))
    digits = target.transpose(0, 1)
    losses = F.cross_entropy(guess.flatten(0, 2), digits.flatten(), reduction="none").view(CODEBOOKS, -1).mean(1)
    weight = torch.ones(CODEBOOKS)
    weight[0] = plan.first
    right = (guess.argmax(-1) == digits).float().mean()
    return {"sound": 2.0 * (losses * weight).sum() / weight.sum(), "marks": marks, "right": right.detach()}


class SpeakTrainer(MeanTrainer):
    """One run: the speaking model and its data."""

    def __init__(self, lines: Sequence[tuple[Line, Tensor]], shape: SpeakShape, plan: SpeakPlan, seed: int) -> None:
        torch.manual_seed(seed)
        course = Course("voice", _TABLES, plan.steps, plan.rate, plan.muon, plan.mean, warm_up=80, last=0.01)
        self.speaking = SpeakingModel(shape)
        super().__init__(self.speaking, shape, course, seed)
        self.plan = plan
        # neighbours are of nearly one length, so that little of a batch is padding
        self.lines = sorted(lines, key=lambda item: len(item[0].text))
        self.generator = torch.Generator().manual_seed(seed)

    def batch(self) -> Steps:
        size = self.plan.batch
        first = int(self.random.integers(-size // 2, max(1, len(self.lines) - size // 2)))
        first = min(max(first, 0), max(0, len(self.lines) - size))
        return collate(self.lines[first : first + size], self.shape)

    def losses(self) -> dict[str, Tensor]:
        return speaking_losses(self.speaking, self.batch(), self.plan, self.generator)
