"""How far a package is from the voice it was made of: the original graph, run by onnx's own plain evaluator.

No noise on either side, so that both must say the same. The decoder is judged on the frames of the original's flow:
sound that differs by a hundredth of a period differs everywhere and sounds the same.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from builders.export.piper.checkpoint import Floats, Voice
from noctule.core.errors import ModelError
from noctule.lm.speech.piper.model import Manner, PiperModel


@dataclass(frozen=True)
class Gap:
    """Mean absolute differences, as shares of the original's largest value."""

    encoder: float
    sound: float


def measure(voice: Voice, model: PiperModel) -> Gap:
    """The package against the original file, on eleven phonemes. Raises ModelError."""
    golden = model.settings.golden["ids"]
    ids = [golden[0], *golden[8:17], golden[-1]]
    prior = model.prior(ids, np.zeros((len(ids), 2), np.float32), Manner())
    mean, latent, sound = run_original(voice, ids)
    ours = np.concatenate(list(_decoded(model, latent)))[: len(sound)]
    return Gap(_off(prior.mean, mean), _off(ours, sound[: len(ours)]))


def _off(found: Floats, wanted: Floats) -> float:
    return float(np.abs(found - wanted).mean() / max(float(np.abs(wanted).max()), 1e-9))


def _decoded(model: PiperModel, latent: Floats) -> list[Floats]:
    """The decoder alone, on frames that are the flow's already."""
    from noctule.lm.speech.piper.pieces import cut

    at, pieces, margin = 0, [], model.settings.margin
    for size in cut(len(latent), model.settings.decode):
        window = np.zeros((size + 2 * margin, latent.shape[1]), np.float32)
        first, last = max(0, at - margin), min(len(latent), at + size + margin)
        window[first - at + margin : last - at + margin] = latent[first:last]
        pieces.append(model.decode(window, at, len(latent), size, 0))
        at += size
    return pieces


def run_original(voice: Voice, ids: list[int]) -> tuple[Floats, Floats, Floats]:
    """(encoder's means [n, channels], flow's frames [T, channels], sound [T * hop]) without noise."""
    import onnx
    from onnx.reference import ReferenceEvaluator

    model = onnx.load(str(voice.path))
    wanted = _named(model)
    for name in wanted[:2]:
        model.graph.output.append(onnx.helper.make_tensor_value_info(name, 1, None))
    feeds: dict[str, Any] = {
        "input": np.asarray([ids], np.int64),
        "input_lengths": np.asarray([len(ids)], np.int64),
        "scales": np.asarray([0.0, 1.0, 0.0], np.float32),
    }
    if voice.speakers > 1:
        feeds["sid"] = np.asarray([0], np.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = ReferenceEvaluator(model, new_ops=[_gather_elements()]).run(None, feeds)
    names = [entry.name for entry in model.graph.output]
    mean, latent = (np.asarray(found[names.index(name)], np.float32)[0].T for name in wanted[:2])
    return mean, latent, np.asarray(found[0], np.float32).ravel()


def _gather_elements() -> type[Any]:
    """GatherElements for an index that is smaller than the data, as torch writes it; onnx's own refuses that."""
    from onnx.reference.op_run import OpRun

    class GatherElements(OpRun):  # type: ignore[misc]
        op_domain = ""

        def _run(self, data: Any, indices: Any, axis: int = 0) -> tuple[Any]:
            axis %= data.ndim
            box = tuple(slice(None) if i == axis else slice(n) for i, n in enumerate(indices.shape))
            return (np.take_along_axis(data[box], indices, axis),)

    return GatherElements


def _named(model: Any) -> tuple[str, str]:
    """The names of the encoder's means and of what goes into the decoder."""
    mean = next((node.output[0] for node in model.graph.node if node.name == "/enc_p/Split"), "")
    latent = next((node.input[0] for node in model.graph.node if node.name == "/dec/conv_pre/Conv"), "")
    if not mean or not latent:
        raise ModelError("The voice was exported in a way this version does not know: its steps have no names.")
    return mean, latent
