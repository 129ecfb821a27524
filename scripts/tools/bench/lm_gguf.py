"""A Llama-layout checkpoint -> GGUF for llama.cpp, same weights. Runs where `gguf` is installed.

Usage: lm_gguf.py CHECKPOINT FILE Q8_0|Q4_0. The matrices and the embedding (tied: also the head) are quantised; norms
stay float32. llama.cpp's llama architecture rotates neighbouring pairs, so the rows of q and k are interleaved.
"""

from __future__ import annotations

import json
import struct
import sys
from pathlib import Path

import gguf
import numpy as np
from gguf.quants import quantize

_FILE_TYPES = {"Q8_0": 7, "Q4_0": 2}  # llama.h, enum llama_ftype
_NAMES = {
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}  # fmt: skip


def read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """Float32 tensors of a safetensors file, mapped: 8 bytes of header length, JSON header, data."""
    with path.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        header = json.loads(stream.read(length))
    data = np.memmap(path, np.uint8, "r", offset=8 + length)
    found = {}
    for name, entry in header.items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            found[name] = data[begin:end].view(np.float32).reshape(entry["shape"])
    return found


def interleave(weight: np.ndarray, heads: int) -> np.ndarray:
    """Rows of pairs (j, j + half) -> neighbours (2j, 2j+1), head by head."""
    rows = weight.reshape(heads, 2, weight.shape[0] // heads // 2, weight.shape[1])
    return np.ascontiguousarray(rows.swapaxes(1, 2).reshape(weight.shape))


def write(checkpoint: Path, target: Path, kind: str) -> None:
    config = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
    tensors = read_safetensors(checkpoint / "model.safetensors")
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    out = gguf.GGUFWriter(target, "llama")
    out.add_block_count(config["num_hidden_layers"])
    out.add_context_length(config["max_position_embeddings"])
    out.add_embedding_length(config["hidden_size"])
    out.add_feed_forward_length(config["intermediate_size"])
    out.add_head_count(heads)
    out.add_head_count_kv(kv_heads)
    out.add_layer_norm_rms_eps(config["rms_norm_eps"])
    out.add_rope_freq_base(config["rope_theta"])
    out.add_rope_dimension_count(config["hidden_size"] // heads)
    out.add_vocab_size(config["vocab_size"])
    out.add_tokenizer_model("no_vocab")
    out.add_file_type(_FILE_TYPES[kind])
    quantised = gguf.GGMLQuantizationType[kind]
    for name, tensor in tensors.items():
        short = name.removeprefix("model.").removesuffix(".weight")
        if short.startswith("layers."):
            _, index, part = short.split(".", 2)
            if part in ("self_attn.q_proj", "self_attn.k_proj"):
                tensor = interleave(tensor, heads if part == "self_attn.q_proj" else kv_heads)
            short = f"blk.{index}.{_NAMES[part]}"
        else:
            short = {"embed_tokens": "token_embd", "norm": "output_norm"}[short]
        if tensor.ndim == 1:
            out.add_tensor(f"{short}.weight", np.ascontiguousarray(tensor))
        else:
            out.add_tensor(f"{short}.weight", quantize(tensor, quantised), raw_dtype=quantised)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


if __name__ == "__main__":
    part = Path(sys.argv[2] + ".partial")
    write(Path(sys.argv[1]), part, sys.argv[3])
    part.rename(sys.argv[2])
