"""Run a finished speech-lm graph on the device runtime: golden logits, and a refusal of graphs that say nothing."""

from __future__ import annotations

import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from exporting.kyutai_config import KyutaiConfig
from exporting.kyutai_layers import Precision
from noctule import tflite
from noctule.errors import ModelError

Floats = npt.NDArray[np.float32]

FRAMES = 4
_SEED = 3
#: how far another runtime or CPU may be from the recorded logits, relative to their largest magnitude
RTOL = {"float32": 1e-3, "int8": 5e-2, "int4": 5e-2}


def golden(path: Path, config: KyutaiConfig, streams: dict[str, Any], precision: Precision) -> dict[str, Any]:
    """The manifest's `streams.golden`. Raises ModelError when a head is constant or equals another."""
    rng = np.random.default_rng(_SEED)
    offsets = streams["offsets"]
    rows = np.array([[rng.integers(low, high) for low, high in pairwise(offsets)] for _ in range(FRAMES)], np.int32)
    signature = f"temporal_{streams['buckets'][0]}"
    with tempfile.TemporaryDirectory(dir=path.parent.parent) as cache, tflite.load_model(
        path, weight_cache=Path(cache) / "weights"  # or every signature would hold its own copy of the weights
    ) as model:
        names = model.signatures[signature].inputs
        runner = model.runner(signature, alias={name: name for name in names if name.startswith("kv_cache_")})
        if "cross_mask" in names:  # an unconditioned run: nothing of the speaker is visible but one zero frame
            mask = np.full(names["cross_mask"].shape, -1e9, np.float32)
            mask[..., 0] = 0
            runner.write("cross_mask", mask)
        texts = []
        for frame, tokens in enumerate(rows):
            runner.write("tokens", tokens[None])
            runner.write("input_pos", np.array([frame], np.int32))
            runner.run()
            texts.append(runner.read("logits")[0])
        hidden = runner.read("hidden")
        depth, logits = [], []
        kv: Floats | None = None
        for q in range(config.dep_q):
            step = model.runner(f"dep_{q}")
            limit = streams["depth"]["zero"][q]
            token = rng.integers(0, limit, step.signature.inputs["token"].shape).astype(np.int32)
            step.write("hidden", hidden)
            step.write("token", token)
            if kv is not None:
                step.write("kv", kv)
            step.run()
            new = step.read("kv_new")
            kv = new if kv is None else np.concatenate([kv, new], axis=3)
            logits.append(step.read("logits")[0])
            depth.append({"token": token[0].tolist(), **_summary(logits[-1])})
    _check(texts, "text")
    _check(logits, "audio")
    summaries = [_summary(values) for values in texts]
    return {
        "signature": signature,
        "tokens": rows.tolist(),
        **{key: [s[key] for s in summaries] for key in summaries[0]},
        "depth": depth,
        "rtol": RTOL[precision.linear],
    }


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
