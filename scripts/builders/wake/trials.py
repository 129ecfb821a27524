"""Test audio: phrase trials in named conditions, and hours of streams without the phrase, as features.

Used twice with different voices: to calibrate (a held-out engine) and to accept (reserved voices). Nothing here
decides anything about the model; scenes are drawn from conditions that are fixed and named.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from builders.common.pool import Arrays
from builders.sound import signal
from builders.sound.signal import RATE, Audio, normal
from builders.wake.speech import Bank
from noctule.wake.features import FrontEnd

#: name -> (noise, SNR dB, reverberant); None: none.
CONDITIONS: dict[str, tuple[str | None, float, bool]] = {
    "clean": (None, 0.0, False),
    "pink 10 dB": ("pink", 10.0, False),
    "pink 0 dB": ("pink", 0.0, False),
    "babble 20 dB": ("babble", 20.0, False),
    "babble 10 dB": ("babble", 10.0, False),
    "babble 5 dB": ("babble", 5.0, False),
    "babble 0 dB": ("babble", 0.0, False),
    "reverb": (None, 0.0, True),
    "reverb + babble 10 dB": ("babble", 10.0, True),
}
#: what a negative stream is made of, a block at a time: share of blocks by condition.
_STREAM = ((0.45, (None, 0.0, False)), (0.15, ("babble", 15.0, False)), (0.15, ("pink", 15.0, False)),
           (0.15, (None, 0.0, True)), (0.10, ("babble", 10.0, True)))  # fmt: skip
#: seconds of background before the phrase (warm-up is 2.1 s) and after it.
LEAD, TAIL = 2.6, 1.2
_BLOCK = 30 * RATE
#: level of speech in the files, dBFS RMS.
_LEVEL = -26.0
_TALKERS = 5


@dataclass(frozen=True)
class TrialSpec:
    """Phrase trials of one helper process: every clip in every condition (or only the named ones)."""

    clips: tuple[str, ...]
    speech: tuple[str, ...]
    seed: int
    conditions: tuple[str, ...] = tuple(CONDITIONS)
    #: the voice is varied as in training; acceptance keeps the engine's voice as it is.
    varied: bool = False


@dataclass(frozen=True)
class StreamSpec:
    """A stream without the phrase: `seconds` of the clips in changing conditions."""

    clips: tuple[str, ...]
    speech: tuple[str, ...]
    seed: int
    seconds: float
    first: int = 0
    varied: bool = False


def _noise(kind: str, length: int, speech: Audio, rng: np.random.Generator) -> Audio:
    if kind == "pink":
        return signal.coloured(length, 1.0, rng)
    return signal.babble(speech, length, _TALKERS, rng)


def render(sound: Audio, condition: tuple[str | None, float, bool], speech: Audio, rng: np.random.Generator) -> Audio:
    """Put unit-RMS speech (silence between is exact zero) into a condition; the level is `_LEVEL`."""
    kind, snr, reverberant = condition
    if reverberant:
        sound = signal.convolve(sound, signal.room(rng))
        spoken = sound[np.abs(sound) > 0.02 * float(np.abs(sound).max(initial=0.0))]
        sound = sound / (float(spoken.std()) + 1e-9)
    if kind is not None:
        sound = sound + _noise(kind, len(sound), speech, rng) * np.float32(10 ** (-snr / 20))
    quiet = rng.standard_normal(len(sound)).astype(np.float32) * np.float32(10 ** (-80 / 20))
    return np.clip(sound * np.float32(10 ** (_LEVEL / 20)) + quiet, -1, 1)


def _pcm(sound: Audio) -> np.ndarray:  # type: ignore[type-arg]
    return (sound * 32767).astype(np.int16)


def make_trials(spec: TrialSpec) -> Arrays:
    """`features` int8 end to end [frames, 40], `offsets` [trials + 1]; by trial `begin`, `end` (s) and labels."""
    rng = np.random.default_rng(spec.seed)
    bank = Bank([Path(name) for name in spec.clips])
    speech = Bank([Path(name) for name in spec.speech]).all_speech()
    front = FrontEnd()
    parts, begin, end, condition, voice, text = [], [], [], [], [], []
    for index in range(len(bank)):
        clip = bank.clip(index)
        if spec.varied:
            clip = _varied(clip, rng)
        clip = normal(signal.trim(clip))
        for name in spec.conditions:
            lead = LEAD + rng.uniform(0, 0.5)
            sound = np.zeros(int((lead + TAIL) * RATE) + len(clip), np.float32)
            at = int(lead * RATE)
            sound[at : at + len(clip)] = clip
            front.reset()
            parts.append(front.push(_pcm(render(sound, CONDITIONS[name], speech, rng))))
            begin.append(lead)
            end.append(lead + len(clip) / RATE)
            condition.append(name)
            voice.append(bank.voice(index))
            text.append(bank.text(index))
    return {"features": np.concatenate(parts), "offsets": np.cumsum([0, *map(len, parts)]), "begin": np.array(begin),
            "end": np.array(end), "condition": np.array(condition), "voice": np.array(voice),
            "text": np.array(text)}  # fmt: skip


def _varied(clip: Audio, rng: np.random.Generator) -> Audio:
    """Pitch and speed changed a little, so that one voice stands for a few."""
    if rng.random() < 0.5:
        clip = signal.move_formants(clip, float(np.exp(rng.uniform(-0.12, 0.12))))
    return signal.resample(clip, float(np.exp(rng.uniform(-0.16, 0.16))))


def make_stream(spec: StreamSpec) -> Arrays:
    """`features` int8 [frames, 40] of one continuous stream."""
    rng = np.random.default_rng(spec.seed)
    bank = Bank([Path(name) for name in spec.clips])
    speech = Bank([Path(name) for name in spec.speech]).all_speech()
    front = FrontEnd()
    parts = []
    at, made = spec.first, 0
    shares = np.array([share for share, _ in _STREAM])
    while made < spec.seconds * RATE:
        block = np.zeros(_BLOCK, np.float32)
        filled = 0
        while filled < _BLOCK:
            clip = bank.clip(at % len(bank))
            clip = normal(signal.trim(_varied(clip, rng) if spec.varied else clip))[: _BLOCK - filled]
            block[filled : filled + len(clip)] = clip
            filled += len(clip) + int(rng.uniform(0.1, 0.8) * RATE)
            at += 1
        condition = _STREAM[int(rng.choice(len(_STREAM), p=shares / shares.sum()))][1]
        parts.append(front.push(_pcm(render(block, condition, speech, rng))))
        made += _BLOCK
    return {"features": np.concatenate(parts)}
