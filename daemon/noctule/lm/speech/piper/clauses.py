"""A text that is still being written, cut into what is spoken at once. Pure; the cuts do not depend on how it comes.

A clause ends with its sentence, or at a comma, colon or semicolon once it is long enough to carry its own melody.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

#: characters after which a comma ends a clause; and where one is cut between words whatever stands there
ENOUGH, LONGEST = 40, 220
#: `<break time="0.5s"/>` of the script language
_BREAK = re.compile(r'<break\s+time="(\d+(?:\.\d*)?)s"\s*/?>')
_END = re.compile(r"""[.!?\u2026]+["')\]\u201d\u2019]*(?=\s)|\n+""")
_PAUSE = re.compile(r"[,;:](?=\s)|\s[\u2013\u2014](?=\s)")
#: words whose full stop ends no sentence
_ABBREVIATED = re.compile(
    r"\b(?:e\.g|i\.e|vs|approx|Mrs?|Dr|Prof|St|[A-Z]|Mon|Tue|Wed|Thu|Fri|Sat|Sun|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sep|Oct"
    r"|Nov|Dec)\.\Z"
)
#: seconds of the longest pause
_LONGEST_BREAK = 30.0


@dataclass(frozen=True)
class Clause:
    """text to say, "" for silence alone; ends: its sentence ends with it; silence: seconds asked for after it."""

    text: str
    ends: bool = False
    silence: float = 0.0


class ClauseCutter:
    """Takes a text in any pieces, gives whole clauses."""

    def __init__(self) -> None:
        self._rest = ""

    def more(self, text: str) -> list[Clause]:
        """What is whole by now."""
        self._rest += text
        return self._cut(complete=False)

    def close(self) -> list[Clause]:
        """The rest."""
        return self._cut(complete=True)

    def _cut(self, *, complete: bool) -> list[Clause]:
        out: list[Clause] = []
        while (found := self._next(complete=complete)) is not None:
            at, clause = found
            self._rest = self._rest[at:]
            if clause.text or clause.silence:
                out.append(clause)
        return out

    def _next(self, *, complete: bool) -> tuple[int, Clause] | None:
        """(characters taken, clause), None when more must come first."""
        text = self._rest
        given = _BREAK.search(text)
        # a break that has begun may still become one; nothing after it can be cut before that is known
        limit = given.start() if given else (len(text) if complete or "<" not in text else text.rindex("<"))
        end = self._end(text, limit)
        if end is not None:
            return end[0], Clause(text[: end[0]].strip(), ends=end[1])
        if given:
            seconds = min(float(given[1]), _LONGEST_BREAK)
            return given.end(), Clause(text[: given.start()].strip(), ends=True, silence=seconds)
        if complete and text:
            return len(text), Clause(text.strip(), ends=True)
        return None

    def _end(self, text: str, limit: int) -> tuple[int, bool] | None:
        """(where the first clause ends, whether a sentence does)."""
        sentence = next(
            (m.end() for m in _END.finditer(text, 0, limit + 1) if not _ABBREVIATED.search(text[: m.end()])), None
        )
        if sentence is not None and sentence > limit:
            sentence = None
        pause = next((m.end() for m in _PAUSE.finditer(text) if ENOUGH <= m.end() <= limit), None)
        if pause is not None and (sentence is None or pause < sentence) and pause <= LONGEST:
            return pause, False
        if sentence is not None and sentence <= LONGEST:
            return sentence, True
        if limit > LONGEST:
            at = text.rfind(" ", ENOUGH, LONGEST)
            return (at if at > 0 else LONGEST), False
        return None
