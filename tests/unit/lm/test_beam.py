"""The search over readings: beside every possible text, written out; what is certain; what a turn gets of it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from noctule.core.errors import ModelError
from noctule.lm.speech import beam_search as beam_module
from noctule.lm.speech.beam_search import BeamSearch
from noctule.lm.speech.graph import Temporal
from noctule.lm.speech.model import SpeechModel
from noctule.lm.speech.session import Hooks
from noctule.lm.speech.stt import EndOfTurn, SttSettings
from noctule.lm.speech.stt_beam import BeamTranscriber, readings_of, transcriber
from noctule.lm.speech.words import Word

FIXTURES = Path(__file__).parents[2] / "fixtures"
FRAMES = 4


@pytest.fixture(scope="module")
def model() -> Iterator[SpeechModel]:
    loaded = SpeechModel.load(FIXTURES / "kyutai-tiny-modes" / "stt")
    yield loaded
    loaded.close()


@pytest.fixture
def codes(moshi_said: dict[str, np.ndarray]) -> np.ndarray:
    return moshi_said["stt_codes"].astype(np.int32)


def search(model: SpeechModel, width: int) -> BeamSearch:
    return BeamSearch(model.layout, model.rows, lambda: Temporal(model.model), width)


def log_chances(model: SpeechModel, codes: np.ndarray, tokens: tuple[int, ...]) -> float:
    """The log probability that the greedy session's own logits give to a text, token by token."""
    left, found = iter(tokens), list[float]()

    def logits(row: np.ndarray) -> None:
        wide = row.reshape(-1).astype(np.float64)
        wide = wide - wide.max()
        found.append(wide - np.log(np.exp(wide).sum()))

    session = model.session(hooks=Hooks(text_logits=logits, text=lambda _: next(left)))
    for index in range(len(tokens)):
        session.step(codes[max(0, index - 1)])
    return float(sum(row[token] for row, token in zip(found, tokens, strict=True)))


def test_it_finds_what_trying_every_text_finds(model, codes, monkeypatch):
    """Wide enough, it must find the best of all texts over the tokens that matter; every other one is less likely."""
    monkeypatch.setattr(beam_module, "MARGIN", 1e9)
    monkeypatch.setattr(beam_module, "BRANCHES", 64)
    found = search(model, 300)
    found.step(codes[0])
    first = found.best.reads  # what is written after the initial tokens is read back, and says nothing
    for index in range(2):
        found.step(codes[index])
    quiet = (model.layout.text_padding, model.layout.end_of_text_padding)
    best: dict[tuple[int, ...], float] = {}
    for pair in itertools.product(range(64), repeat=2):
        score = log_chances(model, codes, (first, *pair))
        key = tuple(token for token in pair if token not in quiet)
        best[key] = max(best.get(key, -np.inf), score)
    ranked = sorted(best.items(), key=lambda item: -item[1])
    lanes = [lane.path for lane in found._lanes]
    assert len(lanes) == 300
    for lane, (key, score) in zip(lanes[:20], ranked[:20], strict=True):
        assert lane.words == key
        assert lane.score == pytest.approx(score, abs=1e-3)


def test_one_reading_is_the_greedy_text(model, codes, codec):
    greedy: list[int] = []
    session = model.session(hooks=Hooks(text=lambda token: greedy.append(token) or token))
    found, tokens = search(model, 1), list[int]()
    for index in range(20):
        session.step(codes[index])
        found.step(codes[index])
        tokens.append(found.best.reads)
    assert tokens == greedy, "over the first bucket's end, too"
    assert found.size == 1


def test_copies_of_a_cache_go_their_own_way(model, codes):
    """Each reading's score must be that of its own text, whatever was forked from it; in the second bucket, too."""
    found = search(model, 4)
    for index in range(12):
        found.step(codes[index])
    assert len({lane.path.words for lane in found._lanes}) == 4
    other = search(model, 4)
    for index in range(12):
        other.step(codes[index])
    assert [lane.path for lane in other._lanes] == [lane.path for lane in found._lanes]
    found.reset()
    for index in range(12):
        found.step(codes[index])
    assert [lane.path for lane in other._lanes] == [lane.path for lane in found._lanes], (
        "a reset leaves nothing behind"
    )


def test_models_that_cannot_be_searched_are_refused(model):
    speaking = SpeechModel.load(FIXTURES / "kyutai-tiny" / "lm")
    try:
        with pytest.raises(ModelError, match="nothing but text"):
            search(speaking, 4)
    finally:
        speaking.close()
    with pytest.raises(ModelError, match="at least one"):
        search(model, 0)


