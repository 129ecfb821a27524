"""Voice files and the conditions of a speaking model."""

from __future__ import annotations

import numpy as np
import pytest
from speaker_voice_file import voice_file

from noctule.core.errors import InputError
from noctule.lm.speech.speaker_voice import read_voice, speaking_conditions


@pytest.mark.parametrize(("kind", "tolerance"), [("F32", 0), ("F16", 1e-3), ("BF16", 1e-2)])
def test_a_published_voice_is_read(tmp_path, kind, tolerance):
    values = np.random.default_rng(0).standard_normal((1, 8, 5)).astype(np.float32)
    got = read_voice(voice_file(tmp_path / "v.safetensors", values, kind))
    assert got.shape == (5, 8)
    np.testing.assert_allclose(got, values[0].T, atol=4 * tolerance)


def test_what_is_no_voice_is_one_sentence(tmp_path):
    good = np.ones((1, 8, 5), np.float32)
    cut = voice_file(tmp_path / "cut", good)
    cut.write_bytes(cut.read_bytes()[:-3])
    (tmp_path / "text").write_text("hello")
    (tmp_path / "empty").write_bytes(b"")
    for path, words in (
        (tmp_path / "none", "cannot be read"),
        (tmp_path / "empty", "not a voice"),
        (tmp_path / "text", "not a voice"),
        (voice_file(tmp_path / "other", good, name="weights"), "no 'speaker_wavs' tensor"),
        (voice_file(tmp_path / "ints", good, "I8"), "tensor is I8"),
        (voice_file(tmp_path / "flat", good[0]), r"\[8, 5\]"),
        (voice_file(tmp_path / "nan", good * np.nan), "not a number"),
        (cut, "cut short"),
    ):
        with pytest.raises(InputError, match=words):
            read_voice(path)


class Entry:
    def __init__(self, *values: str) -> None:
        self.values = values or None


class Takes:
    def __init__(self, **inputs: Entry) -> None:
        self.inputs = inputs


def test_only_what_the_model_takes_is_given():
    assert speaking_conditions(Takes()) == {}
    takes = Takes(control=Entry("ok"), cfg=Entry("1.0", "2.0"), description=Entry("very_bad", "very_good"))
    assert speaking_conditions(takes) == {"control": "ok", "cfg": "2.0", "description": "very_good"}
    assert speaking_conditions(takes, guidance=1.0)["cfg"] == "1.0"
    with pytest.raises(InputError, match=r"guidance of 7\.5 is not offered"):
        speaking_conditions(takes, guidance=7.5)
    assert speaking_conditions(Takes(control=Entry("no"))) == {}


def test_voices_fill_their_places_and_the_rest_is_nobody():
    rows, present = speaking_conditions(Takes(speaker_wavs=Entry()), [np.full((4, 8), 2.0), np.full((4, 8), 3.0)])[
        "speaker_wavs"
    ]
    assert rows.shape == (20, 8)
    assert rows[:, 0].tolist() == [2.0] * 4 + [3.0] * 4 + [0.0] * 12
    assert present.sum() == 8


def test_voices_that_cannot_be_used_are_refused():
    voice = np.zeros((4, 8), np.float32)
    with pytest.raises(InputError, match="takes no voice file"):
        speaking_conditions(Takes(), [voice])
    for voices in ([voice] * 6, [voice, voice[:2]]):
        with pytest.raises(InputError, match="up to 5 of one length"):
            speaking_conditions(Takes(speaker_wavs=Entry()), voices)
