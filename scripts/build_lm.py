#!/usr/bin/env python3
"""Build models/noctule-tiny from nothing, or measure it and write its model card.

Building takes about an hour on two cores and can be interrupted: it goes on where it stopped. Needs the
host tools (scripts/requirements-host.txt).
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


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="build_lm.py", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--evaluate", action="store_true", help="measure the package and write its MODEL_CARD.md")
    parser.add_argument("--seed", type=int, default=7, help="of data, weights and order (default 7)")
    parser.add_argument("--quick", action="store_true", help="a minute's training: a working package, a poor model")
    parser.add_argument("--threads", type=int, default=1, help="for training; another number gives another model")
    parser.add_argument("-o", "--output", type=Path, default=_ROOT / "models" / "noctule-tiny", help="package folder")
    parser.add_argument("--work", type=Path, help="folder for what is kept between runs (default build/…)")
    parser.add_argument("--count", type=int, default=2000, help="requests of each kind to measure (default 2000)")
    parser.add_argument(
        "--outside", type=Path, help="with --evaluate: also count false actions on these lines of text"
    )
    return parser.parse_args(arguments)


def build(options: argparse.Namespace) -> None:
    from builders.common.terminal import quiet

    try:
        with quiet():  # the converters greet at import
            from builders.text.model import Shape
            from builders.text.ngrams import Lessons
            from builders.text.stages import Plan
            from builders.text.stages import build as run
            from builders.text.train import Recipe
    except ImportError as error:
        raise InputError(
            f"building needs the host tools: {error}", "pip install -r scripts/requirements-host.txt"
        ) from None
    recipe = Recipe(seed=options.seed, threads=options.threads)
    lessons = Lessons(seed=options.seed)
    lines, calibration = 60_000, 4000
    if options.quick:
        recipe, lines, calibration = (
            replace(recipe, steps=80, batch=32, chunk=1920, rates=((9, 1.0), (30, 1.0), (80, 0.0))),
            12_000,
            100,
        )
        lessons = replace(lessons, examples=12_000, counted=6_000)
    name = f"noctule-tiny-{options.seed}{'-quick' if options.quick else ''}"
    command = f"scripts/build_lm.py --seed {options.seed}{' --quick' if options.quick else ''}"
    began = time.monotonic()
    work = options.work or _ROOT / "build" / name
    options.output.parent.mkdir(parents=True, exist_ok=True)
    run(Plan(recipe, Shape(), lessons, lines, calibration, work, options.output, command), say)
    say(f"{options.output} is ready after {(time.monotonic() - began) / 60:.1f} minutes")


def evaluate(options: argparse.Namespace) -> None:
    from builders.text.card import Findings, card, latency
    from builders.text.evaluate import TEST_SEED, Examiner, draw
    from builders.text.generate import Example

    examiner = Examiner(options.output)
    inside = examiner.score(draw("test", TEST_SEED, options.count, inside=True))
    outside = examiner.score(draw("test", TEST_SEED, options.count, inside=False))
    # The files that version 1 was made of.
    old_inside = examiner.score(draw("test", TEST_SEED, options.count, inside=True, file="phrasings.txt"))
    old_outside = examiner.score(draw("test", TEST_SEED, options.count, inside=False, file="phrasings.txt"))
    seen = examiner.score(draw("train", TEST_SEED, options.count, inside=True))
    manifest, brain = examiner.lm.manifest, examiner.brain
    note = options.output / "note.md"
    told = note.read_text(encoding="utf-8") if note.exists() else ""
    findings = Findings(inside, outside, old_inside, old_outside, seen, manifest, brain.doubt, brain.ngrams, told)
    text = card(findings)
    (options.output / "MODEL_CARD.md").write_text(text, encoding="utf-8")
    say(f"held-out phrasings: exact {inside.exact:.2%}; out of domain: false actions {outside.false_actions:.2%}")
    say(f"lines of version 1: exact {old_inside.exact:.2%}; false actions {old_outside.false_actions:.2%}")
    say(f"a request takes {latency(inside.answers)} here, on one thread")
    if options.outside is not None:
        lines = options.outside.read_text(encoding="utf-8").splitlines()
        given = examiner.score([Example(line, "none", (), "", "", "") for line in lines if line.strip()])
        say(f"{options.outside.name}: {len(given.answers)} requests, false actions {given.false_actions:.2%}")
        for answer in given.answers:
            if answer.acted:
                print(f"  {answer.confidence:.3f} {answer.example.text} -> {answer.call.render()}")
    examiner.close()


def say(text: str) -> None:
    print(text, flush=True)


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    try:
        if options.evaluate:
            evaluate(options)
        else:
            build(options)
    except NoctuleError as error:
        print(f"build_lm.py: {error.explain()}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("build_lm.py: interrupted; run it again to go on", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