class Scripted:
    """A temporal transformer whose next token depends on the frame and on the text so far, by the test's table.

    table(position, text) -> {token: probability}; the rest is spread over the other tokens.
    """

    made = 0

    def __init__(self, table) -> None:
        type(self).made += 1
        self._table, self.text, self.position, self.turn = table, (), 0, 0.0

    def reset(self) -> None:
        self.text, self.position = (), 0

    def follow(self, other) -> None:
        self.text, self.position = other.text, other.position

    def step(self, rows):
        token = int(rows[0, 0])
        if self.position:
            self.text = (*self.text, token)
        odds = np.full(64, 1e-9)
        for wanted, chance in self._table(self.position, self.text).items():
            odds[wanted] = chance
        self.position += 1
        return np.zeros((1, 4), np.float32), np.log(odds / odds.sum()).astype(np.float32)

    def extra(self):
        return [np.log(np.array([1 - self.turn, self.turn]) + 1e-9)]


def scripted(model: SpeechModel, table, width: int = 4) -> BeamSearch:
    class Rows:
        def temporal(self, frame):
            return frame[None]

    return BeamSearch(model.layout, Rows(), lambda: Scripted(table), width)


def run(found: BeamSearch, frames: int) -> list[list[int]]:
    """The tokens that become certain, frame by frame; the first step reads the initial tokens."""
    certain = []
    for _ in range(frames + 1):
        found.step(np.zeros(3, np.int32))
        certain.append([item.token for item in found.take_certain()[0]])
    return certain


def test_a_late_word_decides_between_early_ones(model):
    """7 is likelier at first; what follows fits 8 only. Greedy would be wrong for good."""

    def table(position, text):
        said = [t for t in text if t > 3]
        if position == 1:
            return {7: 0.6, 8: 0.4}
        if position == 3:
            return {9: 0.95} if said == [8] else {3: 0.3, 10: 0.1, 11: 0.1, 12: 0.1}
        return {3: 1.0}

    found = scripted(model, table)
    certain = run(found, 4)
    assert certain[1] == [], "two readings disagree"
    readings = found.readings()
    assert [item.token for item in readings[0][0]] == [8, 9]
    assert sum(share for _, share in readings) == pytest.approx(1)
    scores = [0.4 * 1.0, 0.6 * 0.5]  # the table is made to sum to one
    assert readings[0][1] / readings[1][1] == pytest.approx(scores[0] / scores[1], rel=1e-3)


def test_readings_of_the_same_words_are_one(model):
    """The same word a frame later is no other reading: the likelier of the two goes on."""

    def table(position, text):
        if 7 in text:
            return {3: 1.0}
        return {7: 0.6, 3: 0.4} if position in (1, 2) else {3: 1.0}

    found = scripted(model, table)
    run(found, 3)
    assert sorted(tuple(i.token for i in w) for w, _ in found.readings()) == [(), (7,)] or found.size == 1
    assert found.best.last == 1


def test_what_all_readings_share_is_certain_at_once_and_said_once(model):
    def table(position, text):
        if position == 1:
            return {7: 1.0}
        if position == 3:
            return {8: 0.5, 9: 0.5}
        return {3: 1.0}

    found = scripted(model, table)
    assert run(found, 4) == [[], [7], [], [], []]
    assert {tuple(i.token for i in w) for w, _ in found.readings()} == {(8,), (9,)}


def test_what_is_old_is_made_certain_and_the_others_are_dropped(model):
    def table(position, text):
        return {7: 0.6, 8: 0.4} if position == 1 else {3: 1.0}

    found = scripted(model, table)
    lag = round(beam_module.LAG_SECONDS * model.layout.frame_rate)
    certain = run(found, lag + 3)
    assert [at for at, tokens in enumerate(certain) if tokens] == [lag + 1]
    assert certain[lag + 1] == [7]
    assert found.size == 1


def test_memory_is_bounded_by_the_width(model):
    Scripted.made = 0
    found = scripted(model, lambda position, text: {7: 0.3, 8: 0.3, 9: 0.2, 3: 0.2}, width=3)
    for _ in range(3):
        run(found, 120)
        assert len(found.best.written) < 120
        found.reset()
    assert Scripted.made <= 6


def test_logits_that_are_no_numbers_are_an_error_not_a_word(model):
    found = scripted(model, lambda position, text: {7: np.nan})
    with pytest.raises(ModelError, match="not numbers"):
        run(found, 1)


