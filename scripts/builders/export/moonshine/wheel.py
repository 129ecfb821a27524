"""The weights of Moonshine Tiny English out of the `moonshine-voice` wheel, which carries them as .ort files.

The release is pinned: later ones have no weights in them. Every platform's wheel holds the same three files, so
they, and not the wheel, are what is compared.
"""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import numpy as np

from builders.export.moonshine.config import TINY
from builders.export.moonshine.ort_file import Array, Graph, Node, read_ort
from builders.export.moonshine.weights import EMBEDDING, ON_GRID, Grid, Weights, find_grid
from noctule.core.errors import InputError
from noctule.lm.speech.moonshine.tokenizer import read_pieces

RELEASE = "moonshine-voice 0.0.73"
_FOLDER = "moonshine_voice/assets/tiny-en/"
_FILES = {
    "encoder_model.ort": "94e90a4654fc45cdfedb77c4c08e1739f48862998e58fada384b25118134f221",
    "decoder_model_merged.ort": "cf524c4862d36e9e5ab032eddc73637efd822d70e868ac575cf1a46e1e4708a0",
    "tokenizer.bin": "6884b35fd6377d4c4d32336a0bc152f36b64d1e45b6503683cdc238250a8472d",
}
#: matrix products of a dynamically quantised graph: where each keeps its integers, scale, zero point and bias
_PRODUCTS = {"MatMulIntegerToFloat": (1, 3, 5, 6), "DynamicQuantizeMatMul": (1, 2, 3, 4)}
#: layer norms: which inputs may be the weight
_NORMS = ("LayerNormalization", "SkipLayerNormalization", "SimplifiedLayerNormalization")


def from_wheel(path: Path) -> tuple[Weights, list[bytes]]:
    """The model and its pieces. Raises InputError, one sentence, for any other file."""
    files = _files(path)
    weights = Weights(TINY)
    encoder = read_ort(files["encoder_model.ort"], f"{path}: encoder_model.ort")
    decoder = read_ort(files["decoder_model_merged.ort"], f"{path}: decoder_model_merged.ort")
    _collect(encoder, "model.encoder.", weights)
    _collect(decoder, "model.decoder.", weights)
    _front_end(encoder, weights)
    table = decoder.constants[f"{EMBEDDING}_merged_0_quantized"]
    _keep(
        weights,
        EMBEDDING,
        table.astype(np.int32) - int(decoder.constants[f"{EMBEDDING}_merged_0_zero_point"].ravel()[0]),
        decoder.constants[f"{EMBEDDING}_merged_0_scale"],
    )
    return weights, read_pieces(files["tokenizer.bin"])


def _files(path: Path) -> dict[str, bytes]:
    hint = f"the wheel must be that of {RELEASE}"
    if not path.is_file():
        raise InputError(f"{path}: there is no such wheel", hint)
    found = {}
    try:
        with zipfile.ZipFile(path) as wheel:
            for name, digest in _FILES.items():
                found[name] = wheel.read(_FOLDER + name)
                if hashlib.sha256(found[name]).hexdigest() != digest:
                    raise InputError(f"{path}: its {name} is not the one of {RELEASE}", hint)
    except KeyError:
        raise InputError(f"{path} is not the wheel of {RELEASE}: it holds no {_FOLDER}{name}", hint) from None
    except (zipfile.BadZipFile, OSError, EOFError) as error:
        raise InputError(f"{path} is cut short or not a wheel: {error}", "download it again") from None
    return found


def _collect(graph: Graph, prefix: str, weights: Weights) -> None:
    """Matrices and norms, named by the nodes that use them: the exporter kept the modules' names."""
    for node, constants in graph.walk():
        if node.operator in _PRODUCTS:
            integers, scale, zero, bias = (_input(node, i) for i in _PRODUCTS[node.operator])
            name = _module(node.name, prefix)
            values = constants[integers].astype(np.int32) - constants[zero].astype(np.int32).ravel()[0]
            _keep(weights, f"{name}.weight", np.ascontiguousarray(values.T), constants[scale])
            if bias and bias in constants:
                weights.floats[f"{name}.bias"] = constants[bias].astype(np.float32)
        elif node.operator in _NORMS:
            found = next(name for name in node.inputs if name.endswith("weight") or "weight_merged" in name)
            name = found.split("_merged")[0]
            full = name if name.startswith("model.") else prefix + name
            weights.floats[full] = constants[found].astype(np.float32)


def _input(node: Node, index: int) -> str:
    return node.inputs[index] if index < len(node.inputs) else ""


def _module(node: str, prefix: str) -> str:
    name = node.strip("/").replace("/", ".").replace(".MatMul_quant", "")
    return name if name.startswith("model.") or name == "proj_out" else prefix + name


def _keep(weights: Weights, name: str, integers: Array, scale: Array) -> None:
    if scale.size != 1:
        raise InputError(f"the wheel's {name} has {scale.size} scales where one is expected")
    step = float(scale.ravel()[0])
    weights.grids[name] = Grid(integers.astype(np.int32), step)
    weights.floats[name] = (integers * np.float32(step)).astype(np.float32)


def _front_end(encoder: Graph, weights: Weights) -> None:
    """Convolutions and the group norm, whose constants the exporter renamed."""
    constants = encoder.constants
    for i in (1, 2, 3):
        weights.floats[f"model.encoder.conv{i}.weight"] = constants[f"conv{i}.weight_add_tensor"]
    for i in (2, 3):
        weights.floats[f"model.encoder.conv{i}.bias"] = constants[f"conv{i}.bias"]
    for name in ON_GRID:
        values = weights.floats[name]
        grid = find_grid(values.transpose(0, 2, 1).reshape(len(values), -1))
        if grid is not None:
            weights.grids[name] = grid
    weights.floats["model.encoder.groupnorm.weight"] = constants["onnx::Mul_2080"].ravel()
    weights.floats["model.encoder.groupnorm.bias"] = constants["onnx::Add_2081"].ravel()
