"""Checkpoint -> text-lm package: the steps of `scripts/export_lm.py`, callable from other scripts and tests."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from builders.common.package_checks import check_destination, check_memory, check_space
from builders.export.text.cache import KINDS
from builders.export.text.checkpoint import Checkpoint, read_json
from builders.export.text.compact import compact
from builders.export.text.convert import convert, decode_name, text_signatures
from builders.export.text.families import Family, family_of
from builders.export.text.golden import Gap, gap, golden_entry, golden_tokens, reference_logits, runtime_logits
from builders.export.text.graph import DecoderConfig
from builders.export.text.quantise import SCHEMES, Scheme, quantise
from builders.export.text.tokens import find_tokenizer, tokenizer_entry
from builders.export.text.weights import load_decoder
from noctule.core.errors import InputError
from noctule.inference import runtime as tflite
from noctule.inference.manifest import describe_signatures
from noctule.inference.manifest_schema import parse_manifest
from noctule.inference.package_writer import PackageWriter

#: At its largest a build holds the float32 file, the quantised one and slack for the graphs.
_SLACK_BYTES = 64 << 20
#: Measured: 1 GB for the converters alone, 3.6 GB in all for 135 million parameters.
_MEMORY_BASE, _MEMORY_PER_PARAMETER = 10**9, 20
_FLATBUFFER_LIMIT = 2**31  # bytes; the float32 file is one flatbuffer


@dataclass(frozen=True)
class Request:
    checkpoint: Path
    package: Path
    quant: str = "int8"
    contexts: Sequence[int] = (128, 512)
    prefills: Sequence[int] = (32,)
    cache: str = "float32"  # how keys and values are held: a name of cache.KINDS, or "auto"
    name: str = ""
    version: str = "1"
    licence: str = "unknown"
    source: str = ""
    command: str = ""
    chat: dict[str, Any] | None = None
    sampling: dict[str, Any] | None = None
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    bytes: int  # of the graph file
    parameters: int
    token_bytes: int  # weights read to decode one token
    gap: Gap


def export_text(request: Request, progress: Callable[[str], None]) -> Result:
    """Build the package folder. Raises InputError or ModelError and leaves nothing behind when it cannot."""
    contexts, prefills = _checked(request)
    check_destination(request.package)
    checkpoint = Checkpoint(request.checkpoint)
    family = family_of(checkpoint.config, str(request.checkpoint / "config.json"))
    c = family.decoder
    if contexts[-1] > family.context:
        raise InputError(
            f"a context of {contexts[-1]} is beyond the model's {family.context} positions",
            "ask for less with --context",
        )
    tokenizer = find_tokenizer(request.checkpoint)
    tokens = tokenizer_entry(tokenizer, request.checkpoint, checkpoint.config, c.rows)
    _check_manifest(request, tokens)
    parameters = count_parameters(c)
    if 4 * parameters > _FLATBUFFER_LIMIT:
        raise InputError(
            f"{parameters / 1e6:.0f} million parameters do not fit the converter's 2 GB float32 file",
            "models up to about 500 million parameters can be exported",
        )
    check_space(request.package, 6 * parameters + _SLACK_BYTES)
    check_memory(_MEMORY_BASE + _MEMORY_PER_PARAMETER * parameters)
    progress(
        f"{request.checkpoint.name}: {family.name}, {parameters / 1e6:.1f} million parameters, {c.layers} layers"
    )
    decoder = load_decoder(checkpoint, family)
    golden = golden_tokens(tokens["vocab_size"])
    reference = reference_logits(decoder, golden, contexts[0])
    with PackageWriter(request.package) as package:
        scratch = package.folder
        progress(f"tracing {len(contexts)} context buckets and prefill graphs (the longest step)")
        whole = scratch / "float32.tflite"
        decoder.cache = cache_kind(request, c)
        signatures = text_signatures(decoder.fold(), contexts, prefills)
        convert(signatures, whole)
        graph = scratch / "model.tflite"
        if request.quant == "float32":
            whole.rename(graph)
            compact(graph)
        else:
            progress(f"quantising to {request.quant}")
            quantise(whole, graph, request.quant)
            whole.unlink()
        progress("running the file on the device runtime against the float32 reference")
        logits = runtime_logits(graph, decode_name(contexts[0]), golden)
        cost = gap(reference, logits)
        shutil.copyfile(tokenizer, scratch / tokens["file"])
        manifest = {
            "format": 1,
            "kind": "text-lm",
            "name": request.name or request.checkpoint.name,
            "version": request.version,
            "licence": request.licence,
            "source": request.source or f"{request.checkpoint.name}, sha256 {checkpoint.sha256()}",
            "build": request.command,
            "graph": graph_entry(graph),
            "tokenizer": tokens,
            "limits": {"context": contexts[-1]},
            "architecture": architecture_entry(family, parameters, request.quant) | {"cache": decoder.cache},
            "golden": golden_entry(decode_name(contexts[0]), golden, logits, request.quant, cost),
            **_optional(request),
        }
        size = graph.stat().st_size
        graph.chmod(0o644)  # the quantiser makes it executable
        package.finish(manifest)
    return Result(size, parameters, token_bytes(c, request.quant), cost)


def graph_entry(path: Path) -> dict[str, Any]:
    """The manifest's "graph" object, read from the finished file by the device runtime."""
    with tflite.load_model(path) as model:
        return {"file": path.name, "layout": "noctule", "signatures": describe_signatures(model.signatures)}


