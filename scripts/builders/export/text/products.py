"""A batched product [1,H,M,K] x [1,H,K,N] that reaches the file as one BATCH_MATMUL.

torch.matmul would bring reshapes to three dimensions with it, which a runtime may carry out by copying;
litert-torch's own `bmm_4d` is the same for a transposed right side.
"""

from __future__ import annotations

from typing import Any

import torch
from litert_converter.mlir import ir
from litert_converter.mlir.dialects import stablehlo
from litert_torch.backend import lowerings
from torch import Tensor


@torch.library.custom_op("noctule::product_4d", mutates_args=())
def product_4d(left: Tensor, right: Tensor) -> Tensor:
    """left [1,H,M,K] times right [1,H,K,N]."""
    return torch.matmul(left, right)


@product_4d.register_fake
def _(left: Tensor, right: Tensor) -> Tensor:
    return torch.matmul(left, right)


@lowerings.lower(torch.ops.noctule.product_4d)
def _lower(_: Any, left: ir.Value, right: ir.Value) -> Any:
    shape = (*left.type.shape[:3], right.type.shape[3])
    axes = stablehlo.DotDimensionNumbers.get(
        lhs_batching_dimensions=[0, 1],
        rhs_batching_dimensions=[0, 1],
        lhs_contracting_dimensions=(3,),
        rhs_contracting_dimensions=(2,),
    )
    return stablehlo.dot_general(ir.RankedTensorType.get(shape, left.type.element_type), left, right, axes)
