#!/usr/bin/env python3
"""Test any wake-word package, ours or microWakeWord's, on WAV files.

    scripts/evaluate_wake_word.py models/hey_noctule --positives DIR --negatives DIR

Every file below --positives holds the phrase once; nothing below --negatives does. Prints what was missed and what
woke falsely, at the package's threshold and over a table of thresholds; --json writes the same.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

_HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(_HERE), str(_HERE.parent / "daemon")]

import numpy as np  # noqa: E402  (after the path is set)

from builders.sound.wavs import read_folder  # noqa: E402
from builders.wake.scoring import Scores, Streams, binomial_interval, poisson_interval, score  # noqa: E402
from noctule.core.errors import InputError, NoctuleError  # noqa: E402
from noctule.wake.features import SAMPLE_RATE, FrontEnd  # noqa: E402
from noctule.wake.model import WakeModel  # noqa: E402
from noctule.wake.package import WARM_UP_SECONDS, load_package  # noqa: E402

_TABLE = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.97)


def _scores(model: WakeModel, window: int, sound: np.ndarray, seed: int) -> Scores:  # type: ignore[type-arg]
    """Scores of one file behind a lead of faint noise as long as the warm-up, so that its first words count."""
    rng = np.random.default_rng(seed)
    lead = int((WARM_UP_SECONDS + 0.2) * SAMPLE_RATE)
    tail = int(1.0 * SAMPLE_RATE)
    padded = np.concatenate([np.zeros(lead), np.clip(sound, -1, 1) * 32767, np.zeros(tail)])
    padded += rng.normal(0, 3.0, len(padded))
    return score(model, FrontEnd().push(np.clip(padded, -32768, 32767).astype(np.int16)), window)


def evaluate(package_path: Path, positives: Path | None, negatives: Path | None) -> dict[str, Any]:
    """Recall, false accepts and the files behind them."""
    package = load_package(package_path)
    model = WakeModel(package.model)
    out: dict[str, Any] = {"package": package.id, "phrase": package.phrase, "threshold": package.threshold}
    heard: list[tuple[str, float]] = []
    if positives is not None:
        for index, (name, sound) in enumerate(read_folder(positives)):
            found = _scores(model, package.window, sound, index)
            heard.append((name, float(found.mean[found.time >= WARM_UP_SECONDS].max(initial=0.0))))
        if not heard:
            raise InputError(f"--positives {positives}: there is no .wav file in this folder")
        best = np.array([value for _, value in heard])
        recall = float(np.mean(best > package.threshold))
        out["positives"] = {
            "files": len(heard), "recall": recall, "recall_95": binomial_interval(recall, len(heard)),
            "missed": sorted(name for name, value in heard if value <= package.threshold),
        }  # fmt: skip
    streams = None
    if negatives is not None:
        files = read_folder(negatives)
        if not files:
            raise InputError(f"--negatives {negatives}: there is no .wav file in this folder")
        scored = [_scores(model, package.window, sound, index) for index, (_, sound) in enumerate(files)]
        streams = Streams(tuple(scored), sum(len(sound) for _, sound in files) / SAMPLE_RATE / 3600)
        count = streams.false_accepts(package.threshold)
        woke = [name for (name, _), item in zip(files, scored, strict=True)
                if Streams((item,), 1.0).false_accepts(package.threshold)]  # fmt: skip
        out["negatives"] = {
            "files": len(files), "hours": streams.hours, "false_accepts": count,
            "false_accepts_per_hour": count / streams.hours,
            "false_accepts_per_hour_95": poisson_interval(count, streams.hours), "woke": sorted(woke),
        }  # fmt: skip
    model.close()
    out["table"] = [
        {
            "threshold": threshold,
            **({"recall": float(np.mean([v > threshold for _, v in heard]))} if heard else {}),
            **({"false_accepts_per_hour": streams.false_accepts(threshold) / streams.hours} if streams else {}),
        }
        for threshold in _TABLE
    ]
    return out


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", type=Path, help="the package's folder or JSON file")
    parser.add_argument("--positives", type=Path, help="folder of WAV files, the phrase once in each")
    parser.add_argument("--negatives", type=Path, help="folder of WAV files without the phrase")
    parser.add_argument("--json", type=Path, help="also write the result to this file")
    told = parser.parse_args(arguments)
    try:
        if told.positives is None and told.negatives is None:
            raise InputError("give --positives, --negatives or both")
        result = evaluate(told.package, told.positives, told.negatives)
    except NoctuleError as error:
        print(f"evaluate_wake_word: {error.explain()}", file=sys.stderr)
        return error.exit_code
    print(f"{result['phrase']} ({result['package']}), threshold {result['threshold']:g}")
    if "positives" in result:
        part = result["positives"]
        low, high = part["recall_95"]
        print(f"heard      {part['recall']:.1%} of {part['files']} files (95 %: {low:.1%} … {high:.1%})")
        for name in part["missed"]:
            print(f"  missed   {name}")
    if "negatives" in result:
        part = result["negatives"]
        low, high = part["false_accepts_per_hour_95"]
        print(
            f"woke       {part['false_accepts']} times in {part['hours']:.2f} h: "
            f"{part['false_accepts_per_hour']:.2f} an hour (95 %: {low:.2f} … {high:.2f})"
        )
        for name in part["woke"]:
            print(f"  woke     {name}")
    for row in result["table"]:
        cells = [f"threshold {row['threshold']:.2f}"]
        cells += [f"heard {row['recall']:.1%}"] if "recall" in row else []
        cells += [f"woke {row['false_accepts_per_hour']:.2f} an hour"] if "false_accepts_per_hour" in row else []
        print("  " + "   ".join(cells))
    if told.json is not None:
        told.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
