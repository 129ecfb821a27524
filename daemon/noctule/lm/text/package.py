"""Opens a text-lm package: manifest, tokenizer and graph, each checked against the others.

Beyond what `load_manifest` verifies: the graph's real signatures are the manifest's; the tokenizer has no more
pieces than the graph has logits; and the graph answers the manifest's golden tokens with the golden logits, once
token by token and once through prefill. The last catches a runtime that loads a file and silently computes zeros
(tflite-runtime 2.14 with per-channel int8).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from noctule.core.errors import ModelError
from noctule.inference import runtime as tflite
from noctule.inference.manifest import Golden, Graph, Manifest, check_signatures, load_manifest
from noctule.inference.page_cache import give_back
from noctule.inference.weight_cache import discard, forget_others, keep, usable, weight_cache
from noctule.lm.text.graph import Logits, TextGraph
from noctule.lm.text.graph_community import CommunityGraph
from noctule.lm.text.graph_noctule import NoctuleGraph
from noctule.lm.tokenizer import Tokenizer

_DOCTOR = "run `noctule doctor`; try the other runtime or build the package again"


@dataclass
class TextPackage:
    """A text model that has proved itself on this machine."""

    manifest: Manifest
    tokenizer: Tokenizer
    graph: TextGraph
    model: tflite.Model
    #: the file of its unpacked weights; None where none was wanted or there was no room for it.
    cache: Path | None

    def close(self) -> None:
        self.model.close()


def open_text_package(
    folder: Path | str,
    *,
    threads: int = 1,
    cache_dir: Path | None = None,
    context: int | None = None,
    runtime: tflite.Runtime | None = None,
) -> TextPackage:
    """Load and verify; ModelError, one sentence, when anything is wrong.

    `cache_dir`: an existing folder for XNNPACK's weight cache files. `context`: use less than the package offers.
    """
    manifest = load_manifest(folder, "text-lm")
    graph_info, info, golden = manifest.graph, manifest.tokenizer, manifest.golden
    if graph_info is None or info is None or golden is None or manifest.context is None:
        raise ModelError(f"{manifest.folder}: the manifest lacks a section that text-lm needs")
    tokenizer = Tokenizer.load(manifest.path(info.file), info)
    runtime = runtime or tflite.default_runtime()
    entry = manifest.files[graph_info.file]
    cache = usable(weight_cache(cache_dir, manifest.name, entry.sha256, runtime), entry.bytes)
    reused = cache is not None and cache.exists()
    try:
        model, graph = _start(manifest, graph_info, golden, tokenizer, runtime, threads, cache, context)
    except ModelError:
        # A weight cache with flipped bits loads without complaint; golden logits are what notices. Without it
        # the same failure tells of the model or the runtime, and is raised.
        if cache is None or not reused:
            raise
        discard(cache)
        model, graph = _start(manifest, graph_info, golden, tokenizer, runtime, threads, cache, context)
    give_back(manifest.path(graph_info.file))
    if cache is not None:
        keep(cache)
        forget_others(cache, manifest.name)
    return TextPackage(manifest, tokenizer, graph, model, cache)


def open_graph(model: tflite.Model, layout: str, context: int) -> TextGraph:
    """The graph of a loaded model in the layout its manifest names."""
    return NoctuleGraph(model, context) if layout == "noctule" else CommunityGraph(model, context)


def _start(
    manifest: Manifest,
    info: Graph,
    golden: Golden,
    tokenizer: Tokenizer,
    runtime: tflite.Runtime,
    threads: int,
    cache: Path | None,
    context: int | None,
) -> tuple[tflite.Model, TextGraph]:
    path = manifest.path(info.file)
    model = runtime.load_model(path, threads=threads, weight_cache=cache)
    try:
        check_signatures(manifest, model.signatures)
        graph = open_graph(model, info.layout, min(context or 2**31, manifest.context or 0))
        if tokenizer.vocab_size > graph.width:
            raise ModelError(
                f"{path}: gives {graph.width} logits, the tokenizer has {tokenizer.vocab_size} pieces",
                "the tokenizer belongs to another model",
            )
        check_golden(str(path), golden, graph, tokenizer.vocab_size)
    except BaseException:
        model.close()
        raise
    return model, graph


def check_golden(where: str, golden: Golden, graph: TextGraph, vocab: int) -> None:
    """Feed the golden tokens and compare; ModelError says at which step the graph answers something else."""
    if len(golden.tokens) > graph.context or max(golden.tokens) >= vocab:
        raise ModelError(f"{where}: the golden tokens do not fit the model's context or vocabulary")
    tokens = list(golden.tokens)
    graph.reserve(len(tokens), 0)
    for position, token in enumerate(tokens):
        _compare(where, golden, position, graph.decode(token, position), "decode")
    graph.clear()
    done = 0
    while done < len(tokens) - 1:
        done += graph.prefill(tokens[done:-1], done)
    _compare(where, golden, done, graph.decode(tokens[-1], done), "prefill")
    graph.clear()


def _compare(where: str, golden: Golden, step: int, logits: Logits, how: str) -> None:
    check_alive(where, logits)
    scale = float(np.abs(logits).max())
    allowed = golden.rtol * scale
    wanted = np.array(golden.logits[step], np.float64)
    if wanted.size > logits.size or max(golden.top[step]) >= logits.size:
        raise ModelError(f"{where}: gives {logits.size} logits, fewer than the golden ones name")
    error = float(np.abs(logits[: wanted.size] - wanted).max())
    best = golden.top[step]
    last = float(np.partition(logits, -len(best))[-len(best)])
    short = last - float(logits[list(best)].min())
    if error > allowed or short > allowed:
        raise ModelError(
            f"{where}: answers other logits than it should on this machine ({how}, golden step {step}: "
            f"off by {max(error, short):.3g}, allowed {allowed:.3g})",
            _DOCTOR,
        )


def check_alive(where: str, logits: Logits) -> None:
    """Logits that are constant or not numbers come from a runtime that cannot run this graph."""
    low, high = float(logits.min()), float(logits.max())
    if not np.isfinite(low) or not np.isfinite(high):
        raise ModelError(f"{where}: the model's logits are not finite numbers", _DOCTOR)
    if low == high:
        what = "zero" if low == 0.0 else f"{low:g}"
        raise ModelError(f"{where}: every logit is {what}: this runtime cannot compute the model", _DOCTOR)
