"""Words to segments, and segments to the files that players show: SubRip and WebVTT. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from noctule.lm.speech.words import Word

#: a segment is at most so long (two lines on a screen, and as long as one can be read), and ends at a pause
_CHARACTERS, _SECONDS, _PAUSE = 84, 7.0, 0.8


@dataclass(frozen=True)
class Segment:
    """Words that are shown together."""

    words: tuple[Word, ...]

    @property
    def start(self) -> float:
        return self.words[0].start

    @property
    def end(self) -> float:
        return self.words[-1].end

    @property
    def text(self) -> str:
        return " ".join(word.text for word in self.words)

    @property
    def log_probability(self) -> float | None:
        """Mean over the words, None where nobody said how sure they are."""
        known = [math.log(max(word.confidence, 1e-9)) for word in self.words if word.confidence is not None]
        return sum(known) / len(known) if known else None


def segments(words: Iterable[Word]) -> Iterator[Segment]:
    """In order; a segment ends with a sentence, with a pause, or where it is long enough."""
    held: list[Word] = []
    for word in words:
        if held and (
            word.start - held[-1].end > _PAUSE
            or word.end - held[0].start > _SECONDS
            or len(" ".join([*(w.text for w in held), word.text])) > _CHARACTERS
        ):
            yield Segment(tuple(held))
            held = []
        held.append(word)
        if word.text.rstrip("\"'”’").endswith((".", "?", "!")):
            yield Segment(tuple(held))
            held = []
    if held:
        yield Segment(tuple(held))


def srt(found: Sequence[Segment]) -> str:
    """A SubRip file."""
    blocks = [
        f"{i}\n{_clock(s.start, ',')} --> {_clock(s.end, ',')}\n{s.text}\n" for i, s in enumerate(found, start=1)
    ]
    return "\n".join(blocks)


def vtt(found: Sequence[Segment]) -> str:
    """A WebVTT file (W3C WebVTT, section 4.1); what a cue must not hold is written as an entity."""
    blocks = [f"{_clock(s.start, '.')} --> {_clock(s.end, '.')}\n{_cue(s.text)}\n" for s in found]
    return "\n".join(["WEBVTT\n", *blocks])


def _cue(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _clock(seconds: float, point: str) -> str:
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}{point}{rest % 1000:03}"
