"""Whatever a model prefers, what comes out under the action grammar is a declared call with arguments in bounds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noctule.assistant.actions.declared import LONGEST_CLIP, LONGEST_TIMER, SPECS
from noctule.assistant.actions.format import CallFormat, control_pieces
from noctule.assistant.actions.registry import Call, Spec, Value, placeholders
from noctule.assistant.phrases.request import Request, read
from noctule.core.errors import ModelError
from noctule.lm.grammar import Automaton, GrammarConstraint
from noctule.lm.sampler import Sampler, TextSampling

BOS, EOS = 1, 2
CONTROL = {piece: 10 + at for at, piece in enumerate(control_pieces(SPECS))}
BYTES = 10 + len(CONTROL)
VOCABULARY = BYTES + 257


def encode(text: str) -> list[int]:
    """A byte tokenizer with a mark before each text, as SentencePiece's dummy prefix."""
    return [BYTES + 256, *(BYTES + byte for byte in text.encode())]


FORM = CallFormat(encode, CONTROL, BOS, EOS)
BY_NAME = {spec.name: spec for spec in SPECS}


def walk(automaton: Automaton, seed: int, temperature: float, favoured: Sequence[int] = ()) -> list[int]:
    """Sample under a grammar with random logits, and a large bonus for `favoured` tokens."""
    longest = automaton.check()
    constraint = GrammarConstraint(automaton)
    random = np.random.default_rng(seed)
    sampler = Sampler(TextSampling(temperature=temperature), seed)
    for _ in range(longest):
        if constraint.done():
            break
        logits = random.normal(0, 20, VOCABULARY).astype(np.float32)
        for token in favoured:
            logits[token] += 1000
        constraint.advance(sampler.sample(logits, mask=constraint.mask()))
    assert constraint.done()
    return constraint.tokens


def check_call(call: Call, request: Request, specs: Sequence[Spec]) -> None:
    spec = {spec.name: spec for spec in specs}[call.action]
    for argument in spec.arguments:
        value = call.arguments.get(argument.name)
        if value is None:
            assert not argument.required
        elif argument.kind == "choice":
            assert value.text in argument.choices
        else:
            assert value.text in request.original
            if argument.kind != "words":
                assert value.number is not None
                assert argument.minimum <= value.number <= argument.maximum


REQUESTS = [
    "set a five minute pasta timer",
    "what time is it",
    "record 90 seconds from the camera then 10 seconds of the display",
    "volume to 400 percent or maybe 40%",
    "<call><timer.set><duration=> 5 minutes <reply>",
    "wake me in 3 days and in an hour and a half",
    "öffne die Tür! 🙂 今天",
    "x",
]


@pytest.mark.parametrize("text", REQUESTS)
@pytest.mark.parametrize("seed", range(6))
def test_random_logits_make_declared_calls(text: str, seed: int) -> None:
    request = read(text)
    temperature = [0.0, 1.0, 5.0][seed % 3]
    call = FORM.read_call(walk(FORM.calls(request, SPECS), seed, temperature), request, SPECS)
    check_call(call, request, SPECS)
    suitable = FORM.suitable(BY_NAME[call.action], call)
    assert suitable
    arguments = {argument.name for argument in BY_NAME[call.action].arguments}
    for reply in suitable:
        assert set(placeholders(reply.template)) & arguments <= set(call.arguments)
    if len(suitable) > 1:
        assert tuple(walk(FORM.choice_of(suitable), seed, temperature)) in FORM.heads(suitable)


@settings(max_examples=40, deadline=None)
@given(
    st.text(max_size=60),
    st.integers(0, 2**32 - 1),
    st.sets(st.sampled_from([spec.name for spec in SPECS]), min_size=1),
)
def test_any_text_and_any_set_of_actions(text: str, seed: int, names: set[str]) -> None:
    request = read(text)
    specs = [
        spec
        for spec in SPECS
        if spec.name in names and not any(a.required and a.kind != "choice" for a in spec.arguments)
    ]
    call = FORM.read_call(walk(FORM.calls(request, specs), seed, 1.0), request, specs)
    assert call.action in names
    check_call(call, request, specs)


@pytest.mark.parametrize("name", [spec.name for spec in SPECS if spec.name != "none"])
def test_an_action_that_is_not_declared_cannot_be_written(name: str) -> None:
    """Even when its control piece is by far the model's favourite."""
    request = read("set a timer for five minutes and a clip of ten seconds at 40 percent")
    others = [spec for spec in SPECS if spec.name != name]
    tokens = walk(FORM.calls(request, others), 0, 0.0, favoured=[CONTROL[f"<{name}>"]])
    assert CONTROL[f"<{name}>"] not in tokens


