"""pocket-tts in `scripts/bench speech`: its models of random weights, and both children.

    python speech_pocket.py build CACHE NAME
    python speech_pocket.py noctule PACKAGE THREADS CACHE_DIR
    python speech_pocket.py pocket_tts CONFIG THREADS float|quantised

A frame is spoken after a prompt, with no sound coming in: "temporal" is the backbone, "depformer" the sampler head.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

_SCRIPTS = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(_SCRIPTS), str(_SCRIPTS.parent / "daemon")]

import numpy as np  # noqa: E402

from tools.bench.speech_protocol import Mark, now, serve  # noqa: E402

#: name here → configuration in the package pocket_tts
MODELS = {
    "pocket-100m": "english",
    "pocket-18m": "english_18m_2026-10",
    "pocket-7m": "english_7m_2026-10",
    "pocket-2m": "english_2m_2026-10",
}
ENGINES = ("noctule", "pocket_tts float", "pocket_tts quantised")
#: raise when a shape or the export changes, so that the cache is rebuilt
VERSION = 1
#: bytes one takes in the cache while it is built
SPACE = 1_500_000_000
_CONTEXT = 256
_VOICE_STEPS, _TOKENS = 60, 20


def home(cache: Path, name: str) -> Path:
    return cache / f"speech-{name}-v{VERSION}"


def build(cache: Path, name: str) -> None:
    """Make the checkpoint and the package of one model."""
    import pocket_tts
    import yaml

    from builders.common.terminal import Progress
    from builders.export.pocket.package import Options, export_pocket
    from builders.export.pocket.reference import random_checkpoint

    shutil.rmtree(home(cache, name), ignore_errors=True)
    source = Path(pocket_tts.__file__).parent / "config" / f"{MODELS[name]}.yaml"
    random_checkpoint(yaml.safe_load(source.read_text(encoding="utf-8")), home(cache, name) / "checkpoint", name)
    about = {"licence": "Apache-2.0", "source": "random weights, seed 0", "build": "scripts/bench speech"}
    options = Options(buckets=(_CONTEXT,), name=name, **about)
    export_pocket(home(cache, name) / "checkpoint", home(cache, name) / "lm", options, Progress())
    (home(cache, name) / "built").write_text(MODELS[name] + "\n", encoding="utf-8")


def ours(folder: Path, threads: int, cache_dir: Path) -> None:
    from noctule.lm.speech.pocket.model import PocketModel

    model = PocketModel.load(folder, threads=threads, cache_dir=cache_dir)
    rng = np.random.default_rng(0)
    backbone, latent = model.backbone, model.settings.bos
    backbone.begin()
    rows = rng.standard_normal((_VOICE_STEPS, backbone.text([1]).shape[1])).astype(np.float32)
    backbone.prompt(np.concatenate([rows, backbone.text(list(range(1, 1 + _TOKENS)))]))
    noise = rng.standard_normal(len(latent)).astype(np.float32)

    def frame() -> list[Mark]:
        nonlocal latent
        marks = [now(), now()]
        hidden, _ = backbone.step(latent)
        marks.append(now())
        latent = model.sampler.sample(hidden, noise)
        marks.append(now())
        model.decoder.step(latent)
        return [*marks, now()]

    serve(frame)


def theirs(config: Path, threads: int, mode: str) -> None:
    import torch
    from pocket_tts.models.tts_model import TTSModel
    from pocket_tts.modules.stateful_module import increment_steps, init_states

    torch.set_num_threads(threads)
    model = TTSModel.load_model(config=config, quantize=mode == "quantised")
    model.eval()
    torch.set_num_threads(threads)
    steps = round(model.mimi.encoder_frame_rate / model.mimi.frame_rate)
    marks: list[Mark] = []
    model.flow_lm.flow_net.register_forward_pre_hook(lambda *_: marks.append(now()))
    with torch.no_grad():
        state = init_states(model.flow_lm, 1, _CONTEXT)
        rows = torch.randn(1, _VOICE_STEPS, model.flow_lm.dim)
        model._run_flow_lm_and_increment_step(model_state=state, audio_conditioning=rows)
        text = torch.arange(1, 1 + _TOKENS)[None]
        model._run_flow_lm_and_increment_step(model_state=state, text_tokens=text)
        mimi = init_states(model.mimi, 1, _CONTEXT * steps)
    latent: Any = torch.full((1, 1, model.flow_lm.ldim), float("nan"))

    def frame() -> list[Mark]:
        nonlocal latent
        with torch.no_grad():
            marks[:] = [now(), now()]
            latent, _ = model._run_flow_lm_and_increment_step(model_state=state, backbone_input_latents=latent)
            marks.append(now())
            model.mimi.decode_from_latent(latent * model.flow_lm.emb_std + model.flow_lm.emb_mean, mimi)
            increment_steps(model.mimi, mimi, increment=steps)
            marks.append(now())
        return list(marks)

    serve(frame)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    command, path = sys.argv[1], Path(sys.argv[2])
    if command == "build":
        build(path, sys.argv[3])
    elif command == "noctule":
        ours(path, int(sys.argv[3]), Path(sys.argv[4]))
    else:
        theirs(path, int(sys.argv[3]), sys.argv[4])
