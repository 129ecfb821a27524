"""`noctule wake`: tune wake words while they run, keep clips of what woke them, and label those clips."""

from __future__ import annotations

import argparse
import shutil
import subprocess
from pathlib import Path
from urllib.parse import quote

from noctule.api.client import Client
from noctule.cli.common import client, say, socket_argument
from noctule.core.errors import InputError, UnavailableError

HELP = "tune wake words; keep and review clips of what woke them"


def arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="what", metavar="WHAT", required=True)
    show = verbs.add_parser("show", help="words, thresholds and kept clips")
    use = verbs.add_parser("use", help="listen for other words, once they are loaded and verified")
    use.add_argument(
        "words", nargs="+", metavar="WORD", help="names in the model folders or paths; `configured` for wake.words"
    )
    threshold = verbs.add_parser("threshold", help="change a word's threshold now")
    threshold.add_argument("word")
    threshold.add_argument("value", help="0 to 1, or `default`")
    save = verbs.add_parser("save", help="keep clips of what wakes it")
    save.add_argument("state", choices=("on", "off"))
    review = verbs.add_parser("review", help="play each unlabelled clip and ask whether it was the word")
    review.add_argument("--all", action="store_true", help="labelled ones too")
    label = verbs.add_parser("label", help="label one clip")
    label.add_argument("clip")
    label.add_argument("label", choices=("yes", "no", "delete"))
    for verb in (show, use, threshold, save, review, label):
        socket_argument(verb)


def run(options: argparse.Namespace) -> int:
    daemon = client(options)
    if options.what == "show":
        _show(daemon)
    elif options.what == "use":
        _use(daemon, options.words)
    elif options.what == "threshold":
        value = None if options.value == "default" else _number(options.value)
        words = daemon.post("/wake", {"word": options.word, "threshold": value})["words"]
        say(f"{options.word}: {words[options.word]:g}")
    elif options.what == "save":
        saving = daemon.post("/wake", {"save": options.state == "on"})["saving"]
        say("Clips are kept now." if saving else "Clips are not kept any more.")
    elif options.what == "label":
        _label(daemon, options.clip, options.label)
    else:
        _review(daemon, options.all)
    return 0


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(f"{text!r} is not a number.", "write 0 to 1, or default") from None


def _use(daemon: Client, words: list[str]) -> None:
    # a path means the same to the daemon, which runs in another folder
    wanted = (
        [] if words == ["configured"] else [str(Path(word).absolute()) if "/" in word else word for word in words]
    )
    answer = daemon.post("/wake", {"use": wanted})
    if not answer["listening"]:
        say("Verified. The ears are out of service and will listen for it when they are back: noctule status")
    else:
        say("Listens for " + ", ".join(f"{word} above {value:g}" for word, value in answer["words"].items()))
    if wanted:
        names = ", ".join(f'"{word}"' for word in wanted)
        say(f"Until the next start. To keep it: wake.words = [{names}] in the configuration.")


def _show(daemon: Client) -> None:
    wake = daemon.get("/wake")
    for word, threshold in wake["words"].items():
        say(f"{word}: threshold {threshold:g}")
    say(f"clips are {'kept' if wake['saving'] else 'not kept'}")
    for clip in wake["clips"]:
        say(f"  {clip['name']}  {clip['label'] or 'not labelled'}")


def _label(daemon: Client, name: str, label: str) -> None:
    daemon.post(f"/wake/clips/{quote(name, safe='')}", {"label": label})
    say(f"{name}: {label}")


def _review(daemon: Client, everything: bool) -> None:
    player = shutil.which("aplay")
    if player is None:
        raise UnavailableError("Clips are played with aplay, which is not here.", "apt-get install alsa-utils")
    clips = [clip for clip in daemon.get("/wake")["clips"] if everything or not clip["label"]]
    if not clips:
        say("There is nothing to review.")
    for clip in clips:
        sound = daemon.fetch(f"/wake/clips/{quote(clip['name'], safe='')}")
        answer = "r"
        while answer == "r":
            subprocess.run([player, "-q", "-"], input=sound, check=False)
            try:
                answer = input(f"{clip['name']}: was it the word? [y]es, [n]o, [r]epeat, [d]elete, [s]kip, [q]uit ")
            except EOFError:
                return
            answer = answer.strip().lower()[:1]
        if answer == "q":
            return
        chosen = {"y": "yes", "n": "no", "d": "delete"}.get(answer)
        if chosen:
            _label(daemon, clip["name"], chosen)