# -- through the transcriber ---------------------------------------------------------------------------------------


class Silence:
    n_q, frame_samples, sample_rate = 3, 1920, 24_000

    def reset(self) -> None: ...

    def step(self, pcm: np.ndarray) -> np.ndarray:
        return np.zeros(3, np.int32)


def listener(model: SpeechModel, table, settings: SttSettings | None = None) -> BeamTranscriber:
    return BeamTranscriber(scripted(model, table), Silence(), model.words(), settings or SttSettings())


def spell(model: SpeechModel, *words: str):
    """Tokens of these words, one a frame from frame 2 on, then padding."""
    tokens = [token for word in words for token in [*model.tokenizer.encode(word), 3]]
    return dict(enumerate(tokens, start=2))


def test_words_come_when_they_are_certain_and_the_rest_as_readings(model):
    sure, one, other = (spell(model, *words) for words in (("lamp",), ("lamp", "turn"), ("lamp", "stop")))

    def table(position, text):
        if position in sure:
            return {sure[position]: 1.0}
        tokens = {one.get(position, 3): 0.6}
        tokens[other.get(position, 3)] = 0.4
        return tokens

    ear = listener(model, table)
    heard = [word for _ in range(len(sure) + 2) for word in ear.feed(np.zeros(1920, np.float32))]
    assert [word.text for word in heard] == ["lamp"]
    for _ in range(len(one)):
        heard += ear.feed(np.zeros(1920, np.float32))
    assert [word.text for word in heard] == ["lamp"]
    assert [word.text for word in ear.guess] == ["turn"], "likely, but not certain"
    assert heard[0].start == pytest.approx(2 / 12.5)
    assert 0.9 < heard[0].confidence <= 1
    rest = list(ear.finish())
    assert "turn" in rest[0].text
    assert ear.readings[0].words[0].text == "lamp", "a reading is of the whole sound"
    assert len(ear.readings) > 1
    assert sum(reading.share for reading in ear.readings) == pytest.approx(1)
    ear.reset()
    assert (ear.readings, ear.guess) == ((), ())


def test_the_end_of_a_turn_is_said_once_after_words(model):
    word = spell(model, "turn")
    ear = listener(model, lambda position, text: {word.get(position, 3): 1.0}, SttSettings(turn_head=0, turn_class=1))
    heard: list[Word | EndOfTurn] = []
    for _ in range(len(word) + 6):
        for lane in ear._beam._lanes:
            lane.temporal.turn = 0.9
        heard += ear.feed(np.zeros(1920, np.float32))
    assert [type(item) for item in heard] == [Word, EndOfTurn]
    assert heard[1].probability == pytest.approx(0.9, abs=1e-3)


def test_the_package_says_how_many_readings_are_followed(model, codec, monkeypatch):
    assert readings_of(model) == 1
    assert readings_of(model, 5) == 5
    assert not isinstance(transcriber(model, codec), BeamTranscriber)
    assert isinstance(transcriber(model, codec, readings=2), BeamTranscriber)
    stt = {**model.settings["stt"], "readings": 8}
    monkeypatch.setattr(model, "settings", {**model.settings, "stt": stt})
    assert isinstance(transcriber(model, codec), BeamTranscriber)
    assert not isinstance(transcriber(model, codec, readings=1), BeamTranscriber)
    warm = model.sampling.__class__(text=model.sampling.text.__class__(temperature=0.7))
    assert not isinstance(transcriber(model, codec, warm), BeamTranscriber), "what is drawn by chance is not searched"
    for wrong in (0, 33, "many", True):
        stt["readings"] = wrong
        with pytest.raises(ModelError, match=r"streams\.stt\.readings: expected a whole number from 1 to 32"):
            readings_of(model)


def test_a_search_writes_real_words_from_real_sound(model, codec):
    """The tiny model's words are noise, but they come, and eight readings are at least as likely as one."""
    rng = np.random.default_rng(0)
    sound = (rng.standard_normal((12, 1920)) * 0.1).astype(np.float32)
    ear = transcriber(model, codec, readings=8)
    assert isinstance(ear, BeamTranscriber)
    for frame in sound:
        ear.feed(frame)
    list(ear.finish())
    first = ear.readings
    assert len(first) > 1
    for frame in sound:
        ear.feed(frame)
    list(ear.finish())
    assert ear.readings == first, "nothing of the first sound is left"
