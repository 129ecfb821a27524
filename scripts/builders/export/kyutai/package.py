"""A published Kyutai checkpoint to a `speech-lm` package. The package is described in docs/speech-package.md."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece

from builders.common.package_checks import check_destination, check_space
from builders.export.kyutai.checkpoint import Checkpoint
from builders.export.kyutai.condition import load_conditions
from builders.export.kyutai.config import TTS_TOKENS, KyutaiConfig
from builders.export.kyutai.depth import load_depth
from builders.export.kyutai.golden import golden
from builders.export.kyutai.layers import Precision
from builders.export.kyutai.parse import read_config
from builders.export.kyutai.temporal import Progress, load_temporal
from builders.tflite.writer import Graph, Model
from noctule.core.errors import InputError
from noctule.inference.package_writer import PackageWriter

GRAPH = "model.tflite"
TOKENIZER = "tokenizer.model"
#: Mimi's clock, which the language model's frames follow (moshi/models/loaders.py)
FRAME_RATE = 12.5
SAMPLE_RATE = 24000
#: sampling when lm_gen_config is silent (moshi/models/lm.py, LMGen)
_SAMPLING = {"temp_text": 0.7, "top_k_text": 25, "temp": 0.8, "top_k": 250}
#: frames of speaker conditioning a published voice fills: 5 speakers of 10 s (moshi/models/tts.py, max_speakers)
CROSS_FRAMES = 625


@dataclass(frozen=True)
class Options:
    """What the user may choose. Empty `buckets` mean 128, 512 and the model's own context."""

    precision: Precision = field(default_factory=Precision)
    buckets: Sequence[int] = ()
    cross_frames: int = CROSS_FRAMES
    name: str = ""
    version: str = "1"
    licence: str = "unknown"
    source: str = ""
    build: str = ""
    #: of the codec that the model was trained with
    sample_rate: int = SAMPLE_RATE


def is_kyutai(raw: dict[str, Any]) -> bool:
    """Whether a config.json describes a Kyutai speech model: only those have codebooks and delays."""
    return "n_q" in raw and "delays" in raw


def find_file(folder: Path, name: str, what: str) -> Path:
    """A file named by config.json, which may write it as hf://owner/repo/name."""
    path = folder / name.rsplit("/", 1)[-1]
    if not path.is_file():
        raise InputError(
            f"{path}: the {what} that config.json names is not there",
            "download every file of the checkpoint's repository into one folder",
        )
    return path


def export_lm(folder: Path, output: Path, options: Options, progress: Progress) -> dict[str, Any]:
    """Write the package; returns its manifest's `streams`. Raises InputError in one sentence, leaving nothing."""
    config = read_config(folder / "config.json")
    weights = find_file(folder, config.weights_name, "weights file")
    tokenizer = find_file(folder, config.tokenizer_name, "tokenizer")
    vocabulary = tokenizer_section(tokenizer, config)
    checkpoint = Checkpoint(weights, config)
    buckets = context_buckets(options.buckets, config.context)
    check_destination(output)
    check_space(output, space_needed(checkpoint, options.precision))
    with PackageWriter(output) as package:
        shutil.copyfile(tokenizer, package.folder / TOKENIZER)
        graphs = write_graphs(checkpoint, package.folder, buckets, options, progress)
        streams = streams_section(config, buckets, options, graphs)
        progress("golden logits, and the same in float32")
        streams["golden"] = golden(package.folder / GRAPH, checkpoint, streams, options.precision)
        package.finish(
            {
                "format": 1,
                "kind": "speech-lm",
                "name": options.name or folder.resolve().name,
                "version": options.version,
                "licence": options.licence,
                "source": options.source or weights.name,
                "build": options.build,
                "graph": {
                    "file": GRAPH,
                    "layout": "noctule",
                    "signatures": {graph.signature: graph.specs() for graph in graphs},
                },
                "tokenizer": vocabulary,
                "limits": {"context": config.context},
                "streams": streams,
                "architecture": {
                    "dim": config.dim,
                    "layers": config.layers,
                    "heads": config.heads,
                    "linear": options.precision.linear,
                    "table": options.precision.table,
                    "model_type": config.model_type,
                    **{f"id_{k}": v for k, v in config.model_id.items()},
                },
            }
        )
    return streams


