"""What quantisation costs on a trained model, whose logits have margins as a real model's have."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from builders.export.kyutai import package as kyutai
from builders.export.kyutai.layers import Precision
from kyutai_runs import forced_logits, relative

torch = pytest.importorskip("torch")
pytest.importorskip("moshi")

from builders.export.kyutai.reference import write_checkpoint  # noqa: E402
from builders.export.kyutai.synthetic import CONFIG, streams, trained  # noqa: E402

pytestmark = [
    pytest.mark.host,
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning"),  # torch warns of itself
]
Array = npt.NDArray[Any]

FRAMES = 192  # three times the context


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trained model as a checkpoint; the training is cached, outside the repository."""
    default = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "noctule-tests"
    model = trained(Path(os.environ.get("NOCTULE_TEST_CACHE", default)))
    folder = tmp_path_factory.mktemp("trained")
    write_checkpoint(folder, CONFIG, model, dtype=torch.bfloat16)
    return folder


@pytest.fixture(scope="module")
def tokens() -> tuple[Array, Array, Array]:
    """Held-out streams: input codes [1 + n_q, T], depth tokens [T, dep_q], and the targets."""
    codes = streams(np.random.default_rng(99), 1, FRAMES)[0]
    delayed = np.empty_like(codes)
    for k, delay in enumerate(CONFIG["delays"]):
        initial = CONFIG["text_card"] if k == 0 else CONFIG["card"]
        delayed[k] = np.concatenate([np.full(delay, initial), codes[k]])[:FRAMES]
    start = np.array([CONFIG["text_card"], *[CONFIG["card"]] * CONFIG["n_q"]])[:, None]
    inputs = np.concatenate([start, delayed[:, :-1]], axis=1)
    return inputs, delayed[: CONFIG["dep_q"]].T, delayed


def logits(checkpoint: Path, tokens: tuple[Array, Array, Array], out: Path, precision: Precision) -> dict[str, Array]:
    package = kyutai.export_lm(checkpoint, out, kyutai.Options(precision=precision), lambda _: None)
    return forced_logits(out / kyutai.GRAPH, package, tokens[0], tokens[1])


@pytest.fixture(scope="module")
def exact(checkpoint: Path, tokens: tuple[Array, Array, Array], tmp_path_factory: pytest.TempPathFactory) -> Any:
    return logits(checkpoint, tokens, tmp_path_factory.mktemp("exact") / "lm", Precision("float32", "float32"))


def agreement(found: dict[str, Array], exact: dict[str, Array]) -> dict[str, float]:
    """Share of frames with the same most likely token, per head."""
    same = {"text": float((found["text"].argmax(-1) == exact["text"].argmax(-1)).mean())}
    for q in range(CONFIG["dep_q"]):
        same[f"audio {q}"] = float((found["audio"][:, q].argmax(-1) == exact["audio"][:, q].argmax(-1)).mean())
    return same


def test_the_model_has_learnt_its_streams(exact: dict[str, Array], tokens: tuple[Array, Array, Array]) -> None:
    """Otherwise agreement would say nothing."""
    targets = tokens[2]
    assert float((exact["text"].argmax(-1) == targets[0]).mean()) > 0.9
    for q in range(CONFIG["dep_q"]):
        assert float((exact["audio"][:, q].argmax(-1) == targets[1 + q]).mean()) > 0.75, f"codebook {q}"


@pytest.mark.parametrize(
    ("precision", "least"), [(Precision("int8", "int8"), 0.98), (Precision("int4", "int8"), 0.9)]
)
def test_quantised_top_1_agrees(
    checkpoint: Path,
    tokens: tuple[Array, Array, Array],
    exact: dict[str, Array],
    tmp_path: Path,
    precision: Precision,
    least: float,
) -> None:
    found = logits(checkpoint, tokens, tmp_path / "lm", precision)
    same = agreement(found, exact)
    error = {name: round(relative(found[name], exact[name]), 4) for name in ("text", "audio")}
    print(f"{precision.linear}: top-1 agreement {same}, largest relative error {error}")
    assert min(same.values()) >= least, same
