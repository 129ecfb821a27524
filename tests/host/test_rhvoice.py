"""RHVoice as a speech engine of the wake word's builder: it says what it is given, faster and slower."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("scipy")

from builders.sound.engines import rhvoice, spelled

pytestmark = [
    pytest.mark.host,
    pytest.mark.skipif(not rhvoice.voices(), reason="needs librhvoice5 and rhvoice-english"),
]
TEXT = "what's the time in seven hours"


def test_neither_a_test_speaker_nor_a_voice_under_a_narrow_licence_is_offered() -> None:
    assert set(rhvoice.voices()) <= {"alan", "bdl", "clb"}


def test_slower_is_longer() -> None:
    engine = rhvoice.Rhvoice()
    slow, fast = (engine.timed("clb", TEXT, pace, 1.0) for pace in (0.7, 1.4))
    assert slow is not None
    assert fast is not None
    assert len(slow[0]) > 1.5 * len(fast[0])
    assert engine.say("alan", spelled("okay nabu"), np.random.default_rng(1)) is not None
    assert engine.timed("bdl", "", 1.0, 1.0) is None
