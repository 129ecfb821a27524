"""Kyutai's q8 checkpoints: the package computes with the very integers that were published."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from builders.export.kyutai import package as kyutai
from builders.export.kyutai.layers import Precision
from builders.export.kyutai.weights import Tensors
from kyutai_runs import forced_logits, relative
from tools.fixtures import speech as fixtures_speech

torch = pytest.importorskip("torch")
pytest.importorskip("moshi")

from builders.export.kyutai.reference import build_model, forced_run, write_checkpoint  # noqa: E402

pytestmark = [
    pytest.mark.host,
    pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning"),  # torch warns of itself
]


@pytest.mark.parametrize("stacked", [False, True])
def test_q8_equals_moshi_with_the_same_integers(tmp_path: Path, stacked: bool) -> None:
    """moshi's own int8 layers need a GPU, so it runs in float32 on what the integers stand for."""
    model = build_model(fixtures_speech.CONFIG)
    write_checkpoint(tmp_path, fixtures_speech.CONFIG, model, dtype=torch.bfloat16, q8=True)
    tensors = Tensors(tmp_path / "model.safetensors")
    names = [name for name in tensors.names() if f"{name}_scb" in tensors]
    assert len(names) > 30, "the checkpoint is not quantised"
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            values = tensors.matrix(name).floats() if name in names else tensors.take(name)
            parameter.copy_(torch.from_numpy(values))
    if stacked:
        write_checkpoint(tmp_path, fixtures_speech.CONFIG, model, dtype=torch.bfloat16, q8=True, stacked=True)
        with pytest.raises(KeyError):
            Tensors(tmp_path / "model.safetensors").shape("depformer.layers.0.self_attn.in_projs.0.weight")
    forced = forced_run(model, 60)
    for precision, limit in ((Precision("float32", "float32"), 1e-4), (Precision("int8", "int8"), 0.1)):
        output = tmp_path / precision.linear
        streams = kyutai.export_lm(tmp_path, output, kyutai.Options(precision=precision), lambda _: None)
        found = forced_logits(output / kyutai.GRAPH, streams, forced.codes, forced.depth_tokens)
        assert relative(found["text"], forced.text) < limit
        assert relative(found["audio"], forced.audio) < limit
        assert np.abs(found["audio"]).max() > 0
