"""A Piper voice here beside piper-tts and onnxruntime on the same voice: words understood, time, memory.

Both sides live at once, each in a process of its own with one thread, and take turns text by text. What they say is
written down by Moonshine tiny on onnxruntime, which has no part in either.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from noctule.core.errors import InputError, NoctuleError
from noctule.lm.speech.reading_aloud import said
from tools.bench.voice_texts import texts

_CHILD = Path(__file__).with_name("voice_child.py")
#: multiply-adds of float32 a second of one core, by published single-core figures; for estimates only
_BOARDS = {"Raspberry Pi 4 (A72, 1.8 GHz)": 7e9, "Raspberry Pi 5 (A76, 2.4 GHz)": 18e9}
#: multiply-adds of a second of sound of a medium voice: decoder 22.6 million a frame, flow 7.1, encoder about a tenth
_WORK = 86.13 * 32.5e6


class Side:
    """A child that speaks or listens."""

    def __init__(self, python: str, *arguments: str) -> None:
        command = [python, str(_CHILD), *arguments]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, **what: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise InputError("A side of the comparison ended; its own words stand above.")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench voice", description=__doc__)
    parser.add_argument("--package", type=Path, default=Path("models/en_US-joe-medium"), help="the package")
    parser.add_argument("--voice", required=True, metavar="VOICE.onnx", help="the same voice as published")
    parser.add_argument("--peer", default=sys.executable, help="a Python with piper-tts and onnxruntime")
    parser.add_argument("--judge", metavar="FOLDER", help="Moonshine tiny-en's .ort files and tokenizer.bin")
    parser.add_argument("--count", type=int, default=200, help="texts (default 200)")
    parser.add_argument("--show", type=int, default=0, help="print this many misunderstood texts")
    parser.add_argument("--json", type=Path, help="write the numbers here too")
    return parser.parse_args(arguments)


def words(text: str) -> list[str]:
    """What is compared: said in full, without case and punctuation."""
    plain = re.sub(r"[^a-z' ]+", " ", said(text).lower().replace("-", " "))
    return [{"okay": "ok"}.get(word, word) for word in plain.replace("o'clock", "o clock").split()]


def errors(wanted: list[str], heard: list[str]) -> int:
    """Edit distance in words."""
    row = list(range(len(heard) + 1))
    for i, word in enumerate(wanted, 1):
        before, row[0] = row[0], i
        for j, other in enumerate(heard, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (word != other))
    return row[-1]


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    try:
        return run(options)
    except NoctuleError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1


def run(options: argparse.Namespace) -> int:
    wanted = texts(options.count)
    found: dict[str, list[dict[str, Any]]] = {"ours": [], "piper": []}
    wrong = {"ours": 0, "piper": 0}
    with tempfile.TemporaryDirectory() as folder:
        sides = {
            "ours": Side(sys.executable, "ours", str(options.package), "1", folder),
            "piper": Side(options.peer, "piper", options.voice, "1"),
        }
        judge = Side(options.peer, "judge", options.judge, "1") if options.judge else None
        for side in sides.values():
            side.ask(text="Warm up.", seed=0, path="")
        for number, text in enumerate(wanted):
            # figures are read here for both: piper-tts leaves them to espeak-ng
            plain = said(text)
            order = list(sides) if number % 2 else list(sides)[::-1]
            for name in order:
                path = str(Path(folder) / f"{name}.npy")
                answer = sides[name].ask(text=plain, seed=number, path=path)
                found[name].append(answer)
                if judge is not None:
                    heard = judge.ask(path=path, rate=answer["rate"])["text"]
                    missed = errors(words(text), words(heard))
                    wrong[name] += missed
                    if missed and name == "ours" and options.show > 0:
                        options.show -= 1
                        print(f"  {missed}: {plain}  ->  {heard}")
        for side in [*sides.values(), *([judge] if judge else [])]:
            side.close()
    return report(options, found, wrong if options.judge else None, sum(len(words(text)) for text in wanted))


def report(
    options: argparse.Namespace, found: dict[str, list[dict[str, Any]]], wrong: dict[str, int] | None, count: int
) -> int:
    """Print the table; returns the exit status."""
    rows: dict[str, dict[str, float]] = {}
    for name, answers in found.items():
        seconds = sum(a["seconds"] for a in answers)
        rows[name] = {
            "cpu": sum(a["cpu"] for a in answers) / seconds,
            "first_ms": 1000 * statistics.median(a["first"] for a in answers),
            "first_p95_ms": 1000 * sorted(a["first"] for a in answers)[int(0.95 * len(answers))],
            "resident_mb": answers[-1]["resident"]["all"] / 1e6,
            "own_mb": answers[-1]["resident"]["own"] / 1e6,
            "seconds": seconds,
        } | ({"word_error": wrong[name] / count} if wrong is not None else {})
    titles = {
        "word_error": "word error", "cpu": "CPU s a second of sound", "first_ms": "first sound, ms (median)",
        "first_p95_ms": "first sound, ms (95 of 100)", "resident_mb": "resident MB", "own_mb": "of which its own, MB",
        "seconds": "seconds spoken",
    }  # fmt: skip
    print(f"{'':30}{'noctule':>10}{'piper-tts':>11}{'ratio':>8}")
    for key, title in titles.items():
        if key in rows["ours"]:
            a, b = rows["ours"][key], rows["piper"][key]
            print(f"{title:30}{a:10.4f}{b:11.4f}{a / b if b else float('nan'):8.2f}")
    rate = _WORK / rows["ours"]["cpu"]
    print(f"\nThis core did {rate / 1e9:.1f} thousand million multiply-adds a second. Estimates, not measured:")
    for board, speed in _BOARDS.items():
        print(f"  {board}: {_WORK / speed:.2f} s of one core a second of sound")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")
    return 0
