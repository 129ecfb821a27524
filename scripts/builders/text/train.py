"""Training noctule-tiny: next-token loss on the call and the reply, seeded, checkpointed, resumable.

Matrices are trained with Muon (K. Jordan et al. 2024, kellerjordan.github.io/posts/muon), the rest with AdamW; the
checkpoint that is kept is an exponential moving average of the weights.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from random import Random

import torch
import torch.nn.functional as F
from torch import Tensor

from builders.text.generate import Example, Generator
from builders.text.model import Llama, Shape
from noctule.assistant.actions.declared import SPECS
from noctule.assistant.actions.format import CallFormat
from noctule.assistant.actions.registry import Call, Value
from noctule.assistant.phrases.request import read

_SPECS = {spec.name: spec for spec in SPECS}
_IGNORE = -100


@dataclass(frozen=True)
class Recipe:
    """steps: of the optimiser; batch: requests a step; chunk: examples drawn, sorted by length and batched.

    muon_rate, adam_rate: highest learning rates; rates: (step, share of them) between which they move in straight
    lines, from nothing; average: decay of the moving average of the weights;
    rich: share of requests with less common courtesies;
    reply_weight: weight in the loss of the choice of the reply, against 1 for the call;
    copy_weight: from step copy_from on, that of an argument's tokens after its first. The grammar leaves those little
    choice, but to learn to copy made-up names is so hard that it drowns everything else;
    dropout: share of the embeddings' and of each branch's outputs that is left out by chance before dropout_until.
    """

    seed: int = 7
    steps: int = 5800
    batch: int = 128
    chunk: int = 9600
    muon_rate: float = 0.02
    adam_rate: float = 0.003
    rates: tuple[tuple[int, float], ...] = (
        (99, 1.0),
        (2600, 1.0),
        (3750, 0.6515),
        (5200, 0.0),
        (5220, 0.4),
        (5800, 0.0),
    )
    average: float = 0.998
    rich: float = 0.35
    reply_weight: float = 0.3
    copy_weight: float = 0.2
    copy_from: int = 1750
    dropout: float = 0.1
    dropout_until: int = 5200
    threads: int = 1
    save_every: int = 250


@dataclass(frozen=True)
class Batch:
    """tokens, targets: int64 [B,T], target -100: not trained; weights: float32 [B,T], of each target in the loss."""

    tokens: Tensor
    targets: Tensor
    weights: Tensor


def encode(example: Example, form: CallFormat) -> tuple[list[int], list[int]]:
    """-> (prompt tokens, answer tokens)."""
    request = read(example.text)
    call = Call(example.action, {name: Value(value) for name, value in example.arguments})
    return form.prompt(request), form.write(call, example.reply, _SPECS[example.action])


def chunk_of_batches(recipe: Recipe, number: int, form: CallFormat, context: int) -> list[Batch]:
    """Chunk `number` of the endless data."""
    generator = Generator("train", recipe.seed * 1_000_003 + number, recipe.rich)
    encoded = [encode(example, form) for example in islice(generator.stream(), recipe.chunk)]
    encoded = [pair for pair in encoded if len(pair[0]) + len(pair[1]) <= context + 1]
    encoded.sort(key=lambda pair: len(pair[0]) + len(pair[1]))
    groups = [encoded[at : at + recipe.batch] for at in range(0, len(encoded), recipe.batch)]
    Random(f"{recipe.seed}/{number}").shuffle(groups)
    first = number * -(-recipe.chunk // recipe.batch)
    return [
        collate(group, form, recipe.reply_weight, recipe.copy_weight if first + at >= recipe.copy_from else 1.0)
        for at, group in enumerate(groups)
    ]


def collate(
    pairs: list[tuple[list[int], list[int]]], form: CallFormat, reply_weight: float, copy_weight: float
) -> Batch:
    """Pad on the right. Input drops the last token, target the first; prompt positions are not trained on."""
    length = max(len(prompt) + len(answer) for prompt, answer in pairs) - 1
    tokens = torch.full((len(pairs), length), 3, dtype=torch.int64)
    targets = torch.full((len(pairs), length), _IGNORE, dtype=torch.int64)
    weights = torch.zeros(len(pairs), length)
    for row, (prompt, answer) in enumerate(pairs):
        whole = torch.tensor(prompt + answer)
        begin, end = len(prompt) - 1, len(whole) - 1
        tokens[row, :end] = whole[:-1]
        targets[row, begin:end] = whole[len(prompt) :]
        said = answer.index(form.reply_token)
        weights[row, begin : begin + said + 1] = 1.0
        weights[row, begin + said + 1 : end] = reply_weight
        for at in range(2, said):
            if not (form.is_control(answer[at]) or form.is_control(answer[at - 1])):
                weights[row, begin + at] = copy_weight
    return Batch(tokens, targets, weights)


def batches(recipe: Recipe, form: CallFormat, context: int, start: int) -> Iterator[Batch]:
    """Batches from step `start` on: the same ones whether or not training was interrupted there."""
    # Chunks lose a few over-long examples, so their batch counts differ a little: count, do not compute.
    per_chunk = -(-recipe.chunk // recipe.batch)
    number, skipped = divmod(start, per_chunk)
    while True:
        group = chunk_of_batches(recipe, number, form, context)
        group = (group * 2)[:per_chunk]
        yield from group[skipped:]
        number, skipped = number + 1, 0


def rate(recipe: Recipe, step: int) -> float:
    """The learning rate at `step` as a share of the highest: straight lines between the recipe's knots."""
    before = (-1, 0.0)
    for knot in recipe.rates:
        if step <= knot[0]:
            return before[1] + (knot[1] - before[1]) * (step - before[0]) / (knot[0] - before[0])
        before = knot
    return 0.0


