#!/usr/bin/env python3
"""What the ears make of recordings: right action, wrong action, asked back, by voice and condition.

    scripts/evaluate_ears.py make FOLDER [--judging] [--count 60] [--piper VOICE.onnx]   speak requests into FOLDER
    scripts/evaluate_ears.py judge FOLDER [--conditions clean,…] [--config FILE]   what would be done about them
    scripts/evaluate_ears.py other FOLDER [--conditions clean]   sounds after which nothing may be done

FOLDER holds clips.tsv (file, text, action, voice; tab-separated, with a header) beside its WAV files; `other` takes
any folder of WAV files. Requests are drawn from the held-out lines of the phrasings, and the grammar is built without
them unless --all-lines says otherwise.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "daemon")]

from noctule.assistant.actions.declared import SPECS  # noqa: E402
from noctule.assistant.grammar.files import english, entry  # noqa: E402
from noctule.assistant.grammar.grammar import Grammar  # noqa: E402
from noctule.config.load import load_config  # noqa: E402
from tools.ears.actions import Ears, Outcome, Tally  # noqa: E402
from tools.ears.conditions import CONDITIONS, RATE, apply  # noqa: E402
from tools.ears.requests import draw, grammar_without_the_test  # noqa: E402
from tools.ears.voices import CHOOSING, JUDGING, load, save, say  # noqa: E402


def make(options: argparse.Namespace) -> None:
    """Speak requests, every voice the same number of others."""
    options.folder.mkdir(parents=True, exist_ok=True)
    voices = JUDGING if options.judging else CHOOSING
    part = "test" if options.judging else "validation"
    requests = draw(part, options.count * len(voices), options.seed)
    with open(options.folder / "clips.tsv", "w", encoding="utf-8") as table:
        table.write("file\ttext\taction\tvoice\n")
        for number, (text, action) in enumerate(requests):
            voice = voices[number % len(voices)]
            name = f"{number:04d}.wav"
            save(options.folder / name, say(voice, text, options.piper))
            table.write(f"{name}\t{text}\t{action}\t{voice}\n")
    print(f"{len(requests)} clips by {len(voices)} voices in {options.folder}")


def ears_of(options: argparse.Namespace) -> Ears:
    if options.config is None:
        grammar = Grammar(english(), SPECS) if options.all_lines else grammar_without_the_test()
    else:
        config = load_config(options.config).config
        owner = {name: command.phrases for name, command in config.commands.items()}
        lists = {name: [entry(value) for value in values] for name, values in config.slots.items()}
        grammar = Grammar(english(), SPECS, owner, lists)
    models = ROOT / "models"
    return Ears(models / "moonshine-tiny-en", models / "noctule-tiny", grammar)


def judge(options: argparse.Namespace) -> None:
    """Every clip of the table under every condition."""
    ears = ears_of(options)
    with open(options.folder / "clips.tsv", encoding="utf-8") as table:
        rows = list(csv.DictReader(table, delimiter="\t", quoting=csv.QUOTE_NONE))
    rows = rows[: options.most or len(rows)]
    clips = [load(options.folder / row["file"]) for row in rows]
    for condition in options.conditions.split(","):
        tallies: dict[str, Tally] = defaultdict(Tally)
        for row, clip in zip(rows, clips, strict=True):
            others = [other for other, r in zip(clips, rows, strict=True) if r["voice"] != row["voice"]] or clips
            found = ears(apply(clip, condition, others, row["file"]))
            meant = ears.means(found.asked)[0] if found.asked and found.asked != "again" else ""
            for name in (row["voice"], "all"):
                tallies[name].add(found, row["action"], meant)
            if options.verbose:
                print(_shown(row["text"], row["action"], found))
        for name, tally in sorted(tallies.items(), key=lambda item: item[0] == "all"):
            print(tally.line(f"{condition}, {name}"), flush=True)


def _shown(text: str, action: str, found: Outcome) -> str:
    mark = "ok " if found.action == action else "ask" if found.asked else "WRONG" if found.action != "none" else "no "
    race = f"{found.heard.weighed.get('text')} | {found.heard.weighed.get('sentences')}"
    return f"{mark:5} {text} [{action}] -> {found.action} {found.asked} ({found.decision}) | {race}"


def other(options: argparse.Namespace) -> None:
    """Sounds after which nothing may be done, in pieces of 4 s."""
    ears = ears_of(options)
    for condition in options.conditions.split(","):
        pieces = acted = asked = 0
        seconds = 0.0
        for path in sorted(options.folder.rglob("*.wav")):
            sound = load(path)
            for at in range(0, max(1, len(sound) - RATE), 4 * RATE):
                piece = sound[at : at + 4 * RATE]
                if len(piece) < RATE // 2:
                    continue
                if condition == "reversed":
                    piece = piece[::-1].copy()
                found = ears(piece)
                pieces, seconds = pieces + 1, seconds + len(piece) / RATE
                acted += found.action != "none"
                asked += bool(found.asked) and found.asked != "again"
                if found.action != "none" or (found.asked and found.asked != "again"):
                    print(_shown(path.name, "none", found), flush=True)
            if options.most and pieces >= options.most:
                break
        hours = seconds / 3600
        print(f"{condition}: {pieces} pieces, {hours:.2f} h: {acted} actions, {asked} questions", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb, does in (("make", make), ("judge", judge), ("other", other)):
        sub = verbs.add_parser(verb)
        sub.set_defaults(does=does)
        sub.add_argument("folder", type=Path)
        sub.add_argument(
            "--judging", action="store_true", help="with the voices and lines no threshold was chosen with"
        )
        sub.add_argument("--count", type=int, default=60, help="requests for each voice")
        sub.add_argument("--seed", type=int, default=1)
        sub.add_argument("--piper", type=Path, help="the .onnx of the voice behind piper/…")
        sub.add_argument("--conditions", default="clean" if verb == "other" else ",".join(CONDITIONS))
        sub.add_argument("--config", type=Path, help="a configuration whose commands are in the grammar")
        sub.add_argument(
            "--all-lines", action="store_true", help="with the held-out lines in the grammar, as shipped"
        )
        sub.add_argument("--most", type=int, default=0, help="so many clips at most")
        sub.add_argument("--verbose", action="store_true", help="a line for each clip")
    options = parser.parse_args()
    options.does(options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