def context_buckets(asked: Sequence[int], context: int) -> list[int]:
    """Ascending bucket sizes, the last of which is the model's own context."""
    for size in asked:
        if not 2 <= size <= context:
            raise InputError(
                f"a context bucket of {size} frames does not fit a model of context {context}",
                f"choose from 2 to {context}",
            )
    return sorted({size for size in (asked or (128, 512)) if size < context} | {context})


def space_needed(checkpoint: Checkpoint, precision: Precision) -> int:
    """Bytes of disk at the largest: the spooled weights, the package, and the runtime's copy of its weights."""
    per_value = {"float32": 4.0, "int8": 1.0, "int4": 0.57}[precision.linear]
    stored = 1.0 if checkpoint.config.quantised else 2.0
    return int(3.2 * checkpoint.tensors.size / stored * per_value) + (16 << 20)


def write_graphs(
    checkpoint: Checkpoint, folder: Path, buckets: Sequence[int], options: Options, progress: Progress
) -> list[Graph]:
    """Write model.tflite and return its graphs."""
    config = checkpoint.config
    model = Model(folder, f"noctule {options.precision.linear}")
    try:
        temporal = load_temporal(model, checkpoint, options.precision, progress)
        graphs = [temporal.graph(model, capacity, options.cross_frames) for capacity in buckets]
        if config.depformer is not None:
            depth = load_depth(model, checkpoint, options.precision, progress)
            graphs += [depth.graph(model, q) for q in range(config.dep_q)]
        if config.conditioners:
            progress("conditioners")
            crossing = sum(entry.fuse == "cross" for entry in config.conditioners)
            if crossing and options.cross_frames % crossing:
                raise InputError(f"{options.cross_frames} frames do not divide among {crossing} conditioners")
            frames = options.cross_frames // crossing if crossing else 0
            graphs.append(load_conditions(model, checkpoint, options.precision).graph(model, frames))
        progress("writing the file")
        model.write(folder / GRAPH)
    finally:
        model.close()
    return graphs


def tokenizer_section(path: Path, config: KyutaiConfig) -> dict[str, Any]:
    """The manifest's tokenizer section; refuses a tokenizer that is not this model's."""
    try:
        processor = sentencepiece.SentencePieceProcessor(model_file=str(path))
    except (RuntimeError, OSError) as error:
        raise InputError(f"{path} is not a SentencePiece model") from error
    size = processor.vocab_size()
    if size != config.text_card:
        raise InputError(
            f"{path} has {size} pieces, and the model's text_card is {config.text_card}",
            "use the tokenizer of the checkpoint's own repository",
        )

    def optional(value: int) -> int | None:
        return value if value >= 0 else None

    control = {processor.id_to_piece(i): i for i in range(size) if processor.is_control(i) or processor.is_unknown(i)}
    eos = processor.eos_id()
    return {
        "file": TOKENIZER,
        "vocab_size": size,
        "bos": optional(processor.bos_id()),
        "eos": [eos] if eos >= 0 else [],
        "pad": optional(processor.pad_id()),
        "control": control,
    }


