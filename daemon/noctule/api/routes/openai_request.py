"""What a body of /v1/chat/completions asks for, held against what this service can do. Pure.

What cannot be done and would change the answer is refused by name; what would only have made the answer nicer for
others' servers (store, user, …) is taken and reported as ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from noctule.api.routes.openai_messages import ParameterError, read_messages
from noctule.core.request_text import clean_request

_NONE = type(None)
_NUMBER = (int, float, _NONE)
_WHOLE = (int, _NONE)
#: name -> accepted JSON types
KEYS: dict[str, tuple[type, ...]] = {
    "model": (str, _NONE),
    "messages": (list,),
    "stream": (bool, _NONE),
    "stream_options": (dict, _NONE),
    "stop": (str, list, _NONE),
    "temperature": _NUMBER,
    "top_p": _NUMBER,
    "top_k": _WHOLE,
    "max_tokens": _WHOLE,
    "max_completion_tokens": _WHOLE,
    "seed": _WHOLE,
    "n": _WHOLE,
    "tools": (list, _NONE),
    "tool_choice": (str, dict, _NONE),
    "response_format": (dict, _NONE),
    "logprobs": (bool, _NONE),
    "presence_penalty": _NUMBER,
    "frequency_penalty": _NUMBER,
    "user": (str, _NONE),
    "store": (bool, _NONE),
    "metadata": (dict, _NONE),
    "parallel_tool_calls": (bool, _NONE),
    "service_tier": (str, _NONE),
    "safety_identifier": (str, _NONE),
    "prompt_cache_key": (str, _NONE),
    "reasoning_effort": (str, _NONE),
    "verbosity": (str, _NONE),
    "prediction": (dict, _NONE),
    "prompt_cache_retention": (str, _NONE),
    "prompt_cache_options": (dict, _NONE),
    "moderation": (bool, str, dict, _NONE),
    "modalities": (list, _NONE),
    "audio": (dict, _NONE),
    "functions": (list, _NONE),
    "function_call": (str, dict, _NONE),
    "logit_bias": (dict, _NONE),
    "top_logprobs": _WHOLE,
    "web_search_options": (dict, _NONE),
}
#: refused unless they say nothing: a name that is not known is not compared with these
UNABLE = frozenset(
    {
        "presence_penalty", "frequency_penalty", "logprobs", "top_logprobs", "logit_bias", "audio", "modalities",
        "web_search_options", "n",
    }
)  # fmt: skip
#: taken and without effect
_WITHOUT_EFFECT = (
    "user", "store", "metadata", "parallel_tool_calls", "service_tier", "safety_identifier", "prompt_cache_key",
    "reasoning_effort", "tools", "functions", "verbosity", "prediction", "prompt_cache_retention",
    "prompt_cache_options", "moderation",
)  # fmt: skip
#: without effect where the model does not talk but writes a call, which is never drawn by chance
_OF_TALK = ("temperature", "top_p", "top_k", "seed", "max_tokens", "max_completion_tokens")
#: bound of a seed; a negative one, which OpenAI allows, stands for another number of its own
_MOST = 2**63 - 1
MAX_STOPS = 4
MAX_STOP = 200


@dataclass(frozen=True)
class ChatRequest:
    """text: the last user message on one line, for actions and commands; messages: (role, text), all of them;
    sampling: fields of `lm.sampling.Sampling`; ignored, ignored_by_actions: parameters without effect."""

    text: str
    messages: tuple[tuple[str, str], ...]
    model: str = ""
    stream: bool = False
    usage: bool = False
    stop: tuple[str, ...] = ()
    sampling: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    max_tokens: int | None = None
    ignored: tuple[str, ...] = ()
    ignored_by_actions: tuple[str, ...] = ()

    def options(self) -> dict[str, Any]:
        """As the language worker takes them."""
        found: dict[str, Any] = {"messages": self.messages, "stop": self.stop, "sampling": dict(self.sampling)}
        found |= {"seed": self.seed} if self.seed is not None else {}
        return found | ({"max_tokens": self.max_tokens} if self.max_tokens is not None else {})


def parse(body: Mapping[str, Any], limit: int) -> ChatRequest:
    """`body` has only KEYS of their types. limit: characters of one message. Raises InputError."""
    given = {name: value for name, value in body.items() if value is not None}
    _refuse_unable(given)
    messages = read_messages(given.get("messages", []), limit)
    sampling: dict[str, Any] = {}
    for name, low, high in (("temperature", 0.0, 5.0), ("top_p", 0.0, 1.0), ("top_k", 0, 1_048_576)):
        if name in given:
            sampling[name] = _within(name, given[name], low, high)
    limits = [_within(n, given[n], 1, _MOST) for n in ("max_tokens", "max_completion_tokens") if n in given]
    history = ("messages before the last",) if len(messages) > 1 else ()
    return ChatRequest(
        text=clean_request(messages[-1][1], limit),
        messages=messages,
        model=given.get("model", ""),
        stream=given.get("stream", False),
        usage=_include_usage(given.get("stream_options", {})),
        stop=_stop(given.get("stop", [])),
        sampling=sampling,
        seed=int(_within("seed", given["seed"], -_MOST, _MOST)) % _MOST if "seed" in given else None,
        max_tokens=int(min(limits)) if limits else None,
        ignored=tuple(name for name in _WITHOUT_EFFECT if name in given),
        ignored_by_actions=(*(name for name in _OF_TALK if name in given), *history),
    )


def _refuse_unable(given: Mapping[str, Any]) -> None:
    """Parameters whose effect the client would miss."""
    if given.get("n", 1) != 1:
        raise ParameterError("n", "Only one answer is given for a request.", "n must be 1")
    if given.get("logprobs") or given.get("top_logprobs"):
        name = "logprobs" if given.get("logprobs") else "top_logprobs"
        raise ParameterError(name, "Log probabilities are not given.", code="unsupported_parameter")
    for name in ("presence_penalty", "frequency_penalty"):
        if given.get(name, 0) != 0:
            raise ParameterError(name, f"{name} is not supported.", "leave it 0", "unsupported_parameter")
    if any(given.get("logit_bias", {}).values()):
        raise ParameterError("logit_bias", "logit_bias is not supported.", "leave it empty", "unsupported_parameter")
    if "audio" in given or set(given.get("modalities", ["text"])) != {"text"}:
        name = "audio" if "audio" in given else "modalities"
        raise ParameterError(name, "Answers are text only.", 'use ["text"]', "unsupported_parameter")
    if "web_search_options" in given:
        raise ParameterError(
            "web_search_options", "Nothing is looked up on a network.", "leave it out", "unsupported_parameter"
        )
    if given.get("response_format", {}).get("type", "text") != "text":
        raise ParameterError("response_format", "Answers are plain text only.", 'use {"type": "text"}')
    for name in ("tool_choice", "function_call"):
        if given.get(name, "auto") not in ("auto", "none"):
            raise ParameterError(
                name,
                "Noctule takes its own actions and cannot be made to call a client's function.",
                'use "auto" or "none"',
            )
    for index, tool in enumerate(given.get("tools", [])):
        function = tool.get("function", tool.get("custom")) if isinstance(tool, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise ParameterError("tools", f"tools[{index}] is no function with a name.", "see OpenAI's reference")


def _within(name: str, value: float, low: float, high: float) -> float:
    if not low <= value <= high:
        raise ParameterError(name, f"{name} must be from {low:g} to {high:g}, not {str(value)[:40]}.")
    return value


def _stop(value: Any) -> tuple[str, ...]:
    stops = [value] if isinstance(value, str) else value
    if len(stops) > MAX_STOPS or not all(isinstance(s, str) and 0 < len(s) <= MAX_STOP for s in stops):
        raise ParameterError(
            "stop", f"stop must be at most {MAX_STOPS} texts of 1 to {MAX_STOP} characters.", "or null"
        )
    return tuple(stops)


def _include_usage(options: Mapping[str, Any]) -> bool:
    wanted = options.get("include_usage", False)
    if not isinstance(wanted, bool):
        raise ParameterError("stream_options", "stream_options.include_usage must be true or false.")
    return wanted
