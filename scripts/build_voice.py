#!/usr/bin/env python3
"""Build what Noctule speaks with: the decoder of models/noctule-speech-codec, and models/noctule-tts.

Needs the encoder that scripts/build_speech_model.py has trained (--encoder), flite with its voice slt, and the host
tools (scripts/requirements-host.txt). About an hour on one idle core; what is finished is not made again.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

_HERE = Path(__file__).resolve().parent
_ROOT = _HERE.parent
sys.path[:0] = [str(_HERE), str(_ROOT / "daemon")]
# Threads that wait by spinning lose most of a core as soon as anything else runs; must be set before torch loads.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

from noctule.core.errors import InputError, NoctuleError  # noqa: E402 - the line above makes it importable

STAGES = ("recordings", "decoder", "voice", "export", "evaluate")


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="build_voice.py", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--stage", choices=STAGES, action="append", help="only this stage; may be given again")
    parser.add_argument("--seed", type=int, default=0, help="of texts, weights and order (default 0)")
    parser.add_argument("--quick", action="store_true", help="minutes instead of an hour: working packages, no words")
    parser.add_argument("--threads", type=int, default=1, help="for training; another number gives another model")
    parser.add_argument("--work", type=Path, default=_ROOT / "build" / "speech", help="what is kept between runs")
    parser.add_argument("--encoder", type=Path, help="a checkpoint of the encoder (default WORK/encoder_frozen.pt)")
    parser.add_argument("--also", type=Path, help="a later state of it whose codes the decoder is to understand too")
    parser.add_argument("--models", type=Path, default=_ROOT / "models", help="where packages go (default models/)")
    parser.add_argument("--keep", action="store_true", help="with --from: take decoder and voice as they are")
    parser.add_argument("--decoder-steps", type=int, help="of training (default 2500)")
    parser.add_argument("--voice-steps", type=int, help="of training (default 6000)")
    parser.add_argument("--from", dest="start", type=Path, help="go on from the packages in this folder (models/)")
    parser.add_argument("--sentences", type=int, default=100, help="with evaluate: how many (default 100)")
    return parser.parse_args(arguments)


def run(options: argparse.Namespace) -> None:
    from builders.common.terminal import quiet

    try:
        with quiet():  # the converters greet at import
            import torch

            from builders.speech.voice import stages
            from builders.speech.voice.decoder_train import DecoderPlan
            from builders.speech.voice.tts_export import SAMPLING
            from builders.speech.voice.tts_train import SpeakPlan
    except ImportError as error:
        raise InputError(
            f"building needs the host tools: {error}", "pip install -r scripts/requirements-host.txt"
        ) from None
    torch.set_num_threads(options.threads)
    encoder = options.encoder or options.work / "encoder_frozen.pt"
    build = stages.VoiceBuild(options.work, encoder, options.also, options.seed)
    if options.quick:
        plans = DecoderPlan(steps=20, batch=4), SpeakPlan(steps=20, batch=4)
        build = replace(build, shards=1, clips=40, decoder=plans[0], voice=plans[1])
    if options.decoder_steps is not None:
        build = replace(build, decoder=replace(build.decoder, steps=options.decoder_steps))
    if options.voice_steps is not None:
        build = replace(build, voice=replace(build.voice, steps=options.voice_steps))
    command = f"scripts/build_voice.py --seed {options.seed}{' --quick' if options.quick else ''}"
    command += "" if options.start is None else f" --from {options.start.name}"
    if options.keep and options.start is None:
        raise InputError("--keep takes over what is in packages, and no packages are named", "add --from models")
    wanted = options.stage or [stage for stage in STAGES if stage != "evaluate"]
    if options.keep:
        stages.keep(build, options.start, say)
        wanted = [stage for stage in wanted if stage in ("export", "evaluate")]
    if "recordings" in wanted:
        stages.record(build, say, options.start)
    if "decoder" in wanted:
        stages.learn_decoder(build, say, options.start)
    if "voice" in wanted:
        stages.learn_voice(build, say, options.start)
    if "export" in wanted:
        stages.ship_voice(build, options.models, command, say, SAMPLING)
    if "evaluate" in wanted:
        from builders.speech.voice.card import evaluate_voice

        evaluate_voice(build, options.models, options.sentences, say)


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    try:
        run(options)
    except NoctuleError as error:
        print(f"build_voice.py: {error.explain()}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("build_voice.py: interrupted; run it again to go on", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
