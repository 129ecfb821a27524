"""The held-out requests of noctule-tiny are the same for every version: more training data moves none of them."""

from __future__ import annotations

import hashlib

import pytest

from builders.text.evaluate import TEST_SEED, VALIDATION_SEED, draw
from builders.text.expand import expand, skeleton, spelled
from builders.text.generate import Generator
from builders.text.split import Part, action_sources, outside_sources
from noctule.assistant.phrases.request import read

#: sha256 of the drawn requests, of the data of version 3 (2026-11-22).
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


def test_the_lines_for_training_alone_are_in_no_other_part() -> None:
    for parts in (action_sources(), outside_sources()):
        assert any(source.file.startswith("trained") for source in parts["train"])
        assert not any(source.file.startswith("trained") for part in ("validation", "test") for source in parts[part])
        # A plain line would be kept out of the test, and so change it.
        assert not any(source.template.plain for source in parts["train"] if source.file.startswith("trained"))


def test_no_trained_request_is_one_of_the_test() -> None:
    """The fence stands around the sentence without its courtesies; here whole requests are compared."""
    generator = Generator("train", 5)
    held: set[tuple[str, str]] = set()
    for part in ("validation", "test"):
        other = Generator(part, 5)
        for source in other.actions[part]:
            for _ in range(12):
                pieces = expand(source.template.line, other._fill, other.rng)
                if not other._fence.keeps_out(source, skeleton(pieces)):
                    held.add((source.action, read("".join(piece.text for piece in pieces)).plain))
    assert len(held) > 3000
    for source in generator.actions["train"]:
        if not source.file.startswith("trained"):
            continue
        for _ in range(25):
            pieces = expand(source.template.line, generator._fill, generator.rng)
            if not any(generator._fence.keeps_out(source, form(pieces)) for form in (skeleton, spelled)):
                assert (source.action, read("".join(piece.text for piece in pieces)).plain) not in held
