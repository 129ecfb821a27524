"""A pocket-tts package at work: texts, voices, buckets, refusals."""

from __future__ import annotations

import json
import re
import struct
import wave
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noctule.core.errors import InputError, ModelError, UnavailableError
from noctule.inference.manifest import load_manifest
from noctule.inference.package_writer import write_manifest
from noctule.lm.speech.pocket.model import PocketModel
from noctule.lm.speech.pocket.settings import TextRules
from noctule.lm.speech.pocket.speech import PocketSpeech
from noctule.lm.speech.pocket.text import chunks, prepare
from noctule.lm.speech.pocket.voice_state import ending_on_pause
from pocket_checkpoints import FOLDER, package


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return package("lsd", tmp_path_factory.mktemp("pocket") / "lsd")


@pytest.fixture(scope="module")
def model(folder: Path) -> Iterator[PocketModel]:
    loaded = PocketModel.load(folder)
    yield loaded
    loaded.close()


def say(model: PocketModel, text: str, **options: object) -> np.ndarray:
    speech = PocketSpeech(model, model.voice(), **options)  # type: ignore[arg-type]
    speech.add(text)
    frames = []
    while not speech.done:
        frame = speech.step()
        if frame is not None:
            frames.append(frame)
    return np.concatenate(frames) if frames else np.zeros(0, np.float32)


def test_the_same_seed_gives_the_same_sound_and_another_one_another(model: PocketModel) -> None:
    first = say(model, "Hello there.", seed=1)
    assert first.size
    assert np.array_equal(first, say(model, "Hello there.", seed=1))
    other = say(model, "Hello there.", seed=2)
    shared = min(len(first), len(other))
    assert not np.array_equal(first[:shared], other[:shared])
    assert np.abs(first).max() <= 1.0


def test_a_voice_changes_what_is_heard(model: PocketModel) -> None:
    speech = PocketSpeech(model, None, seed=1)
    speech.add("Hello there.")
    without = speech.step()
    assert without is not None
    assert not np.array_equal(without, say(model, "Hello there.", seed=1)[: len(without)])


def test_nothing_is_said_of_blanks(model: PocketModel) -> None:
    assert say(model, " \n ").size == 0


def test_a_text_that_grows_past_a_bucket_sounds_as_in_a_larger_one(folder: Path, tmp_path: Path) -> None:
    never = {"threshold": 1e9, "seed": 3}
    large = package("lsd", tmp_path / "large", buckets=(320,))
    text = "This goes on and on for some while, as long as it can."
    sounds = []
    for path in (folder, large):
        loaded = PocketModel.load(path)
        sounds.append(say(loaded, text, **never))
        loaded.close()
    assert len(sounds[0]) > 128 * 48
    assert np.abs(sounds[0] - sounds[1]).max() < 1e-4


def test_speech_without_an_end_or_room_is_cut_off_and_counted(folder: Path, tmp_path: Path) -> None:
    small = package("lsd", tmp_path / "small", buckets=(96,))
    loaded = PocketModel.load(small)
    voice = loaded.voice()
    assert voice is not None
    speech = PocketSpeech(loaded, voice, threshold=1e9)
    speech.add("No.")
    count = 0
    while not speech.done:
        count += speech.step() is not None
    assert speech.cut_off == 1
    assert 0 < count <= 96 - voice.length
    assert len(loaded.backbone.state().keys) == 2
    with pytest.raises(ModelError, match="holds 96 steps"):
        loaded.backbone.prompt(np.zeros((96, 24), np.float32))
    loaded.close()


def test_a_sentence_too_long_for_the_context_is_spoken_in_parts(folder: Path, tmp_path: Path) -> None:
    loaded = PocketModel.load(package("lsd", tmp_path / "small", buckets=(64,)))
    assert say(loaded, "x" * 300, threshold=1e9).size > 0
    loaded.close()


# -- text -----------------------------------------------------------------------------------------------------


class Letters:
    """A tokenizer of single characters behind a mark, as SentencePiece's are."""

    def encode(self, text: str) -> list[int]:
        return [0x2581, *map(ord, text)]

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(map(chr, ids)).lstrip("\u2581 ")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("hello", "Hello."),
        ("is it so?", "Is it so?"),
        ("first,", "First."),
        ('he said "yes"', 'He said "yes".'),
        ('he said "yes!"', 'He said "yes!"'),
        ("wait -", "Wait."),
        ("a\nb", "A b."),
        ("  ", ""),
    ],
)
def test_a_text_is_prepared_as_the_models_were_trained(text: str, wanted: str) -> None:
    assert prepare(text, TextRules())[0] == wanted