def streams_section(
    config: KyutaiConfig, buckets: Sequence[int], options: Options, graphs: Sequence[Graph]
) -> dict[str, Any]:
    """The manifest's `streams`, all of it from the checkpoint's config."""
    texts = 2 if config.demux else 1
    sizes = [config.text_card + 1] * texts + [config.card + 1] * config.n_q
    traffic = {graph.signature: graph.traffic() for graph in graphs}
    depth = sum(size for name, size in traffic.items() if name.startswith("dep_"))
    modes = ["stt"] if config.dep_q == 0 else ["tts"] if config.model_type == "tts" else ["duplex"]
    if config.depformer is not None:
        d = config.depformer
        zeros = [texts * (config.text_card + 1)] + [config.card + 1] * (config.dep_q - 1)
        depth_section: dict[str, Any] = {
            "layers": d.layers,
            "heads": d.kv_heads,
            "head_dim": d.dim // d.heads,
            "zero": zeros,
            "offsets": [0, config.text_card + 1][:texts],
        }
    else:
        depth_section = {"layers": 0, "heads": 0, "head_dim": 0, "zero": [], "offsets": [0]}
    return {
        "n_q": config.n_q,
        "dep_q": config.dep_q,
        "card": config.card,
        "text_card": config.text_card,
        "text_card_out": config.text_card_out,
        "delays": list(config.delays),
        "initial_text": config.text_card,
        "initial_audio": config.card,
        "text_padding": config.padding,
        "end_of_text_padding": config.end_padding,
        "offsets": [int(n) for n in np.cumsum([0, *sizes])],
        "demux": config.text_card + 1 if config.demux else 0,
        "frame_rate": FRAME_RATE,
        "mode": modes,
        "buckets": list(buckets),
        "extra_heads": {"count": config.extra_heads, "dim": config.extra_dim},
        "depth": depth_section,
        "conditions": conditions_section(config, options),
        "stt": dict(config.stt),
        "tts": {**config.tts, "tokens": {**TTS_TOKENS, "pad": config.padding, "new_word": config.end_padding}}
        if "tts" in modes
        else {},
        "sampling": sampling_section(config),
        "codec": {
            "n_q": codec_codebooks(config),
            "card": config.card,
            "frame_rate": FRAME_RATE,
            "sample_rate": options.sample_rate,
        },
        "bytes_per_frame": {
            "temporal": {str(c): traffic[f"temporal_{c}"] for c in buckets},
            "depth": depth,
            "total": traffic[f"temporal_{buckets[-1]}"] + depth,
        },
    }


def codec_codebooks(config: KyutaiConfig) -> int:
    """How many codebooks the model's codec needs; a multistream tts model speaks with two voices of half of them."""
    return max(config.dep_q, config.n_q - config.dep_q) // (2 if config.tts.get("multistream") else 1)


def conditions_section(config: KyutaiConfig, options: Options) -> dict[str, Any]:
    """What `condition` takes."""
    cross = sum(entry.fuse == "cross" for entry in config.conditioners)
    return {
        "sum": any(entry.fuse == "sum" for entry in config.conditioners),
        "cross": bool(cross),
        "frames": options.cross_frames if cross else 0,
        "inputs": [
            {
                "name": entry.name,
                "kind": entry.kind,
                "fuse": entry.fuse,
                "dim": entry.dim,
                "frames": options.cross_frames // cross if entry.fuse == "cross" else 1,
                "bins": entry.bins,
                "values": None if entry.values is None else list(entry.values),
            }
            for entry in config.conditioners
        ],
    }


def sampling_section(config: KyutaiConfig) -> dict[str, Any]:
    """Text and audio sampling; lm_gen_config speaks of `temp_text` in some checkpoints and `text_temp` in others."""
    given = {("temp_text" if key == "text_temp" else key): value for key, value in config.sampling.items()}
    unknown = set(given) - set(_SAMPLING) - {"use_sampling", "cfg_coef"}
    if unknown:
        raise InputError(f"config.json: lm_gen_config.{min(unknown)} is not a setting of the sampler")
    values = {**_SAMPLING, **given}
    greedy = given.get("use_sampling") is False
    return {
        "text": {"temperature": 0.0 if greedy else values["temp_text"], "top_k": values["top_k_text"]},
        "audio": {"temperature": 0.0 if greedy else values["temp"], "top_k": values["top_k"]},
    }
