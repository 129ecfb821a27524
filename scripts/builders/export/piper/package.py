"""A Piper voice as a package: graphs, settings, golden answers, card."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from builders.export.piper.card import card
from builders.export.piper.checkpoint import Voice
from builders.export.piper.decoder import build_decoder, margins, stages
from builders.export.piper.encoder import build_encoder
from builders.export.piper.flow import build_flow, delay
from builders.export.piper.operators import Layers, Precision
from builders.export.piper.reference import Gap, measure
from builders.tflite.store import Weight
from builders.tflite.writer import Graph, Model
from noctule.core.errors import ModelError
from noctule.inference.manifest import Manifest
from noctule.inference.package_writer import PackageWriter, write_manifest
from noctule.lm.speech.piper.model import PiperModel
from noctule.lm.speech.piper.settings import FAMILY, KIND

GRAPH = "voice.tflite"
#: phoneme numbers, frames and frames again of the graphs
_ENCODE, _FLOW, _DECODE = (32, 64, 96, 128, 192, 288, 384), (16, 64), (8, 32)
#: frames of the decoder's graph for the middle of a clause
_INNER = (32,)
#: what golden answers may be off by, as a share of their largest
_RTOL = 0.02
#: frames the golden sound is made of
_GOLDEN_FRAMES = 24
#: mean errors against the original file, beyond which an import has failed: of the encoder's means and of the sound
_MOST = Gap(0.05, 0.02)


@dataclass(frozen=True)
class Options:
    """Precision of each part's weights. A vocoder's rounding is heard, an encoder's and a flow's is not: measured on
    joe, int8 moves the log-mel spectrum by 0.4 dB, another seed by 3."""

    encoder: Precision = "int8"
    flow: Precision = "int8"
    decoder: Precision = "float16"
    name: str = ""
    version: str = "1"
    licence: str = "unknown"
    source: str = ""
    build: str = ""
    notes: list[str] = field(default_factory=list)


def write_package(voice: Voice, target: Path, options: Options, tell: Callable[[str], None]) -> Manifest:
    """Build, compare with the original file, and put in place. Raises ModelError."""
    with PackageWriter(target) as package:
        tell("writing the graphs")
        signatures = write_graphs(voice, package.folder, options)
        data = _manifest(voice, signatures, options)
        golden = data["voice"]["golden"]
        write_manifest(package.folder, data)
        model = PiperModel.open(package.folder)
        try:
            tell("comparing with the original file")
            gap = measure(voice, model)
            _judge(gap, voice)
            golden |= model.golden(golden["ids"], _GOLDEN_FRAMES)
        finally:
            model.close()
        data["x_gap"] = {"encoder_mean": round(gap.encoder, 5), "sound_mean": round(gap.sound, 6)}
        (package.folder / "README.md").write_text(card(voice, options, gap), encoding="utf-8")
        (package.folder / "manifest.json").unlink()
        return package.finish(data)


def write_graphs(voice: Voice, folder: Path, options: Options) -> dict[str, Any]:
    """The .tflite file; returns its signatures as the manifest states them."""
    weights: dict[str, Weight] = {}
    signatures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(dir=folder) as spool:
        model = Model(Path(spool), f"{FAMILY} voice {options.name}")
        rows: list[tuple[str, tuple[int, ...], Precision, Callable[[Layers, Voice, int], None]]] = [
            ("encode", _ENCODE, options.encoder, build_encoder),
            ("flow", _FLOW, options.flow, build_flow),
            ("decode", _DECODE, options.decoder, build_decoder),
            ("inner", _INNER, options.decoder, partial(build_decoder, inner=True)),
        ]
        for kind, sizes, precision, build in rows:
            for size in sizes:
                graph: Graph = model.graph(f"{kind}_{size}")
                build(Layers(model, graph, weights, precision), voice, size)
                signatures[graph.signature] = graph.specs()
        model.write(folder / GRAPH)
        model.close()
    return signatures


def _manifest(voice: Voice, signatures: dict[str, Any], options: Options) -> dict[str, Any]:
    config = voice.config
    inference = config.get("inference") or {}
    margin, _ = margins(voice)
    scale, masks = 1, []
    for i, stage in enumerate(stages(voice)):
        scale *= stage.stride
        size = next(iter(signatures[f"decode_{_DECODE[0]}"]["inputs"][f"mask_{i}"]["shape"]))
        masks.append([scale, (size - _DECODE[0] * scale) // 2])
    digest = hashlib.sha256(voice.path.read_bytes()).hexdigest()
    known = list(config["phoneme_id_map"])
    ids = [config["phoneme_id_map"][s][0] for s in ("^", *known[3:40], "$") if config["phoneme_id_map"][s]]
    return {
        "format": 1,
        "kind": KIND,
        "name": options.name,
        "version": options.version,
        "licence": options.licence,
        "source": options.source or f"{voice.path.name}, sha256 {digest}",
        "build": options.build,
        "graph": {"file": GRAPH, "layout": "noctule", "signatures": signatures},
        "voice": {
            "family": FAMILY,
            "rate": config["audio"]["sample_rate"],
            "hop": voice.hop,
            "channels": voice.channels,
            "language": config["espeak"]["voice"],
            "phoneme_type": config["phoneme_type"],
            "phonemes": config["phoneme_id_map"],
            "clusters": [list(cluster) for cluster in config.get("vowel_clusters") or []],
            "speakers": config.get("speaker_id_map") or {},
            "speaker_count": voice.speakers,
            "default_speaker": int(config.get("default_speaker_id", 0)),
            "noise_scale": float(inference.get("noise_scale", 0.667)),
            "length_scale": float(inference.get("length_scale", 1.0)),
            "noise_w": float(inference.get("noise_w", 0.8)),
            "encode": list(_ENCODE),
            "flow": list(_FLOW),
            "decode": list(_DECODE),
            "delay": delay(voice),
            "margin": margin,
            "stages": masks,
            "golden": {
                "ids": ids, "decoded": _GOLDEN_FRAMES, "rtol": _RTOL,
                "mean": [0.0] * len(ids), "frames": [], "sound": [],
            },
        },
        "architecture": {"hidden": voice.hidden, "precision": [options.encoder, options.flow, options.decoder]},
        "x_sha256": digest,
    }  # fmt: skip


def _judge(gap: Gap, voice: Voice) -> None:
    for what, found, most in (("encoder", gap.encoder, _MOST.encoder), ("sound", gap.sound, _MOST.sound)):
        if not found <= most:
            raise ModelError(
                f"{voice.path}: the package's {what} is {found:.3g} off the original's, {most:g} is allowed; "
                "this voice is built in a way this version does not know."
            )
