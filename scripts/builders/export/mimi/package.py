"""A published Mimi checkpoint to a `codec` package. The package is described in docs/speech-package.md."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from builders.common.package_checks import check_destination, check_space
from builders.export.kyutai.layers import Precision
from builders.export.mimi.checkpoint import MimiCheckpoint
from builders.export.mimi.config import MimiConfig, read_config
from builders.export.mimi.graph import Codebooks, Side, decode_graph, encode_graph
from builders.export.mimi.waves import ConvPrecision
from builders.tflite.writer import Graph, Model
from noctule.core.errors import InputError, ModelError
from noctule.inference import runtime as tflite
from noctule.inference.package_writer import PackageWriter

GRAPH = "model.tflite"
_GOLDEN_FRAMES = 3
_SEED = 5


@dataclass(frozen=True)
class Options:
    """What the user may choose. The encoder stays in float32: a code is a decision, and int8 changes one in ten."""

    codebooks: int
    decoder_linear: str = "float32"
    decoder_conv: ConvPrecision = "float32"
    name: str = "mimi"
    version: str = "1"
    licence: str = "unknown"
    source: str = ""
    build: str = ""


def export_codec(
    weights: Path, config_path: Path | None, output: Path, options: Options, progress: Callable[[str], None]
) -> dict[str, Any]:
    """Write the package; returns its manifest's `codec`. Raises InputError in one sentence, leaving nothing."""
    config = read_config(config_path)
    checkpoint = MimiCheckpoint(weights, config)
    if not 1 <= options.codebooks <= config.codebooks:
        raise InputError(f"{weights} has {config.codebooks} codebooks, and {options.codebooks} are asked for")
    check_destination(output)
    check_space(output, 3 * weights.stat().st_size)
    with PackageWriter(output) as package:
        progress("codec")
        graphs = write_graphs(checkpoint, package.folder, options)
        codec: dict[str, Any] = {
            "sample_rate": config.sample_rate,
            "frame_samples": config.frame_samples,
            "n_q": options.codebooks,
            "card": config.card,
            "frame_rate": config.frame_rate,
            "bytes_per_frame": {graph.signature: graph.traffic() for graph in graphs},
        }
        progress("golden frames")
        codec["golden"] = golden(package.folder / GRAPH, config, options)
        package.finish(
            {
                "format": 1,
                "kind": "codec",
                "name": options.name,
                "version": options.version,
                "licence": options.licence,
                "source": options.source or weights.name,
                "build": options.build,
                "graph": {
                    "file": GRAPH,
                    "layout": "noctule",
                    "signatures": {graph.signature: graph.specs() for graph in graphs},
                },
                "codec": codec,
                "architecture": {
                    "encoder": "float32",
                    "decoder_linear": options.decoder_linear,
                    "decoder_conv": options.decoder_conv,
                    "context": config.context,
                },
            }
        )
    return codec


def write_graphs(checkpoint: MimiCheckpoint, folder: Path, options: Options) -> list[Graph]:
    """Write model.tflite with `encode` and `decode`."""
    model = Model(folder, "noctule codec")
    try:
        codebooks = Codebooks(model, checkpoint, options.codebooks)
        exact = Precision("float32", "float32")
        encoder = Side(model, checkpoint, "encoder", linear=exact, conv="float32")
        graphs = [encode_graph(model, encoder, codebooks)]
        decoder = Side(
            model,
            checkpoint,
            "decoder",
            linear=Precision(options.decoder_linear, "float32"),
            conv=options.decoder_conv,
        )
        graphs.append(decode_graph(model, decoder, codebooks))
        model.write(folder / GRAPH)
    finally:
        model.close()
    return graphs


def golden(path: Path, config: MimiConfig, options: Options) -> dict[str, Any]:
    """Codes of seeded noise and the samples they decode to, on the device runtime."""
    noise = np.random.default_rng(_SEED)
    codes: list[Any] = []
    samples: list[Any] = []
    with tflite.load_model(path) as model:
        runners = {}
        for name in ("encode", "decode"):
            states = {key: key for key in model.signatures[name].inputs if key.startswith("state_")}
            runners[name] = model.runner(name, alias=states)
        for frame in range(_GOLDEN_FRAMES):
            pcm = noise.uniform(-0.5, 0.5, (1, 1, config.frame_samples)).astype(np.float32)
            for name, key, value in (("encode", "pcm", pcm), ("decode", "codes", None)):
                runner = runners[name]
                runner.write(key, codes[-1] if value is None else value)
                runner.write("input_pos", np.array([frame], np.int32))
                runner.run()
                if name == "encode":
                    codes.append(runner.read("codes"))
            samples.append(runners["decode"].read("pcm")[0, 0])
    if not np.isfinite(samples).all() or min(float(frame.std()) for frame in samples) == 0.0:
        raise ModelError(f"{path}: the decoder gives silence or values that are not numbers")
    return {
        "seed": _SEED,
        "codes": [frame[0].tolist() for frame in codes],
        "pcm": [[round(float(v), 7) for v in frame[:8]] for frame in samples],
        "peak": [round(float(np.abs(frame).max()), 7) for frame in samples],
        "rtol": 1e-3 if (options.decoder_linear, options.decoder_conv) == ("float32", "float32") else 5e-2,
    }
