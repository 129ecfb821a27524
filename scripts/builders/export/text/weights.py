"""Tensors of a checkpoint -> a Decoder, and the check that nothing was left over."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from builders.export.text.checkpoint import Checkpoint
from builders.export.text.families import Family
from builders.export.text.graph import Decoder, Layer
from noctule.core.errors import InputError

#: Buffers that old checkpoints stored though they follow from the configuration.
_DERIVED = (".rotary_emb.inv_freq", ".masked_bias", ".attn.bias")


@torch.no_grad()
def load_decoder(checkpoint: Checkpoint, family: Family) -> Decoder:
    """A Decoder in float32 with the checkpoint's weights, not folded. Raises InputError on a missing, extra,
    misshapen or non-finite tensor."""
    c = family.decoder
    decoder = Decoder(c).eval()
    root = family.prefix
    q, kv = c.heads * c.head_dim, c.kv_heads * c.head_dim
    table = checkpoint.take(f"{root}embed_tokens.weight", (c.rows, c.dim))
    decoder.embedding.weight.copy_(table)
    for i, module in enumerate(decoder.layers):
        layer, at = cast(Layer, module), f"{root}layers.{i}."
        attention, mlp = f"{at}self_attn.", f"{at}mlp."
        _fill(
            checkpoint, layer.qkv, [(f"{attention}q_proj", q), (f"{attention}k_proj", kv), (f"{attention}v_proj", kv)]
        )
        _fill(checkpoint, layer.out, [(f"{attention}o_proj", c.dim)])
        _fill(checkpoint, layer.gate_up, [(f"{mlp}gate_proj", c.ffn), (f"{mlp}up_proj", c.ffn)])
        _fill(checkpoint, layer.down, [(f"{mlp}down_proj", c.dim)])
        for parameter, name in _norms(layer, c.post_norms):
            if parameter is not None:
                parameter.copy_(_gain(checkpoint, family, f"{at}{name}.weight", parameter))
    assert decoder.norm_final is not None
    decoder.norm_final.copy_(_gain(checkpoint, family, f"{root}norm.weight", decoder.norm_final))
    _head(checkpoint, family, decoder, table)
    for name in checkpoint.leftovers():
        if name.endswith(_DERIVED) or name.startswith(family.ignored or ("\0",)):
            checkpoint.ignore(name)
    if extra := checkpoint.leftovers():
        more = f" and {len(extra) - 1} more" if len(extra) > 1 else ""
        raise InputError(
            f"{checkpoint.folder}: tensor {extra[0]}{more} does not belong to a {family.name} model",
            "config.json describes another model, or one with parts this exporter does not know",
        )
    return decoder


def _fill(checkpoint: Checkpoint, linear: nn.Linear, parts: list[tuple[str, int]]) -> None:
    """Stack the parts' rows (and biases, where the layer has one) into one matrix."""
    weights = [checkpoint.take(f"{name}.weight", (rows, linear.in_features)) for name, rows in parts]
    linear.weight.copy_(torch.cat(weights))
    if linear.bias is not None:
        linear.bias.copy_(torch.cat([checkpoint.take(f"{name}.bias", (rows,)) for name, rows in parts]))


def _norms(layer: Layer, post_norms: bool) -> list[tuple[nn.Parameter | None, str]]:
    before_mlp = "pre_feedforward_layernorm" if post_norms else "post_attention_layernorm"
    return [
        (layer.norm_attention, "input_layernorm"),
        (layer.norm_mlp, before_mlp),
        (layer.post_attention, "post_attention_layernorm"),
        (layer.post_mlp, "post_feedforward_layernorm"),
        (layer.norm_q, "self_attn.q_norm"),
        (layer.norm_k, "self_attn.k_norm"),
    ]


def _gain(checkpoint: Checkpoint, family: Family, name: str, parameter: Tensor) -> Tensor:
    weight = checkpoint.take(name, tuple(parameter.shape))
    return weight + 1.0 if family.unit_gain else weight


def _head(checkpoint: Checkpoint, family: Family, decoder: Decoder, table: Tensor) -> None:
    c = family.decoder
    assert decoder.head is not None
    if not c.tied_head:
        decoder.head.weight.copy_(checkpoint.take(family.head, (c.vocab, c.dim)))
    elif checkpoint.has(family.head) and not torch.equal(checkpoint.take(family.head, (c.vocab, c.dim)), table):
        raise InputError(
            f"{checkpoint.folder}: config.json ties the head to the embedding but {family.head} differs from it"
        )
