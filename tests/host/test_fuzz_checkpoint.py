"""Checkpoints in every state of damage, before the host side reads a number of them."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given

from fuzzing import damaged, encoded, fuzz, refuses_or_takes, twisted

pytest.importorskip("torch")
from builders.export.text.checkpoint import Checkpoint

pytestmark = pytest.mark.host

HEADER = {"a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, "__metadata__": {"format": "pt"}}
INDEX = {"metadata": {"total_size": 24}, "weight_map": {"a": "model-1.safetensors"}}


def safetensors(header: Any, data: bytes = bytes(24)) -> bytes:
    text = encoded(header)
    return struct.pack("<Q", len(text)) + text + data


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("checkpoint")
    (made / "config.json").write_text("{}")
    return made


def read(folder: Path) -> None:
    with refuses_or_takes():
        checkpoint = Checkpoint(folder)
        for name in checkpoint.names:
            checkpoint.take(name, (2, 3))


@fuzz(60)
@given(data=damaged(safetensors(HEADER)) | twisted(HEADER).map(safetensors))
@example(data=b"")
@example(data=b"\xff" * 8)
@example(data=struct.pack("<Q", 2**40) + b"{}")
@example(data=safetensors({"a": {"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 24]}}))
@example(data=safetensors({"a": {"dtype": "I64", "shape": [3], "data_offsets": [0, 24]}}))
def test_weights(folder: Path, data: bytes) -> None:
    (folder / "model.safetensors.index.json").unlink(missing_ok=True)
    (folder / "model.safetensors").write_bytes(data)
    read(folder)


@fuzz(60)
@given(index=twisted(INDEX).map(encoded) | damaged(encoded(INDEX)))
@example(index=encoded({"weight_map": {"a": "../../etc/passwd"}}))
@example(index=encoded({"weight_map": {"a": ["x"]}}))
@example(index=encoded({"weight_map": 3}))
@example(index=b"[" * 100_000)
def test_index(folder: Path, index: bytes) -> None:
    (folder / "model-1.safetensors").write_bytes(safetensors(HEADER))
    (folder / "model.safetensors.index.json").write_bytes(index)
    read(folder)


@fuzz(30)
@given(config=damaged(json.dumps({"hidden_size": 8}).encode()))
def test_config(folder: Path, config: bytes) -> None:
    (folder / "model.safetensors.index.json").unlink(missing_ok=True)
    (folder / "model.safetensors").write_bytes(safetensors(HEADER))
    (folder / "config.json").write_bytes(config)
    try:
        read(folder)
    finally:
        (folder / "config.json").write_text("{}")
