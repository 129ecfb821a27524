"""Stage `features`: clips become 5 s scenes (voice changed, placed, echoed, drowned in noise) and then features.

The recipe, per scene: the voice is varied (speed, formants, a vocoder) five times in six; half are put in a room
and through an equaliser; a fifth stays clean (of phrases and confusables a third), the others get noise at
-4 … 60 dB, most of it people talking at -4 … 14 dB, where detectors lose the phrase; the level is -46 … -12 dBFS,
some are clipped. A scene's kind: P phrase, C confusables, N speech, Z noise alone, U the user's own negatives.

Confusables and the phrase differ in nothing but what is said. When confusables came only in rows, the network took
whatever is said after a silence for the phrase (of the confusables it refused in rows it accepted six in ten said
alone); when they had less noise than the phrase, it took noise for the phrase and missed the phrase without.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
from numpy.typing import NDArray

from builders.common.pool import Arrays
from builders.sound import signal, vocoder
from builders.sound.signal import RATE, Audio, normal
from builders.wake.speech import Bank
from noctule.wake.features import FrontEnd

SCENE = 5 * RATE
#: ranges (dB) that a noisy scene's ratio of speech to noise is drawn from: loud noise, usual, hardly any.
_SNR = ((-4.0, 14.0), (14.0, 30.0), (30.0, 60.0))
#: share of scenes with noise: of phrases and confusables fewer, else phrases are missed where nothing drowns them.
_NOISY, _NOISY_ALONE = 0.8, 0.66
#: share of clips that are said by nobody's voice.
_NOBODY = 0.3
#: share of confusable scenes with one confusable, placed as the phrase is; the others are full of them.
_ALONE = 0.75
#: frames kept of a scene's 498; the first 0.3 s belong to the start of the noise estimate.
FRAMES = 468
_DROPPED = (SCENE - 480) // 160 + 1 - FRAMES


def frame_end(frame: int | NDArray[np.int64]) -> int | NDArray[np.int64]:
    """Sample of the scene at which kept frame `frame` ends."""
    return (_DROPPED + frame) * 160 + 480


@dataclass(frozen=True)
class SceneSpec:
    """What one helper process makes. Files are .npz banks; `own` folders hold the user's WAV files as arrays."""

    kind: str
    count: int
    seed: int
    #: bank files and the range of clip numbers that this chunk walks through.
    clips: tuple[str, ...]
    first: int
    #: banks of ordinary speech for babble and context.
    speech: tuple[str, ...]
    #: int16 arrays (.npy) of the user's noises and room responses.
    noises: tuple[str, ...] = ()
    rooms: tuple[str, ...] = ()


