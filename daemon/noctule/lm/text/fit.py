"""What fits a model's context: prompts refused unread, and what is kept of a sequence that has filled it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from noctule.core.errors import TooLargeError

Overflow = Literal["refuse", "slide"]

#: In "slide" mode a prompt may be this many contexts long before it is refused unread.
_LONGEST_PROMPT = 8


def refuse_huge(context: int, longest: int, overflow: Overflow, characters: int) -> None:
    """Refuse without tokenizing what cannot fit whatever its tokens are. context: in tokens; longest: characters of
    the longest token. Raises TooLargeError."""
    if characters > context * longest * (1 if overflow == "refuse" else _LONGEST_PROMPT):
        raise TooLargeError(
            f"the prompt has {characters} characters, more than a context of {context} tokens can hold", "shorten it"
        )


def shorten(tokens: Sequence[int], keep: int, context: int) -> list[int]:
    """The first `keep` tokens and as many of the newest as fill half of the rest of the context."""
    newest = max(1, (context - keep) // 2)
    return [*tokens[:keep], *tokens[-newest:]]
