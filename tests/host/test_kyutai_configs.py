"""Every published configuration, real per-layer shapes: moshi's checkpoint, exported, run on the board's runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from builders.export.kyutai import package as kyutai
from builders.export.kyutai.layers import Precision
from host.kyutai_configs import PUBLISHED, shrunk
from kyutai_runs import forced_logits, probabilities, relative

torch = pytest.importorskip("torch")
pytest.importorskip("moshi")

from moshi.conditioners import ConditionAttributes, TensorCondition  # noqa: E402

from builders.export.kyutai.reference import Forced, build_model, forced_run, write_checkpoint  # noqa: E402

pytestmark = [
    pytest.mark.host,
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning"),  # torch warns of itself
]
Array = npt.NDArray[Any]

FRAMES = 10  # the shrunk context is 6: the ring wraps
CROSS = 20  # frames of speaker conditioning


def conditions(model: Any) -> tuple[Any, dict[str, Array]]:
    """moshi's condition tensors for some values, and the same values as inputs of the `condition` graph."""
    provider = model.condition_provider
    if provider is None:
        return None, {}
    text, tensors, inputs = {}, {}, {}
    for name, conditioner in provider.conditioners.items():
        if name in provider.tensor_conditions:
            frames = np.random.default_rng(4).standard_normal((1, CROSS, conditioner.dim)).astype(np.float32)
            mask = np.arange(CROSS)[None] < CROSS - 5  # the last frames are padding, which moshi learns a vector for
            tensors[name] = TensorCondition(torch.from_numpy(frames), torch.from_numpy(mask))
            inputs[name], inputs[f"{name}_mask"] = frames[0], mask[0, :, None].astype(np.float32)
        else:
            values = list(conditioner.tokenizer.possible_values)
            text[name] = values[-1]
            inputs[name], inputs[f"{name}_mask"] = np.array([len(values) - 1], np.int32), np.ones((1, 1), np.float32)
    with torch.no_grad():
        return provider.prepare_and_provide([ConditionAttributes(text=text, tensor=tensors)]), inputs


def compare(
    folder: Path, config: dict[str, Any], forced: Forced, inputs: dict[str, Array], precision: Precision
) -> dict[str, float]:
    """Export the checkpoint in `folder` and measure the largest relative error of every head."""
    options = kyutai.Options(precision=precision, cross_frames=CROSS)
    streams = kyutai.export_lm(folder, folder / "package", options, lambda _: None)
    assert streams["delays"] == config["delays"]
    found = forced_logits(
        folder / "package" / kyutai.GRAPH, streams, forced.codes, forced.depth_tokens, conditions=inputs
    )
    errors = {"text": relative(found["text"], forced.text)}
    for q in range(streams["dep_q"]):
        errors[f"audio {q}"] = relative(found["audio"][:, q], forced.audio[:, q])
        assert float(found["audio"][:, q].std(axis=-1).min()) > 0.05 * float(np.abs(forced.audio).max())
    if forced.extra.shape[1]:
        errors["extra"] = float(np.abs(probabilities(found["extra"]) - forced.extra).max())
    return errors


@pytest.mark.parametrize("name", list(PUBLISHED))
def test_published_configuration_equals_moshi(name: str, tmp_path: Path) -> None:
    config = shrunk(name)
    model = build_model(config)
    with torch.no_grad():  # published weights are bfloat16: compare with what the file holds
        for parameter in model.parameters():
            parameter.copy_(parameter.bfloat16().float())
    given, inputs = conditions(model)
    if config.get("model_type") == "hibiki":  # as its loader does
        with torch.no_grad():
            model.text_emb.weight[2] = model.text_emb.weight[3]
    forced = forced_run(model, FRAMES, conditions=given)
    stacked = name == "moshiko"  # the first checkpoints stack the steps' projections
    write_checkpoint(tmp_path, config, model, dtype=torch.bfloat16, stacked=stacked)
    del model
    errors = compare(tmp_path, config, forced, inputs, Precision("float32", "float32"))
    assert max(errors.values()) < 1e-4, errors
