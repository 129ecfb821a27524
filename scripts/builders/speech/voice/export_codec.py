"""The codec package: the encoder of this half, and the decoder of the speaking half, in one file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from builders.common.package_checks import check_destination
from builders.speech.hearing.encode_graph import EncoderGraph
from builders.speech.shape import CARD, CODEBOOKS, FRAME, FRAME_RATE, RATE
from builders.tflite.writer import Graph, Model
from noctule.core.errors import ModelError
from noctule.inference import runtime as tflite
from noctule.inference.package_writer import PackageWriter
from noctule.lm.speech.codec import golden_pcm

NAME = "noctule-speech-codec"
LICENCE = "Apache-2.0"
GRAPH = "model.tflite"
_FRAMES, _SEED = 6, 5
#: how far another processor's samples may be off, relative to the peak: int8 layers round differently
_RTOL = 5e-2


def export_codec(
    encoder: Mapping[str, NDArray[np.float32]],
    decoder: Callable[[Model], Graph],
    output: Path,
    *,
    precision: str,
    version: str,
    build: str,
    source: str,
    architecture: Mapping[str, Any],
) -> dict[str, Any]:
    """Write the package. decoder: stores the decoder's weights in the file and adds its `decode` graph; precision:
    of the encoder's linear layers. Returns the manifest's `codec`."""
    check_destination(output)
    with PackageWriter(output) as package:
        model = Model(package.folder, "noctule speech codec")
        try:
            graphs = [EncoderGraph(model, encoder, precision).build(), decoder(model)]
            model.write(package.folder / GRAPH)
        finally:
            model.close()
        codec: dict[str, Any] = {
            "sample_rate": RATE,
            "frame_samples": FRAME,
            "n_q": CODEBOOKS,
            "card": CARD,
            "frame_rate": FRAME_RATE,
            "bytes_per_frame": {graph.signature: graph.traffic() for graph in graphs},
            "golden": golden(package.folder / GRAPH),
        }
        package.finish(
            {
                "format": 1,
                "kind": "codec",
                "name": NAME,
                "version": version,
                "licence": LICENCE,
                "source": source,
                "build": build,
                "graph": {
                    "file": GRAPH,
                    "layout": "noctule",
                    "signatures": {graph.signature: graph.specs() for graph in graphs},
                },
                "codec": codec,
                "architecture": {"encoder": precision, **architecture},
            }
        )
    return codec


def golden(path: Path) -> dict[str, Any]:
    """Codes of seeded noise, and the samples they decode to, on the device runtime."""
    codes: list[Any] = []
    samples: list[Any] = []
    with tflite.load_model(path) as model:
        runners = {}
        for name in ("encode", "decode"):
            states = {key: key for key in model.signatures[name].inputs if key.startswith("state_")}
            runners[name] = model.runner(name, alias=states)
            runners[name].zero_state()
        for frame, pcm in enumerate(golden_pcm(_SEED, _FRAMES, FRAME)):
            position = np.array([frame], np.int32)
            runners["encode"].write("pcm", pcm[None, None])
            runners["encode"].write("input_pos", position)
            runners["encode"].run()
            codes.append(runners["encode"].read("codes").copy())
            runners["decode"].write("codes", codes[-1])
            runners["decode"].write("input_pos", position)
            runners["decode"].run()
            samples.append(runners["decode"].read("pcm")[0, 0].copy())
    if not np.isfinite(samples).all() or min(float(np.std(frame)) for frame in samples) == 0.0:
        raise ModelError(f"{path}: the decoder gives silence or values that are not numbers")
    return {
        "seed": _SEED,
        "codes": [frame[0].tolist() for frame in codes],
        "pcm": [[round(float(v), 7) for v in frame[:8]] for frame in samples],
        "peak": [round(float(np.abs(frame).max()), 7) for frame in samples],
        "rtol": _RTOL,
    }
