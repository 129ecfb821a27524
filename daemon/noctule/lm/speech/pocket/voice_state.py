"""A pocket-tts voice: the state that `pocket-tts export-voice` saves, or a recording for the model to read.

A saved state is a .safetensors file with, for each layer, `transformer.layers.N.self_attn/cache` [2, 1, T, kv, D]
(keys and values, rotary in interleaved order) and how much of it is filled: `…/offset` [1], or in older files the
length of `…/current_end`. The format is eight bytes of header length, a JSON header, raw little-endian data; it is
read here so that the board needs no library for it.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noctule.core.errors import InputError
from noctule.lm.speech.pocket.backbone import VoiceState

Floats = NDArray[np.float32]

_LARGEST = 512 << 20
_TYPES = {"F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "BOOL": "?"}
#: how a recording is made to end (`end_on_pause` of pocket_tts/data/audio_utils.py): blocks of so many seconds that
#: lie so many decibels below the loudest are cut off the end, what is left fades out, and silence follows
_BLOCK, _FLOOR, _FADE, _PAUSE = 0.02, 35.0, 0.02, 0.08
#: longest recording that is read: what a model is told beyond half a minute of a voice makes it no better
LONGEST_SECONDS = 30.0


def read_state(path: Path, layers: int, shape: tuple[int, int]) -> VoiceState:
    """A saved state for a model with so many layers and a cache of `shape` (key-value heads, width of a head).
    InputError, one sentence, when the file is none."""
    tensors = _tensors(path)
    keys, values = [], []
    for i in range(layers):
        name = f"transformer.layers.{i}.self_attn"
        cache = tensors.get(f"{name}/cache")
        if cache is None:
            raise InputError(f"{path} is not a voice of this model: it holds no {name}/cache")
        if cache.ndim != 5 or cache.shape[:2] != (2, 1) or cache.shape[3:] != shape:
            raise InputError(
                f"{path} is a voice of another model: its {name}/cache is {list(cache.shape)}, not of {shape[0]}"
                f" heads of {shape[1]}"
            )
        n = _filled(tensors, name, cache.shape[2])
        part = cache[:, 0, :n].astype(np.float32)
        if n == 0 or not np.isfinite(part).all():
            raise InputError(f"{path}: {name}/cache holds values that are not numbers, or none")
        halves = np.concatenate([part[0][..., 0::2], part[0][..., 1::2]], axis=-1)
        keys.append(np.ascontiguousarray(halves.transpose(1, 0, 2))[None])
        values.append(np.ascontiguousarray(part[1].transpose(1, 2, 0))[None])
    if f"transformer.layers.{layers}.self_attn/cache" in tensors:
        raise InputError(f"{path} is a voice of another model: it has more than {layers} layers")
    if len({key.shape[2] for key in keys}) > 1:
        raise InputError(f"{path} is damaged: its layers hold voices of different lengths")
    return VoiceState(tuple(keys), tuple(values))


def _filled(tensors: dict[str, NDArray[Any]], name: str, size: int) -> int:
    if f"{name}/offset" in tensors and tensors[f"{name}/offset"].size == 1:
        return min(size, max(0, int(tensors[f"{name}/offset"].reshape(-1)[0])))
    if f"{name}/current_end" in tensors and tensors[f"{name}/current_end"].ndim:
        return min(size, int(tensors[f"{name}/current_end"].shape[0]))
    return size


def _tensors(path: Path) -> dict[str, NDArray[Any]]:
    try:
        if path.stat().st_size > _LARGEST:
            raise InputError(f"{path} is too large to be a voice")
        data = path.read_bytes()
    except OSError as e:
        raise InputError(f"{path} cannot be read: {e.strerror or e}") from None
    tensors: dict[str, NDArray[Any]] = {}
    try:
        (length,) = struct.unpack_from("<Q", data)
        header = json.loads(data[8 : 8 + length])
        for name, entry in header.items():
            if name == "__metadata__":
                continue
            begin, end = (8 + length + int(n) for n in entry["data_offsets"])
            shape, kind = [int(n) for n in entry["shape"]], str(entry["dtype"])
            if kind not in _TYPES:
                continue
            dtype = np.dtype(_TYPES[kind])
            if end - begin != math.prod(shape) * dtype.itemsize or begin < 8 + length or end > len(data):
                raise InputError(f"{path} was cut short", "copy it again")
            raw = np.frombuffer(data[begin:end], dtype).reshape(shape)
            # BF16 is the upper half of a float32
            tensors[name] = (raw.astype(np.uint32) << 16).view(np.float32) if kind == "BF16" else raw
    except (struct.error, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        raise InputError(f"{path} is not a voice: it is no .safetensors file") from None
    return tensors


def ending_on_pause(pcm: Floats, rate: int) -> Floats:
    """A recording float32 [samples] that ends in the pause behind a word, as those of the training did."""
    block = max(1, int(_BLOCK * rate))
    count = len(pcm) // block
    if not count:
        return pcm
    level = np.sqrt(np.mean(np.square(pcm[: count * block].reshape(count, block)), axis=1))
    decibels = 20 * np.log10(level + 1e-12)
    end = (int(np.flatnonzero(decibels > decibels.max() - _FLOOR)[-1]) + 1) * block
    out = pcm[:end].astype(np.float32)
    fade = min(int(_FADE * rate), end)
    out[end - fade :] *= np.linspace(1, 0, fade, dtype=np.float32)
    return np.concatenate([out, np.zeros(int(_PAUSE * rate), np.float32)])


def in_frames(pcm: Floats, size: int) -> Iterable[Floats]:
    """Frames of `size` samples, the last one filled up with silence."""
    for start in range(0, len(pcm), size):
        frame = np.zeros(size, np.float32)
        part = pcm[start : start + size]
        frame[: len(part)] = part
        yield frame
