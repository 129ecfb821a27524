"""Wake-word files as communities publish and lay them out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from wakeword_models import loud_model, write_loud

from noctule.config.schema import Config
from noctule.core.errors import InputError, ModelError
from noctule.voice.pipeline import stop_words
from noctule.voice.wakewords.in_service import find_wake_word
from noctule.wake.detector import Detector
from noctule.wake.package import distinct, load_package


def published(folder: Path, name: str = "testword", **changes: Any) -> Path:
    """NAME.json beside NAME.tflite, as the collections of microWakeWord have them; changes: keys of the JSON."""
    micro = {"probability_cutoff": 0.9, "sliding_window_size": 5, "feature_step_size": 10, "tensor_arena_size": 30000}
    body = {"type": "micro", "wake_word": "Test Word", "model": f"{name}.tflite", "version": 2, "micro": micro}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.tflite").write_bytes(loud_model())
    (folder / f"{name}.json").write_text(json.dumps({**body, **changes}), encoding="utf-8")
    return folder / f"{name}.json"


def test_files_that_lie_flat_in_a_model_folder_are_found_by_name(tmp_path: Path) -> None:
    published(tmp_path)
    published(tmp_path, "other")
    for name in ("testword", "testword.json", str(tmp_path / "testword"), str(tmp_path / "testword.json")):
        found = find_wake_word(name, [tmp_path / "none", tmp_path])
        assert (found.id, found.phrase, found.threshold) == ("testword", "Test Word", 0.9)
    Detector([find_wake_word("testword", [tmp_path]), find_wake_word("other", [tmp_path])]).close()


def test_a_model_without_its_json_is_told(tmp_path: Path) -> None:
    published(tmp_path).unlink()
    with pytest.raises(ModelError, match=r"testword\.tflite has no testword\.json beside it"):
        find_wake_word("testword", [tmp_path])


def test_a_name_with_a_dot_and_a_slash_is_beside_it(tmp_path: Path) -> None:
    assert load_package(published(tmp_path, model="./testword.tflite")).model == tmp_path / "testword.tflite"
    for name in ("../testword.tflite", "./../testword.tflite", ".//testword.tflite", "./"):
        with pytest.raises(ModelError, match="beside it"):
            load_package(published(tmp_path, model=name))
    with pytest.raises(ModelError, match="beside it") as refused:
        load_package(published(tmp_path, model="https://example.org/testword.tflite"))
    assert "download it" in refused.value.hint


def test_the_older_name_of_a_key_is_understood_and_a_missing_one_is_named(tmp_path: Path) -> None:
    old = {"probability_cutoff": 0.8, "sliding_window_average_size": 7}
    assert load_package(published(tmp_path, micro=old)).window == 7
    for key in ("probability_cutoff", "sliding_window_size"):
        micro = {"probability_cutoff": 0.9, "sliding_window_size": 5}
        del micro[key]
        with pytest.raises(ModelError) as refused:
            load_package(published(tmp_path, micro=micro))
        assert str(refused.value) == f"{tmp_path / 'testword.json'}: '{key}' is missing"


def test_version_1_gets_the_sentence_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="version 1 of microWakeWord") as refused:
        load_package(published(tmp_path, version=1))
    assert "version 2" in refused.value.hint


def test_a_byte_order_mark_is_read_past(tmp_path: Path) -> None:
    path = published(tmp_path)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert load_package(path).phrase == "Test Word"


STRANGERS = [
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"5" * 64 + b"\nsize 55856\n", "a Git LFS pointer"),
    (b"<!DOCTYPE html>\n<html>", "a web page"),
    (b"GGUF\3\0\0\0" + bytes(60), "a GGUF model"),
    (b"PK\3\4" + bytes(60), "a zip archive"),
]


@pytest.mark.parametrize(("data", "what"), STRANGERS)
@pytest.mark.parametrize("suffix", ["tflite", "json"])
def test_a_stranger_in_the_place_of_either_file_is_told_for_what_it_is(
    tmp_path: Path, data: bytes, what: str, suffix: str
) -> None:
    path = published(tmp_path)
    (tmp_path / f"testword.{suffix}").write_bytes(data)
    with pytest.raises(ModelError, match=what):
        load_package(path)


def test_two_packages_of_one_file_name_work_side_by_side(tmp_path: Path) -> None:
    first = load_package(published(tmp_path / "nabu"))
    second = load_package(published(tmp_path / "community"))
    third = load_package(write_loud(tmp_path / "mine", "hey"))
    detector = Detector([first, second, third])
    assert list(detector.words) == ["nabu.testword", "community.testword", "hey"]
    detector.close()
    far = load_package(published(tmp_path / "far/nabu"))
    ids = [package.id for package in distinct([first, far, second])]
    assert len(set(ids)) == 3
    assert ids == [package.id for package in distinct([first, far, second])]
    with pytest.raises(InputError, match="given twice"):
        distinct([first, load_package(tmp_path / "nabu/../nabu/testword.json")])


def test_a_word_is_called_by_its_json_whatever_its_model_is_called(tmp_path: Path) -> None:
    published(tmp_path, "stop")
    (tmp_path / "halt.json").write_text((tmp_path / "stop.json").read_text())  # names stop.tflite
    found = find_wake_word("halt", [tmp_path])
    assert (found.id, found.model.name) == ("halt", "stop.tflite")
    detector = Detector([found, find_wake_word("stop", [tmp_path])])
    assert list(detector.words) == ["halt", "stop"]
    detector.close()
    config = Config()
    config.service.models, config.wake.stop_words = [tmp_path], ["halt", "mine"]
    write_loud(tmp_path / "mine", "quiet")
    assert {"halt", "quiet"} <= stop_words(config)
