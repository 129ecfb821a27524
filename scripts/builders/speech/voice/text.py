"""What the voice learns to say: the daemon's own answers filled in, requests, and strings of words.

Answers are taken from where they are written: the declared replies, and every sentence that the daemon's errors
carry. So a new reply is in the next training without being copied here.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

from builders.speech.sentences import Sentences, general_words
from builders.text import slots
from builders.text.split import Part
from noctule.assistant.actions.basics import _MONTHS, _WEEKDAYS
from noctule.assistant.actions.declared import REFUSALS, SPECS
from noctule.assistant.actions.registry import fill, placeholders
from noctule.assistant.phrases.numbers import say_duration
from noctule.lm.speech.text_normalisation import spoken

_DAEMON = Path(__file__).resolve().parents[4] / "daemon" / "noctule"
#: modules whose errors are spoken: what an action or a turn may fail with
_SPOKEN_ERRORS = (
    "assistant/actions/*.py",
    "assistant/brain/*.py",
    "assistant/engine.py",
    "assistant/timers.py",
    "voice/session.py",
    "voice/turn.py",
    "voice/turn_worker.py",
    "voice/pipeline.py",
    "capture/component.py",
    "voice/wakewords/clip_folder.py",
    "voice/speech_worker.py",
)
#: the longest text, in words, and the shortest
LONGEST, SHORTEST = 22, 1
_ABILITIES = [spec.summary for spec in SPECS if spec.name not in ("none", "help")]
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def error_sentences() -> list[tuple[str, ...]]:
    """Every first argument of an error raised in the spoken modules, as its constant parts (slots between them)."""
    found: set[tuple[str, ...]] = set()
    for pattern in _SPOKEN_ERRORS:
        for path in sorted(_DAEMON.glob(pattern)):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "").endswith("Error") and node.args:
                    parts = _parts(node.args[0])
                    if parts and sum(len(part.split()) for part in parts) >= 3:
                        found.add(parts)
    return sorted(found)


def _parts(node: ast.expr) -> tuple[str, ...]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return (node.value,)
    if not isinstance(node, ast.JoinedStr):
        return ()
    parts = [""]
    for value in node.values:
        if isinstance(value, ast.Constant):
            parts[-1] += str(value.value)
        else:
            parts.append("")
    return tuple(parts)


def held_out(text: str) -> bool:
    """Whether a text belongs to the tests: one in ten, by its own letters."""
    return hashlib.sha256(text.encode()).digest()[0] < 26


class VoiceTexts:
    """Draws texts in the spoken form, with pauses. The same part and seed give the same texts."""

    def __init__(self, part: Part, seed: int) -> None:
        self.part, self.rng = part, Random(f"voice/{part}/{seed}")
        self._errors = error_sentences()
        self._words = general_words()
        self._requests = Sentences(part, seed).stream(words=0.0)
        self._replies = [reply for spec in SPECS for reply in spec.replies if spec.name != "none"]
        self._fixed = {*REFUSALS.values(), *(r for r in self._replies if not placeholders(r))}
        self._fixed |= {parts[0] for parts in self._errors if len(parts) == 1}
        self._fillers: dict[str, Callable[[], str]] = {
            "time": self._time,
            "date": self._date,
            "length": self._length,
            "timers": self._timers,
            "cancelled": self._cancelled,
            "status": self._status,
            "volume": lambda: f"{self.rng.randint(0, 100)}%",
            "abilities": self._abilities,
            "name": self._name,
            "source": lambda: self.rng.choice(["camera", "display"]),
            "file": lambda: "a.jpg",
        }

    # -- the values an answer is filled with ----------------------------------------------------------------------

    def _time(self) -> str:
        return f"{self.rng.randint(0, 23)}:{self.rng.choice([0, self.rng.randint(0, 59)]):02d}"

    def _date(self) -> str:
        rng = self.rng
        day = rng.choice(["Today is", "Tomorrow is", "Yesterday was"])
        return f"{day} {rng.choice(_WEEKDAYS)}, {rng.randint(1, 31)} {rng.choice(_MONTHS)} {rng.randint(2024, 2039)}"

    def _length(self) -> str:
        rng = self.rng
        if rng.random() < 0.6:
            return say_duration(rng.choice([1, 60, 60, 60, 3600]) * rng.randint(1, 59))
        return say_duration(rng.randint(1, 90000 if rng.random() < 0.3 else 4000))

    def _name(self) -> str:
        return slots.name(self.rng, self.part != "train")

    def _title(self) -> str:
        if self.rng.random() < 0.4:
            return f"the {self._name()} timer"
        return f"timer {self.rng.randint(1, 12)}" if self.rng.random() < 0.5 else f"the timer for {self._length()}"

    def _timers(self) -> str:
        kind, count = self.rng.random(), self.rng.randint(2, 3)
        if kind < 0.2:
            return self.rng.choice(["No timer is running", f"There is no {self._name()} timer"])
        said = [f"{self._title()} has {self._length()} left" for _ in range(1 if kind < 0.7 else count)]
        return said[0].capitalize() if len(said) == 1 else f"{count} timers: {'; '.join(said[:count])}"

    def _cancelled(self) -> str:
        return self._title() if self.rng.random() < 0.8 else f"{self.rng.randint(2, 9)} timers"

    def _status(self) -> str:
        rng = self.rng
        total = rng.choice([1.0, 2.0, 3.9, 4.0, 7.9, 8.0, 16.0, 29.5, 62.0, 119.2])
        free = f"{rng.uniform(0, total):.1f} of {total:.1f} GB"
        parts = [
            f"The board is at {rng.randint(28, 89)} °C", f"{free} memory are free", f"{free} disk space are free",
            f"The board has been up for {self._length()}",
        ]  # fmt: skip
        rng.shuffle(parts)
        return ". ".join(parts[: 1 if rng.random() < 0.75 else 2])

    def _abilities(self) -> str:
        can = self.rng.sample(_ABILITIES, self.rng.randint(2, 4))
        return f"I can {', '.join(can[:-1])} and {can[-1]}"

    # -- the four kinds -------------------------------------------------------------------------------------------

    def _reply(self) -> str:
        if self.rng.random() < 0.12:
            return self.rng.choice(list(REFUSALS.values()))
        if self.rng.random() < 0.06:
            return f"Timer {self.rng.randint(1, 9)} for {self._length()} is over."
        reply = self.rng.choice(self._replies)
        values = {key: self._fillers[key]() for key in placeholders(reply)}
        return fill(reply, values)

    def _error(self) -> str:
        parts = self.rng.choice(self._errors)
        text = parts[0]
        for part in parts[1:]:
            text += self.rng.choice([self._name, self._length, lambda: str(self.rng.randint(1, 200))])() + part
        return text

    def _string(self) -> str:
        rng = self.rng
        words = []
        for _ in range(rng.randint(2, 7)):
            draw = rng.random()
            words.append(
                rng.choice(self._words) if draw < 0.55
                else str(rng.randint(0, 130)) if draw < 0.75
                else slots.pseudo_word(rng) if draw < 0.88
                else rng.choice(_LETTERS) if draw < 0.94 else rng.choice(_WEEKDAYS + _MONTHS)
            )  # fmt: skip
        return " ".join(words)

    def stream(self, answers: float = 0.5, errors: float = 0.1, requests: float = 0.12) -> Iterator[str]:
        """Texts without end; what remains of the shares are strings of words."""
        while True:
            draw = self.rng.random()
            if draw < answers:
                raw = self._reply()
            elif draw < answers + errors:
                raw = self._error()
            elif draw < answers + errors + requests:
                raw = next(self._requests).text
            else:
                raw = self._string()
            text = spoken(raw)
            count = len([word for word in text.split() if word.isalpha() or "'" in word])
            if not SHORTEST <= count <= LONGEST:
                continue
            # a sentence that is always the same is not held out, or it would never be learned
            if (held_out(text) and raw not in self._fixed) == (self.part == "train"):
                continue
            yield text
