"""Asking back: "Set a timer for fifty minutes?" – "yes"."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from noctule.core.events import Bus

_YES = frozenset(
    """yes|yeah|yep|yup|yes please|sure|right|correct|exactly|okay|ok|do it|please do|that's right|yes do it|of course
    |yes it is|that's it|affirmative|go ahead""".replace("\n", "")
    .replace("    ", "")
    .split("|")
)
_NO = frozenset(
    """no|nope|nah|no thanks|no thank you|wrong|cancel|stop|never mind|nevermind|forget it|don't|leave it|not that
    |no never mind|no stop|that's wrong|no it isn't""".replace("\n", "")
    .replace("    ", "")
    .split("|")
)
#: what is said when nothing, or not enough, was understood; the second time too
SORRY = "Sorry, I did not catch that."
GIVEN_UP = "Sorry, I still did not catch that. Please say it another way."
#: what is said when a question was answered with no
LEFT = "All right, I leave it."


def question(sentence: str) -> str:
    """A request as a question that repeats it: "set a timer" → "Set a timer?"."""
    text = sentence.strip().rstrip(".,?!")
    return f"{text[:1].upper()}{text[1:]}?"


def answer_to(text: str) -> bool | None:
    """What was answered to a yes-or-no question; None when it was neither, such as a new request."""
    said = " ".join(re.findall(r"[a-z']+", text.lower().replace("’", "'")))
    return True if said in _YES else False if said in _NO else None


def tell_race(bus: Bus, turn: int, race: Mapping[str, Any]) -> None:
    """Publish what was in the race for a command, and what was decided."""
    if race:
        message = f"What may have been said was weighed: {race['decision']}"
        bus.publish("speech.race", "turns", message, 6, turn=turn, **race)
