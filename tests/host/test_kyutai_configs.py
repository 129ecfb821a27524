"""Every published configuration, real per-layer shapes: moshi's checkpoint, exported, run on the board's runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from host.kyutai_configs import PUBLISHED, shrunk

from exporting import kyutai
from exporting.kyutai_layers import Precision
from noctule.tflite import load_model

torch = pytest.importorskip("torch")
pytest.importorskip("moshi")

from moshi.conditioners import ConditionAttributes, TensorCondition  # noqa: E402

from exporting.kyutai_reference import Forced, build_model, forced_run, write_checkpoint  # noqa: E402

pytestmark = [
    pytest.mark.host, pytest.mark.slow, pytest.mark.timeout(600),
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


def rows(streams: dict[str, Any], column: Array) -> Array:
    """Embedding rows of one frame of tokens."""
    offsets, modulus = np.array(streams["offsets"]), streams["demux"]
    tokens = column.astype(int)
    if modulus:
        left, right = (tokens[0] % modulus, tokens[0] // modulus - 1) if tokens[0] >= 0 else (-1, -1)
        tokens = np.concatenate([[left, right], tokens[1:]])
    return np.where(tokens < 0, offsets[-1], tokens + offsets[:-1]).astype(np.int32)[None]


def depth_rows(streams: dict[str, Any], q: int, token: int) -> Array:
    """Rows of one depth step's token."""
    zero, modulus = streams["depth"]["zero"][q], streams["demux"]
    if q or not modulus:
        return np.array([[zero if token < 0 else token]], np.int32)
    left, right = (token % modulus, token // modulus - 1) if token >= 0 else (-1, -1)
    return np.array([[zero if left < 0 else left, zero if right < 0 else modulus + right]], np.int32)


def run_package(folder: Path, streams: dict[str, Any], forced: Forced, inputs: dict[str, Array]) -> dict[str, Array]:
    """The package, teacher-forced with the tokens of `forced`."""
    with load_model(folder / kyutai.GRAPH) as model:
        made: dict[str, Array] = {}
        if inputs:
            condition = model.runner("condition")
            for name, value in inputs.items():
                condition.write(name, value)
            condition.run()
            made = {name: condition.read(name) for name in condition.signature.outputs}
        signature = model.signatures[f"temporal_{streams['buckets'][-1]}"]
        fixed: dict[str, str | None] = {n: n for n in signature.inputs if n.startswith("kv_cache")}
        temporal = model.runner(f"temporal_{streams['buckets'][-1]}", alias=fixed)
        for name, value in made.items():
            temporal.write(name, value)
        if "cross_mask" in signature.inputs:
            temporal.write("cross_mask", np.zeros(signature.inputs["cross_mask"].shape, np.float32))
        depth = [model.runner(f"dep_{q}") for q in range(streams["dep_q"])]
        text, audio, extra = [], [], []
        for t in range(forced.codes.shape[1]):
            temporal.write("tokens", rows(streams, forced.codes[:, t]))
            temporal.write("input_pos", np.array([t], np.int32))
            temporal.run()
            text.append(temporal.read("logits")[0])
            extra.append([temporal.read(f"extra_{j}")[0] for j in range(streams["extra_heads"]["count"])])
            kv: Array | None = None
            steps = []
            for q, step in enumerate(depth):
                step.write("hidden", temporal.read("hidden"))
                step.write("token", depth_rows(streams, q, int(forced.depth_tokens[t, q])))
                if kv is not None:
                    step.write("kv", kv)
                step.run()
                new = step.read("kv_new")
                kv = new if kv is None else np.concatenate([kv, new], axis=3)
                steps.append(step.read("logits")[0])
            audio.append(steps)
    return {"text": np.array(text), "audio": np.array(audio), "extra": np.array(extra)}


def relative(found: Array, expected: Array) -> float:
    return float((np.abs(found - expected).max(axis=-1) / np.abs(expected).max(axis=-1)).max())


def compare(folder: Path, config: dict[str, Any], forced: Forced, inputs: dict[str, Array],
            precision: Precision) -> dict[str, float]:
    """Export the checkpoint in `folder` and measure the largest relative error of every head."""
    options = kyutai.Options(precision=precision, cross_frames=CROSS)
    streams = kyutai.export_lm(folder, folder / "package", options, lambda _: None)
    assert streams["delays"] == config["delays"]
    found = run_package(folder / "package", streams, forced, inputs)
    errors = {"text": relative(found["text"], forced.text)}
    for q in range(streams["dep_q"]):
        errors[f"audio {q}"] = relative(found["audio"][:, q], forced.audio[:, q])
        assert float(found["audio"][:, q].std(axis=-1).min()) > 0.05 * float(np.abs(forced.audio).max())
    if forced.extra.shape[1]:
        logits = found["extra"]
        exponent = np.exp(logits - logits.max(axis=-1, keepdims=True))
        errors["extra"] = float(np.abs(exponent / exponent.sum(axis=-1, keepdims=True) - forced.extra).max())
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
