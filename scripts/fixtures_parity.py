#!/usr/bin/env python3
"""Small packages with what transformers answers on the same weights, so that parity is proved without torch.

`scripts/fixtures_parity.py tests/fixtures` writes, for each architecture below, NAME-tiny/ (a text-lm package made by
the exporter from a random checkpoint that transformers saved) and NAME-tiny.json (prompt, logits after it, greedy
continuation, all from transformers in float32). Seeded; needs scripts/requirements-host.txt.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(_HERE), str(_HERE.parent / "daemon")]

import numpy as np  # noqa: E402
import torch  # noqa: E402

from exporting.synthetic_tokenizer import BOS, EOS, write_tokenizer  # noqa: E402
from exporting.terminal import Progress, quiet  # noqa: E402

VOCAB, PIECES = 288, 280  # more rows than pieces, as published models have
PROMPT, GREEDY = 21, 64
FIRST_ORDINARY = 3  # below are <unk>, <s>, </s>
KEPT = (0, GREEDY - 1)  # steps whose logits are stored


@dataclass(frozen=True)
class Architecture:
    """`model` and `config` are class names in transformers; `settings` go to the configuration."""

    model: str
    config: str
    settings: dict[str, Any]
    quant: str = "float32"
    contexts: tuple[int, ...] = (32, 128)
    seed: int = 7


_SHAPE = {
    "vocab_size": VOCAB, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 256,
    "bos_token_id": BOS, "eos_token_id": EOS, "pad_token_id": None,
}  # fmt: skip
_LLAMA3 = {"rope_type": "llama3", "rope_theta": 500.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
           "original_max_position_embeddings": 32}  # fmt: skip

ARCHITECTURES: dict[str, Architecture] = {
    "llama": Architecture("LlamaForCausalLM", "LlamaConfig", {**_SHAPE, "tie_word_embeddings": True}),
    "llama3": Architecture(
        "LlamaForCausalLM",
        "LlamaConfig",
        {**_SHAPE, "tie_word_embeddings": False, "rope_parameters": _LLAMA3, "attention_bias": True,
         "mlp_bias": True},
    ),
    "qwen2": Architecture("Qwen2ForCausalLM", "Qwen2Config", {**_SHAPE, "tie_word_embeddings": True}),
    "qwen3": Architecture("Qwen3ForCausalLM", "Qwen3Config", {**_SHAPE, "head_dim": 16, "tie_word_embeddings": True}),
    "gemma": Architecture("GemmaForCausalLM", "GemmaConfig", {**_SHAPE, "num_key_value_heads": 1}),
    "gemma2": Architecture(
        "Gemma2ForCausalLM",
        "Gemma2Config",
        {**_SHAPE, "sliding_window": 24, "query_pre_attn_scalar": 16, "final_logit_softcapping": 8.0},
    ),
    "gemma3": Architecture(
        "Gemma3ForCausalLM",
        "Gemma3TextConfig",
        {**_SHAPE, "num_hidden_layers": 3, "sliding_window": 24, "query_pre_attn_scalar": 8,
         "layer_types": ["sliding_attention", "sliding_attention", "full_attention"]},
    ),
}  # fmt: skip


def make_checkpoint(name: str, folder: Path) -> Any:
    """Save a random model of this architecture with a tokenizer to `folder`; gives the transformers model."""
    a = ARCHITECTURES[name]
    transformers = importlib.import_module("transformers")
    torch.manual_seed(a.seed)
    config = getattr(transformers, a.config)(**a.settings)
    model = getattr(transformers, a.model)(config).eval()
    # Gemma multiplies its embedding by sqrt(dim) and normalises what its layers write.
    randomise(model, a.seed, 0.06 if name.startswith("gemma") else 0.3)
    folder.mkdir(parents=True, exist_ok=True)
    with quiet():
        model.save_pretrained(folder)
    write_tokenizer(folder / "tokenizer.model", PIECES)
    return model


@torch.no_grad()
def randomise(model: Any, seed: int, embedding: float) -> None:
    """Norm gains and biases too: transformers starts them at one and zero, which would hide a mistake. Layers write
    loudly into a quiet embedding, or a tied head would only repeat the last token."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in sorted(model.named_parameters()):
        if parameter.ndim == 1:
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
        else:
            loud = 2.5 if name.endswith(("o_proj.weight", "down_proj.weight", "v_proj.weight")) else 1.2
            scale = embedding if "embed_tokens" in name else loud / parameter.shape[-1] ** 0.5
            parameter.copy_(scale * torch.randn(parameter.shape, generator=generator))


def prompt_tokens(name: str) -> list[int]:
    rng = np.random.default_rng(list(name.encode()))
    return [BOS, *(int(t) for t in rng.integers(FIRST_ORDINARY, PIECES, PROMPT - 1))]


@torch.no_grad()
def expected(model: Any, prompt: list[int], steps: int) -> tuple[list[int], np.ndarray]:
    """Greedy continuation of `steps` tokens and the logits [steps, vocab] each was chosen from.

    Only ordinary pieces are chosen, so that no end of text cuts the comparison short. No cache is used, so that
    nothing of the incremental bookkeeping is shared with what is tested.
    """
    tokens, rows = list(prompt), []
    for _ in range(steps):
        logits = model(torch.tensor([tokens]), use_cache=False).logits[0, -1].float().numpy()
        rows.append(logits)
        tokens.append(FIRST_ORDINARY + int(logits[FIRST_ORDINARY:PIECES].argmax()))
    return tokens[len(prompt) :], np.stack(rows)


def write_fixture(name: str, target: Path, scratch: Path) -> None:
    with quiet():
        from exporting.text_package import Request, export_text
    a = ARCHITECTURES[name]
    model = make_checkpoint(name, scratch / name)
    request = Request(
        checkpoint=scratch / name, package=target / f"{name}-tiny", quant=a.quant, contexts=a.contexts,
        prefills=(8,), name=f"{name}-tiny", licence="CC0-1.0", source="random weights",
        command="scripts/fixtures_parity.py tests/fixtures",
    )  # fmt: skip
    export_text(request, Progress())
    prompt = prompt_tokens(name)
    greedy, logits = expected(model, prompt, GREEDY)
    answer = {
        "from": f"transformers {importlib.import_module('transformers').__version__}, {a.model}, float32",
        "prompt": prompt,
        "greedy": greedy,
        "ordinary": [FIRST_ORDINARY, PIECES],
        "logits": {str(i): [round(float(x), 5) for x in logits[i]] for i in KEPT},
    }
    (target / f"{name}-tiny.json").write_text(json.dumps(answer) + "\n", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", type=Path, help="folder to write to, tests/fixtures in the repository")
    parser.add_argument("--only", nargs="*", default=["llama", "gemma2", "qwen2"], choices=list(ARCHITECTURES))
    options = parser.parse_args()
    options.target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        for name in options.only:
            write_fixture(name, options.target, Path(scratch))
    return 0


if __name__ == "__main__":
    sys.exit(main())
