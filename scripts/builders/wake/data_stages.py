"""The stages that make training data: `speech` (banks of clips) and `features` (scenes), plus the user's folders."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from builders.common.pool import Chunk, run_chunks, save_arrays
from builders.sound.signal import normal
from builders.sound.wavs import read_folder
from builders.wake import confusables, corpus, phonemes
from builders.wake.augment import SceneSpec, make_scenes
from builders.wake.phonemes import Phones
from builders.wake.settings import Plan, Settings
from builders.wake.speech import SpeechSpec, say_chunk

#: clips and scenes in one helper process.
_CLIPS, _SCENES = 300, 600


@dataclass(frozen=True)
class Phrase:
    """The phrase as it is pronounced and written."""

    words: tuple[Phones, ...]
    spellings: tuple[str, ...]
    #: real words that sound like one of its words, nearest first.
    close: tuple[str, ...]
    #: nearest utterances of real words with their distance.
    ranked: tuple[tuple[str, float], ...]
    #: utterances of real words that calibration must mostly refuse.
    near: tuple[str, ...] = ()
    #: other ways to read it than `words`.
    readings: tuple[tuple[Phones, ...], ...] = ()


def study(settings: Settings) -> Phrase:
    """Pronunciation and neighbours of the phrase."""
    vocabulary = corpus.vocabulary()
    words = tuple(phonemes.pronounce(settings.phrase, settings.language))
    ways = phonemes.readings(words, settings.phrase.split(), vocabulary)
    known = phonemes.pronounce_many(vocabulary, settings.language)
    close = tuple(
        dict.fromkeys([*confusables.close_words(words, known, 60), *confusables.kin_words(words, known, 60)])
    )
    ranked = tuple(confusables.ranked(settings.phrase, ways, known, 24))
    near = confusables.near_texts(settings.phrase, ways, known, [text for text, _ in ranked])
    return Phrase(words, (settings.phrase, *settings.spellings), close, ranked, tuple(near), tuple(ways[1:]))


def speech_chunks(
    settings: Settings, plan: Plan, phrase: Phrase, folder: Path, prefix: str, counts: dict[str, int], seed: int
) -> dict[str, list[Chunk]]:
    """Chunks of clips by kind: `counts` clips of kinds P, C and N, shared between the engines.

    Half of all clips come from espeak's many voices, half from whatever else there is: engine variety is worth more
    than anything else (FACTS §5).
    """
    base = SpeechSpec("P", (), 0, 0, phrase.spellings, phrase.words, phrase.close, "train",
                      readings=phrase.readings)  # fmt: skip
    out: dict[str, list[Chunk]] = {}
    for kind, count in counts.items():
        groups = [(plan.train_espeak, 0.5 if plan.train_others else 1.0), (plan.train_others, 0.5)]
        if kind == "N":
            groups = [(plan.train_espeak, 0.55 if plan.train_others else 0.85), (plan.train_others, 0.3),
                      (plan.train_foreign, 0.15)]  # fmt: skip
        chunks: list[Chunk] = []
        for group, (voices, share) in enumerate(groups):
            left = round(count * share) if voices else 0
            number = 0
            while left > 0:
                here = min(_CLIPS, left)
                key = seed * 1_000_003 + ord(kind) * 10_007 + group * 1009 + number
                spec = replace(base, kind=kind, voices=voices, count=here, seed=key)
                chunks.append(Chunk(folder / f"{prefix}-{kind}-{group}-{number:02}.npz", say_chunk, spec))
                left -= here
                number += 1
        out[kind] = chunks
    return out


def scene_chunks(
    banks: dict[str, list[str]],
    counts: dict[str, int],
    folder: Path,
    prefix: str,
    seed: int,
    own: dict[str, list[str]],
) -> list[Chunk]:
    """Chunks of scenes by kind; every chunk starts at another clip of the kind's banks, babble from two N banks."""
    out = []
    for kind, count in counts.items():
        clips = tuple(banks.get(kind, ()))
        if not clips and kind != "Z":
            continue
        per_scene = {"P": 1, "C": 2, "N": 2, "U": 2, "Z": 0}[kind]
        for number in range((count + _SCENES - 1) // _SCENES):
            here = min(_SCENES, count - number * _SCENES)
            # Banks far apart: talkers of one scene come from different engines and languages.
            total = len(banks["N"])
            speech = tuple(banks["N"][(number + i * total // 4) % total] for i in range(min(4, total)))
            key = seed * 999_983 + ord(kind) * 7919 + number
            first = number * _SCENES * per_scene
            noises, rooms = tuple(own.get("noise", ())), tuple(own.get("rir", ()))
            spec = SceneSpec(kind, here, key, clips, first, speech, noises, rooms)
            out.append(Chunk(folder / f"{prefix}-{kind}-{number:02}.npz", make_scenes, spec))
    return out


def own_files(settings: Settings, folder: Path) -> dict[str, list[str]]:
    """The user's folders as arrays that helper processes can open.

    `recordings` and `negatives` become banks; a third of the recordings (every third by name) is kept for the test
    in `own_test`. `noise` and `rir` become one .npy a file.
    """
    out: dict[str, list[str]] = {}
    for name in ("noise", "rir"):
        source: Path | None = getattr(settings, name)
        if source is not None:
            paths = []
            for number, (_, audio) in enumerate(read_folder(source)):
                path = folder / f"own-{name}-{number:04}.npy"
                np.save(path, (audio / max(1e-6, float(np.abs(audio).max())) * 32000).astype(np.int16))
                paths.append(str(path))
            out[name] = paths
    if settings.negatives is not None:
        out["negatives"] = [_bank(folder / "own-negatives.npz", read_folder(settings.negatives), split=4.0)]
    if settings.recordings is not None:
        clips = read_folder(settings.recordings)
        if len(clips) >= 3:
            out["test"] = [_bank(folder / "own-test.npz", clips[::3])]
            clips = [clip for index, clip in enumerate(clips) if index % 3]
        out["recordings"] = [_bank(folder / "own-recordings.npz", clips)]
    return out


def _bank(path: Path, clips: list[tuple[str, np.ndarray]], split: float = 0.0) -> str:  # type: ignore[type-arg]
    """A bank file of the user's clips; long ones cut every `split` seconds when that is set."""
    pieces = []
    for name, audio in clips:
        size = int(split * 16_000) if split else len(audio)
        pieces += [
            (name, audio[at : at + size]) for at in range(0, len(audio), size) if len(audio[at : at + size]) > 800
        ]
    sounds = [(normal(audio) * 3000).clip(-32767, 32767).astype(np.int16) for _, audio in pieces]
    save_arrays(path, {
        "audio": np.concatenate(sounds),
        "offsets": np.cumsum([0, *map(len, sounds)]),
        "voice": np.array(["own"] * len(sounds)),
        "text": np.array([name for name, _ in pieces]),
    })  # fmt: skip
    return str(path)


@dataclass(frozen=True)
class Folders:
    """Where work is kept: `own` belongs to one phrase, `common` (ordinary speech and noise) serves every phrase."""

    own: Path
    common: Path


@dataclass(frozen=True)
class TrainingData:
    """Scene files, and the banks that mining draws from again."""

    scenes: list[Path]
    banks: dict[str, list[str]]
    user: dict[str, list[str]]


def make_training_data(settings: Settings, plan: Plan, phrase: Phrase, folders: Folders) -> TrainingData:
    """Run both stages."""
    amounts = settings.amounts
    own = speech_chunks(settings, plan, phrase, folders.own, "speech",
                        {"P": amounts.phrase_clips, "C": amounts.confusable_clips}, settings.seed)  # fmt: skip
    common = speech_chunks(
        settings, plan, phrase, folders.common, "speech", {"N": amounts.speech_clips}, settings.seed
    )
    chunks = {**own, **common}
    user = own_files(settings, folders.own)
    run_chunks("speech", [chunk for kind in chunks.values() for chunk in kind], settings.jobs)
    banks = {kind: [str(chunk.out) for chunk in items] for kind, items in chunks.items()}
    if "recordings" in user:
        banks["P"] = banks["P"] + user["recordings"]
    made = scene_chunks(banks, {"P": amounts.phrase_scenes, "C": amounts.confusable_scenes}, folders.own, "scenes",
                        settings.seed, user)  # fmt: skip
    ordinary = {"N": amounts.speech_scenes, "Z": amounts.noise_scenes}
    # With the user's own noises or rooms, ordinary scenes are this phrase's own as well.
    made += scene_chunks(banks, ordinary, folders.own if user else folders.common, "scenes", settings.seed, user)
    if "recordings" in user:
        # The user's voice is what the model is for: it gets scenes of its own beside its share of all of them.
        made += scene_chunks({**banks, "P": user["recordings"]}, {"P": amounts.own_scenes}, folders.own, "scenes-own",
                             settings.seed + 1, user)  # fmt: skip
    if "negatives" in user:
        made += scene_chunks({**banks, "U": user["negatives"]}, {"U": amounts.own_scenes}, folders.own, "scenes",
                             settings.seed, user)  # fmt: skip
    run_chunks("features", made, settings.jobs)
    return TrainingData([chunk.out for chunk in made], banks, user)


def make_candidates(settings: Settings, plan: Plan, phrase: Phrase, folder: Path, data: TrainingData) -> list[Path]:
    """Fresh negative scenes to mine: ordinary speech in other scenes, and confusables never heard before."""
    amounts = settings.amounts
    counts = {"C": amounts.mined_confusable}
    chunks = speech_chunks(settings, plan, phrase, folder, "mine", counts, settings.seed + 500)["C"]
    run_chunks("mine say", chunks, settings.jobs)
    banks = {"C": [str(chunk.out) for chunk in chunks], "N": data.banks["N"]}
    made = scene_chunks(banks, counts | {"N": amounts.mined_speech}, folder, "mine-scenes", settings.seed + 500,
                        data.user)  # fmt: skip
    run_chunks("mine mix", made, settings.jobs)
    return [chunk.out for chunk in made]
