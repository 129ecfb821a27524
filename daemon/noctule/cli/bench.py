"""`noctule bench speech`: how long a frame of the speech model takes on this board, and whether that is enough."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, replace

from noctule.cli.common import say
from noctule.cli.speech_common import open_pair, speech_arguments
from noctule.lm.speech.pair import measure
from noctule.lm.speech.realtime import judge

HELP = "measure a model on this board"


def arguments(parser: argparse.ArgumentParser) -> None:
    parts = parser.add_subparsers(dest="part", metavar="speech", required=True)
    speech = parts.add_parser("speech", help="the speech model and its codec")
    speech.add_argument("--frames", type=int, default=50, metavar="N", help="frames to measure (default 50)")
    speech.add_argument("--json", action="store_true", help="print one JSON object")
    speech_arguments(speech)


def run(options: argparse.Namespace) -> int:
    pair, _ = open_pair(options)
    with pair:
        model = pair.model
        cost = measure(model, pair.codec, max(1, options.frames))
        frame_ms = 1000 / model.layout.frame_rate
        droppable = model.modes == ("tts",)
        whole = replace(cost, temporal=cost.temporal * pair.readings)
        verdict = judge(whole, model.layout.dep_q, frame_ms, policy="degrade", droppable=droppable)
        if options.json:
            row = {"model": model.manifest.name, "frame_ms": frame_ms, **asdict(cost)}
            row |= {"readings": pair.readings, **asdict(verdict)}
            say(json.dumps(row, ensure_ascii=False))
            return 0
        say(f"{model.manifest.name} ({', '.join(model.modes)}), median of {options.frames} frames:")
        each = f" for each of {pair.readings} readings" if pair.readings > 1 else ""
        say(f"  temporal transformer {cost.temporal:8.2f} ms{each}")
        if model.layout.dep_q:
            all_ms = cost.codebook * model.layout.dep_q
            say(f"  {model.layout.dep_q:2d} codebooks         {all_ms:8.2f} ms")
        say(f"  codec                {cost.codec:8.2f} ms")
        say(verdict.sentence)
    return 0
