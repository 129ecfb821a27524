"""Speech engines that also tell when each word and phone is said.

espeak-ng reports WORD and PHONEME events while it speaks (speak_lib.h); flite prints the end of every phone
(`-psdur`), which the number of phones of each word divides into words; festival tells nothing and is only used to
test. Which voices are trained on and which are kept for the tests is decided here and nowhere else.
"""

from __future__ import annotations

import ctypes
import re
import subprocess
import tempfile
import wave
from functools import cache
from pathlib import Path
from random import Random

import numpy as np

from builders.sound.engines.espeak import accents, library, variants
from builders.sound.signal import resample
from builders.speech.clips import RATE, Audio, Clip, Span, scaled
from noctule.core.errors import NoctuleError

#: variants that are not like any speaker.
_UNLIKE = re.compile(r"whisper|Demonic|robosoft|fast_test|croak|Gene2|UniRobot|iven4|zac|Mr serious")
_HELD_ACCENTS = ("gmw/en-GB-scotland", "gmw/en-029")
FLITE_TRAIN = ("slt", "awb", "rms")
FLITE_HELD = ("kal",)
FESTIVAL_HELD = ("ked_diphone", "cmu_us_slt_arctic_hts")
_SYNCHRONOUS = 2
_RATE, _PITCH, _RANGE = 1, 3, 4
_END, _WORD, _PHONEME = 0, 1, 7
_UTF8, _PHONEME_INPUT = 1, 0x100


def _usable() -> list[str]:
    return [name for name in variants() if not _UNLIKE.search(name)]


def espeak_voices(held: bool) -> list[str]:
    """Accent x variant voices; held: the tests' own accents and variants (both at once are unseen)."""
    usable = _usable()
    tests = usable[::9]
    chosen = tests if held else [name for name in usable if name not in tests]
    spoken = [name for name in accents("en") if (name in _HELD_ACCENTS) == held]
    return [f"{accent}{tail}" for accent in spoken for tail in ([] if held else [""]) + [f"+{v}" for v in chosen]]


class _Id(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Id),
    )


_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


class EspeakSpeaker:
    """espeak-ng in this process. Its state lives as long as the process: one speaker, one list, one process."""

    def __init__(self) -> None:
        self._lib = ctypes.CDLL(library() or "libespeak-ng.so.1")
        self._rate = int(self._lib.espeak_Initialize(_SYNCHRONOUS, 0, None, 1))
        if self._rate <= 0:
            raise NoctuleError("espeak-ng does not start: its data folder is missing", "apt install espeak-ng-data")
        self._pieces: list[Audio] = []
        self._events: list[tuple[int, float, int, str]] = []
        self._callback = _CALLBACK(self._collect)
        self._lib.espeak_SetSynthCallback(self._callback)
        self._lib.espeak_Synth.argtypes = [
            ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint, ctypes.c_int,
            ctypes.c_uint, ctypes.c_uint, ctypes.c_void_p, ctypes.c_void_p,
        ]  # fmt: skip

    def _collect(self, samples: object, count: int, events: object) -> int:
        if count > 0:
            self._pieces.append(np.ctypeslib.as_array(samples, (count,)).astype(np.float32))  # type: ignore[arg-type]
        index = 0
        while events[index].type != _END:  # type: ignore[index]
            event = events[index]  # type: ignore[index]
            index += 1
            if event.type == _WORD:
                self._events.append((_WORD, event.audio_position / 1000, event.text_position, ""))
            elif event.type == _PHONEME:
                label = bytes(event.id.string).split(b"\0")[0].decode("latin1")
                self._events.append((_PHONEME, event.audio_position / 1000, 0, label))
        return 0

    def say(self, text: str, voice: str, rng: Random) -> Clip | None:
        """Speak with a random rate, pitch and range; None when the voice cannot, or the events do not fit."""
        if self._lib.espeak_SetVoiceByName(voice.encode()) != 0:
            return None
        for parameter, value in (
            (_RATE, rng.randint(115, 235)),
            (_PITCH, rng.randint(12, 90)),
            (_RANGE, rng.randint(15, 85)),
        ):
            self._lib.espeak_SetParameter(parameter, value, 0)
        self._pieces, self._events = [], []
        data = text.encode() + b"\0"
        self._lib.espeak_Synth(data, len(data), 0, 1, 0, _UTF8 | _PHONEME_INPUT, None, None)
        self._lib.espeak_Synchronize()
        if not self._pieces:
            return None
        samples = np.concatenate(self._pieces) / 32768.0
        if np.abs(samples).max() < 0.01:
            return None
        phones = [(at, label) for kind, at, _, label in self._events if kind == _PHONEME]
        return warped(self._clip(text, f"espeak:{voice}", samples, phones), self._rate, rng)

    def _clip(self, text: str, voice: str, samples: Audio, phones: list[tuple[float, str]]) -> Clip | None:
        length = len(samples) / self._rate
        # a pause is announced as "_…"; the first one after the last sound ends the speech
        sounds = [at for at, label in phones if not label.startswith("_") and label]
        if not sounds:
            return None
        after = [at for at, label in phones if at > sounds[-1]]
        finish = min(after) if after else length
        starts: dict[int, float] = {}
        for kind, at, position, _ in self._events:
            if kind == _WORD:
                starts.setdefault(position, at)
        words: list[Span] = []
        position = 1
        spelled = text.split()
        found: list[float | None] = []
        for word in spelled:
            found.append(starts.get(position))
            position += len(word) + 1
        if found[0] is None or sum(at is None for at in found) > len(found) // 3:
            return None
        times = [float(at) if at is not None else -1.0 for at in found]
        for index, at in enumerate(times):  # a word spoken in one breath with its neighbour has no event of its own
            if at < 0:
                following = next((t for t in times[index + 1 :] if t >= 0), finish)
                times[index] = (times[index - 1] + following) / 2
        for index, word in enumerate(spelled):
            words.append(Span(word, times[index], times[index + 1] if index + 1 < len(times) else finish))
        if any(w.end < w.start for w in words):
            return None
        ends = [at for at, _ in phones[1:]] + [finish]
        marks = tuple(
            Span(label, at, end)
            for (at, label), end in zip(phones, ends, strict=True)
            if label and not label.startswith("_") and end > at
        )
        return Clip(samples.astype(np.float32), text, voice, tuple(words), marks)


