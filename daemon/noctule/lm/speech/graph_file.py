"""Loads the graph of a verified package, and gives a corrupt weight cache one more chance."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from noctule.core.errors import ModelError
from noctule.inference.manifest import Manifest
from noctule.inference.runtime import Model, default_runtime
from noctule.inference.weight_cache import discard, forget_others, keep, usable, weight_cache

T = TypeVar("T")


def open_graph_file(manifest: Manifest, threads: int, cache_dir: Path | None, build: Callable[[Model], T]) -> T:
    """`build(model)` over the package's graph; the model is closed again when that fails.

    build checks golden answers, which is what notices a weight cache with flipped bits: it is then thrown away and
    made anew once. Raises ModelError.
    """
    if manifest.graph is None:
        raise ModelError(f"{manifest.folder}: the package has no graph")
    path, runtime = manifest.path(manifest.graph.file), default_runtime()
    entry = manifest.files[manifest.graph.file]
    cache = usable(weight_cache(cache_dir, manifest.name, entry.sha256, runtime), entry.bytes)
    reused = cache is not None and cache.exists()

    def attempt() -> T:
        model = runtime.load_model(path, threads=threads, weight_cache=cache)
        try:
            return build(model)
        except BaseException:
            model.close()
            raise

    try:
        built = attempt()
    except ModelError:
        if cache is None or not reused:
            raise
        discard(cache)
        built = attempt()
    if cache is not None:
        keep(cache)
        forget_others(cache, manifest.name)
    return built
