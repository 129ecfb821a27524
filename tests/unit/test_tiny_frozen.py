"""The held-out requests of noctule-tiny stay the same: a version is compared with the last on the very same ones."""

from __future__ import annotations

import hashlib

import pytest

from tiny.evaluate import TEST_SEED, VALIDATION_SEED, draw
from tiny.split import Part

#: sha256 of the drawn requests, with the data of version 3. Who changes one on purpose measures the old model anew.
FROZEN = {
    ("test", True, ""): "47f7676996e6678e39c10492004797a15d74ad1aa1fcf820fed0752e02d06bea",
    ("test", True, "phrasings.txt"): "46477a7be3141baeef233e823171961a080fafd5bb5c2e08252fa4d5ae0c1371",
    ("test", False, ""): "611bd775cf4ed2e455323fd1a07e8107e14fb437fae18ec30c5f6e7ac9498e05",
    ("test", False, "phrasings.txt"): "3e02f8beaf8b147f52b5248b52fced6959d8d98cf29c9306705ee269f970e66d",
    ("validation", True, ""): "87f3aa9da44ca4219dffb6d0f8cc8d87c45e11e0ef8d2503a43e350fda82d2fd",
    ("validation", False, ""): "44b42b17b336d34f8b9ec4fbba0f0b3d0a6498fc5aa052acfc3fc8ee75e55116",
}


@pytest.mark.parametrize(("part", "inside", "file"), FROZEN)
def test_the_held_out_requests_are_those_of_version_3(part: Part, inside: bool, file: str) -> None:
    seed = TEST_SEED if part == "test" else VALIDATION_SEED
    drawn = draw(part, seed, 2000, inside=inside, file=file)
    text = "\n".join(repr(example) for example in drawn)
    assert hashlib.sha256(text.encode()).hexdigest() == FROZEN[part, inside, file]
