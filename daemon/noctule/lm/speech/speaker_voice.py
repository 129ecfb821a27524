"""A speaker's voice and the other conditions of a published text-to-speech model.

Voices are `.safetensors` files with one tensor, `speaker_wavs` [1, dim, frames]
(https://huggingface.co/kyutai/tts-voices). Only what such a file needs of the safetensors format is read here
(8 bytes of header length, a JSON header, raw little-endian data), so that the board needs no library for it.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noctule.core.errors import InputError
from noctule.core.file_kind import kind_of_bytes
from noctule.lm.speech.conditions import Conditions

SPEAKER = "speaker_wavs"
#: speakers a published model leaves room for (`max_speakers` in moshi/models/tts.py).
MAX_SPEAKERS = 5
_LARGEST = 64 * 1024 * 1024


def read_voice(path: Path) -> NDArray[np.float32]:
    """Speaker embeddings float32 [frames, dim]; InputError, one sentence, when the file is not a voice."""
    try:
        if path.stat().st_size > _LARGEST:
            raise InputError(f"{path} is too large to be a voice")
        data = path.read_bytes()
    except OSError as e:
        raise InputError(f"{path} cannot be read: {e.strerror or e}") from None
    try:
        (length,) = struct.unpack_from("<Q", data)
        header = json.loads(data[8 : 8 + length])
        entry = header[SPEAKER]
        begin, end = (8 + length + int(n) for n in entry["data_offsets"])
        shape, kind = [int(n) for n in entry["shape"]], str(entry["dtype"])
    except (struct.error, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        found = kind_of_bytes(data[:512])
        if found is not None and found.name != "safetensors":
            raise InputError(f"{path} is {found.what}; a .safetensors voice was expected", found.hint) from None
        raise InputError(f"{path} is not a voice: it holds no {SPEAKER!r} tensor") from None
    width = {"F32": 4, "F16": 2, "BF16": 2}.get(kind)
    if width is None or len(shape) != 3 or shape[0] != 1 or min(shape) < 1:
        raise InputError(f"{path} is not a voice: its tensor is {kind} {shape}")
    if end - begin != width * shape[1] * shape[2] or begin < 0 or end > len(data):
        raise InputError(f"{path} was cut short", "copy it again")
    raw = data[begin:end]
    if kind == "BF16":  # the upper half of a float32
        values = (np.frombuffer(raw, "<u2").astype(np.uint32) << 16).view(np.float32)
    else:
        values = np.frombuffer(raw, "<f4" if kind == "F32" else "<f2").astype(np.float32)
    if not np.isfinite(values).all():
        raise InputError(f"{path} holds a value that is not a number")
    return np.ascontiguousarray(values.reshape(shape[1], shape[2]).T)


def speaking_conditions(
    conditions: Conditions, voices: Sequence[NDArray[np.float32]] = (), guidance: float = 2.0
) -> dict[str, Any]:
    """Conditions of a text-to-speech or translation model, as the reference gives them.

    voices: up to five speakers [frames, dim] each, all of one length; guidance: how strictly text and voice are
    followed, for models trained to take it as a condition. What the model does not take is left out, but a voice it
    does not take is refused.
    """
    given: dict[str, Any] = {}
    for name, wanted in (("control", "ok"), ("description", "very_good"), ("cfg", f"{guidance:.1f}")):
        entry = conditions.inputs.get(name)
        if entry is not None and entry.values is not None:
            if wanted not in entry.values and name == "cfg":
                raise InputError(f"a guidance of {wanted} is not offered", f"choose one of {', '.join(entry.values)}")
            if wanted in entry.values:
                given[name] = wanted
    if not voices:
        return given
    if SPEAKER not in conditions.inputs:
        raise InputError("this model takes no voice file", "give a .wav of the voice instead")
    if len(voices) > MAX_SPEAKERS or len({voice.shape for voice in voices}) > 1:
        raise InputError(f"{len(voices)} voices were given: up to {MAX_SPEAKERS} of one length are possible")
    frames, dim = voices[0].shape
    rows = np.zeros((MAX_SPEAKERS * frames, dim), np.float32)
    present = np.zeros(len(rows), bool)
    for i, voice in enumerate(voices):
        rows[i * frames : (i + 1) * frames] = voice
        present[i * frames : (i + 1) * frames] = True
    given[SPEAKER] = (rows, present)
    return given
