"""Checkpoints in Kyutai's published layout made by `moshi` itself, and what moshi answers: the parity tests' oracle.

Needs torch and moshi (host side). Nothing here is used by the exporter.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("NO_TORCH_COMPILE", "1")

import numpy as np
import numpy.typing as npt
import sentencepiece
import torch
from moshi.models import loaders
from moshi.models.lm import LMGen, LMModel
from moshi.utils import sampling as moshi_sampling
from safetensors.torch import save_file

Array = npt.NDArray[Any]

torch.set_num_threads(1)  # one frame at a time is too little work to share; idle threads would only spin

_CORPUS = """the bat flies at dusk and hears the echo of the moth
noctule bats hunt over water and over fields of corn
turn on the lamp in the kitchen please
what time is it now and what is the weather
set a timer for five minutes and tell me when it ends
a quick brown fox jumps over the lazy dog
how many moths does a bat eat in one night
open the window and close the door"""


def train_tokenizer(path: Path, size: int) -> None:
    """A SentencePiece model of `size` pieces with Kyutai's special ids (unk 0, bos 1, eos 2, pad 3).

    The corpus gives some 60 pieces; a larger vocabulary is filled with symbols that never occur.
    """
    sentences = [" ".join(words) for line in _CORPUS.splitlines() for words in _windows(line.split())]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences),
        model_prefix=str(path.with_suffix("")),
        vocab_size=size,
        unk_id=0,
        bos_id=1,
        eos_id=2,
        pad_id=3,
        user_defined_symbols=[f"<{i}>" for i in range(max(0, size - 64))],
        hard_vocab_limit=True,
        minloglevel=2,
        num_threads=1,
        character_coverage=1.0,
        normalization_rule_name="identity",
    )
    path.with_suffix(".vocab").unlink()


def _windows(words: list[str]) -> Iterator[list[str]]:
    for start in range(len(words)):
        yield words[start : start + 5]


def build_model(config: dict[str, Any], seed: int = 0) -> LMModel:
    """moshi's LMModel for a config.json, random float32 weights; norm gains and other ones made uneven."""
    torch.manual_seed(seed)
    kwargs = {key: value for key, value in config.items() if key not in FILE_KEYS}
    model = loaders.get_moshi_lm(None, json.loads(json.dumps(kwargs)), dtype=torch.float32)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "alpha" in name or "norm" in name or "scale" in name:
                parameter.add_(0.2 * torch.randn_like(parameter))
    return model.eval()


FILE_KEYS = {
    "moshi_name",
    "mimi_name",
    "tokenizer_name",
    "model_type",
    "lm_gen_config",
    "stt_config",
    "tts_config",
    "model_id",
    "quantize",
}


def write_checkpoint(
    folder: Path,
    config: dict[str, Any],
    model: LMModel,
    *,
    dtype: torch.dtype = torch.float32,
    stacked: bool = False,
    q8: bool = False,
) -> None:
    """config.json, weights and tokenizer as Kyutai publishes them.

    `stacked` uses the older names in which the depth steps' projections are one tensor; `q8` Kyutai's int8 form.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = {**config, "quantize": True} if q8 else config
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    state = {name: value.detach().to(dtype) for name, value in model.state_dict().items()}
    if q8:
        state = quantise_state(model, state)
    if stacked:
        state = stack_state(state)
    save_file(
        {name: value.contiguous() for name, value in state.items()},
        folder / config.get("moshi_name", "model.safetensors"),
    )
    tokenizer = folder / config.get("tokenizer_name", loaders.TEXT_TOKENIZER_NAME)
    if not tokenizer.exists():
        train_tokenizer(tokenizer, config["text_card"])


def quantise_state(model: LMModel, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Every Linear as int8 with its row maxima, as moshi's QLinear stores it (int8_vectorwise_quant)."""
    result = dict(state)
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear):
            weight = module.weight.detach().float()
            largest = weight.abs().amax(dim=1)
            result[f"{name}.weight"] = torch.round(weight * (127 / largest[:, None])).to(torch.int8)
            result[f"{name}.weight_scb"] = largest
    return result


