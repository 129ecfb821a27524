"""`noctule heard FILE.wav`: how a command would be understood, and why; works alone, without a daemon.

The free text races against the sentences of the grammar: the phrasings of the actions and the owner's commands. What
is printed is the race, the three numbers and the decision; nothing is done.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from noctule.assistant.grammar.grammar import Match
from noctule.assistant.grammar.in_force import grammar_of
from noctule.assistant.phrases.request import read
from noctule.audio.chunk import RATE
from noctule.audio.wavefile import WavReader
from noctule.cli.common import config_arguments, load, printable, say
from noctule.cli.speech_common import cache_dir, package, warn
from noctule.core.errors import InputError, ModelError
from noctule.inference.manifest import package_kind
from noctule.lm.speech.moonshine.belief import doubt
from noctule.lm.speech.moonshine.model import KIND as SPEECH_TO_TEXT
from noctule.lm.speech.moonshine.model import MoonshineModel
from noctule.voice.engines import package_of
from noctule.voice.questions import question
from noctule.voice.stt.guided import ASK, GuidedReader

HELP = "show how a recorded command would be understood, and why"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "files", type=Path, nargs="+", metavar="FILE.wav", help="a command; its first seconds are read"
    )
    parser.add_argument(
        "--lead", type=float, default=0.0, metavar="SECONDS",
        help="up to where the wake word may reach: words that begin before it may stand before the request",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="a JSON object for each file")
    config_arguments(parser)


def run(options: argparse.Namespace) -> int:
    config = load(options).config
    name = package_of(config.speech, "stt")
    folder = package(name, config, "speech.stt") if name else None
    if folder is None or package_kind(folder) != SPEECH_TO_TEXT:
        raise ModelError("Only a speech-to-text package can be guided.", "see speech.stt")
    grammar = grammar_of(config)
    model = MoonshineModel.load(folder, threads=config.speech.threads, cache_dir=cache_dir(config))
    reader = GuidedReader(lambda: grammar)
    for path in options.files:
        with WavReader(path) as wav:
            blocks = list(wav.at_rate(RATE, RATE))
            sound = np.concatenate(blocks) if blocks else np.zeros(0, np.float32)
            for warning in wav.warnings:
                warn(warning)
        if not len(sound):
            raise InputError(f"{path}: holds no sound")
        race = reader.race(model, sound[: int(model.longest * RATE)], options.lead)
        decided = reader.decide(race)
        sentences: list[dict[str, Any]] = [
            {
                "text": runner.text, "score": round(runner.score, 3), "ratio": round(runner.ratio, 3),
                "skipped": runner.skipped, "call": _call(grammar.match(read(runner.text))),
            }
            for runner in race.runners[:5]
        ]  # fmt: skip
        disbelieved = doubt(race.free_text, race.free)
        if options.json:
            told = {"text": race.free_text, "score": round(race.free_score, 3), "disbelieved": disbelieved}
            say(json.dumps({"file": str(path), **told, "sentences": sentences, "decision": decided.what}))
            continue
        say(f"{path}")
        why = f"  not believed: {disbelieved}" if disbelieved else ""
        say(f"  free text  {printable(race.free_text)}  ({race.free_score:.2f} a word){why}")
        for sentence in sentences:
            before = f", {sentence['skipped']} words before it" if sentence["skipped"] else ""
            numbers = f"{sentence['score']:.2f} a word, ratio {sentence['ratio']:.2f}{before}"
            say(f"  sentence   {printable(sentence['text'])}  ({numbers})  {sentence['call']}")
        asked = f': "{question(decided.runner.text)}"' if decided.what == ASK and decided.runner is not None else ""
        say(f"  decision   {decided.what}{asked}{f' ({decided.why})' if decided.why else ''}")
    model.close()
    return 0


def _call(match: Match | None) -> str:
    """A match as one line: the action or command, then its arguments."""
    if match is None:
        return ""
    name = f"command {match.command}" if match.command else match.action
    return " ".join([name, *(f'{slot}="{value.text}"' for slot, value in match.arguments.items())])
