"""Teaching the n-grams of noctule-tiny (`noctule.assistant.brain.ngrams`): which features count, and what each says.

Every member is a linear model after one embedding (Joulin et al. 2016, arXiv 1607.01759), trained on requests that
are drawn once and never again, with a share of the features left out by chance, by Adagrad (Duchi et al. 2011).
Features that few requests have are not kept: they would only be learned by heart.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from builders.text.generate import Generator
from noctule.assistant.actions.declared import SPECS
from noctule.assistant.brain.ngrams import features
from noctule.assistant.phrases.request import read

ACTIONS = tuple(sorted(spec.name for spec in SPECS))
_PLACE = {name: at for at, name in enumerate(ACTIONS)}
_CHUNK = 24_000


@dataclass(frozen=True)
class Lessons:
    """How to teach. seed, rich: of the requests; examples: how many are drawn; counted: how many of them decide which
    features are kept: those that at least `least` have, and of them the `keep` most frequent of each kind;
    width: of the embedding; rate: Adagrad's, falling to a fiftieth; left_out: share of features.
    """

    seed: int = 7
    rich: float = 0.35
    kinds: tuple[str, ...] = ("phrases", "letters")
    examples: int = 4_320_000
    counted: int = 240_000
    least: int = 4
    keep: int = 48_000
    width: int = 32
    batch: int = 512
    rate: float = 0.05
    left_out: float = 0.15


def drawn(lessons: Lessons, number: int, count: int = _CHUNK) -> Iterator[tuple[tuple[str, ...], int]]:
    """Chunk `number` of the requests: words, and the place of the action in ACTIONS."""
    # Other requests than the language model's: its seeds are below.
    generator = Generator("train", lessons.seed * 1_000_003 + 500_000 + number, lessons.rich)
    for example in islice(generator.stream(), count):
        yield read(example.text).texts, _PLACE[example.action]


def frequent(lessons: Lessons, kind: str) -> NDArray[np.uint32]:
    """The features that are kept, rising."""
    found: list[NDArray[np.uint32]] = []
    for number in range(-(-lessons.counted // _CHUNK)):
        requests = drawn(lessons, number, min(_CHUNK, lessons.counted))
        found += [np.unique(features(kind, words)) for words, _ in requests]
    names, counts = np.unique(np.concatenate(found), return_counts=True)
    order = np.argsort(-counts, kind="stable")[: lessons.keep]
    return np.sort(names[order[counts[order] >= lessons.least]])


class Pupil(nn.Module):
    """One member while it learns. known: the features it has, uint32 [N]."""

    def __init__(self, kind: str, known: NDArray[np.uint32], width: int) -> None:
        super().__init__()
        self.kind, self.known = kind, known
        self.table = nn.Parameter(torch.randn(len(known), width) * 0.05)
        self.head = nn.Linear(width, len(ACTIONS))

    def places(self, words: Sequence[str]) -> NDArray[np.int64]:
        """Rows of the features that a request has and that are known."""
        wanted = features(self.kind, words)
        at = np.minimum(np.searchsorted(self.known, wanted), len(self.known) - 1)
        return at[self.known[at] == wanted]

    def forward(self, requests: Sequence[NDArray[np.int64]], left_out: float) -> Tensor:
        """Logits float32 [B,A]."""
        sizes = np.array([len(places) for places in requests])
        starts = torch.from_numpy(np.concatenate([[0], sizes[:-1].cumsum()]))
        flat = torch.from_numpy(np.concatenate(requests))
        weights = (torch.rand(len(flat)) >= left_out).float() / (1 - left_out)
        hidden = F.embedding_bag(flat, self.table, starts, mode="sum", per_sample_weights=weights)
        logits: Tensor = self.head(hidden)
        return logits

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What the package holds of it: rows in int8 with a scale each."""
        table = self.table.detach().numpy()
        scales = np.maximum(np.abs(table).max(axis=1), 1e-12).astype(np.float32) / np.float32(127)
        return {
            f"{self.kind}.features": self.known,
            f"{self.kind}.rows": np.rint(table / scales[:, None]).astype(np.int8),
            f"{self.kind}.scales": scales,
            f"{self.kind}.head": np.ascontiguousarray(self.head.weight.detach().numpy().T),
            f"{self.kind}.bias": self.head.bias.detach().numpy(),
        }


def teach(lessons: Lessons, path: Path, progress: Callable[[str], None]) -> None:
    """Write the file of the members at `path`, when it is whole."""
    torch.manual_seed(lessons.seed)
    torch.set_num_threads(1)
    pupils = [Pupil(kind, frequent(lessons, kind), lessons.width) for kind in lessons.kinds]
    progress("n-grams: " + ", ".join(f"{len(pupil.known)} features of {pupil.kind}" for pupil in pupils))
    optimisers = [torch.optim.Adagrad(pupil.parameters(), lr=lessons.rate) for pupil in pupils]
    chunks = -(-lessons.examples // _CHUNK)
    for number in range(chunks):
        examples = list(drawn(lessons, number, min(_CHUNK, lessons.examples)))
        answers = torch.tensor([action for _, action in examples])
        shown = []
        for pupil, optimiser in zip(pupils, optimisers, strict=True):
            optimiser.param_groups[0]["lr"] = lessons.rate * max(0.02, 1 - number / chunks)
            places = [pupil.places(words) for words, _ in examples]
            losses = []
            for at in range(0, len(examples), lessons.batch):
                logits = pupil(places[at : at + lessons.batch], lessons.left_out)
                loss = F.cross_entropy(logits, answers[at : at + lessons.batch])
                optimiser.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                losses.append(float(loss.detach()))
            shown.append(f"{pupil.kind} {np.mean(losses):.4f}")
        if (number + 1) % 10 == 0 or number + 1 == chunks:
            progress(f"n-grams: {number + 1}/{chunks}  loss of {', '.join(shown)}")
    write(path, {name: array for pupil in pupils for name, array in pupil.arrays().items()})


def write(path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    """A .npz, the same bytes for the same arrays. Not compressed: full int8 rows gain nothing."""
    partial = path.with_suffix(".partial")
    with zipfile.ZipFile(partial, "w") as held:
        for name in sorted(arrays):
            # An entry of our own has no time of the day.
            with held.open(zipfile.ZipInfo(f"{name}.npy"), "w") as file:
                np.lib.format.write_array(file, arrays[name], allow_pickle=False)
    partial.replace(path)
