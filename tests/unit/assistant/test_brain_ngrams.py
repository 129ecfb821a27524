"""The second opinion: which features a request has, what they say, and that a broken file is one sentence."""

from __future__ import annotations

import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from noctule.assistant.brain.ngrams import KINDS, Member, Ngrams, features, marked, read_ngrams
from noctule.assistant.phrases.request import read
from noctule.core.errors import ModelError
from noctule.inference.manifest import Manifest, load_manifest

ROOT = Path(__file__).resolve().parents[3]
TINY = ROOT / "models" / "noctule-tiny"


def crc(*texts: str) -> list[int]:
    return [zlib.crc32(text.encode()) for text in texts]


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("set a timer for an hour and a half please", "set a timer for <D> please"),
        ("turn it up by 20 percent", "turn it up by <P>"),
        ("two minutes", "<D>"),
        ("what time is it", "what time is it"),
        ("", ""),
    ],
)
def test_numbers_are_marks(text: str, seen: str) -> None:
    assert " ".join(marked(read(text).texts)) == seen


def test_phrases_are_words_pairs_triples_and_gaps() -> None:
    wanted = ["^", "^ be", "^ be still", "^ _ still", "be", "be still", "be still $", "be _ $"]
    wanted += ["still", "still $", "$"]
    assert list(KINDS["phrases"](["be", "still"])) == wanted
    assert features("phrases", ("be", "still")).tolist() == crc(*wanted)


def test_letters_are_also_pairs_anywhere_and_pieces_of_words() -> None:
    found = list(KINDS["letters"](["go", "on", "go", "<D>"]))
    assert found.count("go & on") == 1
    assert "<D> & on" in found
    go, on = ["#<go", "#go>", "#<go>"], ["#<on", "#on>", "#<on>"]
    assert [text for text in found if text.startswith("#")] == [*go, *on, *go]


def member(kind: str = "phrases", seed: int = 0, known: tuple[str, ...] = ("be", "be still", "^ be")) -> Member:
    draw = np.random.default_rng(seed)
    names = np.sort(np.array(crc(*known), np.uint32))
    return Member(
        kind,
        names,
        draw.integers(-127, 128, (len(known), 5)).astype(np.int8),
        draw.random(len(known), np.float32),
        draw.standard_normal((5, 3)).astype(np.float32),
        draw.standard_normal(3).astype(np.float32),
    )


def test_a_member_adds_the_rows_of_what_it_knows_as_often_as_it_occurs() -> None:
    known = member()
    total = np.zeros(5)
    for text in ("^ be", "be", "be still", "be", "be still"):  # of "be still be still"
        at = known.features.tolist().index(zlib.crc32(text.encode()))
        total += known.rows[at].astype(np.float64) * known.scales[at]
    wanted = total @ known.head.astype(np.float64) + known.bias
    np.testing.assert_allclose(known.logits(("be", "still", "be", "still")), wanted, rtol=1e-5)


def test_a_request_of_unknown_words_says_only_how_common_the_actions_are() -> None:
    known = member()
    np.testing.assert_array_equal(known.logits(("zyx",)), known.bias)


def test_opinions_of_members_are_log_probabilities_and_add_up() -> None:
    one, two = member(seed=1), member("letters", seed=2)
    words = ("be", "still")
    first, second = (Ngrams(("a", "b", "c"), [each]).opinion(words) for each in (one, two))
    assert sum(math.exp(value) for value in first.values()) == pytest.approx(1.0)
    both = Ngrams(("a", "b", "c"), [one, two]).opinion(words)
    assert both == pytest.approx({name: first[name] + second[name] for name in "abc"})


def test_huge_logits_stay_finite() -> None:
    known = member()
    large = Member(known.kind, known.features, known.rows, known.scales * np.float32(1e6), known.head, known.bias)
    assert all(math.isfinite(value) for value in Ngrams(("a", "b", "c"), [large]).opinion(("be", "still")).values())


# ---- the file ---------------------------------------------------------------------------------------------------


def arrays(known: Member) -> dict[str, Any]:
    return {f"{known.kind}.{name}": getattr(known, name) for name in ("features", "rows", "scales", "head", "bias")}


