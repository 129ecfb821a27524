"""Where the time of one turn went, in milliseconds. Pure.

The zero of most entries is the end of speech: the last sound of the command, not the moment at which somebody was
sure that it had ended (`ended_ms`). Negative numbers are possible: a last word known before the last noise was over.
"""

from __future__ import annotations

from dataclasses import dataclass, field

#: what a person waits for, in its order; the names of the entries.
STAGES = ("wake_ms", "words_ms", "ended_ms", "token_ms", "sound_ms", "total_ms")


@dataclass
class TurnLatency:
    """woken: when the wake word was complete; noticed: when it was acted on; spoke: when the speech was over."""

    woken: float
    noticed: float
    spoke: float | None = None
    marks: dict[str, float] = field(default_factory=dict)

    def mark(self, name: str, now: float, *, again: bool = False) -> None:
        """Remember when something happened for the first time (again: for the last time)."""
        if again or name not in self.marks:
            self.marks[name] = now

    def entries(self) -> dict[str, int]:
        """Named fields for the journal: what is not known is left out.

        wake_ms: end of the wake word → listening; speech_ms: wake word → end of speech; then from the end of speech:
        words_ms last word known, ended_ms end of the turn decided, token_ms first piece of the answer, sound_ms its
        first sound; total_ms: wake word → the turn is over.
        """
        out = {"wake_ms": _ms(self.noticed - self.woken)}
        if self.spoke is not None:
            out["speech_ms"] = _ms(self.spoke - self.woken)
            for name in ("words", "ended", "token", "sound"):
                if name in self.marks:
                    out[f"{name}_ms"] = _ms(self.marks[name] - self.spoke)
        if "total" in self.marks:
            out["total_ms"] = _ms(self.marks["total"] - self.woken)
        return out


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
