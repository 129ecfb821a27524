"""What a build was asked for, what this machine has for it, and the key under which finished work is kept."""

from __future__ import annotations

import ctypes.util
import hashlib
import importlib.metadata
import importlib.util
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from builders.sound.engines import Voices, espeak, find_voices, mbrola, pico, rhvoice
from noctule.core.errors import InputError, UnavailableError

#: raised whenever the recipe changes what a seed gives.
RECIPE = 5
#: voices kept for acceptance tests: nothing trains or calibrates on them unless `--also-train` names them.
RESERVED = frozenset({"flite:slt", "flite:kal", "festival:ked_diphone", "festival:cmu_us_slt_arctic_hts"})


@dataclass(frozen=True)
class Amounts:
    """How much of everything a build makes. `quick` is for trying the pipeline, not for a usable model."""

    phrase_clips: int = 3000
    confusable_clips: int = 1800
    speech_clips: int = 4200
    phrase_scenes: int = 8000
    #: few: with as many as there are phrases the network refuses speakers that it does not know.
    confusable_scenes: int = 600
    speech_scenes: int = 4800
    noise_scenes: int = 450
    own_scenes: int = 1500
    mined_speech: int = 4000
    mined_confusable: int = 1000
    #: of the mined scenes, those that are kept.
    kept_speech: int = 700
    kept_confusable: int = 120
    steps: int = 3600
    #: the second part, after mining: the last steps of a schedule that is so much longer.
    refine: int = 2300
    refine_schedule: int = 5200
    negative_hours: float = 8.8
    phrase_trials: int = 56

    def scaled(self, effort: float) -> Amounts:
        """More or fewer scenes of the phrase's own, and steps; what phrases share and tests stay as they are."""
        names = [
            "phrase_scenes", "confusable_scenes", "own_scenes", "mined_speech", "mined_confusable", "kept_speech",
            "kept_confusable", "steps", "refine", "refine_schedule",
        ]  # fmt: skip
        return replace(self, **{name: max(1, round(getattr(self, name) * effort)) for name in names})

    @classmethod
    def quick(cls) -> Amounts:
        return cls(60, 60, 80, 120, 80, 120, 20, 20, 20, 10, 7, 3, 24, 16, 40, 0.1, 3)


@dataclass(frozen=True)
class Settings:
    """A build's inputs; everything that changes the result takes part in `key`."""

    phrase: str
    out: Path
    work: Path
    language: str = "en"
    spellings: tuple[str, ...] = ()
    seed: int = 1
    jobs: int = 2
    recordings: Path | None = None
    noise: Path | None = None
    rir: Path | None = None
    negatives: Path | None = None
    piper: tuple[Path, ...] = ()
    also_train: tuple[str, ...] = ()
    target_fa_per_hour: float = 0.5
    target_recall: float = 0.9
    licence: str = "Apache-2.0"
    amounts: Amounts = field(default_factory=Amounts)

    @property
    def slug(self) -> str:
        """The package's id: the phrase in lower case with underscores."""
        return re.sub(r"\W+", "_", self.phrase.lower()).strip("_")

    def key(self, tools: dict[str, str], voices: Voices, common: bool = False) -> str:
        """Eight hex digits that change with anything the trained model depends on.

        `common`: only with what ordinary speech depends on, which every phrase shares.
        """
        told = {
            name: value
            for name, value in asdict(self).items()
            if name not in ("out", "work", "jobs", "licence", "target_fa_per_hour", "target_recall")
        }
        if common:
            told = {name: told[name] for name in ("language", "seed", "piper", "also_train")}
            told["clips"] = (self.amounts.speech_clips, self.amounts.speech_scenes, self.amounts.negative_hours)
        folders = {name: _folder_digest(getattr(self, name)) for name in ("recordings", "noise", "rir", "negatives")}
        text = json.dumps([RECIPE, told, folders, tools, voices.all()], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:8]


def _folder_digest(folder: Path | None) -> str:
    if folder is None:
        return ""
    found = [(item.name, item.stat().st_size) for item in sorted(folder.rglob("*.wav"))]
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()


@dataclass(frozen=True)
class Plan:
    """Which voice does what."""

    train_espeak: tuple[str, ...]
    #: espeak voices of other languages, for negative speech only.
    train_foreign: tuple[str, ...]
    train_others: tuple[str, ...]
    calibrate: tuple[str, ...]
    #: a sentence when calibration could not have an engine of its own, else empty.
    calibration_note: str = ""


