"""A small Llama in torch, and its checkpoint in the Hugging Face layout that scripts/export_lm.py reads.

Layer: RMSNorm, grouped-query attention with rotary positions (half-split, as in transformers), RMSNorm, SwiGLU
(Touvron et al. 2023, arXiv 2302.13971; Ainslie et al. 2023, arXiv 2305.13245). Head tied to the embedding.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn


@dataclass(frozen=True)
class Shape:
    vocab: int = 2048
    dim: int = 256
    layers: int = 4
    heads: int = 8
    kv_heads: int = 4
    ffn: int = 704
    context: int = 128
    theta: float = 10000.0
    eps: float = 1e-5

    @property
    def head_dim(self) -> int:
        return self.dim // self.heads


class Norm(nn.Module):
    def __init__(self, dim: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, (x.shape[-1],), self.weight, self.eps)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """x [B,H,T,D] with each half-split pair turned by its position's angle; cos, sin [T,D]."""
    left, right = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-right, left], dim=-1) * sin


class Layer(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        s = self.shape = shape
        #: share of a branch's outputs that training leaves out
        self.dropout = 0.0
        self.input_layernorm = Norm(s.dim, s.eps)
        self.self_attn = nn.ModuleDict(
            {
                "q_proj": nn.Linear(s.dim, s.heads * s.head_dim, bias=False),
                "k_proj": nn.Linear(s.dim, s.kv_heads * s.head_dim, bias=False),
                "v_proj": nn.Linear(s.dim, s.kv_heads * s.head_dim, bias=False),
                "o_proj": nn.Linear(s.heads * s.head_dim, s.dim, bias=False),
            }
        )
        self.post_attention_layernorm = Norm(s.dim, s.eps)
        self.mlp = nn.ModuleDict(
            {
                "gate_proj": nn.Linear(s.dim, s.ffn, bias=False),
                "up_proj": nn.Linear(s.dim, s.ffn, bias=False),
                "down_proj": nn.Linear(s.ffn, s.dim, bias=False),
            }
        )

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, later: Tensor, wanted: Tensor | None = None) -> Tensor:
        """x [B,T,dim] -> [B,T,dim], or with wanted (bool [B,T]) only those positions, [N,dim].

        cos, sin [T,head_dim]; later [context,context] is -inf where a key comes after its query.
        """
        B, T, _ = x.shape
        s, attn, mlp = self.shape, self.self_attn, self.mlp
        h = self.input_layernorm(x)
        q = rotate(attn["q_proj"](h).view(B, T, s.heads, s.head_dim).transpose(1, 2), cos, sin)
        k = rotate(attn["k_proj"](h).view(B, T, s.kv_heads, s.head_dim).transpose(1, 2), cos, sin)
        v = attn["v_proj"](h).view(B, T, s.kv_heads, s.head_dim).transpose(1, 2)
        groups = s.heads // s.kv_heads
        k, v = k.repeat_interleave(groups, dim=1), v.repeat_interleave(groups, dim=1)
        # Padding is on the right: causal attention alone keeps it out of every real position. Written out, because
        # torch's fused attention on a CPU takes five times as long backwards at so few positions.
        scores = (q * s.head_dim**-0.5) @ k.transpose(2, 3) + later[:T, :T]
        mixed = (scores.softmax(dim=-1) @ v).transpose(1, 2).reshape(B, T, -1)
        if wanted is not None:
            x, mixed = x[wanted], mixed[wanted]
        x = x + F.dropout(attn["o_proj"](mixed), self.dropout, self.training)
        h = self.post_attention_layernorm(x)
        branch = mlp["down_proj"](F.silu(mlp["gate_proj"](h)) * mlp["up_proj"](h))
        out: Tensor = x + F.dropout(branch, self.dropout, self.training)
        return out


class Llama(nn.Module):
    cos: Tensor
    sin: Tensor
    later: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.dropout = 0.0
        self.embed_tokens = nn.Embedding(shape.vocab, shape.dim)
        self.layers = nn.ModuleList([Layer(shape) for _ in range(shape.layers)])
        self.norm = Norm(shape.dim, shape.eps)
        frequency = shape.theta ** (-torch.arange(0, shape.head_dim, 2, dtype=torch.float32) / shape.head_dim)
        angle = torch.outer(torch.arange(shape.context, dtype=torch.float32), frequency).repeat(1, 2)
        self.register_buffer("cos", angle.cos(), persistent=False)
        self.register_buffer("sin", angle.sin(), persistent=False)
        later = torch.full((shape.context, shape.context), -torch.inf).triu(1)
        self.register_buffer("later", later, persistent=False)
        self.apply(self._initialise)

    def _initialise(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(
                module.weight, std=0.02 if isinstance(module, nn.Embedding) else module.weight.shape[1] ** -0.5
            )

    def leave_out(self, share: float) -> None:
        """Train with `share` of each branch's outputs, and of the embeddings, left out by chance."""
        self.dropout = share
        for layer in self.layers:
            layer.dropout = share  # type: ignore[assignment]

    def hidden(self, tokens: Tensor, wanted: Tensor) -> Tensor:
        """tokens int64 [B,T], wanted bool [B,T] -> [N,dim], after the last norm, at the wanted positions."""
        T = tokens.shape[1]
        x = F.dropout(self.embed_tokens(tokens), self.dropout, self.training)
        for layer in self.layers[:-1]:
            x = layer(x, self.cos[:T], self.sin[:T], self.later)
        # Nobody reads the last layer's output elsewhere.
        out: Tensor = self.norm(self.layers[-1](x, self.cos[:T], self.sin[:T], self.later, wanted))
        return out

    def logits(self, hidden: Tensor) -> Tensor:
        """[..., dim] -> [..., vocab]."""
        return hidden @ self.embed_tokens.weight.T


def save_checkpoint(model: Llama, state: dict[str, Tensor], folder: Path) -> None:
    """config.json and model.safetensors, as transformers writes a Llama."""
    s = model.shape
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": s.vocab,
        "hidden_size": s.dim,
        "intermediate_size": s.ffn,
        "num_hidden_layers": s.layers,
        "num_attention_heads": s.heads,
        "num_key_value_heads": s.kv_heads,
        "head_dim": s.head_dim,
        "max_position_embeddings": s.context,
        "rms_norm_eps": s.eps,
        "rope_theta": s.theta,
        "hidden_act": "silu",
        "tie_word_embeddings": True,
        "attention_bias": False,
        "mlp_bias": False,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 3,
        "torch_dtype": "float32",
    }
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    save_file({f"model.{name}": tensor.contiguous() for name, tensor in state.items()}, folder / "model.safetensors")
