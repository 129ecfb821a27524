"""The whole road: a checkpoint in the published layout made by moshi, exported by the script, run as on the board.

moshi itself loads the same folder, so the layout is the published one or the test cannot begin.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from noctule.lm.sampler import Sampling
from noctule.lm.speech.graph import Temporal
from noctule.lm.speech.model import SpeechModel
from noctule.lm.speech.session import SpeechLM, SpeechSampling

torch = pytest.importorskip("torch")
pytest.importorskip("moshi")

from moshi.models.loaders import CheckpointInfo  # noqa: E402

from builders.export.kyutai.reference import NOTHING, build_model, forced_run, generate, write_checkpoint  # noqa: E402

pytestmark = [
    pytest.mark.host,
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning"),  # torch warns of itself
]
Array = npt.NDArray[Any]
ROOT = Path(__file__).parents[2]

#: moshi's layout, small because moshi is slow on a CPU; 200 frames wrap the ring of 64 three times
CONFIG: dict[str, Any] = {
    "dim": 256,
    "text_card": 500,
    "existing_text_padding_id": 3,
    "n_q": 8,
    "dep_q": 4,
    "card": 256,
    "num_heads": 4,
    "num_layers": 4,
    "hidden_scale": 4.125,
    "causal": True,
    "layer_scale": None,
    "context": 64,
    "max_period": 10000,
    "gating": "silu",
    "norm": "rms_norm_f32",
    "positional_embedding": "rope",
    "depformer_dim": 128,
    "depformer_dim_feedforward": 528,
    "depformer_num_heads": 2,
    "depformer_num_layers": 2,
    "depformer_causal": True,
    "depformer_layer_scale": None,
    "depformer_multi_linear": True,
    "depformer_context": 4,
    "depformer_max_period": 10000,
    "depformer_gating": "silu",
    "depformer_pos_emb": "none",
    "depformer_weights_per_step": True,
    "delays": [0, 0, 1, 1, 1, 0, 1, 1, 1],
    "moshi_name": "model.safetensors",
    "tokenizer_name": "tokenizer_spm_500.model",
}
FRAMES = 200
GREEDY = SpeechSampling(Sampling(temperature=0.0), Sampling(temperature=0.0))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("moshi") / "checkpoint"
    write_checkpoint(folder, CONFIG, build_model(CONFIG), dtype=torch.bfloat16)
    return folder


@pytest.fixture(scope="module")
def moshi(checkpoint: Path) -> Any:
    """The folder as moshi loads it, in float32."""
    weights, tokenizer = checkpoint / "model.safetensors", checkpoint / "tokenizer_spm_500.model"
    info = CheckpointInfo.from_hf_repo("local", weights, weights, tokenizer, checkpoint / "config.json")
    return info.get_moshi(device="cpu", dtype=torch.float32)


@pytest.fixture(scope="module")
def package(checkpoint: Path) -> Path:
    """The folder as scripts/export_lm.py exports it."""
    output = checkpoint.parent / "package"
    arguments = [str(checkpoint), "-o", str(output), "--no-codec", "--quant", "float32", "--context", "16"]
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "export_lm.py"), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "GB/s" in done.stdout
    return output


@pytest.fixture(scope="module")
def model(package: Path) -> Any:
    loaded = SpeechModel.load(package)
    yield loaded
    loaded.close()


@pytest.fixture(scope="module")
def heard(moshi: Any) -> Array:
    return np.random.default_rng(2).integers(0, moshi.card, (moshi.n_q - moshi.dep_q, FRAMES))


def frames(session: SpeechLM, heard: Array) -> Array:
    nothing = np.full(session.layout.written, NOTHING)
    steps = (session.step(column.astype(np.int32)) for column in heard.T)
    return np.array([nothing if frame is None else frame for frame in steps])


def test_every_logit_equals_moshi(model: SpeechModel, moshi: Any) -> None:
    forced = forced_run(moshi, FRAMES)
    temporal = Temporal(model.model)
    assert model.depformer is not None
    for t in range(FRAMES):
        hidden, logits = temporal.step(model.rows.temporal(forced.codes[:, t].astype(np.int32)))
        assert np.abs(logits - forced.text[t]).max() < 1e-4 * np.abs(forced.text[t]).max(), f"frame {t}"
        given = forced.depth_tokens[t].astype(np.int32).tolist()
        found: list[Array] = []

        def replay(q: int, answer: Array, found: list[Array] = found, given: list[int] = given) -> int:
            found.append(answer.copy())
            return int([*given[1:], 0][q])

        model.depformer.run(hidden, given[0], model.rows, replay)
        for q, wanted in enumerate(forced.audio[t]):
            assert np.abs(found[q] - wanted).max() < 1e-4 * np.abs(wanted).max(), f"frame {t}, codebook {q}"
    assert len({answer.tobytes() for answer in found}) == moshi.dep_q


def test_greedy_tokens_equal_moshi(model: SpeechModel, moshi: Any, heard: Array) -> None:
    np.testing.assert_array_equal(frames(model.session(sampling=GREEDY), heard), generate(moshi, heard))


def test_sampled_tokens_equal_moshi_fed_the_same_uniforms(model: SpeechModel, moshi: Any, heard: Array) -> None:
    uniforms = np.random.default_rng(3).random((FRAMES, 1 + moshi.dep_q))
    numbers = iter(uniforms.reshape(-1).tolist())
    found = frames(model.session(uniforms=lambda: next(numbers)), heard)
    np.testing.assert_array_equal(found, generate(moshi, heard, uniforms))
