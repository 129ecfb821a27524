"""Exported graphs answer what transformers answers on the same weights, without torch: tests/fixtures/*-tiny.

The packages and the expected numbers come from scripts/tools/fixtures/parity.py. float32, so the bound is tight.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from noctule.lm.sampler import TextSampling
from noctule.lm.text.model import TextLM
from noctule.lm.text.package import TextPackage, open_text_package
from noctule.lm.text.request import Options, collect

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"
NAMES = sorted(path.stem for path in FIXTURES.glob("*-tiny.json"))
#: largest difference over largest logit; transformers and XNNPACK sum in different orders
PARITY = 1e-3
SAME_GRAPH = 1e-5


class Ordinary:
    """Allows the pieces the reference could choose from."""

    def __init__(self, first: int, end: int) -> None:
        self._allowed = np.arange(first, end, dtype=np.int32)

    def mask(self) -> np.ndarray:
        return self._allowed

    def advance(self, token: int) -> None:
        assert self._allowed[0] <= token <= self._allowed[-1]

    def done(self) -> bool:
        return False


@pytest.fixture(scope="module", params=NAMES)
def case(request: pytest.FixtureRequest) -> Iterator[tuple[TextPackage, dict[str, Any]]]:
    answer = json.loads((FIXTURES / f"{request.param}.json").read_text(encoding="utf-8"))
    package = open_text_package(FIXTURES / request.param)
    yield package, answer
    package.close()


def gap(found: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.abs(found - wanted).max() / np.abs(wanted).max())


def test_three_architectures_are_covered() -> None:
    families = {
        json.loads((FIXTURES / name / "manifest.json").read_text(encoding="utf-8"))["architecture"]["family"]
        for name in NAMES
    }
    assert {"llama", "qwen2", "gemma2"} <= families


def test_logits_are_those_of_transformers(case: tuple[TextPackage, dict[str, Any]]) -> None:
    package, answer = case
    graph, prompt, greedy = package.graph, answer["prompt"], answer["greedy"]
    graph.clear()
    graph.reserve(len(prompt), 0)
    position = 0
    while position < len(prompt) - 1:
        position += graph.prefill(prompt[position:-1], position)
    tokens = [prompt[-1], *greedy]
    checked = 0
    for step in range(len(greedy)):
        graph.reserve(position + 1, position)
        logits = graph.decode(tokens[step], position)
        position += 1
        if str(step) in answer["logits"]:
            assert gap(logits, np.array(answer["logits"][str(step)])) < PARITY
            checked += 1
    assert checked == len(answer["logits"]) >= 2


def test_greedy_text_is_that_of_transformers(case: tuple[TextPackage, dict[str, Any]]) -> None:
    package, answer = case
    lm = TextLM(package)
    options = Options(
        max_tokens=len(answer["greedy"]),
        sampling=TextSampling(temperature=0.0),
        constraint=Ordinary(*answer["ordinary"]),
    )
    text, finish, stats = collect(lm.generate(answer["prompt"], options))
    assert finish == "length"
    assert stats.completion_tokens == len(answer["greedy"]) == 64
    assert list(lm.held) == [*answer["prompt"], *answer["greedy"][:-1]]
    assert text == lm.tokenizer.decode(answer["greedy"])
    lm.forget()


def test_prefill_gives_what_single_steps_give(case: tuple[TextPackage, dict[str, Any]]) -> None:
    package, answer = case
    graph, prompt = package.graph, answer["prompt"]
    results = []
    for chunked in (True, False):
        graph.clear()
        graph.reserve(len(prompt), 0)
        position = 0
        while position < len(prompt) - 1:
            if chunked:
                position += graph.prefill(prompt[position:-1], position)
            else:
                graph.decode(prompt[position], position)
                position += 1
        results.append(graph.decode(prompt[-1], position))
    assert gap(results[0], results[1]) < SAME_GRAPH


def test_growing_into_the_next_bucket_changes_nothing(case: tuple[TextPackage, dict[str, Any]]) -> None:
    package, answer = case
    graph = package.graph
    tokens = [*answer["prompt"], *answer["greedy"]]
    ends = []
    for roomy in (False, True):
        graph.clear()
        graph.reserve(len(tokens) if roomy else 1, 0)
        for position, token in enumerate(tokens):
            graph.reserve(len(tokens) if roomy else position + 1, position)
            logits = graph.decode(token, position)
        ends.append(logits)
    assert gap(ends[0], ends[1]) < SAME_GRAPH
    graph.reserve(1, 0)
    graph.clear()
