"""An export of litert_torch.generative, run unchanged by TextLM, against transformers on the same weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("litert_torch", reason="needs scripts/requirements-host.txt", exc_type=ImportError)

from builders.common.terminal import quiet
from builders.export.text.community import community_graph_entry, schema_without_tensorflow
from builders.export.text.synthetic_tokenizer import BOS, EOS, write_tokenizer
from noctule.inference.package_writer import PackageWriter
from noctule.lm.sampler import TextSampling
from noctule.lm.text.model import TextLM
from noctule.lm.text.package import open_text_package
from noctule.lm.text.request import Options, collect
from tools.fixtures import parity as parity

pytestmark = [pytest.mark.host, pytest.mark.timeout(600), pytest.mark.filterwarnings("ignore")]

CONTEXT = 96


def build_model(checkpoint: Path) -> tuple[Any, Any]:
    """The Edge Generative API's SmolLM with the shape of the tiny Llama checkpoint, and its configuration."""
    from litert_torch.generative.examples.smollm import smollm
    from litert_torch.generative.utilities import model_builder

    config = smollm.get_model_config()
    settings = parity.ARCHITECTURES["llama"].settings
    config.vocab_size, config.num_layers = settings["vocab_size"], settings["num_hidden_layers"]
    config.embedding_dim, config.max_seq_len = settings["hidden_size"], settings["max_position_embeddings"]
    block = config.block_config(0)
    block.ff_config.intermediate_size = settings["intermediate_size"]
    block.attn_config.num_heads = settings["num_attention_heads"]
    block.attn_config.num_query_groups = settings["num_key_value_heads"]
    block.attn_config.head_dim = settings["head_dim"]
    model = model_builder.build_decoder_only_model(
        checkpoint_path=str(checkpoint), config=config, tensor_names=smollm.TENSOR_NAMES, model_class=smollm.SmolLM,
        mask_cache_size=CONTEXT,
    )  # fmt: skip
    return model.eval(), config


@pytest.mark.parametrize("layout", ["default", "transposed"])
def test_official_export_is_the_reference_model(layout: str, tmp_path: Path) -> None:
    reference = parity.make_checkpoint("llama", tmp_path / "checkpoint")
    with quiet():
        schema_without_tensorflow()
        from litert_torch.generative.layers import kv_cache
        from litert_torch.generative.utilities import converter, export_config

        model, config = build_model(tmp_path / "checkpoint")
        options = export_config.ExportConfig()
        if layout == "transposed":
            options.kvcache_layout = kv_cache.KV_LAYOUT_TRANSPOSED
        converter.convert_to_tflite(
            model, str(tmp_path), "tiny", [8, 16], CONTEXT, quantize="none", config=config, export_config=options
        )
    (exported,) = tmp_path.glob("*.tflite")
    prompt = parity.prompt_tokens("llama")
    greedy, logits = parity.expected(reference, prompt, parity.GREEDY)
    package = make_package(exported, tmp_path / "package")
    lm = TextLM(package)
    sampling = TextSampling(temperature=0.0)
    collect(lm.generate(prompt, Options(max_tokens=parity.GREEDY, sampling=sampling, constraint=Ordinary())))
    assert list(lm.held[len(prompt) :]) == greedy[:-1]
    # Forced through the same text, the numbers agree too; the prompt goes through prefill.
    lm.forget()
    done = 0
    while done < len(prompt) - 1:
        done += package.graph.prefill(prompt[done:-1], done)
    tokens = [*prompt, *greedy]
    found = np.stack([package.graph.decode(tokens[i], i) for i in range(len(prompt) - 1, len(tokens) - 1)])
    assert np.abs(found - logits).max() / np.abs(logits).max() < 1e-3
    lm.close()


class Ordinary:
    def __init__(self) -> None:
        self._allowed = np.arange(parity.FIRST_ORDINARY, parity.PIECES, dtype=np.int32)

    def mask(self) -> np.ndarray:
        return self._allowed

    def advance(self, token: int) -> None: ...

    def done(self) -> bool:
        return False


def make_package(exported: Path, folder: Path) -> Any:
    """The export as it is, beside a manifest."""
    from noctule.inference import runtime as tflite

    with PackageWriter(folder) as package:
        exported.rename(package.folder / "model.tflite")
        write_tokenizer(package.folder / "tokenizer.model", parity.PIECES)
        entry = community_graph_entry(package.folder / "model.tflite")
        with tflite.load_model(package.folder / "model.tflite") as model:
            golden = first_logits(model)
        package.finish(
            {
                "format": 1, "kind": "text-lm", "name": "official", "version": "1", "licence": "CC0-1.0",
                "source": "random weights", "build": "tests/host/test_export_community.py", "graph": entry,
                "tokenizer": {"file": "tokenizer.model", "vocab_size": parity.PIECES, "bos": BOS, "eos": [EOS],
                              "pad": None, "control": {"<s>": BOS, "</s>": EOS}},
                "limits": {"context": CONTEXT}, "golden": golden,
            }
        )  # fmt: skip
    return open_text_package(folder)


def first_logits(model: Any) -> dict[str, Any]:
    """Golden entry of one token, from the export itself: what is tested here is the rest."""
    signature = model.signature("decode")
    runner = model.runner("decode", alias={n: n for n in signature.inputs if n.startswith("kv_cache")})
    runner.write("tokens", np.array([[BOS]], np.int32))
    runner.write("input_pos", np.array([0], np.int32))
    if "mask" in signature.inputs:
        spec = signature.inputs["mask"]
        seen = np.arange(spec.shape[-1]) < 1
        mask = seen if spec.dtype == np.bool_ else np.where(seen, np.float32(0), np.float32(-1e9))
        runner.write("mask", mask.reshape(spec.shape))
    runner.run()
    row = runner.read("logits").reshape(-1)
    top = np.argsort(-row, kind="stable")[:5]
    return {
        "tokens": [BOS], "signature": "decode", "top": [top.tolist()], "logits": [[float(x) for x in row[:8]]],
        "rtol": 1e-3,
    }  # fmt: skip
