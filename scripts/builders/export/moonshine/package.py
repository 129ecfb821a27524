"""Moonshine weights to a `speech-to-text` package. What is in it: docs/recogniser.md."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builders.common.package_checks import check_destination, check_space
from builders.export.moonshine.decoder import decoder_graph
from builders.export.moonshine.encoder import encoder_graph
from builders.export.moonshine.layers import Layers
from builders.export.moonshine.weights import Precision, Weights
from builders.tflite.writer import Graph, Model
from noctule.core.errors import InputError
from noctule.inference.manifest import Manifest, check_signatures, load_manifest
from noctule.inference.package_writer import PackageWriter, write_manifest
from noctule.inference.runtime import load_model
from noctule.lm.speech.moonshine.buckets import Bucket
from noctule.lm.speech.moonshine.golden import golden_answers
from noctule.lm.speech.moonshine.greedy import most_tokens
from noctule.lm.speech.moonshine.shape import RATE, BucketShape, frames_of
from noctule.lm.speech.moonshine.tokenizer import MoonshineTokenizer, write_pieces

GRAPH, PIECES = "model.tflite", "pieces.bin"
KIND = "speech-to-text"
#: cached tokens for each that the speech can have: so many readings are followed to their end
_BREADTH = 4
#: how far another processor may be from the golden answers, of their largest magnitude
_RTOL = {"float32": 1e-2, "int8": 8e-2}


@dataclass(frozen=True)
class Options:
    """seconds: of the buckets; rows: decoder graphs; confidence: the manifest's; hidden: keep the encoder's states as
    an output, for tests."""

    name: str
    version: str
    licence: str
    source: str
    build: str
    seconds: Sequence[float] = (2, 4, 8, 15)
    rows: Sequence[int] = (1, 4, 8)
    precision: Precision = "int8"
    confidence: float = 0.0
    card: str = ""
    licence_text: str = ""
    hidden: bool = False


def export(
    weights: Weights, pieces: list[bytes], output: Path, options: Options, progress: Callable[[str], None]
) -> Manifest:
    """Write the package. Raises InputError or ModelError in one sentence, leaving nothing."""
    _check_pieces(weights, pieces)
    check_destination(output)
    size = sum(values.size for values in weights.floats.values()) * (4 if options.precision == "float32" else 1)
    check_space(output, 3 * size + (16 << 20))
    shapes = bucket_shapes(options)
    with PackageWriter(output) as package:
        (package.folder / PIECES).write_bytes(write_pieces(pieces))
        if options.licence_text:
            (package.folder / "LICENSE").write_text(options.licence_text, encoding="utf-8")
        if options.card:
            (package.folder / "MODEL_CARD.md").write_text(options.card, encoding="utf-8")
        progress("writing the graphs")
        graphs = _write(weights, package.folder, shapes, options)
        document = _document(weights, pieces, shapes, options, graphs)
        progress("golden answers")
        write_manifest(package.folder, document)  # the golden answers are asked of a verified file
        document["recogniser"]["golden"] = _golden(package.folder, shapes[0], weights, pieces, options)
        progress("verifying")
        return package.finish(document)


def bucket_shapes(options: Options) -> list[BucketShape]:
    """Ascending, each a whole number of 64 samples long."""
    shapes = []
    for seconds in sorted(set(options.seconds)):
        if not 1 <= seconds <= 60:
            raise InputError(f"a bucket of {seconds:g} s cannot be made", "choose from 1 to 60")
        samples = int(seconds * RATE) // 64 * 64
        slots = math.ceil(_BREADTH * most_tokens(seconds) / 32) * 32
        shapes.append(BucketShape(f"{seconds:g}".replace(".", "p"), samples, frames_of(samples)[2], slots))
    return shapes


def _write(weights: Weights, folder: Path, shapes: Sequence[BucketShape], options: Options) -> list[Graph]:
    model = Model(folder, f"{options.name} {options.precision}")
    try:
        layers = Layers(model, weights, options.precision)
        graphs = []
        for shape in shapes:
            graphs.append(encoder_graph(layers, shape.samples, shape.encoder, hidden=options.hidden))
            whole = shape.slots + max(options.rows)
            graphs += [decoder_graph(layers, shape.frames, n, whole, shape.decoder(n)) for n in options.rows]
        model.write(folder / GRAPH)
        return graphs
    finally:
        model.close()


def _document(
    weights: Weights, pieces: list[bytes], shapes: Sequence[BucketShape], options: Options, graphs: Sequence[Graph]
) -> dict[str, Any]:
    c = weights.config
    control = {piece.decode(): i for i, piece in enumerate(pieces) if _is_control(piece, i)}
    return {
        "format": 1,
        "kind": KIND,
        "name": options.name,
        "version": options.version,
        "licence": options.licence,
        "source": options.source,
        "build": options.build,
        "graph": {
            "file": GRAPH,
            "layout": "noctule",
            "signatures": {graph.signature: graph.specs() for graph in graphs},
        },
        "tokenizer": {
            "file": PIECES,
            "vocab_size": len(pieces),
            "bos": c.bos,
            "eos": [c.eos],
            "pad": None,
            "control": control,
        },
        "recogniser": {
            "family": "moonshine",
            "sample_rate": RATE,
            "layers": c.decoder_layers,
            "buckets": [{"name": s.name, "samples": s.samples, "frames": s.frames, "slots": s.slots} for s in shapes],
            "rows": list(options.rows),
            "confidence": options.confidence,
            "golden": {},
        },
        "architecture": {
            "dim": c.dim,
            "heads": c.heads,
            "encoder_layers": c.encoder_layers,
            "decoder_layers": c.decoder_layers,
            "rotary": c.rotary,
            "parameters": sum(values.size for values in weights.floats.values()),
            "quantisation": options.precision,
        },
    }


def _is_control(piece: bytes, number: int) -> bool:
    """Pieces in angle brackets are no text, in this tokenizer: <s>, </s>, <unk>, <<ST_5>>."""
    known = number < 3 or piece.startswith(b"<<ST_")
    return known and piece.startswith(b"<") and piece.endswith(b">")


def _check_pieces(weights: Weights, pieces: list[bytes]) -> None:
    if len(pieces) != weights.config.vocab:
        raise InputError(f"the tokenizer has {len(pieces)} pieces, and the model knows {weights.config.vocab}")
    singles = {piece for piece in pieces if len(piece) == 1}
    if len(singles) < 256:
        raise InputError("the tokenizer lacks byte pieces, so that not every text can be written with it")


def _golden(
    folder: Path, shape: BucketShape, weights: Weights, pieces: list[bytes], options: Options
) -> dict[str, Any]:
    manifest, config = load_manifest(folder, KIND), weights.config
    tokens = [config.bos, *MoonshineTokenizer(pieces, bos=config.bos, eos=config.eos).encode("what time is it")]
    with (
        tempfile.TemporaryDirectory(dir=folder.parent, prefix=".golden-") as cache,
        load_model(folder / GRAPH, weight_cache=Path(cache) / "weights") as model,
    ):
        check_signatures(manifest, model.signatures)
        answers = golden_answers(Bucket(model, shape, options.rows, config.decoder_layers), tokens)
    return {"tokens": tokens, "rtol": _RTOL[options.precision], "answers": answers}
