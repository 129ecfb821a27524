"""`noctule model use PATH`: what is there is found, and what it is is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from noctule.cli import run_command


@pytest.mark.parametrize(
    ("name", "head", "words"),
    [
        ("m.gguf", b"GGUF\3\0\0\0", "is a GGUF model"),
        ("m.litertlm", b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer"),
        ("m.task", b"PK\3\4rest", "is a zip archive"),
        ("m.bin", b"\1\2\3\4", "a kind that is not known"),
    ],
)
def test_a_file_is_named_for_what_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, head: bytes, words: str
) -> None:
    (tmp_path / name).write_bytes(head)
    assert run_command(["model", "use", str(tmp_path / name)]) != 0
    said = capsys.readouterr().err
    assert words in said
    assert "not a model package" in said


def test_folders_that_are_none_and_paths_to_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_command(["model", "use", str(tmp_path)]) != 0
    assert "has no manifest.json" in capsys.readouterr().err
    assert run_command(["model", "use", "./nothing"]) != 0
    assert "there is no such folder" in capsys.readouterr().err
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "manifest.json").write_text("{}")
    assert run_command(["model", "use", "here", "--socket", str(tmp_path / "none.sock")]) != 0
    assert "not running" in capsys.readouterr().err, "a package that is here is handed to the daemon"
