"""Keys and values in int8, as `export_lm.py --cache int8` makes them: the daemon runs them as it runs float32."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from fixtures.packages import CONTEXT, package
from noctule.inference.runtime import LiteRt, TfliteRuntime, default_runtime
from noctule.lm.text.graph_noctule import NoctuleGraph
from noctule.lm.text.package import TextPackage, open_text_package

pytestmark = pytest.mark.skipif(
    default_runtime().name == "tflite-runtime", reason="int8 by channel is for ai-edge-litert"
)
TOKENS = [int(i) for i in np.random.default_rng(5).integers(3, 400, CONTEXT)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return package(tmp_path_factory.mktemp("int8-cache") / "p", "noctule_int8_cache")


@pytest.fixture
def opened(folder: Path) -> Iterator[TextPackage]:
    found = open_text_package(folder)
    yield found
    found.close()


def rows(opened: TextPackage, prefill: int = 0) -> np.ndarray:
    """Logits after each token behind the first `prefill`, which are read at once."""
    graph = opened.graph
    graph.clear()
    done = 0
    while done < prefill:
        graph.reserve(prefill, done)
        done += graph.prefill(TOKENS[done:prefill], done)
    found = []
    for position in range(prefill, len(TOKENS)):
        graph.reserve(position + 1, position)
        found.append(graph.decode(TOKENS[position], position))
    return np.stack(found)


def gap(found: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.sqrt(np.mean((found - wanted) ** 2)) / wanted.std())


def test_keys_and_values_are_int8_with_a_scale_a_row(opened: TextPackage) -> None:
    inputs = opened.model.signature("decode_16").inputs
    assert {inputs[f"kv_cache_{x}_0"].dtype.name for x in "kv"} == {"int8"}
    assert inputs["kv_cache_k_0"].shape == inputs["kv_cache_v_0"].shape == (1, 1, 16, 12)
    assert inputs["kv_cache_s_0"].shape == (1, 2, 1, 16)
    assert inputs["kv_cache_s_0"].dtype.name == "float32"


def test_it_says_what_float_keys_and_values_say(opened: TextPackage, tmp_path: Path) -> None:
    plain = open_text_package(package(tmp_path / "plain", "noctule_int8"))
    assert gap(rows(opened), rows(plain)) < 0.1
    plain.close()


@pytest.mark.parametrize("prefill", [8, 13, 20])
def test_reading_at_once_and_growing_into_the_next_bucket_change_little(opened: TextPackage, prefill: int) -> None:
    graph = opened.graph
    assert isinstance(graph, NoctuleGraph)
    one_by_one = rows(opened)
    assert graph.slots == 48
    graph.reserve(3, 0)
    assert graph.slots == 16
    # Another rounding of one activation moves a key by one step.
    assert gap(rows(opened, prefill), one_by_one[prefill:]) < 0.1


def test_what_an_earlier_sequence_left_is_not_seen(opened: TextPackage) -> None:
    first = rows(opened)
    graph = opened.graph
    graph.reserve(CONTEXT, 0)
    for position in range(CONTEXT):
        graph.decode(7, position)
    graph.reserve(1, 0)
    np.testing.assert_array_equal(graph.decode(TOKENS[0], 0), first[0])


def test_every_face_of_the_runtime_runs_it(folder: Path) -> None:
    for runtime in (LiteRt(), TfliteRuntime("ai_edge_litert.interpreter", "ai-edge-litert")):
        open_text_package(folder, runtime=runtime).close()  # compares the golden logits
