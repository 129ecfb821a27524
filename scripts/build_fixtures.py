# ruff: noqa: E402 - the daemon must be importable first
"""Builds the small .tflite files that the tests run: `python scripts/build_fixtures.py` (host tools needed).

One random two-layer decoder (seeded, 400 logits wide) in the layouts and weights that Noctule must run, and a
graph that only adds, whole and spoilt. The two layouts hold the same weights, so their logits must agree.
"""

from __future__ import annotations

import json
import sys
import tempfile
import types
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "daemon"))

import flatbuffers
import litert_torch
import torch
from ai_edge_litert import schema_py_generated as schema

from exporting.convert import convert, text_signatures
from exporting.golden import golden_tokens, reference_logits, runtime_logits
from exporting.graph import Decoder, DecoderConfig
from exporting.quantise import quantise
from exporting.rope import plain_rope
from exporting.terminal import quiet

FOLDER = ROOT / "tests" / "fixtures"
DIM, HEADS, HEAD_DIM, FFN, LAYERS, WIDTH = 24, 2, 12, 40, 2, 400
CONTEXTS, PREFILLS, COMMUNITY_CONTEXT = [16, 48], [8], 48
SEED = 11


def decoder() -> Decoder:
    """Random weights; one key-value head, so that both layouts order q, k, v alike."""
    rope = plain_rope(HEAD_DIM, 10000.0)
    config = DecoderConfig(
        dim=DIM, heads=HEADS, kv_heads=1, head_dim=HEAD_DIM, ffn=FFN, rows=WIDTH, vocab=WIDTH,
        ropes=(rope,) * LAYERS, windows=(None,) * LAYERS, eps=1e-6, tied_head=True,
    )  # fmt: skip
    model = Decoder(config).eval()
    generator = torch.Generator().manual_seed(SEED)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim >= 2:
                # Attention is made sharp and the embedding large, so that logits depend on the whole context.
                gain = 2.0 if "qkv" in name else 1.0
                weight.copy_(torch.randn(weight.shape, generator=generator) * gain / weight.shape[-1] ** 0.5)
            elif weight.ndim == 1 and "bias" not in name:
                weight.copy_(1.0 + 0.1 * torch.randn(weight.shape, generator=generator))
            else:
                weight.zero_()
    return model


def community(reference: Decoder, mask_as_input: bool) -> None:
    """The same weights in litert-torch's own generative model, exported as litert-community's are."""
    _lend_schema()
    from litert_torch.generative.layers import model_config as cfg
    from litert_torch.generative.utilities import converter, model_builder
    from litert_torch.generative.utilities.export_config import ExportConfig

    norm = cfg.NormalizationConfig(type=cfg.NormalizationType.RMS_NORM, epsilon=1e-6)
    config = cfg.ModelConfig(
        vocab_size=WIDTH,
        num_layers=LAYERS,
        max_seq_len=256,
        embedding_dim=DIM,
        block_configs=cfg.TransformerBlockConfig(
            attn_config=cfg.AttentionConfig(
                num_heads=HEADS, head_dim=HEAD_DIM, num_query_groups=1, rotary_base=10000, rotary_percentage=1.0
            ),
            ff_config=cfg.FeedForwardConfig(
                type=cfg.FeedForwardType.GATED,
                activation=cfg.ActivationConfig(cfg.ActivationType.SILU),
                intermediate_size=FFN,
            ),
            pre_attention_norm_config=norm,
            post_attention_norm_config=norm,
        ),
        final_norm_config=norm,
    )
    model = model_builder.DecoderOnlyModel(config, mask_cache_size=0 if mask_as_input else COMMUNITY_CONTEXT).eval()
    model.load_state_dict(_renamed(reference), strict=False)
    export = ExportConfig()
    export.mask_as_input = mask_as_input
    name = "community_mask" if mask_as_input else "community"
    folder = FOLDER / "scratch"
    with quiet():
        written = converter.convert_to_tflite(
            model,
            str(folder),
            name,
            PREFILLS,
            COMMUNITY_CONTEXT,
            quantize="none",
            config=config,
            export_config=export,
        )
    Path(written or next(folder.glob("*.tflite"))).rename(FOLDER / f"{name}.tflite")
    folder.rmdir()


def _renamed(reference: Decoder) -> dict[str, Any]:
    weights: dict[str, Any] = {
        "tok_embedding.weight": reference.embedding.weight,
        "lm_head.weight": reference.embedding.weight,
        "final_norm.weight": reference.norm_final,
    }
    for i, layer in enumerate(reference.layers):
        block = f"transformer_blocks.{i}"
        gate, up = layer.gate_up.weight.chunk(2)
        weights |= {
            f"{block}.atten_func.qkv_projection.weight": layer.qkv.weight,
            f"{block}.atten_func.output_projection.weight": layer.out.weight,
            f"{block}.ff.w1.weight": gate,
            f"{block}.ff.w3.weight": up,
            f"{block}.ff.w2.weight": layer.down.weight,
            f"{block}.pre_atten_norm.weight": layer.norm_attention,
            f"{block}.post_atten_norm.weight": layer.norm_mlp,
        }
    return weights


