"""Run a speech-lm package on the board's runtime with given tokens and compare logits: for the parity tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from noctule.inference.runtime import Model, Runner, load_model

Array = npt.NDArray[Any]
Streams = dict[str, Any]


def text_rows(streams: Streams, column: Array) -> Array:
    """Embedding rows int32 [1, S] of one frame of tokens [1 + n_q]; -1 is the row of zeros."""
    offsets, modulus = np.array(streams["offsets"]), streams["demux"]
    tokens = column.astype(int)
    if modulus:
        tokens = np.concatenate([_split(int(tokens[0]), modulus), tokens[1:]])
    return np.where(tokens < 0, offsets[-1], tokens + offsets[:-1]).astype(np.int32)[None]


def depth_rows(streams: Streams, q: int, token: int) -> Array:
    """Rows int32 [1, 1 or 2] of the token given to depth step q."""
    zero, offsets = streams["depth"]["zero"][q], streams["depth"]["offsets"]
    tokens = _split(token, streams["demux"]) if q == 0 and streams["demux"] else [token]
    return np.array([[zero if t < 0 else offset + t for t, offset in zip(tokens, offsets, strict=False)]], np.int32)


def _split(token: int, modulus: int) -> list[int]:
    """A demultiplexed text token as its two halves."""
    return [token % modulus, token // modulus - 1] if token >= 0 else [-1, -1]


def temporal_runner(model: Model, capacity: int) -> Runner:
    """A runner of `temporal_{capacity}` with its caches aliased."""
    names = model.signatures[f"temporal_{capacity}"].inputs
    return model.runner(f"temporal_{capacity}", alias={name: name for name in names if name.startswith("kv_cache")})


def depth_steps(streams: Streams, depth: list[Runner], hidden: Array, tokens: Array) -> list[Array]:
    """Audio logits [card] of every codebook of one frame, each step given its token."""
    kv: Array | None = None
    logits = []
    for q, step in enumerate(depth):
        step.write("hidden", hidden)
        step.write("token", depth_rows(streams, q, int(tokens[q])))
        if kv is not None:
            step.write("kv", kv)
        step.run()
        new = step.read("kv_new")
        kv = new if kv is None else np.concatenate([kv, new], axis=3)
        logits.append(step.read("logits")[0])
    return logits


def forced_logits(
    file: Path,
    streams: Streams,
    codes: Array,
    depth_tokens: Array,
    *,
    capacity: int | None = None,
    conditions: dict[str, Array] | None = None,
) -> dict[str, Array]:
    """Teacher-forced logits: text [T, V], audio [T, dep_q, card], extra [T, heads, dim].

    codes [1 + n_q, T] and depth_tokens [T, dep_q], -1 where there is nothing; `conditions` are inputs of the
    `condition` graph.
    """
    with load_model(file) as model:
        made: dict[str, Array] = {}
        if conditions:
            condition = model.runner("condition")
            for name, value in conditions.items():
                condition.write(name, value)
            condition.run()
            made = {name: condition.read(name) for name in condition.signature.outputs}
        temporal = temporal_runner(model, capacity or streams["buckets"][-1])
        for name, value in made.items():
            temporal.write(name, value)
        if "cross_mask" in temporal.signature.inputs:
            temporal.write("cross_mask", np.zeros(temporal.signature.inputs["cross_mask"].shape, np.float32))
        depth = [model.runner(f"dep_{q}") for q in range(streams["dep_q"])]
        text, audio, extra = [], [], []
        for t in range(codes.shape[1]):
            temporal.write("tokens", text_rows(streams, codes[:, t]))
            temporal.write("input_pos", np.array([t], np.int32))
            temporal.run()
            text.append(temporal.read("logits")[0])
            extra.append([temporal.read(f"extra_{j}")[0] for j in range(streams["extra_heads"]["count"])])
            audio.append(depth_steps(streams, depth, temporal.read("hidden"), depth_tokens[t]))
    return {"text": np.array(text), "audio": np.array(audio), "extra": np.array(extra)}


def relative(found: Array, expected: Array) -> float:
    """Largest difference, relative to the largest magnitude of each row of logits."""
    return float((np.abs(found - expected).max(axis=-1) / np.abs(expected).max(axis=-1)).max())


def probabilities(logits: Array) -> Array:
    """Softmax over the last axis."""
    exponent = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(exponent / exponent.sum(axis=-1, keepdims=True))
