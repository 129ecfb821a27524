"""Keys and values of one layer in a graph: where they lie, how new rows are written, how attention reads them.

float32: keys as [1,Hkv,C,D] and values as [1,Hkv,D,C], so that both products contract their last dimension.

int8: each written row (one slot, one head) is int8 with a float32 scale of its own, largest magnitude / 126. The
scales need no multiplication of the cache: those of the keys multiply the scores, those of the values the
probabilities. Queries and probabilities stay float32. A quarter of the bytes is read a step, and held. Both lie as
[1,Hkv,C,D]: XNNPACK repacks the right side of a product at every call, and from what DEQUANTIZE has just put into the
processor's cache it does so fastest in this layout. ms for 30 layers of SmolLM-135M's attention at 512 slots, cold
cache, one Zen 4 core: 3.9 float32, 2.7 int8 in float32's layout, 2.25 so.

torch writes the conversions as ROUND + CAST, which XNNPACK does not take; `cast_to_quantize` makes them QUANTIZE and
DEQUANTIZE in the finished file. Their zero point is 1 and not 0 on purpose. With 0 XNNPACK fuses DEQUANTIZE +
BATCH_MATMUL into a product with int8 on the right: 1.9 ms, but it allocates as many float32 scales as the cache has
values (`xnn_subgraph_rewrite_dequant_bmm`, convert_nc_qs8_qc8): 24 MB for 512 slots, more than int8 saves.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from ai_edge_litert import schema_py_generated as schema
from litert_torch.generative.custom_ops.bmm_4d import bmm_4d
from litert_torch.generative.custom_ops.dynamic_update_slice import dynamic_update_slice
from torch import Tensor

from builders.export.text.products import product_4d

KINDS = ("float32", "int8")
_LEVELS, _ZERO_POINT = 126.0, 1
_LEAST = 1e-12  # a scale that a row of zeros can be divided by


def empty(kind: str, layers: int, heads: int, dim: int, slots: int) -> dict[str, Tensor]:
    """The cache of every layer, as a graph's inputs. `heads`: of keys and values."""
    cache: dict[str, Tensor] = {}
    for i in range(layers):
        if kind == "int8":
            cache[f"k_{i}"] = torch.zeros(1, heads, slots, dim, dtype=torch.int8)
            cache[f"v_{i}"] = torch.zeros(1, heads, slots, dim, dtype=torch.int8)
            cache[f"s_{i}"] = torch.zeros(1, 2 * heads, 1, slots)  # scales of the keys, then of the values
        else:
            cache[f"k_{i}"] = torch.zeros(1, heads, slots, dim)
            cache[f"v_{i}"] = torch.zeros(1, heads, dim, slots)
    return cache


def slots_of(cache: dict[str, Tensor]) -> int:
    return cache["k_0"].shape[2]


class KeyValues:
    """One layer's cache in one call: write first, then `scores` and `mix`."""

    def __init__(self, i: int, cache: dict[str, Tensor], zero: Tensor, slot: Tensor) -> None:
        """`slot`: int32 [], where the first new row goes; `zero`: int32 [] 0."""
        self.i, self.zero, self.slot = i, zero, slot
        self.k, self.v, self.s = cache[f"k_{i}"], cache[f"v_{i}"], cache.get(f"s_{i}")

    def write(self, k: Tensor, v: Tensor) -> dict[str, Tensor]:
        """Rows k, v [T,Hkv,D] into the cache; the graph's outputs that replace its inputs."""
        zero, slot = self.zero, self.slot
        across, along = [zero, zero, zero, slot], [zero, zero, slot, zero]
        if self.s is None:
            self.k = dynamic_update_slice(self.k, _rows(k), along)
            self.v = dynamic_update_slice(self.v, _columns(v), across)
            return {f"kv_cache_k_{self.i}": self.k, f"kv_cache_v_{self.i}": self.v}
        both = torch.cat([k, v], 1)
        scale = torch.amax(torch.abs(both), -1, keepdim=True) * (1.0 / _LEVELS) + _LEAST
        whole = torch.round(both / scale).to(torch.int8)
        heads = k.shape[1]
        self.k = dynamic_update_slice(self.k, _rows(whole[:, :heads]), along)
        self.v = dynamic_update_slice(self.v, _rows(whole[:, heads:]), along)
        self.s = dynamic_update_slice(self.s, _columns(scale), across)
        return {f"kv_cache_k_{self.i}": self.k, f"kv_cache_v_{self.i}": self.v, f"kv_cache_s_{self.i}": self.s}

    def scores(self, q: Tensor) -> Tensor:
        """q [1,Hkv,rows,D] times the keys: [1,Hkv,rows,C]."""
        if self.s is None:
            return bmm_4d(q, self.k)
        return bmm_4d(q, self.k.to(torch.float32)) * self.s[:, : self.k.shape[1]]

    def mix(self, scores: Tensor) -> Tensor:
        """softmax(scores) times the values: [1,Hkv,rows,D]."""
        p = F.softmax(scores, -1)
        if self.s is None:
            return bmm_4d(p, self.v)
        return product_4d(p * self.s[:, self.v.shape[1] :], self.v.to(torch.float32))


