#!/usr/bin/env python3
"""Word error of a recogniser package on a folder of recordings: scripts/evaluate_ears.py DIR [--model PACKAGE]

DIR holds transcripts.tsv (a header; columns file, text and, where wanted, condition) and the WAV files it names.
Words are compared without case and punctuation; digits and number words count as the same below ten.
"""

from __future__ import annotations

import argparse
import csv
import re
import sys
from collections import defaultdict
from pathlib import Path

_HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(_HERE), str(_HERE.parent / "daemon")]

from noctule.audio.chunk import RATE  # noqa: E402 - the line above makes it importable
from noctule.audio.wavefile import WavReader  # noqa: E402
from noctule.core.errors import InputError, NoctuleError  # noqa: E402
from noctule.lm.speech.moonshine.shared import SharedModel  # noqa: E402
from noctule.lm.speech.moonshine.windows import transcribe  # noqa: E402

_DIGITS = dict(enumerate(("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")))


def words_of(text: str) -> list[str]:
    """What is compared."""
    plain = re.sub(r"\d", lambda digit: f" {_DIGITS[int(digit[0])]} ", text.lower())
    return re.findall(r"[a-z']+", plain.replace("’", "'"))


def errors(wanted: list[str], found: list[str]) -> int:
    """Levenshtein distance in words."""
    row = list(range(len(found) + 1))
    for i, word in enumerate(wanted, start=1):
        before, row[0] = row[0], i
        for j, other in enumerate(found, start=1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (word != other))
    return row[-1]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", type=Path, default=_HERE.parent / "models" / "moonshine-tiny-en")
    given = parser.parse_args(arguments)
    try:
        print(report(given.folder, given.model))
    except NoctuleError as error:
        print(f"evaluate_ears: {error.explain()}", file=sys.stderr)
        return error.exit_code
    return 0


def report(folder: Path, package: Path) -> str:
    """A line for each condition. Raises NoctuleError."""
    table = folder / "transcripts.tsv"
    if not table.is_file():
        raise InputError(f"{table}: there is no table of transcripts", "columns: file, text, condition")
    with table.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    if not rows or not {"file", "text"} <= rows[0].keys():
        raise InputError(f"{table}: the columns file and text are missing")
    shared = SharedModel.open(package)
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    try:
        for row in rows:
            with WavReader(folder / row["file"]) as wav:
                windows = transcribe(lambda: shared, wav.at_rate(RATE, RATE // 10), shared.longest)
                found = words_of(" ".join(word.text for window in windows for word in window))
            wanted = words_of(row["text"])
            wrong = errors(wanted, found)
            for name in (row.get("condition") or "all", "together"):
                count = counts[name]
                count[0], count[1] = count[0] + wrong, count[1] + len(wanted)
                count[2], count[3] = count[2] + (wrong == 0), count[3] + 1
    finally:
        shared.close()
    lines = [
        f"{name}: word error {wrong / max(1, words):.1%} of {words} words, {whole} of {clips} clips whole"
        for name, (wrong, words, whole, clips) in counts.items()
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