def plan_voices(voices: Voices, language: str, also_train: Sequence[str]) -> Plan:
    """Share the voices out: a whole engine is held out for calibration whenever one is there."""
    unknown = sorted(set(also_train) - set(voices.all()))
    if unknown:
        raise InputError(
            f"--also-train {unknown[0]}: there is no such voice here",
            "voices are written engine:voice, such as flite:slt",
        )
    known = [name for name in voices.all() if name not in RESERVED or name in also_train]
    of = {engine: tuple(n for n in known if n.startswith(engine + ":")) for engine in vars(voices)}
    forced = tuple(name for name in also_train if not name.startswith("espeak:"))
    # One engine alone is a poor guide: its way of saying the phrase may be that of an engine of the training.
    held = tuple(name for name in of["festival"] + of["pico"] + of["mbrola"] if name not in forced)
    flite, piper = of["flite"], of["rhvoice"] + of["piper"]
    note, train_espeak = "", of["espeak"]
    if held:
        calibrate, others = held, flite + piper
    elif len(flite) > 1 or (flite and piper):
        calibrate, others = flite[-1:], flite[:-1] + piper
        note = f"festival, pico and mbrola are missing: calibrated on {flite[-1]}, an engine that training also used"
    else:
        held = tuple(name for name in train_espeak if re.search(r"\+(klatt\d?|f[1-5]|anika|Andy|steph)$", name))
        calibrate, others = held, flite + piper
        train_espeak = tuple(name for name in train_espeak if name not in held)
        note = "only espeak-ng was found: calibrated on held-out variants of the training engine, so optimistic"
    foreign = [
        f"espeak:{accent}{tail}"
        for code in ("de", "fr", "es", "it", "nl", "pl", "pt", "sv", "hi", "tr")
        if code != language.split("-")[0]
        for accent in espeak.accents(code)
        for tail in ("", "+f2", "+m3")
    ]
    return Plan(train_espeak, tuple(foreign), tuple(dict.fromkeys(others + forced)), calibrate, note)


def check_tools(settings: Settings) -> dict[str, str]:
    """Fail in the first seconds, naming every missing package; else the versions that the build depends on."""
    missing = []
    if not espeak.library() or not shutil.which("espeak-ng"):
        missing.append("espeak-ng (apt install espeak-ng)")
    for module, package in (
        ("numpy", "numpy"),
        ("scipy", "scipy"),
        ("torch", "torch"),
        ("flatbuffers", "flatbuffers"),
        ("pymicro_features", "pymicro-features"),
        ("ai_edge_litert", "ai-edge-litert"),
    ):
        if importlib.util.find_spec(module) is None:
            missing.append(f"{package} (pip install {package})")
    if settings.piper and not shutil.which("piper"):
        missing.append("piper (pip install piper-tts), because --piper was given")
    if missing:
        raise UnavailableError("missing: " + "; ".join(missing), "install them and run the same command again")
    for path in settings.piper:
        if not path.is_file() or not Path(f"{path}.json").is_file():
            raise InputError(f"{path}: a piper voice is an .onnx file with its .onnx.json beside it")
    for name in ("recordings", "noise", "rir", "negatives"):
        folder: Path | None = getattr(settings, name)
        if folder is not None and not any(folder.rglob("*.wav")):
            raise InputError(f"--{name} {folder}: there is no .wav file in this folder")
    if not espeak.accents(settings.language):
        raise InputError(
            f"--language {settings.language}: espeak-ng speaks no such language", "espeak-ng --voices lists them"
        )
    versions = {
        name: importlib.metadata.version(name)
        for name in ("numpy", "scipy", "torch", "pymicro-features", "ai-edge-litert")
    }
    versions["python"] = ".".join(map(str, sys.version_info[:3]))
    versions["espeak-ng"] = _first_line("espeak-ng", "--version")
    if ctypes.util.find_library("flite") and shutil.which("flite"):
        versions["flite"] = _first_line("flite", "--version", line=-1)
    if shutil.which("festival"):
        versions["festival"] = _first_line("festival", "--version")
    more = (("rhvoice", rhvoice.voices()), ("pico", pico.voices()), ("mbrola", mbrola.voices()))
    versions |= {name: "yes" for name, there in more if there}
    return versions


def _first_line(*command: str, line: int = 0) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    lines = [item.strip() for item in (done.stdout + done.stderr).splitlines() if item.strip()]
    text = next((item for item in lines if re.search(r"\d+\.\d+", item)), lines[line] if lines else "unknown")
    found = re.search(r"\d+(\.\d+)+\S*", text)
    return found.group(0) if found else text


def describe(voices: Voices) -> str:
    """'816 espeak, 4 flite, 3 festival' for the log."""
    return ", ".join(f"{len(items)} {name}" for name, items in vars(voices).items() if items)


def look_around(settings: Settings) -> tuple[dict[str, str], Voices]:
    """Tools and voices, or the error that says what is missing."""
    tools = check_tools(settings)
    return tools, find_voices(settings.language, settings.piper)