def _rows(x: Tensor) -> Tensor:
    """[T,H,D] -> [1,H,T,D]"""
    return x.reshape(1, x.shape[1], 1, x.shape[2]) if x.shape[0] == 1 else x.permute(1, 0, 2)[None]


def _columns(x: Tensor) -> Tensor:
    """[T,H,D] -> [1,H,D,T]"""
    return x.reshape(1, x.shape[1], x.shape[2], 1) if x.shape[0] == 1 else x.permute(1, 2, 0)[None]


def cast_to_quantize(model: Any) -> None:
    """(ROUND +) CAST between float32 and int8 -> QUANTIZE and DEQUANTIZE, in a schema.ModelT, in place."""
    kinds = schema.TensorType
    for graph in model.subgraphs:
        maker = {int(op.outputs[0]): op for op in graph.operators if len(op.outputs)}
        rounds: list[Any] = []
        for op in graph.operators:
            if _code(model, op) != schema.BuiltinOperator.CAST:
                continue
            source, target = graph.tensors[op.inputs[0]].type, graph.tensors[op.outputs[0]].type
            if (source, target) == (kinds.FLOAT32, kinds.INT8):
                before = maker[int(op.inputs[0])]
                if _code(model, before) == schema.BuiltinOperator.ROUND:  # QUANTIZE rounds, to even too
                    op.inputs = before.inputs
                    rounds.append(before)
                _become(model, op, "QUANTIZE", schema.QuantizeOptionsT())
            elif (source, target) == (kinds.INT8, kinds.FLOAT32):
                _become(model, op, "DEQUANTIZE", schema.DequantizeOptionsT())
        used = {int(i) for op in graph.operators if op not in rounds for i in op.inputs}
        graph.operators = [op for op in graph.operators if op not in rounds or int(op.outputs[0]) in used]
        for tensor in graph.tensors:
            if tensor.type == kinds.INT8 and (tensor.quantization is None or tensor.quantization.scale is None):
                tensor.quantization = schema.QuantizationParametersT()
                tensor.quantization.scale, tensor.quantization.zeroPoint = [1.0], [_ZERO_POINT]


def _code(model: Any, op: Any) -> int:
    code: int = model.operatorCodes[op.opcodeIndex].builtinCode
    return code


def _become(model: Any, op: Any, name: str, options: Any) -> None:
    code, version = getattr(schema.BuiltinOperator, name), 2  # version 2: int8
    codes = model.operatorCodes
    found = [i for i, entry in enumerate(codes) if (entry.builtinCode, entry.version) == (code, version)]
    if not found:
        entry = schema.OperatorCodeT()
        entry.builtinCode = entry.deprecatedBuiltinCode = code
        entry.version = version
        codes.append(entry)
        found = [len(codes) - 1]
    op.opcodeIndex = found[0]
    op.builtinOptions = options
    op.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__.removesuffix("T"))
