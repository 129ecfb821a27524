"""The shipped recogniser: rows, tokenizer, what is not believed, windows, and packages that are damaged."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import moonshine_world as sounds
import numpy as np
import pytest

from noctule.core.errors import InputError, ModelError
from noctule.lm.speech.moonshine.belief import doubt, silent
from noctule.lm.speech.moonshine.greedy import greedy
from noctule.lm.speech.moonshine.model import MoonshineModel
from noctule.lm.speech.moonshine.windows import transcribe


@pytest.fixture(scope="module")
def model() -> Iterator[MoonshineModel]:
    loaded = sounds.load()
    yield loaded
    loaded.close()


def test_readings_followed_together_get_what_each_gets_alone(model: MoonshineModel) -> None:
    utterance = model.encode(sounds.read(sounds.TIMER))
    texts = [[1, *model.tokenizer.encode(text)] for text in ("Set a timer for two minutes.", "Set a time.")]
    alone = []
    for tokens in texts:
        decoder, parent, rows = utterance.decoder(), -1, []
        for at, token in enumerate(tokens):
            scores, (parent,) = decoder.step([token], [parent], [at])
            rows.append(scores[0])
        alone.append(np.array(rows))
    decoder, parents = utterance.decoder(), [-1, -1]
    for at in range(len(texts[1])):
        scores, parents = decoder.step([tokens[at] for tokens in texts], parents, [at, at])
        for row, expected in enumerate(alone):
            assert np.allclose(scores[row], expected[at], atol=1e-3)
            assert np.exp(scores[row]).sum() == pytest.approx(1, abs=1e-4)
    # known tokens go in at once
    decoder = utterance.decoder()
    scores, _ = decoder.step(texts[1], [-1, *range(len(texts[1]) - 1)], list(range(len(texts[1]))))
    assert np.allclose(scores, alone[1], atol=1e-3)


def test_a_decoder_says_what_it_cannot_do(model: MoonshineModel) -> None:
    utterance = model.encode(sounds.read(sounds.TIMER))
    first = utterance.decoder()
    with pytest.raises(InputError, match="1 to 8 tokens"):
        first.step([1] * 9, [-1] * 9, [0] * 9)
    with pytest.raises(InputError, match="does not exist"):
        first.step([1], [5], [0])
    utterance.decoder()
    with pytest.raises(ModelError, match="another decoding"):
        first.step([1], [-1], [0])
    with pytest.raises(InputError, match="fit one utterance"):
        model.encode(sounds.silence(16))
    with pytest.raises(InputError, match="not numbers"):
        model.encode(np.full(16000, np.nan, np.float32))


def test_every_text_can_be_written_and_read_back(model: MoonshineModel) -> None:
    tokenizer = model.tokenizer
    for text in ("What time is it?", "Öl für 3 €", "naïve 日本 🎉", "  two   spaces "):
        assert tokenizer.decode(tokenizer.encode(text)) == " ".join(text.split())
    found = greedy(model.encode(sounds.read(sounds.TIMER)))
    assert tokenizer.encode(tokenizer.decode(found.tokens)) == list(found.tokens), "as the model itself cuts words"


def test_sounds_that_nobody_made_speaking_are_not_believed(model: MoonshineModel) -> None:
    rng, t = np.random.default_rng(3), np.arange(3 * 16000) / 16000
    knock = np.sin(2 * np.pi * 120 * t) * np.exp(-60 * (t % 1.0))
    others = [
        knock,
        rng.standard_normal(len(t)),
        np.sin(2 * np.pi * 440 * t),
        sum(np.sin(2 * np.pi * 50 * k * t) / k for k in range(1, 12)),
    ]
    for sound in (np.asarray(0.2 * other / np.abs(other).max(), np.float32) for other in others):
        found = greedy(model.encode(sound))
        assert doubt(model.tokenizer.decode(found.tokens), found) is not None
    assert silent(sounds.silence(2.0))
    assert silent(np.zeros(0, np.float32))
    assert silent(np.full(16000, 0.5, np.float32)), "a microphone's DC is no sound"
    speech = sounds.read(sounds.TIMER)
    found = greedy(model.encode(speech))
    assert not silent(speech)
    assert doubt(model.tokenizer.decode(found.tokens), found) is None


@pytest.mark.parametrize("pause", [0.7, 0.05])
def test_long_sound_is_joined_without_lost_or_doubled_words(pause: float) -> None:
    """With pauses and without: nine orders in half a minute."""
    one = sounds.read(sounds.TIMER)
    whole = np.concatenate([part for _ in range(9) for part in (one, sounds.silence(pause))])
    if pause < 0.1:  # a noise that leaves no pause
        whole = whole + np.random.default_rng(1).normal(0, 0.004, len(whole)).astype(np.float32)
    far: list[float] = []
    shared = sounds.shared()
    try:
        blocks = np.array_split(whole, 40)
        words = [w for ws in transcribe(lambda: shared, blocks, shared.longest, far.append) for w in ws]
    finally:
        shared.close()
    text = " ".join(word.text.lower() for word in words)
    assert 8 <= text.count("minutes") <= 10
    starts = [word.start for word in words]
    assert starts == sorted(starts)
    assert far == sorted(far)
    assert far[-1] == pytest.approx(len(whole) / 16000, abs=0.01)


def test_a_damaged_package_is_refused_in_a_sentence(tmp_path: Path) -> None:
    for name, harm, says in (
        ("cut", lambda path: path.write_bytes(path.read_bytes()[:1000]), "the manifest says"),
        ("gone", lambda path: path.unlink(), "missing from the package"),
    ):
        folder = tmp_path / name
        shutil.copytree(sounds.PACKAGE, folder)
        harm(folder / "pieces.bin")
        with pytest.raises(ModelError, match=says):
            MoonshineModel.load(folder)
