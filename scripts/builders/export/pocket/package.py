"""A pocket-tts checkpoint to a `pocket-tts` package, which docs/speech-package.md describes."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from builders.common.package_checks import check_destination, check_space
from builders.export.kyutai.layers import Precision
from builders.export.mimi.waves import ConvPrecision
from builders.export.pocket.checkpoint import PocketCheckpoint
from builders.export.pocket.codec import decode_graph, encode_graph
from builders.export.pocket.config import FLOW_TYPES, PocketConfig, find_config, read_config
from builders.export.pocket.flow import PROMPT_ROWS, Flow
from builders.export.pocket.tokenizer import tokenizer_file
from builders.tflite.writer import Graph, Model
from noctule.core.errors import InputError
from noctule.inference import runtime as tflite
from noctule.inference.package_writer import PackageWriter, write_manifest
from noctule.lm.piece_table import read_pieces
from noctule.lm.speech.pocket.model import PocketModel
from noctule.lm.speech.pocket.settings import KIND
from noctule.lm.speech.pocket.voice_state import read_state

GRAPH, TOKENIZER = "model.tflite", "tokenizer.model"
#: caches of so many steps: a short voice and a sentence, up to half a minute of voice and the longest chunk
BUCKETS = (256, 512, 1024)
_GOLDEN_FRAMES, _GOLDEN_VALUES, _SEED = 3, 8, 7


@dataclass(frozen=True)
class Options:
    """What the user may choose. steps: of the sampler head, 0 for its own; voices: saved states to take along."""

    linear: str = "int8"
    conv: ConvPrecision = "int8"
    buckets: Sequence[int] = BUCKETS
    steps: int = 0
    voices: Sequence[Path] = ()
    name: str = ""
    version: str = "1"
    licence: str = "unknown"
    source: str = ""
    build: str = ""


def export_pocket(folder: Path, output: Path, options: Options, progress: Callable[[str], None]) -> dict[str, Any]:
    """Write the package; returns its manifest's `pocket`. Raises InputError in one sentence, leaving nothing."""
    path = find_config(folder)
    if path is None:
        raise InputError(f"{folder}: there is no configuration (a .yaml file)", "copy the model's beside its weights")
    config = read_config(path)
    data = tokenizer_file(folder / config.tokenizer, padded=bool(config.text["pad_short"]))
    vocabulary = _vocabulary(folder / config.tokenizer, data, config)
    checkpoint = PocketCheckpoint(folder / config.weights, config)
    voices = _voices(options.voices, config)
    check_destination(output)
    check_space(output, 3 * (folder / config.weights).stat().st_size)
    with PackageWriter(output) as package:
        progress("weights")
        graphs = write_graphs(checkpoint, package.folder, options)
        (package.folder / TOKENIZER).write_bytes(data)
        for name, source in voices.items():
            shutil.copyfile(source, package.folder / f"voice-{name}.safetensors")
        pocket = _section(checkpoint, options, voices)
        pocket["bytes_per_frame"] = _traffic(graphs, pocket["steps"] if FLOW_TYPES[config.flow][0] else 1)
        data_of = {
            "format": 1,
            "kind": KIND,
            "name": options.name or config.name,
            "version": options.version,
            "licence": options.licence,
            "source": options.source or config.weights,
            "build": options.build,
            "graph": {"file": GRAPH, "layout": "noctule", "signatures": {g.signature: g.specs() for g in graphs}},
            "tokenizer": {
                "file": TOKENIZER,
                "vocab_size": vocabulary,
                "bos": None,
                "eos": [],
                "pad": None,
                "control": {},
            },
            "limits": {"context": max(options.buckets)},
            "pocket": pocket,
            "architecture": {"linear": options.linear, "conv": options.conv, "encoder": checkpoint.clones},
        }
        progress("golden frames")
        pocket["golden"] = golden(package.folder, data_of, options)
        package.finish(data_of)
    return pocket


