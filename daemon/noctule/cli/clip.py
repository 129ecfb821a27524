"""`noctule clip SOURCE`: a short video, with some seconds from before you asked."""

from __future__ import annotations

import argparse
import urllib.parse
from pathlib import Path

from noctule.cli.common import check_output, say
from noctule.cli.eyes import daemon, eyes_arguments, own_eyes, picture_path

HELP = "record a clip, with seconds from before"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source", metavar="SOURCE", help="a source's name, `display`, `camera`, or an address: x11::0"
    )
    parser.add_argument(
        "--before", type=float, default=5.0, metavar="SECONDS", help="from before now (needs preroll)"
    )
    parser.add_argument("--after", type=float, default=10.0, metavar="SECONDS", help="from now on")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="an .mp4 file")
    eyes_arguments(parser)


def run(options: argparse.Namespace) -> int:
    path = options.output or picture_path(options.source, ".mp4")
    check_output(path, ".mp4")
    service = daemon(options, options.source, timeout=options.after + 60)
    if service is not None:
        from noctule.capture.files.files import write_file

        query = urllib.parse.urlencode(
            {"source": options.source, "before": options.before, "after": options.after, "send": "1"}
        )
        data, head = service.fetch_with_head(f"/clip?{query}", method="POST")
        write_file(path, data)
        seconds, before, early = (head.get(f"X-Noctule-{name}", "") for name in ("Seconds", "Before", "Ended-Early"))
    else:
        with own_eyes(options, options.source) as eyes:
            clip = eyes.clip(options.source, options.before, options.after, path.resolve())
        seconds, before, early = f"{clip.seconds:.2f}", f"{clip.before:.2f}", clip.ended_early
    say(f"{path}: {seconds} s, {before} s of them from before")
    if early:
        say(f"  shorter than asked: {urllib.parse.unquote(early)}")
    return 0