def vary(clip: Audio, rng: np.random.Generator, strength: float = 1.0) -> Audio:
    """A voice that the engine does not have: speed with pitch, vocal tract length, or a vocoder's; three in ten times
    one in which every sound is a little other (`vocoder`), which is how speakers differ."""

    def ratio(low: float, high: float) -> float:
        return float(np.exp(rng.uniform(np.log(low), np.log(high)) * strength))

    if rng.random() < _NOBODY and 3000 < len(clip) < 60_000:
        marks = sorted(rng.uniform(0, len(clip) / RATE, max(2, len(clip) // 1440)))  # about one a sound
        other, _, _ = vocoder.revoiced(clip, marks, Random(int(rng.integers(2**31))))
        return signal.resample(other, ratio(0.86, 1.16))
    kind = rng.random()
    if kind < 0.17:
        return clip
    if kind < 0.45 and len(clip) > 2000:
        pitch = float(np.exp(rng.uniform(np.log(75), np.log(290))))
        clip = signal.revoice(clip, pitch, rng.uniform(-0.7, 0.35), ratio(0.83, 1.26), rng.uniform(0, 0.5) ** 2, rng)
        return signal.resample(clip, ratio(0.87, 1.15))
    if kind < 0.78 and len(clip) > 2000:
        clip = signal.move_formants(clip, ratio(0.81, 1.26))
    return signal.resample(clip, ratio(0.78, 1.28))


class Scenery:
    """Rooms, equalisers and noises of one chunk, made once and drawn from."""

    def __init__(self, spec: SceneSpec, rng: np.random.Generator) -> None:
        self.speech = Bank([Path(name) for name in spec.speech]).all_speech()
        own_rooms = [np.load(name).astype(np.float32) / 32768 for name in spec.rooms]
        self.rooms = [_direct_first(item) for item in own_rooms] + [signal.room(rng) for _ in range(60)]
        self.filters = [signal.equaliser(rng) for _ in range(60)]
        self.noises = [signal.coloured(SCENE * 4, slope, rng) for slope in (0, 0.5, 1, 1, 1.5, 2)]
        self.music = signal.music(SCENE * 6, rng)
        self.clicks = signal.clicks(SCENE * 6, rng)
        self.own = [np.load(name).astype(np.float32) / 32768 for name in spec.noises]

    def noise(self, rng: np.random.Generator) -> Audio:
        """A scene's length of some noise, unit RMS."""
        kind = rng.random()
        if self.own and rng.random() < 0.35:
            return normal(_stretch(self.own[rng.integers(len(self.own))], rng))
        if kind < 0.55:
            return signal.babble(self.speech, SCENE, int(rng.choice((1, 2, 3, 4, 5, 6, 8))), rng)
        if kind < 0.82:
            return normal(_stretch(self.noises[rng.integers(len(self.noises))], rng))
        return normal(_stretch(self.music if kind < 0.92 else self.clicks, rng))

    def talk(self, length: int, rng: np.random.Generator) -> Audio:
        """Some stretch of ordinary speech, unit RMS."""
        start = int(rng.integers(0, len(self.speech) - length))
        return normal(self.speech[start : start + length].astype(np.float32))


def _direct_first(response: Audio) -> Audio:
    """A measured room response from its direct sound on, direct sound scaled to 1."""
    peak = int(np.abs(response).argmax())
    return (response[peak : peak + RATE] / (response[peak] or 1.0)).astype(np.float32)


def _stretch(sound: Audio, rng: np.random.Generator) -> Audio:
    """A scene's length out of `sound`, repeated when it is shorter."""
    if len(sound) < SCENE:
        sound = np.resize(sound, SCENE)
    start = int(rng.integers(0, len(sound) - SCENE + 1))
    return sound[start : start + SCENE]


def place_phrase(clip: Audio, scenery: Scenery, rng: np.random.Generator) -> tuple[Audio, int]:
    """The phrase in a scene, often between other speech; the scene and the sample at which the phrase ends."""
    clip = normal(signal.trim(clip))[: int(2.2 * RATE)]
    scene = np.zeros(SCENE, np.float32)
    end = int(rng.uniform(max(2.25, 0.3 + len(clip) / RATE), 4.6) * RATE)
    start = end - len(clip)
    scene[start:end] = clip
    gap = start - int(rng.uniform(0.04, 0.6) * RATE)
    if rng.random() < 0.35 and gap > 1000:
        scene[:gap] = scenery.talk(gap, rng) * rng.uniform(0.5, 1.3)
    gap = end + int(rng.uniform(0.03, 0.5) * RATE)
    if rng.random() < 0.4 and gap < SCENE - 1000:
        scene[gap:] = scenery.talk(SCENE - gap, rng) * rng.uniform(0.5, 1.2)
    return scene, end


def place_others(clips: Sequence[Audio], gaps: tuple[float, float], rng: np.random.Generator) -> Audio:
    """Clips one after the other with pauses of `gaps` seconds, cut at the scene's end."""
    scene = np.zeros(SCENE, np.float32)
    at = 0
    for clip in clips:
        part = normal(clip)[: max(0, SCENE - at)]
        scene[at : at + len(part)] = part
        at += len(part) + int(rng.uniform(*gaps) * RATE)
    return scene


def dress(
    scene: Audio, scenery: Scenery, rng: np.random.Generator, alone: bool = False, noisy: float = _NOISY
) -> NDArray[np.int16]:
    """Room, colour, noise, level, clipping; `alone`: the scene is noise only; `noisy`: chance of noise else."""
    if not alone and rng.random() < 0.55:
        if rng.random() < 0.8:
            scene = signal.convolve(scene, scenery.rooms[rng.integers(len(scenery.rooms))])
        scene = signal.convolve(scene, scenery.filters[rng.integers(len(scenery.filters))])
    spoken = scene[np.abs(scene) > 1e-6]
    scene = scene / (float(spoken.std()) + 1e-9 if len(spoken) > 100 else 1.0)
    if alone or rng.random() < noisy:
        low, high = _SNR[int(rng.choice(3, p=(0.6, 0.25, 0.15)))]
        snr = rng.uniform(low, high)
        scene = scene + scenery.noise(rng) * np.float32(1.0 if alone else 10 ** (-snr / 20))
        if rng.random() < 0.3:
            scene = scene + scenery.noise(rng) * np.float32(10 ** (-(snr + rng.uniform(3, 20)) / 20))
    scene = scene * np.float32(10 ** (rng.uniform(-46, -12) / 20))
    if rng.random() < 0.06:
        scene = np.clip(scene * rng.uniform(2, 8), -0.9, 0.9)
    scene = scene + rng.standard_normal(len(scene)).astype(np.float32) * np.float32(10 ** (-rng.uniform(75, 95) / 20))
    return (np.clip(scene, -1, 1) * 32767).astype(np.int16)


def make_scenes(spec: SceneSpec) -> Arrays:
    """`features` int8 [scenes, 468, 40], `end` (sample or -1), `kind` by scene."""
    rng = np.random.default_rng(spec.seed)
    scenery = Scenery(spec, rng)
    bank = Bank([Path(name) for name in spec.clips]) if spec.clips else None
    front = FrontEnd()
    out: list[NDArray[np.int8]] = []
    ends: list[int] = []
    at = spec.first
    for _ in range(spec.count):
        end = -1
        if bank is None:
            scene = np.zeros(SCENE, np.float32)
        elif spec.kind == "P":
            scene, end = place_phrase(vary(bank.clip(at % len(bank)), rng), scenery, rng)
            at += 1
        elif spec.kind == "C" and rng.random() < _ALONE:
            scene, _ = place_phrase(vary(bank.clip(at % len(bank)), rng), scenery, rng)
            at += 1
        else:
            clips, length = [], 0
            while length < SCENE:
                clips.append(signal.trim(vary(bank.clip(at % len(bank)), rng)))
                length += len(clips[-1]) + RATE // 5
                at += 1
            scene = place_others(clips, (0.35, 0.8) if spec.kind == "C" else (0.05, 0.5), rng)
        noisy = _NOISY_ALONE if spec.kind in "PC" else _NOISY
        sound = dress(scene, scenery, rng, spec.kind == "Z", noisy)
        front.reset()
        out.append(front.push(sound)[-FRAMES:])
        ends.append(end)
    return {"features": np.stack(out), "end": np.array(ends), "kind": np.array([spec.kind] * spec.count)}
