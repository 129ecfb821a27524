"""Two conversations on one loaded model never share state, on either runtime's way of keeping it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from noctule.inference import runtime as tflite
from noctule.lm.speech.codec import Codec
from noctule.lm.speech.model import SpeechModel

FIXTURE = Path(__file__).parents[2] / "fixtures" / "kyutai-tiny"


@pytest.fixture(params=["compiled", "interpreter"])
def runtime(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """LiteRT's CompiledModel, and the Interpreter class that tflite-runtime shares with it."""
    found = (
        tflite.LiteRt()
        if request.param == "compiled"
        else tflite.TfliteRuntime("ai_edge_litert.interpreter", "ai-edge-litert")
    )
    monkeypatch.setattr(tflite, "_chosen", found)


def row(frame: np.ndarray | None) -> list[int] | None:
    return None if frame is None else frame.tolist()


def test_language_model(runtime):
    model = SpeechModel.load(FIXTURE / "lm")
    heard = np.random.default_rng(0).integers(0, 24, (60, 3)).astype(np.int32)
    session = model.session(seed=1)
    alone = [row(session.step(h)) for h in heard]
    a, b = model.session(seed=1), model.session(seed=2)
    mixed = []
    for i, h in enumerate(heard):  # uneven turns, over a growth of the cache and two wraps of the ring
        b.step((h + 3) % 24)
        if i % 3 == 0:
            b.step((h + 5) % 24)
        mixed.append(row(a.step(h)))
    assert mixed == alone
    model.close()


def test_codec(runtime):
    codec = Codec.load(FIXTURE / "codec")
    sound = np.random.default_rng(0).uniform(-0.5, 0.5, (10, 1920)).astype(np.float32)
    encoder, decoder = codec.encoder(), codec.decoder()
    alone = [encoder.step(s).tolist() for s in sound]
    spoken = [decoder.step(np.asarray(c, np.int32)) for c in alone]
    a, b, c, d = codec.encoder(), codec.encoder(), codec.decoder(), codec.decoder()
    for i, s in enumerate(sound):
        b.step(-s)
        codes = a.step(s)
        d.step(codes[::-1].copy())
        assert codes.tolist() == alone[i]
        np.testing.assert_allclose(c.step(codes), spoken[i], atol=1e-6)
    codec.close()