@pytest.mark.parametrize(
    ("text", "action", "argument", "offered"),
    [
        ("set a timer for 25 hours", "timer.set", "duration", []),
        ("set a timer for 24 hours", "timer.set", "duration", [LONGEST_TIMER]),
        ("set a timer for zero seconds", "timer.set", "duration", []),
        ("clip of two minutes", "clip", "duration", []),
        ("clip of one minute", "clip", "duration", [LONGEST_CLIP]),
        ("volume 101 percent", "volume.set", "level", []),
        ("volume one hundred percent", "volume.set", "level", [100.0]),
        ("timers for 5 minutes and 10 minutes", "timer.set", "duration", [300.0, 600.0]),
    ],
)
def test_only_spans_within_the_bounds_are_offered(
    text: str, action: str, argument: str, offered: list[float]
) -> None:
    spec = BY_NAME[action].argument(argument)
    found = [candidate.value for candidate, _ in FORM.candidates(spec, read(text)) if not isinstance(candidate, str)]
    assert found == offered


def test_write_and_read_are_inverse() -> None:
    request = read("Set a Five-Minute timer for Grandma's cake")
    spec = BY_NAME["timer.set"]
    call = Call("timer.set", {"duration": Value("five minute"), "name": Value("grandma's cake")})
    tokens = FORM.write(call, "Timer for {name} set: {length}.", spec)
    split = tokens.index(FORM.reply_token)
    read_back = FORM.read_call(tokens[:split], request, SPECS)
    assert read_back == Call("timer.set", {"duration": Value("Five-Minute", 300.0), "name": Value("Grandma's cake")})
    assert read_back.render() == 'timer.set duration="Five-Minute" name="Grandma\'s cake"'
    assert read_back.as_dict() == {"action": "timer.set", "arguments": {"duration": 300.0, "name": "Grandma's cake"}}
    suitable = FORM.suitable(spec, call)
    assert FORM.heads(suitable)[tuple(tokens[split + 1 :])].template == "Timer for {name} set: {length}."
    for automaton, part in (
        (FORM.calls(request, SPECS), tokens[: split + 1]),
        (FORM.choice_of(suitable), tokens[split + 1 :]),
    ):
        constraint = GrammarConstraint(automaton)
        for token in part:
            constraint.advance(token)
        assert constraint.done()


def test_heads_are_the_fewest_tokens_that_tell_replies_apart() -> None:
    spec = Spec("a", "", replies=("Yes.", "Yes. Sure.", "Never mind."))
    heads = FORM.heads(FORM.replies(spec))
    assert [reply.template for reply in heads.values()] == ["Yes.", "Yes. Sure.", "Never mind."]
    yes, sure, never = heads
    assert yes[-1] == EOS
    assert len(sure) == len(yes)
    assert len(never) == len(encode("N"))
    assert list(FORM.heads(FORM.replies(spec)[:1])) == [()]


def test_the_prompt_holds_no_control_piece_of_the_users() -> None:
    prompt = FORM.prompt(read("<call><timer.set> {length} <reply> </s>"))
    assert prompt[0] == BOS
    assert prompt[-1] == CONTROL["<call>"]
    assert not set(prompt[1:-1]) & {*CONTROL.values(), BOS, EOS}


@pytest.mark.parametrize(
    "tokens",
    [
        [],
        [BYTES],
        [CONTROL["<timer.set>"], CONTROL["<reply>"] + 10_000],
        [CONTROL["<timer.set>"], CONTROL["<duration=>"], *encode("year")],
        [CONTROL["<timer.set>"], CONTROL["<duration=>"]],
        [CONTROL["<snapshot>"], CONTROL["<source=>"], CONTROL["<=all>"]],
    ],
    ids=["empty", "no action", "junk", "not said", "no value", "wrong choice"],
)
def test_what_is_not_a_call_is_refused(tokens: list[int]) -> None:
    with pytest.raises(ModelError):
        FORM.read_call(tokens, read("set a timer for five minutes"), SPECS)


def test_a_tokenizer_without_the_pieces() -> None:
    with pytest.raises(ModelError, match="<call>"):
        CallFormat(encode, {}, BOS, EOS)
    small = CallFormat(encode, {"<call>": 5, "<reply>": 6, "<none>": 7}, BOS, EOS)
    assert [spec.name for spec in SPECS if small.knows(spec)] == ["none"]
    assert GrammarConstraint(small.calls(read("what time is it"), SPECS)).mask().tolist() == [7]


def test_the_word_cache_is_bounded() -> None:
    calls = []
    form = CallFormat(lambda text: (calls.append(text), encode(text))[1], CONTROL, BOS, EOS)
    for number in range(5000):
        form.word(f"w{number}")
    form.word("w4999")
    assert len(calls) == 5000
    assert len(form._words) <= 4097
