"""Loading a graph: a weight cache that makes golden answers fail is thrown away once; other failures are told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from noctule.core.errors import ModelError
from noctule.inference.manifest import load_manifest
from noctule.inference.runtime import Model
from noctule.lm.speech.graph_file import open_graph_file

FIXTURE = Path(__file__).parents[2] / "fixtures" / "kyutai-tiny" / "codec"


@pytest.fixture(scope="module")
def manifest():
    return load_manifest(FIXTURE, "codec")


def test_a_reused_cache_gets_one_more_chance(manifest, tmp_path):
    open_graph_file(manifest, 1, tmp_path, lambda model: model).close()
    (cache,) = tmp_path.glob("*.xnnpack")
    cache.write_bytes(b"from an earlier day".ljust(cache.stat().st_size))
    tries: list[Model] = []

    def build(model: Model) -> str:
        tries.append(model)
        if len(tries) == 1:
            raise ModelError("golden answers differ")
        return "built"

    assert open_graph_file(manifest, 1, tmp_path, build) == "built"
    assert len(tries) == 2


def test_a_fresh_cache_or_none_does_not(manifest, tmp_path):
    for folder in (None, tmp_path):
        tries: list[Model] = []

        def build(model: Model, tries: list[Model] = tries) -> None:
            tries.append(model)
            raise ModelError("golden answers differ")

        with pytest.raises(ModelError, match="golden answers differ"):
            open_graph_file(manifest, 1, folder, build)
        assert len(tries) == 1


def test_caches_of_earlier_builds_are_deleted(manifest, tmp_path):
    open_graph_file(manifest, 1, tmp_path, lambda model: model).close()
    (cache,) = tmp_path.glob("*.xnnpack")
    old = tmp_path / cache.name.replace(manifest.files["model.tflite"].sha256[:16], "0" * 16)
    old.write_bytes(b"old")
    open_graph_file(manifest, 1, tmp_path, lambda model: model).close()
    assert list(tmp_path.glob("*.xnnpack")) == [cache]


def test_a_package_without_a_graph_is_refused(manifest):
    with pytest.raises(ModelError, match="has no graph"):
        open_graph_file(replace(manifest, graph=None), 1, None, lambda model: model)
