"""Teaching the n-grams: what is kept, that they learn, and that the same seed gives the same bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from builders.text.generate import Generator  # noqa: E402
from builders.text.ngrams import ACTIONS, Lessons, Pupil, drawn, frequent, teach  # noqa: E402
from noctule.assistant.brain.ngrams import Member, Ngrams, features  # noqa: E402
from noctule.assistant.phrases.request import read  # noqa: E402 - torch decides whether there is anything to test

pytestmark = pytest.mark.host

LESSONS = Lessons(seed=3, examples=6_000, counted=2_000, least=3, keep=4_000, width=16, batch=128)


def test_frequent_features_are_kept_and_rise() -> None:
    kept = frequent(LESSONS, "phrases")
    assert 500 < len(kept) <= 4_000
    assert bool((np.diff(kept.astype(np.int64)) > 0).all())
    counts = {int(feature): 0 for feature in kept}
    for words, _ in drawn(LESSONS, 0, 2_000):
        for feature in set(features("phrases", words).tolist()) & counts.keys():
            counts[feature] += 1
    assert min(counts.values()) >= LESSONS.least


def test_a_pupil_says_what_its_arrays_say() -> None:
    torch.manual_seed(0)
    pupil = Pupil("letters", frequent(LESSONS, "letters"), 16)
    arrays = {name.partition(".")[2]: array for name, array in pupil.arrays().items()}
    member = Member("letters", **arrays)
    for text in ("set a timer for five minutes", "hush", "zzz qqq"):
        words = read(text).texts
        with torch.no_grad():
            wanted = pupil([pupil.places(words)], 0.0)[0].numpy()
        np.testing.assert_allclose(member.logits(words), wanted, atol=0.01)


def test_they_learn_and_the_bytes_repeat(tmp_path: Path) -> None:
    said: list[str] = []
    teach(LESSONS, tmp_path / "one.npz", said.append)
    teach(LESSONS, tmp_path / "two.npz", said.append)
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    with np.load(tmp_path / "one.npz", allow_pickle=False) as held:
        arrays = {name: held[name] for name in held.files}
    for kind in LESSONS.kinds:
        own = {name.partition(".")[2]: array for name, array in arrays.items() if name.startswith(kind)}
        ngrams = Ngrams(ACTIONS, [Member(kind, **own)])
        right = total = 0
        for example in Generator("train", 99).stream():
            opinion = ngrams.opinion(read(example.text).texts)
            right += max(opinion, key=lambda name: opinion[name]) == example.action
            total += 1
            if total == 300:
                break
        # Half of the requests are for nothing we do.
        assert right / total > 0.6, kind
