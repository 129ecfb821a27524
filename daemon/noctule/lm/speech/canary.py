"""Does a speech model answer on this machine what it answered where it was made? Checked at every load.

A runtime that cannot run a file may give zeros instead of an error, and audio logits that mean nothing look like any
other array. So the package's golden frames are run through the real graph: text logits, and the audio logits of every
codebook, must be finite, must vary, must differ between codebooks, and must match.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noctule.core.errors import ModelError
from noctule.inference.runtime import Model
from noctule.lm.speech.conditions import UNUSED
from noctule.lm.speech.graph import Floats, Temporal

_HINT = "the file is damaged or the runtime does not fit it: run `noctule doctor`"


def check_speech(model: Model, golden: Any, dep_q: int) -> None:
    """Run the golden frames (`streams.golden` of the manifest) through the graph; dep_q: codebooks that the depformer
    writes, 0 for none. ModelError, one sentence, at the first thing that is wrong."""
    path = model.path
    if not isinstance(golden, dict):
        raise ModelError(f"{path}: the package has no golden logits, so it cannot be told whether it works here")
    try:
        rows = np.asarray(golden["tokens"], np.int32)
        if rows.ndim != 2:
            raise ValueError(f"tokens of shape {list(rows.shape)}")
        hidden = _check_text(model, golden, rows)
        if dep_q:
            _check_audio(model, golden, hidden, dep_q)
    except (KeyError, IndexError, TypeError, ValueError) as e:
        raise ModelError(f"{path}: the golden logits cannot be read ({type(e).__name__}: {e})") from None


def _check_text(model: Model, golden: Mapping[str, Any], rows: NDArray[np.int32]) -> Floats:
    """Returns hidden [1, dim] of the last golden frame. Conditions are all zero here."""
    temporal = Temporal(model, no_conditions(model))
    hidden: Floats = np.zeros((1, 0), np.float32)
    for step, row in enumerate(rows):
        hidden, logits = temporal.step(row[None])
        what = f"{model.path}: the text logits of golden frame {step}"
        check_logits(logits, what)
        _compare(logits, {key: golden[key][step] for key in _SUMMARY}, float(golden["rtol"]), what)
    return hidden


def _check_audio(model: Model, golden: Mapping[str, Any], hidden: Floats, dep_q: int) -> None:
    entries = golden["depth"]
    if len(entries) != dep_q:
        raise ValueError(f"{len(entries)} golden codebooks for {dep_q}")
    history: Floats | None = None
    seen: list[Floats] = []
    for q, entry in enumerate(entries):
        runner = model.runner(f"dep_{q}")
        runner.write("hidden", hidden)
        runner.write("token", np.asarray(entry["token"], np.int32).reshape(1, -1))
        if history is not None:
            runner.write("kv", history)
        runner.run()
        fresh = runner.read("kv_new")
        history = fresh if history is None else np.concatenate([history, fresh], axis=3)
        logits = runner.read("logits").reshape(-1)
        what = f"{model.path}: the audio logits of codebook {q}"
        check_logits(logits, what)
        for other, before in enumerate(seen):
            if np.array_equal(before, logits):
                raise ModelError(f"{what} equal those of codebook {other}: they cannot be real", _HINT)
        seen.append(logits)
        _compare(logits, entry, float(golden["rtol"]), what)


def check_logits(logits: Floats, what: str) -> None:
    """ModelError unless the logits are finite and say something."""
    if not np.isfinite(logits).all():
        raise ModelError(f"{what} are not numbers", _HINT)
    if not logits.any():
        raise ModelError(f"{what} are all zero", _HINT)
    if float(logits.max()) == float(logits.min()):
        raise ModelError(f"{what} are all the same", _HINT)


def _compare(logits: Floats, wanted: Mapping[str, Any], rtol: float, what: str) -> None:
    """The first values within rtol of the largest magnitude, the golden favourite still (nearly) the likeliest."""
    head = np.asarray(wanted["logits"], np.float32)
    scale = float(wanted["peak"])
    off = float(np.abs(logits[: len(head)] - head).max()) / scale
    if off > rtol:
        raise ModelError(f"{what} are off by {off:.1%} of their range, {rtol:.1%} is allowed", _HINT)
    favourite = int(wanted["top"][0])
    # it may lose to a near tie, but not by more than both may be off
    if float(logits.max()) - float(logits[favourite]) > 2 * rtol * scale:
        raise ModelError(f"{what} prefer token {int(logits.argmax())}, not {favourite}", _HINT)


#: what is kept of a row of golden logits
_SUMMARY = ("logits", "top", "peak")


def no_conditions(model: Model) -> dict[str, NDArray[Any]]:
    """The constant inputs of a golden run: no condition; of the attended frames one, all zero, is visible."""
    first = next(s for n, s in sorted(model.signatures.items()) if n.startswith("temporal_"))
    constants = {
        name: np.zeros(spec.shape, spec.dtype)
        for name, spec in first.inputs.items()
        if name not in first.outputs and name not in ("tokens", "input_pos")
    }
    if "cross_mask" in constants:
        constants["cross_mask"][..., 1:] = UNUSED
    return constants
