"""Spoken trials through the packages: the device's own classes hear a clip, and say what and when."""

from __future__ import annotations

import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from builders.speech.augment import Noises, rooms
from builders.speech.clips import RATE, Clip
from builders.speech.shape import FRAME
from noctule.lm.speech.codec import Codec
from noctule.lm.speech.model import SpeechModel
from noctule.lm.speech.stt import EndOfTurn
from noctule.lm.speech.stt_beam import transcriber
from noctule.lm.speech.words import Word
from noctule.voice.transcript import Transcript, Wording

Audio = NDArray[np.float32]
#: what the tests do to clean speech; noise levels in dB below the speech
CONDITIONS = ("clean", "20 dB", "10 dB", "5 dB", "room")
LEAD, TAIL = 0.4, 1.4


@dataclass(frozen=True)
class Trial:
    """What came of one clip. text: the likeliest wording; wordings: all that were followed to the end. ended: seconds
    from the end of the speech to the model's end of turn (None: never; negative: too early, while it went on); last:
    seconds from the end of the speech to the last word."""

    clip: Clip
    text: str
    wordings: tuple[Wording, ...]
    ended: float | None
    last: float | None
    frame_ms: tuple[float, ...] = field(repr=False, default=())


class Conditions:
    """Noise and rooms of the tests: other draws than those of training, the same for every model."""

    def __init__(self, seed: int = 4242) -> None:
        self._bank = Noises(seed, count=24)
        self._rooms = rooms(24, torch.Generator().manual_seed(seed), share=1.0).numpy()

    def apply(self, clip: Clip, condition: str, others: Sequence[Clip]) -> tuple[Audio, float]:
        """The clip with silence around it, as it is heard; and when its speech ends, in seconds."""
        rng = np.random.default_rng(zlib.crc32(f"{clip.voice}/{clip.text}/{condition}".encode()))
        begin, finish = speech_span(clip)
        speech = clip.audio[begin:finish]
        audio = np.concatenate(
            [np.zeros(int(LEAD * RATE), np.float32), speech, np.zeros(int(TAIL * RATE), np.float32)]
        )
        end = LEAD + len(speech) / RATE
        if condition == "room":
            room = self._rooms[int(rng.integers(len(self._rooms)))]
            audio = np.convolve(audio, room)[: len(audio)].astype(np.float32)
        elif condition != "clean":
            ratio = float(condition.split()[0])
            bank = self._bank.coloured
            if rng.random() < 0.5 or not others:
                row, at = int(rng.integers(len(bank))), int(rng.integers(bank.shape[1] - len(audio)))
                noise = bank[row, at : at + len(audio)].numpy()
            else:
                noise = _babble(others, len(audio), rng)
            noise = noise / (np.sqrt(np.mean(np.square(noise))) + 1e-9)
            level = np.sqrt(np.mean(np.square(speech)))
            audio = audio + noise * level * 10 ** (-ratio / 20)
        peak = float(np.abs(audio).max())
        return (audio * (0.3 / max(peak, 1e-4))).astype(np.float32), end


def speech_span(clip: Clip) -> tuple[int, int]:
    """Samples between which there is speech: by the words' times, or where it is louder than -40 dB of its peak."""
    if clip.words:
        return max(0, int((clip.words[0].start - 0.02) * RATE)), int((clip.words[-1].end + 0.02) * RATE)
    loud = np.flatnonzero(np.abs(clip.audio) > 0.01 * np.abs(clip.audio).max())
    return int(loud[0]), int(loud[-1]) + 1


def _babble(others: Sequence[Clip], length: int, rng: np.random.Generator) -> Audio:
    """Four people talking at once, played backwards so that no command is in it."""
    out = np.zeros(length, np.float32)
    for _ in range(4):
        voice = np.concatenate([others[int(rng.integers(len(others)))].audio[::-1] for _ in range(4)])
        voice = np.resize(np.roll(voice, int(rng.integers(len(voice)))), length)
        out += voice / (np.sqrt(np.mean(np.square(voice))) + 1e-9)
    return out


class Listener:
    """The packages, loaded once."""

    def __init__(self, stt: Path, codec: Path) -> None:
        self.model, self.codec = SpeechModel.load(stt), Codec.load(codec)
        self._transcriber = transcriber(self.model, self.codec)

    def hear(self, clip: Clip, audio: Audio, end: float) -> Trial:
        """Feed a signal frame by frame, as the microphone would."""
        command = Transcript()
        ended: float | None = None
        last: float | None = None
        spent: list[float] = []
        for index in range(len(audio) // FRAME):
            begin = time.perf_counter()
            heard = self._transcriber.feed(audio[index * FRAME : (index + 1) * FRAME])
            spent.append((time.perf_counter() - begin) * 1000)
            now = (index + 1) * FRAME / RATE
            for event in heard:
                if isinstance(event, Word):
                    command.add(event)
                    last = now - end
                elif isinstance(event, EndOfTurn):
                    ended = now - end
        for event in self._transcriber.finish():
            command.add(event)
        wordings = command.wordings(self._transcriber.readings)
        return Trial(clip, wordings[0].text, wordings, ended, last, tuple(spent))

    def close(self) -> None:
        self.model.close()
        self.codec.close()