def stack_state(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The layout of the first checkpoints: in_proj_weight and out_proj.weight with all steps in rows."""
    result = dict(state)
    groups: dict[str, list[str]] = {}
    for name in state:
        for part, stacked in (("in_projs", "in_proj_weight"), ("out_projs", "out_proj.weight")):
            head, found, tail = name.partition(f".{part}.")
            if found:
                suffix = "_scb" if tail.endswith("_scb") else ""
                groups.setdefault(f"{head}.{stacked}{suffix}", []).append(name)
    for target, names in groups.items():
        names.sort(key=lambda name: int(name.split(".")[-2]))
        result[target] = torch.cat([result.pop(name) for name in names])
    return result


@dataclass(frozen=True)
class Forced:
    """A teacher-forced run: inputs and every logit."""

    codes: Array  # int [1 + n_q, T], -1 where nothing is there
    depth_tokens: Array  # int [T, dep_q]: the token given to each depth step
    text: Array  # float32 [T, text_card_out]
    audio: Array  # float32 [T, dep_q, card]
    extra: Array  # float32 [T, heads, dim]: probabilities


@torch.no_grad()
def forced_run(model: LMModel, frames: int, seed: int = 1, conditions: Any = None) -> Forced:
    """Feed random tokens (a few of them -1) to moshi's streaming forward and record all logits."""
    rng = np.random.default_rng(seed)
    text_limit = model.text_card + 1
    codes = np.concatenate(
        [rng.integers(0, text_limit, (1, frames)), rng.integers(0, model.card + 1, (model.n_q, frames))]
    )
    codes[rng.random(codes.shape) < 0.05] = -1
    demux = model.text_emb.demux_second_stream
    depth = rng.integers(0, model.card + 1, (frames, max(model.dep_q, 1)))
    depth[:, 0] = rng.integers(0, text_limit, frames)
    if demux:  # tok2 * cardinality + tok1, the second one shifted by one (moshi/models/lm_utils.py)
        codes[0] = np.where(codes[0] < 0, -1, codes[0] + rng.integers(0, text_limit, frames) * text_limit)
        depth[:, 0] += rng.integers(0, text_limit, frames) * text_limit
    depth = depth[:, : model.dep_q]
    depth[rng.random(depth.shape) < 0.05] = -1
    fuser = model.fuser if conditions is not None else None
    summed = None if fuser is None else fuser.get_sum(conditions)
    crossed = None if fuser is None else fuser.get_cross(conditions)
    text, audio, extra = [], [], []
    with model.streaming(1):
        for t in range(frames):
            sequence = torch.from_numpy(codes[None, :, t : t + 1])
            hidden, logits = model.forward_text(sequence, summed, crossed)
            text.append(logits[0, 0, 0].numpy())
            extra.append([torch.softmax(head(hidden), -1)[0, 0].numpy() for head in model.extra_heads])
            if model.depformer is None:
                continue
            steps = []
            with model.depformer.streaming(1):
                for q in range(model.dep_q):
                    token = torch.from_numpy(depth[t, q].reshape(1, 1, 1))
                    steps.append(model.forward_depformer(q, token, hidden)[0, 0, 0].numpy())
            audio.append(steps)
    return Forced(
        codes,
        depth,
        np.array(text),
        np.array(audio, np.float32).reshape(frames, model.dep_q, -1)
        if model.dep_q
        else np.zeros((frames, 0, model.card), np.float32),
        np.array(extra, np.float32).reshape(frames, len(model.extra_heads), -1)
        if len(model.extra_heads)
        else np.zeros((frames, 0, 1), np.float32),
    )


NOTHING = -3  # a stream of a frame that LMGen did not give yet


@torch.no_grad()
def generate(
    model: LMModel, heard: Array, uniforms: Array | None = None, conditions: Any = None, **settings: Any
) -> Array:
    """moshi's own LMGen over `heard` [n_q - dep_q, T]: tokens [T, 1 + dep_q], NOTHING until the delays fill.

    Greedy without `uniforms`; with them, [T, 1 + dep_q] numbers in [0, 1), each draw is by inverse CDF in the order
    torch.topk gives, which is how Noctule's sampler states its law.
    """
    settings = {"use_sampling": uniforms is not None, **settings}
    generator = LMGen(model, condition_tensors=conditions, **settings)
    out = []
    with replayed_uniforms(uniforms), generator.streaming(1):
        for t in range(heard.shape[1]):
            step = generator.step(torch.from_numpy(heard[None, :, t : t + 1].astype(np.int64)))
            out.append(np.full(1 + model.dep_q, NOTHING) if step is None else step[0, :, 0].numpy())
    return np.array(out)


@contextmanager
def replayed_uniforms(uniforms: Array | None) -> Iterator[None]:
    """Make moshi's `multinomial` draw by inverse CDF from recorded numbers instead of torch's generator."""
    if uniforms is None:
        yield
        return
    numbers = iter(uniforms.reshape(-1).tolist())

    def draw(probabilities: torch.Tensor, num_samples: int, *_: Any, **__: Any) -> torch.Tensor:
        cumulative = probabilities.reshape(-1).double().cumsum(0).numpy()
        index = int(np.searchsorted(cumulative, next(numbers) * cumulative[-1], side="right"))
        return torch.tensor([min(index, len(cumulative) - 1)]).reshape(*probabilities.shape[:-1], 1)

    original: Callable[..., torch.Tensor] = moshi_sampling.multinomial
    moshi_sampling.multinomial = draw  # type: ignore[assignment, unused-ignore]
    try:
        yield
    finally:
        moshi_sampling.multinomial = original