def cache_kind(request: Request, c: DecoderConfig) -> str:
    """What "auto" means: int8 keys and values beside quantised weights; float32 where the biases of the keys can be
    far larger than the rest (Qwen 2), which a scale a row serves badly, and for the other runtime."""
    if request.cache != "auto":
        return request.cache
    return "float32" if c.qkv_bias or request.quant in ("float32", "int8-tensor") else "int8"


def _checked(request: Request) -> tuple[list[int], list[int]]:
    if request.quant not in SCHEMES:
        raise InputError(f"quantisation {request.quant!r} is not one of {', '.join(SCHEMES)}")
    if request.cache not in ("auto", *KINDS):
        raise InputError(f"cache {request.cache!r} is not one of auto, {', '.join(KINDS)}")
    contexts, prefills = sorted(set(request.contexts)), sorted(set(request.prefills))
    for what, values, least in (("context", contexts, 16), ("prefill", prefills, 2)):
        if not values or values[0] < least:
            raise InputError(f"{what} sizes are {values}, expected numbers of at least {least}")
    if prefills[0] > contexts[0]:
        raise InputError(f"a prefill of {prefills[0]} does not fit the smallest context of {contexts[0]}")
    return contexts, prefills


def _check_manifest(request: Request, tokens: dict[str, Any]) -> None:
    """Find a mistake in what the user adds to the manifest now, not after the trace. Raises ModelError."""
    parse_manifest(
        "the manifest to be",
        {
            "format": 1,
            "kind": "wake-word",  # the kind that needs no graph yet
            "name": request.name,
            "version": request.version,
            "licence": request.licence,
            "source": request.source,
            "build": request.command,
            "files": {tokens["file"]: {"bytes": 1, "sha256": 64 * "0"}},
            "tokenizer": tokens,
            **_optional(request),
        },
    )


def count_parameters(c: DecoderConfig) -> int:
    """Weights of the matrices and the table (norms and biases are a rounding error and left out)."""
    head = 0 if c.tied_head else c.vocab * c.dim
    return c.rows * c.dim + head + c.layers * layer_parameters(c)


def layer_parameters(c: DecoderConfig) -> int:
    attention = c.dim * (c.heads + 2 * c.kv_heads) * c.head_dim + c.heads * c.head_dim * c.dim
    return attention + 3 * c.dim * c.ffn


def token_bytes(c: DecoderConfig, quant: str) -> int:
    """Weight bytes read to decode one token: every matrix and the head, and one row of the table."""
    scheme = SCHEMES[quant]
    if scheme is None:
        return 4 * (c.layers * layer_parameters(c) + c.vocab * c.dim + c.dim)
    body, head = c.layers * layer_parameters(c), c.vocab * c.dim
    return int(body * _weight_bits(scheme, scheme.bits) + head * _weight_bits(scheme, scheme.head_bits)) // 8 + c.dim


def _weight_bits(scheme: Scheme, bits: int) -> float:
    """Bits a weight with its share of a block's 16-bit scale (scales of whole rows are left out)."""
    block = int(scheme.granularity.partition("_")[2] or 0)
    return bits + 16 / block if block and bits == scheme.bits else bits


def architecture_entry(family: Family, parameters: int, quant: str) -> dict[str, Any]:
    c = family.decoder
    return {
        "family": family.name,
        "parameters": parameters,
        "quantisation": quant,
        "layers": c.layers,
        "dim": c.dim,
        "heads": c.heads,
        "kv_heads": c.kv_heads,
        "head_dim": c.head_dim,
        "ffn": c.ffn,
        "vocab": c.vocab,
    }


def _optional(request: Request) -> dict[str, Any]:
    found = dict(request.extra)
    if request.chat is not None:
        found["chat"] = request.chat
    if request.sampling is not None:
        found["sampling"] = request.sampling
    return found


def read_object(path: Path | None) -> dict[str, Any] | None:
    """A JSON object from a file named on the command line, or None."""
    return None if path is None else json.loads(json.dumps(read_json(path)))
