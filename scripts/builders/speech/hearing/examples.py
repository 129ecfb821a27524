"""From a clip to a training example: silence around it, pauses in it, what stands in the text stream and when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

import numpy as np
from numpy.typing import NDArray

from builders.speech.clips import Audio, Clip, Span, scaled
from builders.speech.shape import DELAY, FRAME, PHONE_STEPS, RATE, LmShape
from builders.speech.tokenizer import Pieces

IGNORED = -100
#: silence after the speech that every example holds, so that the end of the turn can be heard
TAIL = 0.88
#: share of the utterances that are made of parts
PARTS = 0.4


@dataclass(frozen=True)
class Example:
    """audio [frames * 1280]; text int64 [frames + 1], the token to write at each step (step 0 has heard nothing);
    turn int64 [frames + 1]: 1 when all has been said, 0 while not, IGNORED before speech begins; phones int64
    [frames * 4] with `engine` naming whose labels they are; speech: seconds where it begins and ends."""

    audio: Audio
    text: NDArray[np.int64]
    turn: NDArray[np.int64]
    phones: NDArray[np.int64]
    engine: str
    speech: tuple[float, float]

    @property
    def frames(self) -> int:
        return len(self.audio) // FRAME


def text_stream(words: Sequence[Span], frames: int, pieces: Pieces, shape: LmShape) -> NDArray[np.int64]:
    """Each word's tokens from DELAY frames after its end, later while an earlier word is still being written."""
    out = np.full(frames + 1, shape.padding, np.int64)
    free = 0
    for word in words:
        at = max(free, int(np.ceil(word.end * RATE / FRAME - 1e-6)) + DELAY)
        for token in pieces.word(word.label):
            if at <= frames:
                out[at] = token
            at += 1
        free = at
    return out


def phone_stream(phones: Sequence[Span], frames: int, labels: dict[str, int]) -> NDArray[np.int64]:
    """Labels for every 20 ms, one frame late: the encoder has heard the whole phone by then. 0 is silence."""
    count = frames * PHONE_STEPS
    out = np.zeros(count, np.int64)
    rate = PHONE_STEPS * RATE / FRAME
    for phone in phones:
        first, last = int(phone.start * rate) + PHONE_STEPS, int(phone.end * rate) + PHONE_STEPS
        out[first:last] = labels.get(phone.label, IGNORED)
    return out


def varied(clip: Clip, rng: Random, others: Sequence[Clip]) -> Clip:
    """Mostly the clip; sometimes only some of its words, sometimes some of its words and some of another clip's: so
    many more orders of words are heard than were spoken."""
    draw = rng.random()
    if draw >= PARTS or len(clip.words) < 3:
        return clip
    first = _part(clip, rng)
    if draw < 0.4 * PARTS or not others:
        return first
    second = _part(rng.choice(others), rng)
    gap = np.zeros(int(rng.uniform(0.02, 0.25) * RATE), np.float32)
    shift = (len(first.audio) + len(gap)) / RATE
    same = clip.voice.partition(":")[0] == second.voice.partition(":")[0]
    return replace(
        first,
        audio=np.concatenate([first.audio, gap, second.audio]),
        words=first.words + scaled(second.words, 1.0, shift),
        phones=first.phones + scaled(second.phones, 1.0, shift) if same else (),
    )


def _part(clip: Clip, rng: Random) -> Clip:
    """Neighbouring words of a clip, cut out between words."""
    count = rng.randint(1, min(6, len(clip.words)))
    first = rng.randrange(len(clip.words) - count + 1)
    words = clip.words[first : first + count]
    start, stop = max(0, int(words[0].start * RATE)), min(len(clip.audio), int(words[-1].end * RATE))
    begin, end = start / RATE, stop / RATE
    phones = tuple(p for p in clip.phones if p.start >= begin - 0.02 and p.end <= end + 0.02)
    return replace(
        clip,
        audio=clip.audio[start:stop],
        words=scaled(words, 1.0, -begin),
        phones=scaled(phones, 1.0, -begin),
    )


def arranged(clip: Clip, rng: Random, others: Sequence[Clip]) -> tuple[Audio, tuple[Span, ...], tuple[Span, ...]]:
    """The clip with silence before and after, sometimes a pause between two words, sometimes the end of a wake word
    before it. Returns samples, words and phones in the new time."""
    begin, finish = clip.words[0].start, clip.words[-1].end
    start = max(0, int((begin - 0.03) * RATE))
    stop = min(len(clip.audio), int((finish + 0.12) * RATE))
    draw = rng.random()
    lead = rng.uniform(0.0, 0.08) if draw < 0.15 else rng.uniform(0.08, 0.6) if draw < 0.9 else rng.uniform(0.6, 2.0)
    before = np.zeros(int(lead * RATE), np.float32)
    if others and lead > 0.05 and rng.random() < 0.15:  # what is left of the wake word when listening begins
        other = rng.choice(others)
        end = int(other.words[-1].end * RATE)
        cut = other.audio[max(0, end - int(rng.uniform(0.05, 0.22) * RATE)) : end]
        cut = cut[: len(before)]
        before[: len(cut)] = cut * np.linspace(1, 0.2, len(cut), dtype=np.float32)
    shift = lead - start / RATE
    parts = [before]
    gap_at, gap = float("inf"), 0.0
    if len(clip.words) > 2 and rng.random() < 0.2:
        index = rng.randrange(1, len(clip.words))
        gap_at, gap = clip.words[index].start, rng.uniform(0.15, 0.8)
        middle = int(gap_at * RATE)
        parts += [clip.audio[start:middle], np.zeros(int(gap * RATE), np.float32), clip.audio[middle:stop]]
    else:
        parts.append(clip.audio[start:stop])

    def moved(spans: Sequence[Span]) -> tuple[Span, ...]:
        return tuple(
            Span(
                s.label,
                s.start + shift + (gap if s.start >= gap_at - 1e-6 else 0.0),
                s.end + shift + (gap if s.start >= gap_at - 1e-6 else 0.0),
            )
            for s in spans
        )

    words = moved(clip.words)
    tail = (
        words[-1].end
        + TAIL
        + (rng.uniform(0.0, 0.1) if rng.random() < 0.92 else rng.uniform(0.3, 1.5))
        - sum(len(part) for part in parts) / RATE
    )
    parts.append(np.zeros(max(0, int(tail * RATE)), np.float32))
    return np.concatenate(parts), words, moved(clip.phones)


def example(
    clip: Clip,
    rng: Random,
    pieces: Pieces,
    shape: LmShape,
    labels: dict[str, dict[str, int]],
    others: Sequence[Clip] = (),
) -> Example:
    """Draw one arrangement of a clip."""
    clip = varied(clip, rng, others)
    audio, words, phones = arranged(clip, rng, others)
    frames = -(-len(audio) // FRAME)
    audio = np.pad(audio, (0, frames * FRAME - len(audio)))
    engine = clip.voice.partition(":")[0]
    begin, end = words[0].start, words[-1].end
    turn = np.full(frames + 1, IGNORED, np.int64)
    rate = RATE / FRAME
    turn[int(begin * rate) + 1 :] = 0
    turn[int(np.ceil(end * rate)) + 1 :] = 1
    known = labels.get(engine, {}) if phones else {}
    stream = phone_stream(phones, frames, known) if known else np.full(frames * PHONE_STEPS, IGNORED, np.int64)
    return Example(audio, text_stream(words, frames, pieces, shape), turn, stream, engine, (begin, end))
