"""A float32 TFLite file -> int8 or int4 weights, by ai-edge-quantizer. Activations stay float32.

int8: every fully connected layer dynamic-range with one scale an output channel; the embedding table with one scale
a row, so that a tied head shares its bytes. (The table must not be "weight-only": that puts a DEQUANTIZE before the
lookup, which holds the whole table in float32 once a signature.)
int4: blocks of 32 inputs share a scale (as GGUF's Q4_0), the head included; the table that tokens are looked up in
stays int8 (one row a token is read). int4-head8 keeps the head at int8: more bytes a token, finer logits.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ai_edge_quantizer import qtyping, quantizer, recipe_manager

from builders.common.terminal import quiet
from builders.export.text.compact import compact
from noctule.core.errors import InputError

FULLY_CONNECTED = qtyping.TFLOperationName.FULLY_CONNECTED
CHANNELS = qtyping.QuantGranularity.CHANNELWISE
#: Scopes of the layers that make logits, as litert-torch names their tensors (a graph's output or module path).
HEADS = r".*(logits|Linear_head|Linear_extra).*"
EMBEDDING = qtyping.TFLOperationName.EMBEDDING_LOOKUP


@dataclass(frozen=True)
class Scheme:
    """Bits and scale granularity of the matrices; the embedding table's bits (0 leaves it float32)."""

    bits: int
    granularity: str  # a name of qtyping.QuantGranularity
    embedding_bits: int = 8
    head_bits: int = 8  # a tied head shares the embedding's bytes only when both have the same scales


SCHEMES: dict[str, Scheme | None] = {
    "float32": None,
    "int8": Scheme(8, "CHANNELWISE"),
    "int4": Scheme(4, "BLOCKWISE_32", head_bits=4),
    "int4-head8": Scheme(4, "BLOCKWISE_32"),
    "int8-tensor": Scheme(8, "TENSORWISE"),  # what tflite-runtime 2.14 can run
}


def recipe_of(scheme: Scheme) -> list[dict[str, object]]:
    manager = recipe_manager.RecipeManager()
    manager.add_dynamic_config(
        ".*", FULLY_CONNECTED, num_bits=scheme.bits, granularity=qtyping.QuantGranularity[scheme.granularity]
    )
    if scheme.head_bits != scheme.bits:
        manager.add_dynamic_config(HEADS, FULLY_CONNECTED, num_bits=scheme.head_bits, granularity=CHANNELS)
    if scheme.embedding_bits:
        # tflite-runtime looks up zeros in a table with a scale per row.
        rows = qtyping.QuantGranularity.TENSORWISE if scheme.granularity == "TENSORWISE" else CHANNELS
        manager.add_dynamic_config(".*", EMBEDDING, num_bits=scheme.embedding_bits, granularity=rows)
    recipe: list[dict[str, object]] = manager.get_quantization_recipe()
    return recipe


def quantise(source: Path, target: Path, name: str) -> None:
    """Write `source` to `target` under the scheme called `name` (a key of SCHEMES other than float32)."""
    scheme = SCHEMES.get(name)
    if scheme is None:
        raise InputError(f"quantisation {name!r} is not one of {', '.join(SCHEMES)}")
    with quiet():
        result = quantizer.Quantizer(str(source), recipe_of(scheme)).quantize()
        result.export_model(str(target), overwrite=True)
    compact(target)
