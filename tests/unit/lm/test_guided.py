"""The guided search, on the shipped recogniser and a synthesiser's voice."""

from __future__ import annotations

import numpy as np
import pytest
from moonshine_world import load, speech

from noctule.assistant.actions.declared import SPECS
from noctule.assistant.grammar.files import english, entry, rules_and_lists
from noctule.assistant.grammar.grammar import Grammar
from noctule.assistant.grammar.writing import ways
from noctule.lm.speech.guided.search import bare
from noctule.lm.speech.guided.tokens import Tokens
from noctule.lm.speech.moonshine.model import MoonshineModel
from noctule.voice.stt.guided import ACT, ASK, GuidedReader


@pytest.fixture(scope="module")
def model() -> MoonshineModel:
    return load()


@pytest.fixture(scope="module")
def grammar() -> Grammar:
    return Grammar(
        english(), SPECS, {"radio": ["play {station}"]}, {"station": [entry("jazz"), entry("WDR 3 | w d r three")]}
    )


def walk(tokens: Tokens, ids: list[int]) -> bool:
    """Whether the automaton allows the ids as a whole sentence."""
    state = tokens.begin()
    for token in ids:
        after = tokens.step(state, token)
        if after is None:
            return False
        assert token in tokens.choices(state) or tokens.free(state), "what may follow is listed"
        state = after
    return state.final


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("Set a timer for five minutes.", True),
        ("set a timer for 5 minutes", True),
        ("Hey Noctule, set a 25-minute timer, please?", True),
        ("Turn it up by 20%.", True),
        ("Play W D R three", True),
        ("Set a timer for", False),
        ("Turn the volume up by five bananas.", False),
        ("Who won the world cup?", False),
        ("What time is it. now", False),
    ],
)
def test_ways_of_writing(model: MoonshineModel, grammar: Grammar, text: str, allowed: bool) -> None:
    tokens = Tokens(grammar.words, model.tokenizer, ways)
    assert walk(tokens, model.tokenizer.encode(text)) == allowed


def test_a_slot_for_any_words_takes_them_whole(model: MoonshineModel) -> None:
    grammar = Grammar(rules_and_lists(), (), {"note": ["write down {what:text} now"]})
    tokens = Tokens(grammar.words, model.tokenizer, ways)
    assert walk(tokens, model.tokenizer.encode("Write down the zymurgist's cat now."))
    assert not walk(tokens, model.tokenizer.encode("Write down now."))


@pytest.mark.parametrize(
    ("said", "action", "number"),
    [
        ("what time is it", "time", None),
        ("set a timer for twenty five minutes", "timer.set", 1500.0),
        ("turn the volume down by twenty percent", "volume.down", 20.0),
    ],
)
def test_clear_commands_act(
    model: MoonshineModel, grammar: Grammar, said: str, action: str, number: float | None
) -> None:
    from noctule.assistant.phrases.request import read

    reader = GuidedReader(lambda: grammar)
    decided = reader.decide(reader.race(model, speech(said)))
    assert decided.what == ACT
    assert decided.runner is not None
    match = grammar.match(read(decided.runner.text))
    assert match is not None
    assert match.action == action
    assert [v.number for v in match.arguments.values()] == ([] if number is None else [number])


@pytest.mark.parametrize("said", ["the quick brown fox jumps over the lazy dog", "who won the world cup last year"])
def test_other_talk_is_no_command(model: MoonshineModel, grammar: Grammar, said: str) -> None:
    reader = GuidedReader(lambda: grammar)
    assert reader.decide(reader.race(model, speech(said))).what not in (ACT, ASK)


def test_noise_silence_and_knocks_are_no_words(model: MoonshineModel, grammar: Grammar) -> None:
    rng, reader = np.random.default_rng(5), GuidedReader(lambda: grammar)
    knock = np.zeros(24000, np.float32)
    knock[[3000, 9000, 15000]] = 0.9
    hum = 0.2 * np.sin(2 * np.pi * 50 * np.arange(32000) / 16000)
    for sound in (np.zeros(32000), rng.normal(0, 0.05, 32000), knock, hum):
        heard = reader(model, sound.astype(np.float32), whole=True)
        assert heard.words == ()
        assert heard.asked == ""


def test_words_of_the_wake_word_may_stand_before_a_request(model: MoonshineModel, grammar: Grammar) -> None:
    reader = GuidedReader(lambda: grammar)
    sound = speech("knock to you, what time is it")
    race = reader.race(model, sound, lead=1.2)
    assert bare(race.runners[0].text) == "what time is it"
    assert race.runners[0].skipped > 0
    assert all(runner.skipped == 0 for runner in reader.race(model, sound).runners), (
        "without a wake word nothing is skipped"
    )
