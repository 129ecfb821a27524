"""The messages of a chat request, as OpenAI's clients send them. Pure."""

from __future__ import annotations

from typing import Any

from noctule.core.errors import InputError
from noctule.core.request_text import clean_message

MAX_MESSAGES = 256
#: OpenAI's roles -> those of our chat templates; what a tool answered is something that the model is told.
_ROLES = {
    "system": "system", "developer": "system", "user": "user", "assistant": "assistant",
    "tool": "user", "function": "user",
}  # fmt: skip


class ParameterError(InputError):
    """A parameter that cannot be used. param: its name, as OpenAI's errors have it."""

    def __init__(self, param: str, message: str, hint: str = "", code: str = "invalid_value") -> None:
        super().__init__(message, hint)
        self.param = param
        self.code = code


def read_messages(items: list[Any], limit: int) -> tuple[tuple[str, str], ...]:
    """(role, text), the last of them the user's. limit: characters of one message.

    System messages, wherever they stand, are one at the beginning. A message of the assistant that only calls tools
    says nothing and is left out; what a tool answered is told as words of the user's side.
    """
    if not items:
        raise ParameterError("messages", "messages is empty.", "send at least one user message")
    if len(items) > MAX_MESSAGES:
        raise ParameterError("messages", f"At most {MAX_MESSAGES} messages are taken, not {len(items)}.")
    found = [_message(f"messages[{index}]", item, limit) for index, item in enumerate(items)]
    if items[-1]["role"] != "user":
        raise ParameterError("messages", "The last message must be the user's.", f"it is of role {items[-1]['role']}")
    system = "\n\n".join(text for role, text in found if role == "system" and text)
    rest = [(role, text) for role, text in found if role != "system" and (text or role == "user")]
    return ((("system", system),) if system else ()) + tuple(rest)


def _message(where: str, item: Any, limit: int) -> tuple[str, str]:
    if not isinstance(item, dict) or not isinstance(item.get("role"), str):
        raise ParameterError(where, f"{where} is no object with a role.")
    role = _ROLES.get(item["role"])
    if role is None:
        known = ", ".join(_ROLES)
        raise ParameterError(where, f"{where}: the role must be one of {known}, not {item['role'][:40]!r}.")
    content = item.get("content")
    if content is None and role == "assistant":
        content = ""  # it called tools, or refused
    if isinstance(content, list):
        content = _joined([_part(where, part) for part in content])
    if not isinstance(content, str):
        raise ParameterError(where, f"{where}: content must be text.")
    return role, clean_message(content, limit, where)


def _part(where: str, part: Any) -> str:
    kind = part.get("type") if isinstance(part, dict) else None
    text = part.get(kind) if isinstance(kind, str) and kind in ("text", "refusal") else None
    if not isinstance(text, str):
        raise ParameterError(where, f"{where}: only parts of type text are taken.", "send words")
    return text


def _joined(parts: list[str]) -> str:
    """Parts are words apart: where neither side has a blank at the joint, a new line is one."""
    text = ""
    for part in parts:
        gap = "\n" if text and part and not text[-1].isspace() and not part[0].isspace() else ""
        text += gap + part
    return text