def warped(clip: Clip | None, rate: int, rng: Random, low: float = 0.88, high: float = 1.14) -> Clip | None:
    """At 16 kHz, faster or slower with pitch and formants moving along (a longer or shorter vocal tract)."""
    if clip is None:
        return None
    factor = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    audio = resample(clip.audio, rate / RATE * factor).astype(np.float32)
    peak = float(np.abs(audio).max())
    words, phones = scaled(clip.words, 1 / factor), scaled(clip.phones, 1 / factor)
    return Clip(audio / max(peak, 1e-4) * 0.5, clip.text, clip.voice, words, phones, clip.kind)


def _flite(voice: str, text: str, target: Path | None, **settings: float) -> list[tuple[str, float]]:
    command = ["flite", "-voice", voice, "-psdur", "-t", text, "-o", str(target) if target else "none"]
    for name, value in settings.items():
        command += ["--setf", f"{name}={value:.3f}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode != 0:
        raise NoctuleError(f"flite fails with the voice {voice}: {done.stderr.strip()[-200:]}")
    marks = [item.rsplit(":", 1) for item in done.stdout.split()]
    return [(label, float(at)) for label, at in marks]


@cache
def _phone_count(word: str) -> int:
    return sum(label != "pau" for label, _ in _flite("kal", word, None))


class FliteSpeaker:
    """The flite command: about thirty utterances a second."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="noctule-flite-")
        self._file = Path(self._folder.name) / "speech.wav"

    def say(self, text: str, voice: str, rng: Random) -> Clip | None:
        stretch = float(np.exp(rng.uniform(np.log(0.78), np.log(1.35))))
        marks = _flite(voice, text, self._file, duration_stretch=stretch, int_f0_target_mean=rng.uniform(80, 170))
        with wave.open(str(self._file)) as file:
            rate = file.getframerate()
            samples = np.frombuffer(file.readframes(file.getnframes()), np.int16).astype(np.float32) / 32768.0
        phones, before = [], 0.0
        for label, end in marks:
            if label != "pau":
                phones.append(Span(label, before, end))
            before = end
        counts = [_phone_count(word) for word in text.split()]
        if not phones or sum(counts) != len(phones) or min(counts) < 1:
            return None  # a word reads otherwise in a sentence than alone
        words, first = [], 0
        for word, count in zip(text.split(), counts, strict=True):
            words.append(Span(word, phones[first].start, phones[first + count - 1].end))
            first += count
        clip = Clip(samples, text, f"flite:{voice}", tuple(words), tuple(phones))
        return warped(clip, rate, rng, 0.82, 1.22)


class FestivalSpeaker:
    """festival through the wake word's engine; without times, so for tests only."""

    def __init__(self) -> None:
        from builders.sound.engines.festival import Festival

        self._engine = Festival()

    def say(self, text: str, voice: str, rng: Random) -> Clip | None:
        from builders.sound.engines import spelled

        audio = self._engine.say(voice, spelled(text), np.random.default_rng(rng.randrange(2**32)))
        if audio is None or not len(audio):
            return None
        return Clip(audio / max(float(np.abs(audio).max()), 1e-4) * 0.5, text, f"festival:{voice}")
