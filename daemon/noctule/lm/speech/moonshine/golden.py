"""Does the recogniser answer on this machine what it answered where it was made? Asked at every load.

The sound is a formula, so that no recording is needed: three gliding tones. What is compared: keys of the first and
the last decoder layer, and the logits after each of a few tokens, fed one by one and then as rows of one step.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noctule.core.errors import ModelError
from noctule.lm.speech.moonshine.buckets import Bucket
from noctule.lm.speech.moonshine.rows import FloatArray
from noctule.lm.speech.moonshine.shape import RATE

_SECONDS = 1.0
_KEPT = 8
_HINT = "the file is damaged or the runtime does not fit it: run `noctule doctor`"


def golden_sound() -> FloatArray:
    """float32 [16000]."""
    t = np.arange(round(_SECONDS * RATE)) / RATE
    tones = [a * np.sin(2 * np.pi * (f + 150 * t) * t) for f, a in ((140, 0.2), (700, 0.1), (1900, 0.05))]
    return np.asarray(sum(tones) * (0.6 + 0.4 * np.sin(2 * np.pi * 4 * t)), np.float32)


def golden_answers(bucket: Bucket, tokens: list[int]) -> list[dict[str, Any]]:
    """What the graphs of the smallest bucket say: {"what", "values": the first few, "peak"}."""
    heard = bucket.encode(golden_sound())
    last = max(int(name.rsplit("_", 1)[1]) for name in heard if name.startswith("cross_k_"))
    answers = [_answer(f"keys of layer {i}", heard[f"cross_k_{i}"][0, :, 5]) for i in sorted({0, last})]
    decoder = bucket.begin(heard)
    parent = -1
    for position, token in enumerate(tokens):
        logits, (parent,) = decoder.step([token], [parent], [position])
        answers.append(_answer(f"logits after token {position}", logits[0]))
    rows = min(len(tokens), decoder.max_rows)
    if rows > 1:
        logits, _ = decoder.step(tokens[:rows], [parent] * rows, [len(tokens)] * rows)
        answers += [_answer(f"logits of row {i}", logits[i]) for i in range(rows)]
    return answers


def _answer(what: str, values: NDArray[np.float32]) -> dict[str, Any]:
    flat = values.reshape(-1)
    return {
        "what": what,
        "values": [round(float(x), 4) for x in flat[:_KEPT]],
        "peak": round(float(np.abs(flat).max()), 4),
    }


def check_golden(bucket: Bucket, golden: Mapping[str, Any], path: str) -> None:
    """ModelError, one sentence, at the first answer that is not the golden one."""
    try:
        tokens, rtol, wanted = [int(t) for t in golden["tokens"]], float(golden["rtol"]), list(golden["answers"])
        found = golden_answers(bucket, tokens)
        if len(found) != len(wanted):
            raise ValueError(f"{len(wanted)} golden answers for {len(found)}")
        for want, have in zip(wanted, found, strict=True):
            if want["what"] != have["what"]:
                raise ValueError(f"{want['what']!r} stands where {have['what']!r} belongs")
            _compare(want, have, rtol, f"{path}: the {have['what']}")
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise ModelError(f"{path}: the golden answers cannot be read ({type(error).__name__}: {error})") from None


def _compare(want: Mapping[str, Any], have: Mapping[str, Any], rtol: float, what: str) -> None:
    if not np.isfinite([have["peak"], *have["values"]]).all():
        raise ModelError(f"{what} are not numbers", _HINT)
    if have["peak"] == 0:
        raise ModelError(f"{what} are all zero", _HINT)
    gap = np.abs(np.subtract([*want["values"], want["peak"]], [*have["values"], have["peak"]])).max()
    off = float(gap) / float(want["peak"])
    if off > rtol:
        raise ModelError(f"{what} are off by {off:.1%} of their range, {rtol:.1%} is allowed", _HINT)
