"""Strangers in the place of a model or recording are told for what they are."""

from __future__ import annotations

import io
import struct
import tarfile
import zipfile
from pathlib import Path

import pytest

from noctule.core.file_kind import kind_of, kind_of_bytes


def archive() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("model.tflite", b"x")
    return buffer.getvalue()


def tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as file:
        info = tarfile.TarInfo("model.tflite")
        info.size = 4
        file.addfile(info, io.BytesIO(b"abcd"))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:55\nsize 5\n", "lfs-pointer"),
        (b"<!DOCTYPE html>\n<html><head>", "web-page"),
        (b"\n\n  <html lang=en>", "web-page"),
        (b'<?xml version="1.0"?>\n<!DOCTYPE html>', "web-page"),
        (b"\xef\xbb\xbf<!doctype HTML>", "web-page"),
        (b"GGUF\3\0\0\0", "gguf"),
        (archive(), "zip"),
        (tar(), "tar"),
        (struct.pack("<Q", 900) + b'{"__metadata__":{}}', "safetensors"),
        (b"\x1c\0\0\0TFL3", "tflite"),
        (b"\0\0\0\x20ftypisom", "mp4"),
        (b"RIFF\0\0\0\0WAVEfmt ", "wav"),
        (b"\x89PNG\r\n", "png"),
        (b'{"type": "micro"}', "json"),
    ],
)
def test_known_kinds(data: bytes, name: str, tmp_path: Path) -> None:
    kind = kind_of_bytes(data)
    assert kind is not None
    assert kind.name == name
    (tmp_path / "x").write_bytes(data)
    assert kind_of(tmp_path / "x") == kind


def test_what_is_not_known_has_no_name(tmp_path: Path) -> None:
    for data in (b"", b"hello world", bytes(600), b"\xff\xfe" * 40):
        assert kind_of_bytes(data) is None
    assert kind_of(tmp_path) is None
    assert kind_of(tmp_path / "not there") is None