def _lend_schema() -> None:
    """litert_torch.generative imports TensorFlow only for the flatbuffer schema; ai-edge-litert has the same one."""
    import torch._dynamo  # noqa: F401  (looks for tensorflow at import: let it look before the loan)

    names = ["tensorflow", "tensorflow.lite", "tensorflow.lite.python"]
    for name in names:
        module = types.ModuleType(name)
        module.__path__ = []
        sys.modules[name] = module
    sys.modules["tensorflow.lite.python"].schema_py_generated = schema  # type: ignore[attr-defined]
    sys.modules["tensorflow.lite.python.schema_py_generated"] = schema
    try:
        import litert_torch.generative.layers.lora  # noqa: F401
    finally:
        for name in [*names, "tensorflow.lite.python.schema_py_generated"]:
            sys.modules.pop(name, None)


class Adder(torch.nn.Module):
    """kv + x, and its sum: the least graph with state."""

    def forward(self, x: torch.Tensor, kv: torch.Tensor) -> dict[str, torch.Tensor]:
        total = kv + x
        return {"logits": total.sum(-1, keepdim=True), "kv": total}


def adders() -> None:
    """adder.tflite with signatures a and b; the same without signatures; with an op nobody has."""
    sample = {"x": torch.zeros(1, 4), "kv": torch.zeros(1, 4)}
    with quiet():
        both = litert_torch.signature("a", Adder().eval(), sample_kwargs=sample)
        both = both.signature("b", Adder().eval(), sample_kwargs=sample)
        both.convert().export(str(FOLDER / "adder.tflite"))
    model = _parse(FOLDER / "adder.tflite")
    model.signatureDefs, model.subgraphs = None, model.subgraphs[:1]
    _write(model, FOLDER / "adder_unsigned.tflite")
    model = _parse(FOLDER / "adder.tflite")
    code = model.operatorCodes[0]
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
    code.customCode = b"NobodyHasThis"
    for graph in model.subgraphs:
        for operator in graph.operators:
            if operator.opcodeIndex == 0:
                operator.builtinOptions, operator.builtinOptionsType = None, 0
    _write(model, FOLDER / "unknown_op.tflite")


class Doubler(torch.nn.Module):
    """2 x, in float32."""

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"y": x + x}


class Summer(torch.nn.Module):
    """The sum of x, 64 times, by a matrix of ones that is then quantised per channel."""

    def __init__(self) -> None:
        super().__init__()
        self.ones = torch.nn.Linear(64, 64, bias=False)
        torch.nn.init.ones_(self.ones.weight)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"y": self.ones(x)}


def probe() -> None:
    """daemon/noctule/probe.tflite: what `tflite_probe` asks a runtime to compute."""
    target = ROOT / "daemon" / "noctule" / "probe.tflite"
    whole = FOLDER / "probe_float32.tflite"
    sample = {"x": torch.zeros(1, 64)}
    with quiet():
        both = litert_torch.signature("float32", Doubler().eval(), sample_kwargs=sample)
        both.signature("int8", Summer().eval(), sample_kwargs=sample).convert().export(str(whole))
    quantise(whole, target, "int8")
    target.chmod(0o644)
    whole.unlink()


def _parse(path: Path) -> Any:
    return schema.ModelT.InitFromObj(schema.Model.GetRootAs(path.read_bytes(), 0))


def _write(model: Any, path: Path) -> None:
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    path.write_bytes(bytes(builder.Output()))


def golden(reference: Decoder) -> None:
    """golden.json: all logits of eight tokens; float32 from torch, int8 from ai-edge-litert on this machine."""
    tokens = golden_tokens(WIDTH - 20)
    rows = {"float32": reference_logits(reference, tokens, CONTEXTS[0])}
    for name in ("int8", "int8_tensor", "int8_cache"):
        rows[name] = runtime_logits(FOLDER / f"noctule_{name}.tflite", f"decode_{CONTEXTS[0]}", tokens)
    document = {"tokens": tokens, **{k: [[round(float(x), 5) for x in r] for r in v] for k, v in rows.items()}}
    (FOLDER / "golden.json").write_text(json.dumps(document) + "\n")


def int8_cache() -> None:
    """int8 weights and keys and values in int8."""
    model = decoder()
    model.cache = "int8"
    path = FOLDER / "noctule_int8_cache.tflite"
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "float32.tflite"
        convert(text_signatures(model.fold(), CONTEXTS, PREFILLS), whole)
        quantise(whole, path, "int8")


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    adders()
    probe()
    reference = decoder()
    for mask in (False, True):
        community(reference, mask)
    whole = FOLDER / "noctule_float32.tflite"
    convert(text_signatures(reference.fold(), CONTEXTS, PREFILLS), whole)
    quantise(whole, FOLDER / "noctule_int8.tflite", "int8")
    quantise(whole, FOLDER / "noctule_int8_tensor.tflite", "int8-tensor")
    int8_cache()
    golden(decoder())
    for path in sorted(FOLDER.glob("*.tflite")):
        path.chmod(0o644)
        print(f"{path.name:28} {path.stat().st_size / 1000:8.1f} kB")


if __name__ == "__main__":
    main()
