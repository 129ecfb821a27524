"""Recordings with transcripts as training clips. Word times come from the model trained so far, by forced alignment:
of all ways to write the transcript's tokens frame by frame, the likeliest; each word ends DELAY frames before its
first token. Without a trained model the words are spread over the voiced part by their letters.
"""

from __future__ import annotations

import wave
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from builders.sound.signal import resample
from builders.speech.clips import RATE, Audio, Clip, Span
from builders.speech.features import log_mel, power
from builders.speech.hearing.network import quantise
from builders.speech.sentences import spoken
from builders.speech.shape import DELAY, FRAME
from noctule.core.errors import InputError

if TYPE_CHECKING:
    from builders.speech.hearing.train import Trainer

#: a model this young cannot align
_YOUNG = 2000


def read_recording(path: Path) -> tuple[Audio, str]:
    """A WAV file (16 bit) at 16 kHz mono, and the words of the .txt beside it. InputError in one sentence."""
    text = path.with_suffix(".txt")
    try:
        with wave.open(str(path)) as file:
            if file.getsampwidth() != 2:
                raise InputError(f"{path}: {8 * file.getsampwidth()} bit samples; 16 bit are needed")
            rate, channels = file.getframerate(), file.getnchannels()
            samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / 32768.0
        words = spoken(text.read_text(encoding="utf-8"))
    except (OSError, EOFError, wave.Error, ValueError) as error:
        raise InputError(f"{path} with {text.name}: {error}") from None
    if not words:
        raise InputError(f"{text} has no words")
    audio = samples.reshape(-1, channels).mean(1)
    return resample(audio, rate / RATE), words


def spread(audio: Audio, text: str) -> tuple[Span, ...]:
    """Words over the part that is louder than -34 dB of the peak, by their letters."""
    loud = np.flatnonzero(np.abs(audio) > 0.02 * np.abs(audio).max())
    begin, end = (loud[0] / RATE, loud[-1] / RATE) if len(loud) else (0.0, len(audio) / RATE)
    words = text.split()
    letters = np.cumsum([0, *(len(w) + 1 for w in words)]) / sum(len(w) + 1 for w in words)
    times = begin + letters * (end - begin)
    return tuple(Span(w, float(a), float(b)) for w, a, b in zip(words, times, times[1:], strict=False))


@torch.no_grad()
def aligned(audio: Audio, text: str, trainer: Trainer) -> tuple[Span, ...]:
    """Word times by the model: Viterbi over tokens with padding between them, each frame given the text before."""
    model, pieces, shape = trainer.model, trainer.pieces, trainer.shape
    frames = -(-(len(audio) + 12 * FRAME) // FRAME)
    pcm = torch.zeros(1, frames * FRAME)
    pcm[0, : len(audio)] = torch.from_numpy(audio)
    codes, _ = quantise(model.encoder(log_mel(power(pcm))))
    words = [pieces.word(word) for word in text.split()]
    tokens = [token for word in words for token in word]
    # the model's guess at each frame depends on the text so far: take it from the spread transcript first, then
    # from the alignment that this gave
    written = np.full(frames + 1, shape.padding, np.int64)
    at = np.linspace(DELAY + 2, frames - 2, len(tokens) + 2)[1:-1].astype(int)
    for _ in range(2):
        written[:] = shape.padding
        written[at] = tokens
        previous = torch.from_numpy(np.concatenate([[shape.pieces], written[:-1]]))[None]
        scores = model.lm(codes, previous)[0][0].log_softmax(-1).numpy()
        at = _path(scores[:, tokens], scores[:, shape.padding])
    ends = np.maximum(0, at - DELAY) * FRAME / RATE
    firsts = np.cumsum([0, *(len(word) for word in words[:-1])])
    finish = [float(ends[i]) for i in firsts]
    starts = [max(0.0, finish[0] - 0.4), *finish[:-1]]
    return tuple(Span(w, s, e) for w, s, e in zip(text.split(), starts, finish, strict=True))


def _path(emit: np.ndarray, stay: np.ndarray) -> np.ndarray:
    """The frames at which tokens are written, one each, in order, that are likeliest together."""
    frames, count = emit.shape
    best = np.full((frames + 1, count + 1), -np.inf)
    best[0, 0] = 0.0
    wrote = np.zeros((frames + 1, count + 1), bool)
    for t in range(frames):
        waited = best[t] + stay[t]
        spoke = np.concatenate([[-np.inf], best[t, :-1] + emit[t]])
        wrote[t + 1] = spoke > waited
        best[t + 1] = np.maximum(waited, spoke)
    where, k = [], count
    for t in range(frames, 0, -1):
        if wrote[t, k]:
            where.append(t - 1)
            k -= 1
    return np.array(where[::-1], int)


def recorded(folder: Path, trainer: Trainer, say: Callable[[str], None]) -> list[Clip]:
    """Every WAV of a folder that has a transcript beside it."""
    paths = sorted(p for p in folder.rglob("*.wav") if p.with_suffix(".txt").exists())
    if not paths:
        raise InputError(f"{folder} holds no .wav with a .txt beside it")
    young = trainer.stage == "joint" and trainer.step < _YOUNG
    say(f"{len(paths)} recordings, words placed by {'their letters' if young else 'forced alignment'}")
    clips = []
    for path in paths:
        audio, text = read_recording(path)
        if not 0.3 <= len(audio) / RATE <= 12:
            say(f"{path}: left out, {len(audio) / RATE:.1f} s is not between 0.3 and 12 s")
            continue
        audio = (audio / max(float(np.abs(audio).max()), 1e-4) * 0.5).astype(np.float32)
        clips.append(
            Clip(audio, text, "recordings:own", spread(audio, text) if young else aligned(audio, text, trainer))
        )
    return clips