class Trainer:
    """Model, average and optimisers, with their state on disk."""

    def __init__(self, recipe: Recipe, shape: Shape, form: CallFormat, folder: Path) -> None:
        torch.manual_seed(recipe.seed)
        torch.set_num_threads(recipe.threads)
        torch.use_deterministic_algorithms(True)
        self.recipe, self.form, self.folder = recipe, form, folder
        self.model = Llama(shape)
        matrices = [p for name, p in self.model.named_parameters() if p.ndim == 2 and "embed" not in name]
        others = [p for name, p in self.model.named_parameters() if p.ndim != 2 or "embed" in name]
        self.optimisers: list[torch.optim.Optimizer] = [
            torch.optim.Muon(matrices, lr=recipe.muon_rate, weight_decay=0.01, momentum=0.95),
            torch.optim.AdamW(others, lr=recipe.adam_rate, betas=(0.9, 0.98), weight_decay=0.01),
        ]
        self._rates = [recipe.muon_rate, recipe.adam_rate]
        self.average = {name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()}
        self.step = 0
        self._load()

    @property
    def _state(self) -> Path:
        return self.folder / "train.pt"

    def _load(self) -> None:
        if not self._state.exists():
            return
        state = torch.load(self._state, weights_only=True)
        if state["recipe"] != json.dumps(asdict(self.recipe)) or state["shape"] != json.dumps(
            asdict(self.model.shape)
        ):
            return
        self.model.load_state_dict(state["model"])
        self.average, self.step = state["average"], state["step"]
        for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)

    def save(self) -> None:
        """Write the state beside the old one, then rename."""
        partial = self._state.with_suffix(".partial")
        torch.save(
            {
                "recipe": json.dumps(asdict(self.recipe)),
                "shape": json.dumps(asdict(self.model.shape)),
                "model": self.model.state_dict(),
                "average": self.average,
                "step": self.step,
                "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
            },
            partial,
        )
        partial.replace(self._state)

    def run(self, progress: Callable[[str], None]) -> dict[str, Tensor]:
        """Train to the end; returns the averaged weights."""
        recipe = self.recipe
        began, shown = time.monotonic(), 0.0
        for batch in batches(recipe, self.form, self.model.shape.context, self.step):
            if self.step >= recipe.steps:
                break
            shown += self._one(batch)
            self.step += 1
            if self.step % 50 == 0:
                each = (time.monotonic() - began) / 50
                progress(f"step {self.step}/{recipe.steps}  loss {shown / 50:.4f}  {each * 1000:.0f} ms/step")
                began, shown = time.monotonic(), 0.0
            if self.step % recipe.save_every == 0:
                self.save()
        self.save()
        return self.average

    def _one(self, batch: Batch) -> float:
        factor = rate(self.recipe, self.step)
        # What is left out depends on the step alone, so that a cut training is picked up exactly.
        torch.manual_seed(self.recipe.seed * 1_000_003 + self.step)
        self.model.leave_out(self.recipe.dropout if self.step < self.recipe.dropout_until else 0.0)
        for optimiser, base in zip(self.optimisers, self._rates, strict=True):
            for group in optimiser.param_groups:
                group["lr"] = base * factor
            optimiser.zero_grad(set_to_none=True)
        wanted = batch.targets != _IGNORE
        # Master weights, norms' sums and the loss stay float32; the products run nearly twice as fast in bfloat16.
        with torch.autocast("cpu", torch.bfloat16):
            hidden = self.model.hidden(batch.tokens, wanted)
            logits = self.model.logits(hidden)
        losses = F.cross_entropy(logits.float(), batch.targets[wanted], reduction="none")
        weights = batch.weights[wanted]
        loss = (losses * weights).sum() / weights.sum()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimiser in self.optimisers:
            optimiser.step()
        keep = min(self.recipe.average, (self.step + 1) / (self.step + 10))
        with torch.no_grad():
            for name, tensor in self.model.state_dict().items():
                self.average[name].lerp_(tensor, 1 - keep)
        return float(loss.detach())
