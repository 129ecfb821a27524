"""Word and sentence errors, and the disturbances of the tests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Audio = NDArray[np.float32]


def edits(wanted: Sequence[str], got: Sequence[str]) -> int:
    """Substitutions, deletions and insertions (Levenshtein)."""
    row = list(range(len(got) + 1))
    for i, word in enumerate(wanted, 1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(got, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (word != other))
    return row[-1]


def word_error(wanted: Sequence[str], got: Sequence[str]) -> float:
    """Edits of all sentences over words of all sentences."""
    wrong = sum(edits(w.split(), g.split()) for w, g in zip(wanted, got, strict=True))
    return wrong / max(1, sum(len(w.split()) for w in wanted))


def sentence_error(wanted: Sequence[str], got: Sequence[str]) -> float:
    """Share of sentences that are not exactly right."""
    return sum(w != g for w, g in zip(wanted, got, strict=True)) / max(1, len(wanted))
