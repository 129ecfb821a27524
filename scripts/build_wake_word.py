#!/usr/bin/env python3
"""Build a wake word on this PC, offline: scripts/build_wake_word.py "hey noctule"

Speaks the phrase with every speech engine installed here (espeak-ng is needed; flite, festival and piper make the
model better), trains a small int8 model and calibrates it on an engine it never heard. The package (a microWakeWord
v2 JSON and .tflite, with report.html) goes to --out. Exit status: 0 the target is met, 3 the package is written but
misses it (see the report), else an error.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

_HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(_HERE), str(_HERE.parent / "daemon")]

from builders.wake.settings import Amounts, Settings, look_around  # noqa: E402
from noctule.core.errors import InputError, NoctuleError  # noqa: E402  (after the path is set)

_MISSED_TARGET = 3


def parse(arguments: list[str]) -> Settings:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "noctule" / "wake"
    add = parser.add_argument
    add("phrase", help="what people will say, such as 'hey noctule'")
    add("--out", type=Path, help="the package's folder (default models/<phrase>)")
    add("--work", type=Path, default=cache, help="where finished stages are kept (default %(default)s)")
    add("--language", default="en", help="an espeak-ng language code (default en)")
    add("--spelling", action="append", default=[], help="another spelling of the same sound; repeatable")
    add("--recordings", type=Path, help="folder of WAV files of you saying the phrase; a third is kept for the test")
    add("--negatives", type=Path, help="folder of WAV files that must not wake it")
    add("--noise", type=Path, help="folder of WAV files of your rooms' noises")
    add("--rir", type=Path, help="folder of WAV files of room impulse responses")
    add("--piper", type=Path, action="append", default=[], help="a piper voice (.onnx); repeatable")
    add("--also-train", action="append", default=[], help="engine:voice otherwise kept for tests; repeatable")
    add("--seed", type=int, default=1, help="same seed and tools, same model (default 1)")
    add("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="cores to use (default %(default)s)")
    add("--target-fa", type=float, default=0.5, help="false accepts an hour of speech that may happen (default 0.5)")
    add("--target-recall", type=float, default=0.9, help="share of clean phrases that must be heard (default 0.9)")
    add("--licence", default="Apache-2.0", help="SPDX identifier for the package (default Apache-2.0)")
    add("--effort", type=float, default=1.0, help="scale of scenes and training steps, 0.1 to 10 (default 1)")
    add("--quick", action="store_true", help="a tiny build that tries the pipeline; its model is useless")
    told = parser.parse_args(arguments)
    phrase = " ".join(told.phrase.split())
    if not any(letter.isalpha() for letter in phrase):
        raise InputError(f"the phrase {told.phrase!r} has no letters in it")
    if told.jobs < 1:
        raise InputError(f"--jobs {told.jobs}: use 1 or more")
    for name in ("target_fa", "target_recall"):
        if getattr(told, name) <= 0:
            raise InputError(f"--{name.replace('_', '-')} must be above 0")
    if not 0.1 <= told.effort <= 10:
        raise InputError(f"--effort {told.effort:g} is not between 0.1 and 10")
    amounts = Amounts.quick() if told.quick else Amounts().scaled(told.effort)
    settings = Settings(
        phrase, told.out or Path(), told.work, told.language, tuple(told.spelling), told.seed, told.jobs,
        told.recordings, told.noise, told.rir, told.negatives, tuple(told.piper), tuple(told.also_train),
        told.target_fa, told.target_recall, told.licence, amounts,
    )  # fmt: skip
    if told.out is None:
        settings = Settings(**{**vars(settings), "out": _HERE.parent / "models" / settings.slug})
    return settings


def command(settings: Settings) -> list[str]:
    """The command that builds the same model anywhere; where it was kept and by how many cores do not matter."""
    plain, out = (
        Settings(settings.phrase, settings.out, settings.work),
        ["scripts/build_wake_word.py", settings.phrase],
    )
    options = {
        "language": "--language",
        "seed": "--seed",
        "target_fa_per_hour": "--target-fa",
        "licence": "--licence",
    }
    for name, option in options.items():
        if getattr(settings, name) != getattr(plain, name):
            out += [option, str(getattr(settings, name))]
    for name in ("recordings", "negatives", "noise", "rir"):
        if getattr(settings, name) is not None:
            out += [f"--{name}", getattr(settings, name).name]
    out += [part for text in settings.spellings for part in ("--spelling", text)]
    out += [part for path in settings.piper for part in ("--piper", path.name)]
    out += [part for voice in settings.also_train for part in ("--also-train", voice)]
    if settings.amounts == Amounts.quick():
        return [*out, "--quick"]
    effort = round(settings.amounts.steps / Amounts().steps, 3)
    return out if effort == 1 else [*out, "--effort", f"{effort:g}"]


def main(arguments: list[str]) -> int:
    try:
        settings = parse(arguments)
        tools, voices = look_around(settings)
        from builders.wake.stages import build  # torch is imported only after the tools were checked

        result = build(settings, tools, voices, command(settings))
    except NoctuleError as error:
        print(f"build_wake_word: {error.explain()}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("\nbuild_wake_word: stopped; the same command goes on from here", file=sys.stderr)
        return 130
    verdict = result.report["verdict"]
    for name, ok in verdict["checks"].items():
        print(f"{'PASS' if ok else 'FAIL'}  {name}")
    if result.report["own_voice"] == "synthetic test only":
        print("note  synthetic test only: record yourself and give --recordings for a test with your voice")
    print(f"{'PASS' if result.passed else 'FAIL'}  {result.package} (open {result.package / 'report.html'})")
    return 0 if result.passed else _MISSED_TARGET


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