def test_the_rules_of_a_model_are_followed() -> None:
    rules = TextRules(pad_short=True, no_semicolons=True, full_stop=False, capital=False, replace={'"': "", "—": ","})
    assert prepare('so; "what?", he said — and', rules)[0] == "so, what? he said , and"
    assert prepare("so; yes", rules) == ("        so, yes", 3)
    assert prepare("one two three four five", rules)[1] == 1
    assert chunks("hi", Letters(), TextRules(frames_after_end=9))[0].frames_after_end == 9
    assert chunks("hi", Letters(), TextRules())[0].frames_after_end == 5


def test_a_dot_in_a_number_is_no_end_of_a_sentence() -> None:
    found = [c.text for c in chunks("It costs 3.50 now. Is that much? Perhaps.", Letters(), TextRules(), 20)]
    assert found == ["It costs 3.50 now.", "Is that much?", "Perhaps."]


def test_long_sentences_are_cut_behind_commas_and_short_ones_joined() -> None:
    found = [c.text for c in chunks("a long one, and another one; yes. No. Oh.", Letters(), TextRules(), 20)]
    assert found == ["A long one.", "And another one.", "Yes. No. Oh."]


@given(st.text(alphabet='ab .,;!?3\n"', max_size=80))
@settings(max_examples=60, deadline=None)
def test_no_letter_is_lost(text: str) -> None:
    said = "".join(chunk.text for chunk in chunks(text, Letters(), TextRules(), 12))
    kept = re.sub(r"[^ab3]", "", text)
    assert re.sub(r"[^ab3]", "", said.lower()) == kept


# -- voices ---------------------------------------------------------------------------------------------------


def recording(path: Path, seconds: float, rate: int = 600) -> Path:
    pcm = (8000 * np.random.default_rng(1).standard_normal(int(seconds * rate)).clip(-3, 3)).astype("<i2")
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(pcm.tobytes())
    return path


def test_a_voice_is_found_by_name_and_by_path(model: PocketModel, tmp_path: Path) -> None:
    first, by_name = model.voice(), model.voice("voice")
    by_path = model.voice(str(FOLDER / "lsd" / "voice.safetensors"))
    assert first is not None
    assert by_name is not None
    assert by_path is not None
    assert np.array_equal(first.keys[0], by_name.keys[0])
    assert np.array_equal(first.keys[0], by_path.keys[0])
    recorded = model.voice(str(recording(tmp_path / "me.wav", 2.0)))
    assert recorded is not None
    assert recorded.length == 1 + 26
    with pytest.raises(InputError, match=r"has no voice 'nobody' \(it has: voice\)"):
        model.voice("nobody")
    with pytest.raises(InputError, match="too short"):
        model.voice(str(recording(tmp_path / "short.wav", 0.05)))


def test_a_recording_ends_in_a_pause() -> None:
    pcm = np.concatenate([np.full(600, 0.5, np.float32), np.full(600, 0.001, np.float32)])
    out = ending_on_pause(pcm, 600)
    assert len(out) == 600 + 48
    assert not out[-48:].any()
    assert out[599] == 0
    assert out[500] == 0.5
    assert len(ending_on_pause(pcm[:5], 600)) == 5


def _saved(path: Path, tensors: dict[str, np.ndarray], cut: int = 0) -> Path:
    names = {np.dtype("<f4"): "F32", np.dtype("<i8"): "I64"}
    header, body = {}, b""
    for name, value in tensors.items():
        data = value.tobytes()
        header[name] = {
            "dtype": names[value.dtype], "shape": list(value.shape),
            "data_offsets": [len(body), len(body) + len(data)],
        }  # fmt: skip
        body += data
    text = json.dumps({"__metadata__": {}, **header}).encode()
    path.write_bytes((struct.pack("<Q", len(text)) + text + body)[: -cut or None])
    return path


def _state(shape: tuple[int, ...] = (2, 1, 6, 2, 8), layers: int = 2) -> dict[str, np.ndarray]:
    cache = np.random.default_rng(2).standard_normal(shape).astype(np.float32)
    return {f"transformer.layers.{i}.self_attn/cache": cache for i in range(layers)}


