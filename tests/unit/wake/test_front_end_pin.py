"""The pin of the wake words' front end: the same on every C library, another for another front end."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np
import pytest

from noctule.wake import features

KEPT = np.frombuffer(features.KEPT_ANSWER.read_bytes(), np.int8).reshape(-1, features.CHANNELS)
DIGEST = hashlib.sha256(KEPT.tobytes()).hexdigest()


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    features.digest.cache_clear()
    yield
    features.digest.cache_clear()


def answering(monkeypatch: pytest.MonkeyPatch, answer: np.ndarray) -> str:
    monkeypatch.setattr(features, "extract", lambda samples: answer)
    return features.digest()


def test_the_installed_front_end_agrees_with_the_kept_answer() -> None:
    answer = features.extract(features.reference_signal())
    assert features.agrees(answer, KEPT)
    assert features.digest() == DIGEST


def test_rounding_as_of_another_c_library_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """glibc 2.41 moves 2 of the 3920 values, by up to 3 steps."""
    other = KEPT.copy()
    other.ravel()[[100, 2000]] += 3
    assert answering(monkeypatch, other) == DIGEST


@pytest.mark.parametrize("change", ["one far", "many near", "fewer frames", "another gain"])
def test_another_front_end_has_another_pin(monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    other = KEPT.copy()
    if change == "one far":
        other[50, 20] = -128 if other[50, 20] > 0 else 127
    elif change == "many near":
        other[::2] += 1
    elif change == "fewer frames":
        other = other[:-1]
    else:
        other = (other // 2).astype(np.int8)
    assert answering(monkeypatch, other) != DIGEST
