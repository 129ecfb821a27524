"""Messages to prompt tokens by a package's chat template (its form is told in `noctule.inference.manifest`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from noctule.core.errors import InputError, ModelError
from noctule.inference.manifest import ChatTemplate
from noctule.lm.tokenizer import Tokenizer


@dataclass(frozen=True)
class Message:
    """One turn: `role` is "system", "user" or "assistant"."""

    role: str
    text: str


@dataclass(frozen=True)
class Stops:
    """What ends a reply."""

    tokens: frozenset[int]
    texts: tuple[str, ...]


def chat_prompt(template: ChatTemplate, tokenizer: Tokenizer, messages: Sequence[Message]) -> list[int]:
    """Tokens of a conversation, ending where the assistant's next words begin.

    Only the template makes control tokens. InputError for an unknown role, no message, or a system message that
    is not first.
    """
    messages = _fold_system(template, messages)
    ids = tokenizer.encode_template(template.begin)
    for message in messages:
        role = template.roles[message.role]
        ids += tokenizer.encode_template(role.prefix, start=not ids)
        ids += tokenizer.encode(message.text, start=not ids)
        ids += tokenizer.encode_template(role.suffix, start=not ids)
    return ids + tokenizer.encode_template(template.roles["assistant"].prefix, start=not ids)


def kept_tokens(template: ChatTemplate, tokenizer: Tokenizer, messages: Sequence[Message]) -> int:
    """How many tokens at the start of `chat_prompt` are the template's begin and the system message."""
    ids = tokenizer.encode_template(template.begin)
    if messages and messages[0].role == "system" and "system" in template.roles:
        role = template.roles["system"]
        ids += tokenizer.encode_template(role.prefix, start=not ids)
        ids += tokenizer.encode(messages[0].text, start=not ids)
        ids += tokenizer.encode_template(role.suffix, start=not ids)
    return len(ids)


def _fold_system(template: ChatTemplate, messages: Sequence[Message]) -> list[Message]:
    if not messages:
        raise InputError("a conversation needs at least one message")
    for i, message in enumerate(messages):
        if message.role not in ("system", "user", "assistant"):
            raise InputError(f"message {i + 1}: there is no role {message.role!r}", "use system, user or assistant")
        if message.role == "system" and i > 0:
            raise InputError(f"message {i + 1}: a system message can only come first")
    folded = list(messages)
    if folded[0].role == "system" and "system" not in template.roles:
        system = folded.pop(0)
        if not folded or folded[0].role != "user":
            raise InputError("this model has no system role, and no user message follows the system message")
        folded[0] = Message("user", f"{system.text}\n\n{folded[0].text}")
    return folded


def stops_of(template: ChatTemplate | None, tokenizer: Tokenizer) -> Stops:
    """The tokenizer's end tokens and the template's stops: control pieces as tokens, the rest as text."""
    tokens, texts = set(tokenizer.eos), []
    for stop in template.stop if template is not None else ():
        if stop in tokenizer.control:
            tokens.add(tokenizer.control[stop])
        else:
            texts.append(stop)
    return Stops(frozenset(tokens), tuple(texts))


def check_template(where: str, template: ChatTemplate, tokenizer: Tokenizer) -> None:
    """A template that begins no role with anything could not tell who speaks."""
    if not any(role.prefix or role.suffix for role in template.roles.values()):
        raise ModelError(f"{where}: chat.template: no role has a prefix or a suffix")
    for text in [template.begin, *(part for r in template.roles.values() for part in (r.prefix, r.suffix))]:
        tokenizer.encode_template(text)
