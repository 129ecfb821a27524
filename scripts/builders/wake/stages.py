"""The build from phrase to package, in the order of the work. Every stage leaves files; a second run goes on.

study      pronunciation, neighbours, warnings about a poor phrase
speech     clips from every engine            (data_stages, speech)
features   clips to 5 s scenes to features    (data_stages, augment)
train      the first part of the schedule     (train)
mine       fresh confusables and speech, those kept that the network likes
refine     the rest of the schedule with them
calibrate  threshold from a held-out engine   (calibrate)
package    int8 file, report, verdict         (export, packaging, report)
"""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from builders.common.pool import save_arrays
from builders.common.progress import cpu_seconds
from builders.sound.engines import Voices
from builders.wake import export, phonemes, report
from builders.wake.calibrate import calibrate, make_calibration_audio
from builders.wake.data_stages import Folders, Phrase, TrainingData, make_candidates, make_training_data, study
from builders.wake.licences import licence_text
from builders.wake.network import Network
from builders.wake.packaging import manifest, write_package
from builders.wake.scoring import WINDOW, Trials, score_trials
from builders.wake.settings import Plan, Settings, describe, plan_voices
from builders.wake.train import Scenes, TrainSpec, load_average, train
from builders.wake.trials import CONDITIONS, TrialSpec, make_trials
from noctule.wake.model import WakeModel


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Result:
    """What a build ends with."""

    package: Path
    report: dict[str, Any]
    passed: bool


