"""Recordings of the one voice, laid out as the speaking model's frames: when every word and every pause is due.

The first word always begins in frame 2, because the text feed lets two frames pass (`text_feed.FeedRules`), and a
pause is as long as the text asks. What the model reads at each frame comes from `TextFeed` itself, driven by the
times of the recording: training and speaking cannot differ.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
from numpy.typing import NDArray

from builders.speech.clips import RATE, Audio, Clip, Span, write_shard
from builders.speech.shape import FRAME, FRAME_RATE
from builders.speech.voice.flite import FliteVoice, Spoken
from builders.speech.voice.text import VoiceTexts
from builders.text.split import Part
from noctule.lm.speech.text_feed import FeedRules, TextFeed
from noctule.lm.speech.words import Entry, script_entries

#: frames before the first word, of the feed; frames that are heard after the end is asked for
LEAD, TAIL = 2, 2
#: words the second text stream looks ahead, frames by which the sound follows the text
AHEAD, DELAY = 1, 2
LEVEL = 0.5
_FADE = 64
Ints = NDArray[np.int64]


def lay_out(said: Spoken, text: str, rng: Random) -> Clip:
    """Sound with the first word in frame 2 and each pause as long as asked; silence to the end."""
    frame = FRAME / RATE
    begin = said.words[0].start
    opening = LEAD * frame + rng.uniform(0.005, 0.075)
    pieces: list[Audio] = []
    words: list[Span] = []
    shift, cut = opening - begin, max(0.0, begin - opening)
    pieces.append(np.zeros(max(0, round((opening - begin) * RATE)), np.float32))
    for index, word in enumerate(said.words):
        words.append(Span(word.label, word.start + shift, word.end + shift))
        if index + 1 == len(said.words):
            break
        gap = said.words[index + 1].start - word.end
        wanted = said.pauses[index] + rng.uniform(0.0, 0.06) if said.pauses[index] else 0.0
        if wanted > gap:
            middle = word.end + gap / 2
            pieces += [_faded(said.audio[round(cut * RATE) : round(middle * RATE)], index > 0)]
            pieces.append(np.zeros(round((wanted - gap) * RATE), np.float32))
            cut = middle
            shift += wanted - gap
    last = said.words[-1].end + 0.12
    pieces.append(_faded(said.audio[round(cut * RATE) : round(last * RATE)], len(pieces) > 1))
    audio = np.concatenate(pieces)
    total = (end_frame(words[-1].end) + TAIL + 8) * FRAME
    audio = np.concatenate([audio, np.zeros(max(0, total - len(audio)), np.float32)])[:total]
    return Clip(audio, text, "flite:slt", tuple(words))


def _faded(audio: Audio, front: bool) -> Audio:
    """Without clicks where it was cut."""
    out = audio.copy()
    n = min(_FADE, len(out))
    if not n:
        return out
    out[-n:] *= np.linspace(1, 0, n, dtype=np.float32)
    if front:
        out[:n] *= np.linspace(0, 1, n, dtype=np.float32)
    return out


def end_frame(seconds: float) -> int:
    """The frame at which the model should ask for a word after the last one."""
    return int(np.ceil(seconds * FRAME_RATE)) - 1


def vary_pauses(text: str, rng: Random) -> str:
    """Some pauses of another length than the signs stand for."""

    def replace(match: re.Match[str]) -> str:
        if rng.random() < 0.6:
            return match.group()
        return f'<break time="{rng.randint(1, 7) * 0.08:.2f}s"/>'

    return re.sub(r"<[^>]*>", replace, text)


def make_voice(path: Path, part: Part, seed: int, count: int) -> None:
    """One shard of the voice. The same part, seed and count give the same bytes."""
    rng, voice, texts = Random(f"voice/{part}/{seed}/layout"), FliteVoice(), VoiceTexts(part, seed).stream()
    clips: list[Clip] = []
    seen: set[str] = set()
    while len(clips) < count:
        text = next(texts)
        if part != "train" and text in seen:
            continue
        seen.add(text)
        text = vary_pauses(text, rng) if part == "train" else text
        said = voice.say(text)
        if said is not None:
            clips.append(lay_out(said, text, rng))
    loudest = np.percentile([np.abs(clip.audio).max() for clip in clips], 90)
    gain = LEVEL / float(loudest)
    write_shard(path, [Clip(c.audio * gain, c.text, c.voice, c.words, (), part) for c in clips])


@dataclass(frozen=True)
class Line:
    """A clip as the model meets it, step by step.

    text: tokens int64 [S], both text streams in one; asked: bool [S], where the model's own prediction counts;
    word: bool [S], where it should be "a word begins"; frames: frames of sound that matter; late: most steps by
    which a mark follows the sound it stands for.
    """

    clip: Clip | None
    text: Ints
    asked: NDArray[np.bool_]
    word: NDArray[np.bool_]
    frames: int
    late: int


def rules(pieces: int, padding: int, new_word: int) -> FeedRules:
    """The feed's rules as `TtsSettings` makes them for this model."""
    return FeedRules(new_word=new_word, padding=padding, text_rows=pieces + 1, ahead=AHEAD)


def line_of(clip: Clip, encode: Callable[[str], list[int]], feed_rules: FeedRules) -> Line | None:
    """The steps of a clip; None when its words do not fit."""
    entries = script_entries([clip.text], encode, frame_rate=FRAME_RATE)
    due = _due(clip, entries)
    if due is None:
        return None
    feed = TextFeed(feed_rules, entries)
    text: list[int] = []
    asked: list[bool] = []
    word: list[bool] = []
    begun, late = 0, 0
    while feed.end_step is None or len(text) < feed.end_step + TAIL + 2 + DELAY:
        step, left = len(text), len(feed._entries)
        asks = not feed._pieces and feed._must_pad <= 0 and feed.end_step is None
        wants = feed.end_step is None and step >= due[min(begun, len(due) - 1)]
        before = feed.end_step
        text.append(feed.next(step, feed_rules.new_word if wants else feed_rules.padding))
        took = len(feed._entries) < left or feed.end_step != before
        if took:
            late = max(late, step - due[begun])
            begun += 1
        asked.append(asks)
        word.append(took)
        if step > 2000:
            return None
    assert feed.end_step is not None
    return Line(clip, np.array(text), np.array(asked), np.array(word), feed.end_step + TAIL + 2, late)


def _due(clip: Clip, entries: list[Entry]) -> list[int] | None:
    """The frame at which each entry, and then the end, is due."""
    out: list[int] = []
    at = 0
    for entry in entries:
        if entry.tokens:
            if at == len(clip.words) or clip.words[at].label != entry.text:
                return None
            out.append(int(clip.words[at].start * FRAME_RATE))
            at += 1
        else:
            out.append(int(clip.words[at - 1].end * FRAME_RATE))
    return [*out, end_frame(clip.words[-1].end)] if at == len(clip.words) else None