def manifest(folder: Path) -> Manifest:
    shipped = load_manifest(TINY, "text-lm")
    return Manifest(**{**vars(shipped), "folder": folder, "files": {"n.npz": shipped.files["model.tflite"]}})


SECTION = {"file": "n.npz", "actions": ["a", "b", "c"], "members": ["phrases"]}


def test_what_was_written_is_read(tmp_path: Path) -> None:
    known = member()
    np.savez_compressed(tmp_path / "n.npz", **arrays(known))
    found = read_ngrams(manifest(tmp_path), {"ngrams": SECTION})
    assert found is not None
    assert found.opinion(("be", "still")) == Ngrams(("a", "b", "c"), [known]).opinion(("be", "still"))
    assert read_ngrams(manifest(tmp_path), {}) is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"actions": "a"}, "actions: expected a list, found 'a'"),
        ({"actions": []}, "actions: expected a list of names"),
        ({"actions": ["a", "a", "b"]}, "actions: expected a list of names, none twice"),
        ({"members": [1]}, r"members\[0\]: expected a string, found 1"),
        ({"members": ["smells"]}, "'smells' is not one of phrases, letters"),
        ({"members": ["letters"]}, "letters.features is missing"),
        ({"file": 3}, "file: expected a string, found 3"),
        ({"file": "other.npz"}, "'other.npz' is not listed"),
        ({"actions": ["a", "b"]}, "phrases.head has the shape"),
    ],
)
def test_a_senseless_section_is_one_sentence(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    np.savez(tmp_path / "n.npz", **arrays(member()))
    with pytest.raises(ModelError, match=said):
        read_ngrams(manifest(tmp_path), {"ngrams": {**SECTION, **change}})
    with pytest.raises(ModelError, match="ngrams: expected an object"):
        read_ngrams(manifest(tmp_path), {"ngrams": "n.npz"})


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("rows", np.zeros((3, 5), np.float32), "rows is float32 of 2 dimensions, expected int8 of 2"),
        ("bias", np.zeros((3, 1), np.float32), "bias is float32 of 2 dimensions, expected float32 of 1"),
        ("scales", np.zeros(4, np.float32), "scales has the shape"),
        ("scales", np.array([1, np.nan, 1], np.float32), "not finite"),
        ("features", np.array([3, 2, 9], np.uint32), "do not rise"),
        ("features", np.array([2, 2, 9], np.uint32), "do not rise"),
        ("features", np.array(["a", "b", "c"], object), "is no file of n-grams"),
    ],
)
def test_a_file_with_other_arrays_is_one_sentence(tmp_path: Path, name: str, value: Any, said: str) -> None:
    np.savez(tmp_path / "n.npz", **{**arrays(member()), f"phrases.{name}": value})
    with pytest.raises(ModelError, match=said):
        read_ngrams(manifest(tmp_path), {"ngrams": SECTION})


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 but no more", b"not a zip at all", None])
def test_a_broken_file_is_one_sentence(tmp_path: Path, content: bytes | None) -> None:
    np.savez_compressed(tmp_path / "n.npz", **arrays(member()))
    whole = (tmp_path / "n.npz").read_bytes()
    (tmp_path / "n.npz").write_bytes(whole[: len(whole) // 2] if content is None else content)
    with pytest.raises(ModelError, match="is no file of n-grams"):
        read_ngrams(manifest(tmp_path), {"ngrams": SECTION})


# ---- the shipped ones -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "action"),
    [
        ("what time is it", "time"),
        ("set a timer for ten minutes", "timer.set"),
        ("take a screenshot", "snapshot"),
        ("please be so good and turn the sound down a little", "volume.down"),
        ("who won the world cup in 1998", "none"),
        ("my brother asked me what time it was", "none"),
    ],
)
def test_the_shipped_ones_know_plain_requests(text: str, action: str) -> None:
    shipped = load_manifest(TINY, "text-lm")
    found = read_ngrams(shipped, shipped.raw["x_actions"])
    assert found is not None
    assert {member.kind for member in found.members} == set(KINDS)
    for each in found.members:
        said = Ngrams(found.actions, [each]).opinion(read(text).texts)
        assert max(said, key=lambda name: said[name]) == action