def _vocabulary(path: Path, data: bytes, config: PocketConfig) -> int:
    try:
        count = len(read_pieces(data).pieces)
    except ValueError as error:
        raise InputError(f"{path} is not a SentencePiece model ({error})", "copy it again") from None
    if count != config.bins:
        raise InputError(f"{path} has {count} pieces, and the configuration says {config.bins}")
    return count


def _voices(paths: Sequence[Path], config: PocketConfig) -> dict[str, Path]:
    """Saved states by name, each checked against the model."""
    found: dict[str, Path] = {}
    for path in paths:
        read_state(path, config.stack.layers, (config.stack.kv, config.stack.head))
        found[path.stem] = path
    return found


def write_graphs(checkpoint: PocketCheckpoint, folder: Path, options: Options) -> list[Graph]:
    """Write model.tflite."""
    model, linear = Model(folder, "noctule pocket-tts"), Precision(options.linear, _table(options.linear))
    try:
        flow = Flow(model, checkpoint, linear)
        graphs = [flow.embed()]
        for capacity in sorted(options.buckets):
            if capacity < 2 * PROMPT_ROWS:
                raise InputError(f"a context of {capacity} is too small: {2 * PROMPT_ROWS} is the least")
            graphs += [flow.prompt(capacity), flow.step(capacity)]
        time = flow.time()
        graphs += [flow.head(), *([time] if time is not None else [])]
        graphs.append(decode_graph(model, checkpoint, linear, options.conv))
        if checkpoint.clones:
            graphs.append(encode_graph(model, checkpoint))
        model.write(folder / GRAPH)
    finally:
        model.close()
    return graphs


def _table(linear: str) -> str:
    return "float32" if linear == "float32" else "int8"


def _section(checkpoint: PocketCheckpoint, options: Options, voices: dict[str, Path]) -> dict[str, Any]:
    c = checkpoint.config
    return {
        "flow": c.flow,
        "steps": options.steps or FLOW_TYPES[c.flow][1],
        "temperature": c.temperature,
        "end_threshold": c.eos_threshold,
        "sample_rate": c.mimi.sample_rate,
        "frame_samples": c.mimi.frame_samples,
        "frame_rate": c.mimi.frame_rate,
        "bos": checkpoint.take("flow_lm.bos_emb").tolist(),
        "voice_start": checkpoint.take("flow_lm.bos_before_voice").reshape(-1).tolist() if c.voice_start else None,
        "text": dict(c.text),
        "voices": {name: f"voice-{name}.safetensors" for name in voices},
    }


def _traffic(graphs: Sequence[Graph], steps: int) -> dict[str, int]:
    by_name = {g.signature: g.traffic() for g in graphs}
    step = min((g for g in graphs if g.signature.startswith("step_")), key=lambda g: g.traffic()).traffic()
    return {"step": step, "head": by_name["head"] * steps, "decode": by_name["decode"]}


def golden(folder: Path, data: dict[str, Any], options: Options) -> dict[str, Any]:
    """What the finished graph answers here, by the classes that will ask it on the board."""
    manifest = write_manifest(folder, data)
    exact = options.linear == options.conv == "float32"
    with tflite.load_model(folder / GRAPH) as model:
        loaded = PocketModel(manifest, model)
        rng = np.random.default_rng(_SEED)
        tokens = [int(t) for t in rng.integers(0, loaded.tokenizer.vocab_size, PROMPT_ROWS + 3)]
        found = loaded.golden_frames(tokens, _SEED, _GOLDEN_FRAMES)
    for part, values in found.items():
        if not np.isfinite(values).all() or float(values.std()) == 0.0:
            raise InputError(f"the model's {part} is silence or holds values that are not numbers: it cannot be used")
    return {
        "seed": _SEED,
        "tokens": tokens,
        "peak": {part: float(np.abs(values).max()) for part, values in found.items()},
        "rtol": 1e-3 if exact else 1e-1,
        **{part: [[float(v) for v in row[:_GOLDEN_VALUES]] for row in values] for part, values in found.items()},
    }