def test_what_is_filled_of_a_saved_state_is_read(model: PocketModel, tmp_path: Path) -> None:
    name = "transformer.layers.{}.self_attn/{}"
    whole = model.voice(str(_saved(tmp_path / "whole.safetensors", _state())))
    assert whole is not None
    assert whole.length == 6
    offset = {name.format(i, "offset"): np.asarray([4], np.int64) for i in range(2)}
    part = model.voice(str(_saved(tmp_path / "part.safetensors", {**_state(), **offset})))
    assert part is not None
    assert part.length == 4
    assert np.array_equal(part.keys[1], whole.keys[1][:, :, :4])
    old = {name.format(i, "current_end"): np.zeros(3, np.float32) for i in range(2)}
    older = model.voice(str(_saved(tmp_path / "old.safetensors", {**_state(), **old})))
    assert older is not None
    assert older.length == 3


def test_a_file_that_is_no_voice_is_told_in_one_sentence(model: PocketModel, tmp_path: Path) -> None:
    path = tmp_path / "odd.safetensors"
    broken = _state()
    broken["transformer.layers.1.self_attn/cache"] = np.full((2, 1, 6, 2, 8), np.nan, np.float32)
    uneven = _state()
    uneven["transformer.layers.1.self_attn/cache"] = np.ones((2, 1, 5, 2, 8), np.float32)
    for make, words in (
        (lambda: path.write_bytes(b"hello"), "is not a voice"),
        (lambda: _saved(path, _state(), cut=40), "was cut short"),
        (lambda: _saved(path, _state(layers=1)), "holds no transformer.layers.1"),
        (lambda: _saved(path, _state(layers=3)), "more than 2 layers"),
        (lambda: _saved(path, _state((2, 1, 6, 4, 8))), "is a voice of another model"),
        (lambda: _saved(path, broken), "not numbers"),
        (lambda: _saved(path, uneven), "different lengths"),
    ):
        make()
        with pytest.raises(InputError, match=words):
            model.voice(str(path))


def test_a_package_without_encoder_says_so(tmp_path: Path) -> None:
    target = package("pointwise", tmp_path / "package")
    data = json.loads((target / "manifest.json").read_text())
    loaded = PocketModel.load(target)
    del loaded.model.signatures["encode"]
    with pytest.raises(InputError, match="cannot read a voice from a recording"):
        loaded.voice(str(recording(tmp_path / "me.wav", 1.0)))
    loaded.close()
    assert data["pocket"]["voice_start"] is None


# -- packages that are unfit ----------------------------------------------------------------------------------


def _changed(folder: Path, target: Path, **pocket: object) -> Path:
    import shutil

    shutil.copytree(folder, target)
    data = json.loads((target / "manifest.json").read_text())
    data.pop("files")
    for key, value in pocket.items():
        if value is None:
            data["pocket"].pop(key)
        else:
            data["pocket"][key] = value
    write_manifest(target, data)
    return target


def test_a_package_that_answers_otherwise_is_refused(folder: Path, tmp_path: Path) -> None:
    golden = dict(load_manifest(folder, "pocket-tts").raw["pocket"]["golden"])
    wrong = {**golden, "pcm": [[v + 1 for v in row] for row in golden["pcm"]]}
    for name, change, words in (
        ("a", {"golden": wrong}, "another pcm on this machine"),
        ("b", {"golden": None}, "no golden frames"),
        ("c", {"golden": {"seed": 1}}, "golden frames cannot be read"),
        ("d", {"flow": "guess"}, "'guess' is none of"),
        ("e", {"bos": None}, "cannot be read"),
        ("f", {"steps": 0}, "must be above zero"),
    ):
        with pytest.raises(ModelError, match=words):
            PocketModel.load(_changed(folder, tmp_path / name, **change))


def test_the_probe_judges_by_what_it_measured(model: PocketModel) -> None:
    verdict = model.probe("refuse")
    assert verdict.keeps_up
    assert "80 ms frame" in verdict.sentence
    slow = model.settings
    object.__setattr__(slow, "frame_rate", 1e9)
    try:
        with pytest.raises(UnavailableError, match="does not keep up"):
            model.probe("refuse")
    finally:
        object.__setattr__(slow, "frame_rate", 12.5)
