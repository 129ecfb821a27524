"""/v1 as OpenAI's own client meets it: a real (tiny, random) model that talks, and an action model's answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from api_world import ApiWorld
from model_world import RealWorld, package
from openai.types.chat.completion_create_params import CompletionCreateParamsBase

from noctule.api.routes.openai_messages import MAX_MESSAGES
from noctule.api.routes.openai_request import KEYS, parse
from noctule.core.errors import BusyError, InputError, TooLargeError
from noctule.service.request import Ask
from waiting import WAIT

HELLO: Any = [{"role": "user", "content": "hello there"}]
ACTED: Mapping[str, Any] = {
    "reply": "Timer set for 5 minutes.",
    "ok": True,
    "call": {"action": "timer.set", "arguments": {"duration": 300.0}},
    "command": None,
    "data": {"seconds": 300},
    "confidence": 0.99,
    "tokens": {"prompt": 9, "completion": 6},
    "finish": "stop",
    "seconds": {"total": 0.1},
}


def client(path: Path) -> openai.OpenAI:
    transport = httpx2.HTTPTransport(uds=str(path))
    return openai.OpenAI(
        base_url="http://noctule/v1", api_key="unused", max_retries=0, timeout=WAIT,
        http_client=httpx2.Client(transport=transport),
    )  # fmt: skip


@pytest.fixture
def api(tmp_path: Path) -> Iterator[ApiWorld]:
    with ApiWorld(tmp_path) as world:
        world.status = lambda: {"lm": {"model": "noctule-tiny"}, "started": 1_700_000_000.5}
        world.answer = lambda ask: ACTED
        yield world


@pytest.fixture
def ai(api: ApiWorld) -> Iterator[openai.OpenAI]:
    with client(api.path) as made:
        yield made


def talk(ai: openai.OpenAI, messages: Any = HELLO, **options: Any) -> Any:
    return ai.chat.completions.create(model="noctule", messages=messages, **options)


# -- a real model ---------------------------------------------------------------------------------------------------


def test_a_model_that_talks_gets_the_conversation_and_the_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    (tmp_path / "models").mkdir()
    package(tmp_path / "models" / "talker")
    world = RealWorld(tmp_path)
    world.configure(
        'max_tokens = 24\n[commands.lamp]\nphrases = ["lamp on"]\nrun = ["/bin/true"]\nreply = "It is lit."'
    )

    def script() -> None:
        world.until("service.ready")
        with client(world.path) as ai:
            assert [model.id for model in ai.models.list()] == ["talker"]
            assert ai.models.retrieve("talker").owned_by == "noctule"
            one = talk(ai, seed=1)
            text = one.choices[0].message.content
            assert text
            assert one.model == "talker"
            assert one.usage.total_tokens == one.usage.prompt_tokens + one.usage.completion_tokens
            assert 0 < one.usage.completion_tokens <= 24
            assert talk(ai, seed=1).choices[0].message.content == text, "the same seed: the same answer"
            assert any(talk(ai, seed=n).choices[0].message.content != text for n in range(2, 6))

            chunks = list(talk(ai, seed=1, stream=True, stream_options={"include_usage": True}))
            pieces = [c.choices[0].delta.content or "" for c in chunks if c.choices]
            assert "".join(pieces) == text
            assert len([piece for piece in pieces if piece]) > 1, "it came in pieces"
            assert chunks[0].choices[0].delta.role == "assistant"
            assert chunks[-2].choices[0].finish_reason == one.choices[0].finish_reason
            assert chunks[-1].usage.completion_tokens == one.usage.completion_tokens
            assert len({chunk.id for chunk in chunks}) == 1

            short = talk(ai, seed=1, max_tokens=2)
            assert short.usage.completion_tokens == 2
            assert short.choices[0].finish_reason == "length"
            assert talk(ai, seed=1, max_completion_tokens=3).usage.completion_tokens == 3
            assert talk(ai, seed=1, max_tokens=9999).usage.completion_tokens <= 24, "lm.max_tokens is the bound"

            stop = text[1:3]
            stopped = talk(ai, seed=1, stop=[stop])
            assert stopped.choices[0].message.content == text[: text.index(stop)]
            assert stopped.choices[0].finish_reason == "stop"
            streamed = talk(ai, seed=1, stop=stop, stream=True)
            assert "".join(c.choices[0].delta.content or "" for c in streamed) == text[: text.index(stop)]

            greedy = {talk(ai, temperature=0, seed=n).choices[0].message.content for n in (1, 2)}
            assert len(greedy) == 1, "temperature 0 knows no chance"
            assert {talk(ai, extra_body={"top_k": 1}, seed=n).choices[0].message.content for n in (1, 2)} == greedy

            history = [{"role": "system", "content": "Be\nkind."}, *HELLO, {"role": "assistant", "content": "hi"}]
            long = talk(ai, [*history, {"role": "user", "content": "again"}])
            assert long.usage.prompt_tokens > one.usage.prompt_tokens, "the model read all of it"
            assert long.x_noctule["ignored"] == []

            lamp = talk(ai, [{"role": "user", "content": "lamp on"}], temperature=1)
            assert lamp.choices[0].message.content == "It is lit."
            assert lamp.x_noctule["command"] == "lamp"
            assert lamp.x_noctule["ignored"] == ["temperature"]

            with pytest.raises(openai.BadRequestError) as caught:
                talk(ai, [{"role": "user", "content": "word " * 600}])
            assert caught.value.code == "context_length_exceeded"
            assert caught.value.param == "messages"

    world.run(script)
    world.notify.close()


# -- what an action model answers -----------------------------------------------------------------------------------


def test_an_action_is_reported_and_never_handed_out_as_a_tool_call(ai: openai.OpenAI, api: ApiWorld) -> None:
    tools: Any = [{"type": "function", "function": {"name": "timer_set", "parameters": {}}}]
    messages: Any = [{"role": "system", "content": "be terse"}, {"role": "user", "content": "a timer,\nfive minutes"}]
    found = talk(ai, messages, tools=tools, tool_choice="auto", temperature=0.5, user="me")
    choice = found.choices[0]
    assert choice.message.content == "Timer set for 5 minutes."
    assert choice.message.tool_calls is None, "it is done already: a client must not do it again"
    assert choice.finish_reason == "stop"
    assert found.x_noctule["call"] == {"action": "timer.set", "arguments": {"duration": 300.0}}
    assert found.x_noctule["data"] == {"seconds": 300}
    assert found.x_noctule["ignored"] == ["user", "tools", "temperature", "messages before the last"]
    assert api.asks[0].text == "a timer, five minutes"
    assert api.asks[0].options["messages"] == (("system", "be terse"), ("user", "a timer,\nfive minutes"))
    *_, last = talk(ai, stream=True)
    assert last.x_noctule["ok"] is True


def test_a_stop_text_also_cuts_what_no_model_wrote(ai: openai.OpenAI) -> None:
    assert talk(ai, stop=" for").choices[0].message.content == "Timer set"


def test_an_answer_cut_off_by_its_time_claims_no_token_counts(ai: openai.OpenAI, api: ApiWorld) -> None:
    api.answer = lambda ask: {"reply": "half an", "ok": False, "finish": "timeout"}
    found = talk(ai)
    assert found.choices[0].finish_reason == "length"
    assert found.usage is None
    assert found.x_noctule["finish"] == "timeout"
    assert [c.usage for c in talk(ai, stream=True, stream_options={"include_usage": True})][-1] is None


# -- errors ---------------------------------------------------------------------------------------------------------


def test_errors_have_openais_shape_and_types(ai: openai.OpenAI, api: ApiWorld) -> None:
    with pytest.raises(openai.NotFoundError, match="no model 'gpt-4'") as missing:
        ai.chat.completions.create(model="gpt-4", messages=HELLO)
    assert (missing.value.code, missing.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.NotFoundError, match="noctule-tiny"):
        ai.models.retrieve("other")
    api.submit_error = BusyError("8 requests are waiting already.", "try again soon")
    with pytest.raises(openai.InternalServerError, match="waiting already") as busy:
        talk(ai)
    assert busy.value.status_code == 503
    assert busy.value.response.headers["Retry-After"] == "1"
    assert busy.value.type == "server_error"
    api.submit_error = None
    with pytest.raises(openai.NotFoundError):
        ai.embeddings.create(model="noctule", input="x")
    with pytest.raises(openai.APIStatusError) as large:
        talk(ai, [{"role": "user", "content": "x" * 70_000}])
    assert large.value.status_code == 413
    api.status = lambda: {"lm": {}}
    assert list(ai.models.list()) == []
    with pytest.raises(openai.NotFoundError, match="no model is loaded"):
        ai.models.retrieve("noctule")


def test_an_error_in_the_middle_of_a_stream_is_raised_by_the_client(ai: openai.OpenAI, api: ApiWorld) -> None:
    def answer(ask: Ask) -> Mapping[str, Any]:
        ask.emit("so far")
        raise TooLargeError("it grew too long")

    api.answer = answer
    chunks = iter(talk(ai, stream=True))
    next(chunks)
    assert next(chunks).choices[0].delta.content == "so far"
    with pytest.raises(openai.APIError, match="grew too long"):
        next(chunks)


def test_a_client_that_leaves_its_stream_ends_its_request(ai: openai.OpenAI, api: ApiWorld) -> None:
    left = threading.Event()

    def answer(ask: Ask) -> Mapping[str, Any]:
        ask.emit("first")
        for _ in range(2000):
            if not ask.going_on():
                left.set()
                break
            threading.Event().wait(0.005)
        return ACTED

    api.answer = answer
    stream = talk(ai, stream=True)
    next(iter(stream))
    stream.close()
    assert left.wait(WAIT)


BAD: list[tuple[dict[str, Any], str]] = [
    ({"messages": []}, "messages is empty"),
    ({"messages": [3]}, "no object with a role"),
    ({"messages": [{"role": "critic", "content": "x"}]}, "the role must be"),
    ({"messages": [{"role": "tool", "content": "x"}]}, "last message must be"),
    ({"messages": [{"role": "user", "content": None}]}, "content must be text"),
    ({"messages": [{"role": "user"}]}, "content must be text"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "only parts of type text"),
    ({"messages": [{"role": "user", "content": "a\x00b"}]}, "control character"),
    ({"messages": [{"role": "user", "content": " "}]}, "empty"),
    ({"messages": [*HELLO, {"role": "assistant", "content": "x"}]}, "last message"),
    ({"messages": HELLO * (MAX_MESSAGES + 1)}, "At most"),
    ({"temperature": 9}, "temperature must be from 0 to 5"),
    ({"temperature": float("nan")}, "temperature must be"),
    ({"top_k": 10**400}, "top_k must be"),
    ({"max_tokens": 0}, "max_tokens must be"),
    ({"n": 2}, "Only one answer"),
    ({"logprobs": True}, "Log probabilities"),
    ({"presence_penalty": 1}, "presence_penalty"),
    ({"top_logprobs": 3}, "Log probabilities"),
    ({"logit_bias": {"50256": -100}}, "logit_bias"),
    ({"modalities": ["text", "audio"]}, "text only"),
    ({"audio": {"voice": "alloy", "format": "wav"}}, "text only"),
    ({"web_search_options": {}}, "on a network"),
    ({"function_call": {"name": "f"}}, "cannot be made"),
    ({"response_format": {"type": "json_object"}}, "plain text only"),
    ({"tool_choice": "required"}, "cannot be made"),
    ({"tools": [{"type": "function"}]}, "no function with a name"),
    ({"stop": [""]}, "stop must be"),
    ({"stop": ["a"] * 5}, "stop must be"),
    ({"stream_options": {"include_usage": 1}}, "include_usage"),
]


@pytest.mark.parametrize(("body", "words"), BAD, ids=lambda value: str(value)[:40])
def test_what_cannot_be_done_is_refused_by_name(body: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        parse({"messages": HELLO, **body}, 4096)


def test_neutral_values_and_parts_are_taken() -> None:
    parts = [{"type": "text", "text": "what "}, {"type": "text", "text": "time"}]
    messages = [{"role": "developer", "content": "x"}, {"role": "user", "content": parts}]
    neutral = {"presence_penalty": 0, "n": 1, "logprobs": None, "response_format": {"type": "text"}}
    got = parse({"messages": messages, **neutral}, 4096)
    assert got.text == "what time"
    assert got.messages[0] == ("system", "x")
    assert got.options() == {"messages": got.messages, "stop": (), "sampling": {}}


#: what each parameter of the reference may say without meaning anything that the client would miss
NEUTRAL: dict[str, Any] = {
    "audio": None, "frequency_penalty": 0, "function_call": "none", "functions": [], "logit_bias": {},
    "logprobs": False, "max_completion_tokens": 50, "max_tokens": 50, "metadata": {}, "modalities": ["text"],
    "moderation": None, "n": 1, "parallel_tool_calls": True, "prediction": {"type": "content", "content": "x"},
    "presence_penalty": 0, "prompt_cache_key": "k", "prompt_cache_options": None, "prompt_cache_retention": "24h",
    "reasoning_effort": "low", "response_format": {"type": "text"}, "safety_identifier": "u", "seed": -1,
    "service_tier": "auto", "stop": None, "store": False, "stream_options": None, "temperature": 1,
    "tool_choice": "auto", "tools": [], "top_logprobs": 0, "top_p": 1, "user": "u", "verbosity": "low",
    "web_search_options": None,
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(CompletionCreateParamsBase.__annotations__.keys() - {"messages", "model"}))
def test_every_parameter_of_the_clients_own_types_is_taken_null_and_neutral(ai: openai.OpenAI, name: str) -> None:
    for value in (None, NEUTRAL[name]):
        assert talk(ai, extra_body={name: value}).choices[0].message.content == ACTED["reply"]


def test_what_is_taken_is_what_the_reference_has() -> None:
    ours = {"top_k", "stream"}
    assert KEYS.keys() - ours == CompletionCreateParamsBase.__annotations__.keys()


def test_a_history_as_clients_send_it() -> None:
    def text(words: str) -> dict[str, str]:
        return {"type": "text", "text": words}

    called = [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    messages = [
        {"role": "system", "content": "a"}, {"role": "user", "content": "x"},
        {"role": "assistant", "content": None, "tool_calls": called},
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "21 degrees"}]},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
        {"role": "developer", "content": "b"},
        {"role": "user", "content": [text("set a timer"), text("for 5 minutes")]},
    ]  # fmt: skip
    got = parse({"messages": messages, "model": None, "seed": -1}, 4096)
    assert got.messages == (
        ("system", "a\n\nb"), ("user", "x"), ("user", "21 degrees"), ("assistant", "no"),
        ("user", "set a timer\nfor 5 minutes"),
    )  # fmt: skip
    assert got.text == "set a timer for 5 minutes"
    assert got.seed is not None
    assert got.seed >= 0
    assert got.seed != parse({"messages": HELLO, "seed": 1}, 4096).seed


def test_a_hint_never_names_what_is_refused_too(api: ApiWorld) -> None:
    body = json.dumps({"messages": HELLO, "repeat_penalty": 1.1}).encode()
    status, found = api.post("/v1/chat/completions", body)
    assert status == 400
    assert "repeat_penalty" in found["error"]["message"]
    assert "presence_penalty" not in found["error"]["message"]


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"messages": "x"}', b'{"messages": [], "messsages": 1}', b"\xff"])
def test_bodies_that_are_no_request(api: ApiWorld, body: bytes) -> None:
    status, found = api.post("/v1/chat/completions", body)
    assert status == 400
    assert set(found["error"]) == {"message", "type", "param", "code"}
    assert found["error"]["type"] == "invalid_request_error"
    assert json.dumps(found)
