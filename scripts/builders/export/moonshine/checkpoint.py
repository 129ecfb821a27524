"""A Moonshine checkpoint as `transformers` saves it: config.json, model.safetensors, tokenizer.json."""

from __future__ import annotations

from pathlib import Path

from builders.export.kyutai.weights import Tensors
from builders.export.moonshine.config import MoonshineConfig, read_config
from builders.export.moonshine.pieces import pieces_of_json
from builders.export.moonshine.weights import EMBEDDING, Weights
from noctule.core.errors import InputError

_TENSORS = "model.safetensors"
#: the embedding again, where a checkpoint writes it twice
_TIED = "proj_out.weight"


def from_checkpoint(folder: Path) -> tuple[Weights, list[bytes]]:
    """The model and its pieces. Raises InputError, one sentence, for a folder that is no whole checkpoint."""
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder", "name a folder with config.json and model.safetensors")
    config = read_config(folder / "config.json")
    if not (folder / _TENSORS).is_file():
        raise InputError(f"{folder / _TENSORS}: there is no such file", "download every file of the checkpoint")
    tensors = Tensors(folder / _TENSORS)
    shapes = shapes_of(config)
    tensors.expect(shapes, ignore=(_TIED,))
    weights = Weights(config, {name: tensors.take(name) for name in shapes})
    return weights, pieces_of_json(folder / "tokenizer.json", config.vocab)


def shapes_of(c: MoonshineConfig) -> dict[str, tuple[int, ...]]:
    """Every tensor that the graphs read, by its name in the checkpoint."""
    dim = c.dim
    shapes: dict[str, tuple[int, ...]] = {
        "model.encoder.conv1.weight": (dim, 1, 127),
        "model.encoder.conv2.weight": (2 * dim, dim, 7),
        "model.encoder.conv2.bias": (2 * dim,),
        "model.encoder.conv3.weight": (dim, 2 * dim, 3),
        "model.encoder.conv3.bias": (dim,),
        "model.encoder.groupnorm.weight": (dim,),
        "model.encoder.groupnorm.bias": (dim,),
        "model.encoder.layer_norm.weight": (dim,),
        "model.decoder.norm.weight": (dim,),
        EMBEDDING: (c.vocab, dim),
    }
    for side, layers, inner in (("encoder", c.encoder_layers, c.inner), ("decoder", c.decoder_layers, 2 * c.inner)):
        attentions = ["self_attn"] if side == "encoder" else ["self_attn", "encoder_attn"]
        norms = ["input_layernorm", "post_attention_layernorm"] + (["final_layernorm"] if side == "decoder" else [])
        for i in range(layers):
            p = f"model.{side}.layers.{i}."
            shapes |= {f"{p}{a}.{kind}_proj.weight": (dim, dim) for a in attentions for kind in "qkvo"}
            shapes |= {f"{p}{norm}.weight": (dim,) for norm in norms}
            shapes |= {f"{p}mlp.fc1.weight": (inner, dim), f"{p}mlp.fc1.bias": (inner,)}
            shapes |= {f"{p}mlp.fc2.weight": (dim, c.inner), f"{p}mlp.fc2.bias": (dim,)}
    return shapes
