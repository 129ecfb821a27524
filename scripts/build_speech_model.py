#!/usr/bin/env python3
"""Build what Noctule hears with (models/noctule-stt and the encoder of models/noctule-speech-codec) from nothing.

Stage "hearing" speaks the training sentences (espeak-ng, and flite where installed) and trains: about two hours on
one idle core; it can be interrupted and goes on where it stopped. Stage "export" calibrates and writes the packages;
a codec needs its decoder, which scripts/build_voice.py trains in between. Needs the host tools
(scripts/requirements-host.txt).
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

_HERE = Path(__file__).resolve().parent
_ROOT = _HERE.parent
sys.path[:0] = [str(_HERE), str(_ROOT / "daemon")]
# Threads that wait by spinning lose most of a core as soon as anything else runs; must be set before torch loads.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

from noctule.core.errors import InputError, NoctuleError  # noqa: E402 - the line above makes it importable

STAGES = ("hearing", "export")


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="build_speech_model.py", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--evaluate", action="store_true", help="measure the packages and write their MODEL_CARD.md")
    parser.add_argument("--stage", choices=STAGES, action="append", help="only this stage; may be given again")
    parser.add_argument("--seed", type=int, default=7, help="of sentences, voices, weights and order (default 7)")
    parser.add_argument("--quick", action="store_true", help="minutes instead of hours: working packages, no words")
    parser.add_argument("--threads", type=int, default=1, help="for training; another number gives another model")
    parser.add_argument("--recordings", type=Path, help="folder of WAV files, each with a .txt of its words, to join")
    parser.add_argument("--models", type=Path, default=_ROOT / "models", help="where packages go (default models/)")
    parser.add_argument("--from", dest="start", type=Path, help="go on from the packages in this folder (models/)")
    parser.add_argument("--work", type=Path, help="folder for what is kept between runs (default build/speech…)")
    parser.add_argument("--clips", type=int, default=100, help="with --evaluate: clips of each engine (default 100)")
    return parser.parse_args(arguments)


def build(options: argparse.Namespace) -> None:
    from builders.common.terminal import quiet

    try:
        with quiet():  # the converters greet at import
            import torch

            from builders.speech.hearing.shipping import ship
            from builders.speech.hearing.stages import Build, check_engines, learn, speak
            from builders.speech.hearing.train import Plan
            from builders.speech.hearing.unpack import check_packages
    except ImportError as error:
        raise InputError(
            f"building needs the host tools: {error}", "pip install -r scripts/requirements-host.txt"
        ) from None
    from builders.speech.shape import LmShape

    torch.set_num_threads(options.threads)
    work = options.work or _ROOT / "build" / ("speech-quick" if options.quick else "speech")
    plan, shards, clips = Plan(), 40, 400
    if options.quick:
        plan, shards, clips = Plan(joint_steps=40, listen_steps=20, warm_up=10, batch=4, kept=8), 1, 24
    command = f"scripts/build_speech_model.py --seed {options.seed}{' --quick' if options.quick else ''}"
    command += "" if options.start is None else f" --from {options.start.name}"
    job = Build(work, options.seed, plan, LmShape(), shards, clips, options.recordings, options.start)
    began = time.monotonic()
    wanted = options.stage or STAGES
    if "hearing" in wanted:
        engines = check_engines(say)
        if options.start is not None:
            check_packages(options.start)
        work.mkdir(parents=True, exist_ok=True)
        speak(job, engines, say)
        learn(job, say)
    if "export" in wanted:
        ship(job, options.models, command, say)
    say(f"done after {(time.monotonic() - began) / 60:.1f} minutes")


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    try:
        if options.evaluate:
            from builders.speech.hearing.shipping import evaluate

            evaluate(options.models, options.work or _ROOT / "build" / "speech", options.clips, options.seed, say)
        else:
            build(options)
    except NoctuleError as error:
        print(f"build_speech_model.py: {error.explain()}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("build_speech_model.py: interrupted; run it again to go on", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
