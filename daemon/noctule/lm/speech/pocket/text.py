"""A text as the chunks that a pocket-tts model speaks one after another.

The models are trained on single sentences, so a long text is cut behind sentences (a dot between two digits is none),
a sentence that is too long behind commas, semicolons and colons, and neighbours are joined while they fit. Rules and
limits follow pocket_tts/models/text_chunking.py.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from noctule.lm.speech.pocket.settings import TextRules

#: most tokens of a chunk (`MAX_TOKEN_PER_CHUNK`)
LONGEST = 50
_END, _WEAK, _CLOSERS = ".!?\u2026", ",;:-\u2013\u2014", "\"'\u201d\u2019)]\u00bb"
_MARK_BEFORE_COMMA = re.compile(r"([.!?\u2026])\s*[,;:]")
#: words up to which a text is short: such a text is followed by more frames, and may be padded
_FEW_WORDS = 4
_PADDING = " " * 8


class Encoding(Protocol):
    """What is needed of a tokenizer."""

    def encode(self, text: str) -> list[int]: ...
    def decode(self, ids: Sequence[int]) -> str: ...


@dataclass(frozen=True)
class TextPart:
    """Text as the model reads it, its tokens, and frames to speak on after the model says that it ends."""

    text: str
    tokens: list[int]
    frames_after_end: int


def chunks(text: str, tokenizer: Encoding, rules: TextRules, longest: int = LONGEST) -> list[TextPart]:
    """What is spoken of a text; nothing for a text of blanks."""
    found = []
    for piece in split(text, tokenizer, rules, longest):
        prepared, after = prepare(piece, rules)
        if prepared:
            frames = after + 2 if rules.frames_after_end is None else rules.frames_after_end
            found.append(TextPart(prepared, tokenizer.encode(prepared), frames))
    return found


def prepare(text: str, rules: TextRules) -> tuple[str, int]:
    """The text as the model was trained to read it, "" for nothing, and frames that follow it."""
    text = text.strip()
    if rules.replace:
        text = " ".join(text.translate({ord(old): new for old, new in rules.replace.items()}).split())
        text = _MARK_BEFORE_COMMA.sub(r"\1", text)
    if not text:
        return "", 0
    text = text.replace("\n", " ").replace("\r", " ").replace("  ", " ")
    if rules.no_semicolons:
        text = text.replace(";", ",")
    after = 3 if len(text.split()) <= _FEW_WORDS else 1
    if rules.capital and not text[0].isupper():
        text = text[0].upper() + text[1:]
    if rules.full_stop:
        text = _ended(text)
    if rules.pad_short and len(text.split()) <= _FEW_WORDS:
        text = _PADDING + text
    return text, after


def _ended(text: str) -> str:
    """With a sentence's end: a weak mark at the end gives way to a dot, before closing quotes and brackets."""
    core = text.rstrip(_CLOSERS + " ")
    if not core or core[-1] in _END:
        return text
    if core[-1] in _WEAK:
        return core.rstrip(_WEAK + " ") + "." + text[len(core) :].strip()
    return text + "."


def split(text: str, tokenizer: Encoding, rules: TextRules, longest: int) -> list[str]:
    """Pieces of at most `longest` tokens where the text has places to cut."""
    whole, _ = prepare(text, rules)
    tokens = tokenizer.encode(whole.strip())
    parts: list[tuple[int, str]] = []
    for count, sentence in _cut(tokens, tokenizer.encode(".!...?")[1:], tokenizer, keep_decimals=True):
        smaller = []
        if count > longest:
            smaller = _cut(tokenizer.encode(sentence.strip()), tokenizer.encode(",;:")[1:], tokenizer)
        parts += smaller if len(smaller) > 1 else [(count, sentence)]
    joined: list[str] = []
    held = 0
    for count, part in parts:
        if joined and held + count <= longest:
            joined[-1] += " " + part
            held += count
        else:
            joined.append(part)
            held = count
    return [piece.strip() for piece in joined if piece.strip()]


def _cut(
    tokens: list[int], marks: list[int], tokenizer: Encoding, *, keep_decimals: bool = False
) -> list[tuple[int, str]]:
    """(tokens, text) of what stands between runs of marks, each with the run behind it."""
    edges, after_mark = [0], False
    for i, token in enumerate(tokens):
        if token in marks:
            after_mark = True
            continue
        if after_mark and not (keep_decimals and _decimal(tokens, i, tokenizer)):
            edges.append(i)
        after_mark = False
    edges.append(len(tokens))
    return [(end - start, tokenizer.decode(tokens[start:end])) for start, end in itertools.pairwise(edges)]


def _decimal(tokens: list[int], at: int, tokenizer: Encoding) -> bool:
    before, behind = tokenizer.decode(tokens[:at]), tokenizer.decode(tokens[at:])
    return before[-1:] == "." and before[-2:-1].isdigit() and behind[:1].isdigit()