def build(settings: Settings, tools: dict[str, str], voices: Voices, command: Sequence[str]) -> Result:
    """Run every stage."""
    start = time.monotonic()
    plan = plan_voices(voices, settings.language, settings.also_train)
    folders = Folders(
        settings.work / f"{settings.slug}-{settings.key(tools, voices)}",
        settings.work / f"common-{settings.key(tools, voices, common=True)}",
    )
    for folder in (folders.own, folders.common):
        folder.mkdir(parents=True, exist_ok=True)
    phrase = study(settings)
    said = " or ".join(" ".join("".join(word) for word in way) for way in (phrase.words, *phrase.readings))
    say(f"'{settings.phrase}' is said {said}"
         f"; voices: {describe(voices)}; work is kept in {folders.own}")  # fmt: skip
    warnings = phonemes.warnings(settings.phrase, phrase.words)
    for text in [*warnings, *([plan.calibration_note] if plan.calibration_note else [])]:
        say(f"warning: {text}")
    _estimate(settings)
    data = make_training_data(settings, plan, phrase, folders)
    network, mined = _fit(settings, plan, phrase, folders, data)
    audio = make_calibration_audio(settings, plan, phrase, folders)
    streams = [np.load(file)["features"] for file in audio.streams]
    shift = export.find_shift(network, streams, settings.target_fa_per_hour)
    sample = Scenes(data.scenes[:: max(1, len(data.scenes) // 12)]).features[::9]
    model_bytes = export.export(network, sample, shift, f"Noctule wake word: {settings.phrase}")
    (folders.own / "candidate.bin").write_bytes(model_bytes)
    model = WakeModel(folders.own / "candidate.bin")
    calibration = calibrate(settings, model, audio)
    gap = export.quantisation_gap(network, model, sample[:40], shift)
    own = _own_voice(data, folders, model)
    model.close()
    facts = {
        "phrase": settings.phrase,
        "language": settings.language,
        "phonemes": [list(word) for word in phrase.words],
        "warnings": warnings,
        "engines": _engines(plan),
        "tools": tools,
        "seed": settings.seed,
        "counts": _counts(data, mined),
        "calibrated_on": list(plan.calibrate[:12]),
        "calibration_note": plan.calibration_note,
        "build_seconds": round(time.monotonic() - start),
        "cpu_seconds": round(cpu_seconds()),
    }
    told = report.make_report(settings, facts, calibration, own, gap, model_bytes, folders.own / "candidate.bin")
    extra = {
        "phonemes": facts["phonemes"],
        "engines": facts["engines"],
        "tools": tools,
        "seed": settings.seed,
        "counts": facts["counts"],
        "own_recordings": settings.recordings is not None,
        "calibration": {
            "voices": facts["calibrated_on"],
            "hours": round(calibration.streams.hours, 2),
            "false_accepts_per_hour": told["calibration"]["false_accepts_per_hour"],
            "recall": told["calibration"]["recall"],
            "table": calibration.rows(),
        },
    }
    described = manifest(settings.slug, settings.phrase, settings.language, model_bytes, calibration.threshold,
                         WINDOW, settings.licence, shlex.join(command), extra)  # fmt: skip
    write_package(settings.out, described, model_bytes, licence_text(settings.licence),
                  lambda folder: report.write_report(folder, told))  # fmt: skip
    return Result(settings.out, told, bool(told["verdict"]["passed"]))


def _estimate(settings: Settings) -> None:
    """A first guess of the time on two idle cores, from measured seconds of one core per unit."""
    amounts = settings.amounts
    scenes = amounts.phrase_scenes + amounts.confusable_scenes + amounts.speech_scenes + amounts.noise_scenes
    mined = amounts.mined_speech + amounts.mined_confusable
    clips = amounts.phrase_clips + amounts.confusable_clips + amounts.speech_clips + amounts.mined_confusable
    shared = 0.012 * clips + 0.03 * (scenes + mined) + 45 * amounts.negative_hours
    minutes = (shared / max(1, settings.jobs) + 0.05 * (amounts.steps + amounts.refine)) / 60
    say(
        f"about {minutes:.0f} minutes of work on {settings.jobs} idle cores; interrupt at will, it goes on from there"
    )


def _fit(
    settings: Settings, plan: Plan, phrase: Phrase, folders: Folders, data: TrainingData
) -> tuple[Network, dict[str, int]]:
    """Train, mine, refine; the averaged network and what was mined."""
    amounts = settings.amounts
    first, final, hard = (folders.own / name for name in ("first.pt", "final.pt", "mined.npz"))
    if not first.exists():
        spec = TrainSpec(steps=amounts.steps, seed=settings.seed)
        train(Scenes(data.scenes), spec, 0, amounts.steps, None, first, "train")
    candidates = make_candidates(settings, plan, phrase, folders.own, data)
    keep = {"N": amounts.kept_speech, "C": amounts.kept_confusable}
    kept = export.mined(load_average(first), candidates, keep, hard)
    say(f"mined      kept {kept} of {amounts.mined_speech + amounts.mined_confusable} new scenes")
    if not final.exists():
        # The rate begins again where the longer schedule is: high enough to learn what was mined.
        spec = TrainSpec(steps=amounts.refine_schedule, seed=settings.seed)
        begin = amounts.refine_schedule - amounts.refine
        train(Scenes([*data.scenes, hard]), spec, begin, amounts.refine_schedule, first, final, "refine")
    return load_average(final), kept


def _own_voice(data: TrainingData, folders: Folders, model: WakeModel) -> Trials | None:
    """The user's held-back recordings in every condition, or None without enough of them."""
    if "test" not in data.user:
        return None
    out = folders.own / "own-trials.npz"
    if not out.exists():
        save_arrays(out, make_trials(TrialSpec(tuple(data.user["test"]), tuple(data.banks["N"][:1]), 5,
                                               tuple(CONDITIONS))))  # fmt: skip
    return score_trials(model, WINDOW, [out], "own voice")


def _engines(plan: Plan) -> dict[str, int]:
    """Voices trained on, by engine."""
    out: dict[str, int] = {}
    for name in (*plan.train_espeak, *plan.train_others):
        engine = name.split(":", 1)[0]
        out[engine] = out.get(engine, 0) + 1
    return out


def _counts(data: TrainingData, mined: dict[str, int]) -> dict[str, Any]:
    kinds: dict[str, int] = {}
    for file in data.scenes:
        kind = np.load(file)["kind"]
        kinds[str(kind[0])] = kinds.get(str(kind[0]), 0) + len(kind)
    names = {"P": "phrase", "C": "confusable", "N": "speech", "Z": "noise", "U": "own_negative"}
    return {"scenes": {names[kind]: count for kind, count in kinds.items()}, "mined": mined}
