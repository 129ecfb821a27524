"""The weights of shipped packages, back in the shape in which they are trained: int8 rows times their scales.

So a training can go on from what is shipped: for recordings of one's own, or with more time. The heads that told the
phones while the encoder was trained are not shipped; they are learned anew.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from ai_edge_litert.interpreter import Interpreter
from torch import Tensor, nn

from builders.export.kyutai.layers import rotary_rows
from builders.speech.hearing.network import Encoder, grid
from builders.speech.shape import CARD, CODEBOOKS, LmShape
from noctule.core.errors import InputError, ModelError
from noctule.inference.manifest import load_manifest


class Constants:
    """The constants of one of a package's graphs by the names that the exporters gave them."""

    def __init__(self, package: Path, kind: Any, graph: int = 0) -> None:
        self._path, self._graph = package / load_manifest(package, kind).raw["graph"]["file"], graph
        self._interpreter = Interpreter(model_path=str(self._path))
        self._found = {detail["name"]: detail for detail in self._interpreter.get_tensor_details(graph)}

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._found:
            raise ModelError(f"{self._path}: has no {name!r}, so it is not a package of this build")
        detail = self._found[name]
        values = np.array(self._interpreter.get_tensor(detail["index"], self._graph), np.float32)
        scales = detail["quantization_parameters"]["scales"]
        if len(scales):
            values *= scales.reshape(-1, *[1] * (values.ndim - 1))
        return torch.from_numpy(values)


def plain_weights(module: nn.Module, found: Constants) -> dict[str, Tensor]:
    """What `module.load_state_dict` takes, of a module that is stored under the names of its own parameters."""
    state = {}
    for name, wanted in module.state_dict().items():
        if name.endswith(".taps"):
            state[name] = torch.cat([found[f"{name}.{i}"] for i in range(len(wanted))])
        else:  # a matrix is stored under its layer's name; gains and biases are vectors
            matrix = wanted.ndim == 2 and name.endswith(".weight")
            state[name] = found[name.removesuffix(".weight") if matrix else name].reshape(wanted.shape)
    return state


def encoder_weights(package: Path) -> dict[str, Tensor]:
    """The encoder of a codec package."""
    return plain_weights(Encoder(), Constants(package, "codec"))


def transformer(found: Constants, layers: int, dim: int, heads: int) -> dict[str, Tensor]:
    """The layers of a temporal transformer, under the names of `lm.Layer` behind their numbers: the inverse of the
    exporter's folding."""
    head = dim // heads
    back = torch.arange(3 * dim)
    back[: 2 * dim] = torch.from_numpy(np.argsort(rotary_rows(2 * heads, head)))
    state = {}
    for i in range(layers):
        layer = f"transformer.layers.{i}"
        qkv = found[f"{layer}.qkv"]
        qkv[:dim] *= head**0.5
        state[f"{i}.self_attn.in_projs.0.weight"] = qkv[back]
        state[f"{i}.self_attn.out_projs.0.weight"] = found[f"{layer}.out"]
        state[f"{i}.gating.linear_in.weight"] = found[f"{layer}.up"]
        state[f"{i}.gating.linear_out.weight"] = found[f"{layer}.down"]
        for norm in ("norm1", "norm2"):
            state[f"{i}.{norm}.alpha"] = found[f"{layer}.{norm}.gain"].reshape(1, 1, -1)
    return state


def text_weights(package: Path, shape: LmShape) -> dict[str, Tensor]:
    """What `SpeechTextModel.load_state_dict` takes, from a speech-text package: the inverse of `checkpoint`."""
    found = Constants(package, "speech-lm")
    table = found["embedding"]
    if table.shape != (shape.pieces + 1 + CODEBOOKS * (CARD + 1) + 1, shape.dim):
        raise ModelError(f"{package}: its tables are {tuple(table.shape)}, not those of this build")
    state = {"text_emb.weight": table[: shape.pieces + 1].clone()}
    first = shape.pieces + 1
    for q in range(CODEBOOKS):
        rows = table[first + q * (CARD + 1) : first + q * (CARD + 1) + CARD]
        state[f"heard.{q}.weight"] = torch.linalg.lstsq(grid(), rows).solution.T.contiguous()
    state["opening"] = table[first + CARD].clone()
    for name, value in transformer(found, shape.layers, shape.dim, shape.heads).items():
        state[f"transformer.layers.{name}"] = value
    state["out_norm.alpha"] = found["out_norm.gain"].reshape(1, 1, -1)
    state["text_linear.weight"] = found["text_linear"]
    state["extra_heads.0.weight"] = found["extra_heads.0"]
    return state


def check_packages(models: Path) -> None:
    """Raises InputError unless a folder holds both packages."""
    for name in ("noctule-speech-codec", "noctule-stt"):
        if not (models / name / "manifest.json").exists():
            raise InputError(
                f"{models / name} is no package", "name the folder that noctule-stt and its codec are in"
            )


def unpacked(models: Path, shape: LmShape) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Encoder and text model of the packages in a folder."""
    return encoder_weights(models / "noctule-speech-codec"), text_weights(models / "noctule-stt", shape)
