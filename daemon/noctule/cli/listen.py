"""`noctule listen FILE…`: run the wake words over WAV files; what is heard when, with its score. Needs no daemon.

Each file is heard in a quiet room: after a start the detector is deaf for two seconds, and a recording of a word
hardly ever begins with as much silence.

With --through the files go through the whole loop: see through.py.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from noctule.audio.chunk import HOP, RATE, Pcm, to_int16
from noctule.cli.common import config_arguments, load, say, warn
from noctule.core.errors import ConfigError

if TYPE_CHECKING:
    from noctule.wake.detector import Detection

#: seconds of quiet before a file beyond the warm-up, and after it: a word at its very end is decided then.
_SETTLED, _TAIL = 0.2, 0.5
#: seconds after a word is heard in which its score still rises.
_WORD = 1.0

HELP = "run the wake words, or the whole loop, over WAV files"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--word", action="append", metavar="PACKAGE", help="instead of the configured wake words")
    parser.add_argument("--threshold", type=float, help="instead of each package's own")
    parser.add_argument(
        "--through", action="store_true", help="wake, recognise, act and answer, printing each stage with its time"
    )
    parser.add_argument("-o", "--output", type=Path, metavar="FOLDER", help="where answers go (with --through)")
    parser.add_argument("--json", action="store_true", help="one JSON object a file, or an event")
    config_arguments(parser)


def run(options: argparse.Namespace) -> int:
    if options.through:
        from noctule.cli import through

        through.check(options)
        return through.run(options)
    from noctule.audio.wavefile import WavReader
    from noctule.voice.wakewords.in_service import find_wake_word
    from noctule.wake.detector import Detector

    if options.word:
        # Packages named on the command line need no valid configuration.
        try:
            folders = load(options).config.service.models
        except ConfigError:
            folders = []
        words = options.word
    else:
        config = load(options).config
        folders, words = config.service.models, config.wake.words
    best: dict[str, float] = {}
    scores: list[tuple[str, float, float]] = []

    def trace(word: str, time: float, mean: float) -> None:
        best[word] = max(best.get(word, 0.0), mean)
        scores.append((word, time, mean))

    packages = [find_wake_word(word, folders) for word in words]
    detector = Detector(packages, trace=trace)
    lead = _room(max(package.warm_up for package in packages) + _SETTLED)
    begin = len(lead) / RATE
    if options.threshold is not None:
        for word in detector.words:
            detector.set_threshold(word, options.threshold)
    heard_any = False
    try:
        for path in options.files:
            detector.reset()
            detector.push(lead)
            best.clear()
            scores.clear()
            found: list[Detection] = []
            seconds = 0.0
            with WavReader(path) as reader:
                for block in reader.at_rate(RATE, HOP):
                    seconds += len(block) / RATE
                    found += detector.push(to_int16(block))
            found += detector.push(_room(_TAIL))
            for sentence in reader.warnings:
                warn(sentence)
            heard = [
                {
                    "word": d.word,
                    "phrase": d.phrase,
                    "time": round(d.time - begin, 2),
                    "score": round(_peak(scores, d), 3),
                }
                for d in found
            ]
            heard_any = heard_any or bool(heard)
            _show(options.json, path, heard, {k: round(v, 3) for k, v in best.items()}, seconds)
    finally:
        detector.close()
    return 0 if heard_any else 1


def _peak(scores: list[tuple[str, float, float]], heard: Detection) -> float:
    """The highest score of the word that was heard, not the first above the threshold."""
    return max(
        (mean for word, at, mean in scores if word == heard.word and heard.time <= at <= heard.time + _WORD),
        default=heard.score,
    )


def _room(seconds: float) -> Pcm:
    """A room in which nobody speaks: the same faint noise each time."""
    return np.rint(np.random.default_rng(0).normal(0, 3.0, round(seconds * RATE / HOP) * HOP)).astype(np.int16)


def _show(as_json: bool, path: Path, heard: list[dict[str, Any]], best: dict[str, float], seconds: float) -> None:
    if as_json:
        say(json.dumps({"file": str(path), "heard": heard, "best": best, "seconds": round(seconds, 2)}))
        return
    for item in heard:
        say(f'{path}: {item["time"]:.2f} s: heard "{item["phrase"]}" ({item["score"]:.2f})')
    if not heard:
        scores = ", ".join(f"{word} {score:.2f}" for word, score in best.items()) or "too short to score"
        say(f"{path}: nothing heard in {seconds:.1f} s (best scores: {scores})")
