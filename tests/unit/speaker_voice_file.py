"""A safetensors file of one tensor, as published speaker voices come."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np


def voice_file(path: Path, values: np.ndarray, kind: str = "F32", name: str = "speaker_wavs") -> Path:
    raw = {
        "F32": lambda: values.astype("<f4").tobytes(),
        "F16": lambda: values.astype("<f2").tobytes(),
        "BF16": lambda: (values.astype("<f4").view("<u4") >> 16).astype("<u2").tobytes(),
        "I8": lambda: values.astype(np.int8).tobytes(),
    }[kind]()
    header = {name: {"dtype": kind, "shape": list(values.shape), "data_offsets": [0, len(raw)]}}
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + raw)
    return path
