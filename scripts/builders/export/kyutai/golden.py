"""Run a finished speech-lm graph on the device runtime: golden logits, and a refusal of graphs that say nothing."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from builders.export.kyutai.checkpoint import Checkpoint
from builders.export.kyutai.float import FloatModel, Gap
from builders.export.kyutai.layers import Precision
from noctule.core.errors import ModelError
from noctule.inference import runtime as tflite

Floats = npt.NDArray[np.float32]

FRAMES = 4
_SEED = 3
_FLOAT_LIMIT = 1e-3  # float32 against float32, through however many layers
#: how far another runtime or CPU may be from the recorded logits, relative to their largest magnitude
RTOL = {"float32": 1e-3, "int8": 5e-2, "int4": 5e-2}


def golden(path: Path, checkpoint: Checkpoint, streams: dict[str, Any], precision: Precision) -> dict[str, Any]:
    """The manifest's `streams.golden`, with how far the graph is from float32.

    Raises ModelError when a head is constant, equals another, or a float32 graph is not the checkpoint's model.
    """
    rng = np.random.default_rng(_SEED)
    offsets, depth = streams["offsets"], streams["depth"]
    rows = np.array([_draw(rng, offsets) for _ in range(FRAMES)], np.int32)
    edges = [[*depth["offsets"], zero] if q == 0 else [0, zero] for q, zero in enumerate(depth["zero"])]
    tokens = [_draw(rng, edge) for edge in edges]
    signature = f"temporal_{streams['buckets'][0]}"
    with (
        # or every signature would hold its own copy of the weights
        tempfile.TemporaryDirectory(dir=path.parent.parent, prefix=".golden-") as cache,
        tflite.load_model(path, weight_cache=Path(cache) / "weights") as model,
    ):
        hidden, texts = _text_frames(model, signature, rows)
        audio = _depth_steps(model, hidden, tokens)
    _check(texts, "text")
    _check(audio, "audio")
    gaps = _gaps(checkpoint, rows, offsets, tokens, depth["offsets"], texts, audio)
    for head, gap in gaps.items():
        if precision.linear == precision.table == "float32" and gap.relative > _FLOAT_LIMIT:
            raise ModelError(f"the exported graph's {head} logits are {gap.relative:.1%} off those of the checkpoint")
    summaries = [_summary(values) for values in texts]
    return {
        "signature": signature,
        "tokens": rows.tolist(),
        **{key: [s[key] for s in summaries] for key in summaries[0]},
        "depth": [{"token": token, **_summary(values)} for token, values in zip(tokens, audio, strict=True)],
        "rtol": RTOL[precision.linear],
        "float_gap": {head: gap.as_json() for head, gap in gaps.items()},
    }


def _draw(rng: np.random.Generator, edges: Sequence[int]) -> list[int]:
    """One row between each two neighbouring edges."""
    return [int(rng.integers(low, high)) for low, high in pairwise(edges)]


def _text_frames(model: tflite.Model, signature: str, rows: npt.NDArray[np.int32]) -> tuple[Floats, list[Floats]]:
    """hidden [1, dim] of the last frame, and the text logits of every frame."""
    names = model.signatures[signature].inputs
    runner = model.runner(signature, alias={name: name for name in names if name.startswith("kv_cache_")})
    if "cross_mask" in names:  # an unconditioned run: nothing of the speaker is visible but one zero frame
        mask = np.full(names["cross_mask"].shape, -1e9, np.float32)
        mask[..., 0] = 0
        runner.write("cross_mask", mask)
    logits = []
    for frame, row in enumerate(rows):
        runner.write("tokens", row[None])
        runner.write("input_pos", np.array([frame], np.int32))
        runner.run()
        logits.append(runner.read("logits")[0])
    return runner.read("hidden"), logits


def _depth_steps(model: tflite.Model, hidden: Floats, tokens: list[list[int]]) -> list[Floats]:
    """Audio logits of every codebook of one frame."""
    kv: Floats | None = None
    logits = []
    for q, token in enumerate(tokens):
        step = model.runner(f"dep_{q}")
        step.write("hidden", hidden)
        step.write("token", np.array([token], np.int32))
        if kv is not None:
            step.write("kv", kv)
        step.run()
        new = step.read("kv_new")
        kv = new if kv is None else np.concatenate([kv, new], axis=3)
        logits.append(step.read("logits")[0])
    return logits


def _gaps(checkpoint: Checkpoint, rows: npt.NDArray[np.int32], offsets: Sequence[int], tokens: list[list[int]],
          depth_offsets: Sequence[int], texts: list[Floats], audio: list[Floats]) -> dict[str, Gap]:  # fmt: skip
    """The package's logits against the checkpoint's own in float32."""
    exact = FloatModel(checkpoint)
    hidden, logits = exact.text(rows, offsets)
    gaps = {"text": Gap.between(np.array(texts), logits)}
    if tokens:
        first = [row - offset for row, offset in zip(tokens[0], depth_offsets, strict=True)]
        gaps["audio"] = Gap.between(np.array(audio), exact.audio(hidden[-1], [first, *tokens[1:]]))
    return gaps


def _summary(values: Floats) -> dict[str, Any]:
    order = np.argsort(-values, kind="stable")
    return {
        "top": order[:5].tolist(),
        "logits": [round(float(v), 6) for v in values[:8]],
        "peak": round(float(np.abs(values).max()), 6),
    }


def _check(heads: list[Floats], what: str) -> None:
    """Every head must be finite, must vary, and must differ from the others."""
    for i, values in enumerate(heads):
        if not np.isfinite(values).all() or float(values.std()) == 0.0:
            raise ModelError(f"the exported graph gives {what} logits {i} that are constant or not numbers")
        if any(np.array_equal(values, other) for other in heads[:i]):
            raise ModelError(f"the exported graph gives the same {what} logits twice")
