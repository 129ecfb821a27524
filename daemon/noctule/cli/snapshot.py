"""`noctule snapshot SOURCE`: one picture of the present, into a file."""

from __future__ import annotations

import argparse
import urllib.parse
from pathlib import Path

from noctule.cli.common import check_output, say
from noctule.cli.eyes import daemon, eyes_arguments, own_eyes, picture_path
from noctule.core.errors import InputError

HELP = "take a picture with a camera or of a display"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source", metavar="SOURCE", help="a source's name, `display`, `camera`, or an address: x11::0"
    )
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="a .jpg or .png file")
    parser.add_argument("--max-age", type=float, metavar="SECONDS", help="how old the picture may be")
    eyes_arguments(parser)


def run(options: argparse.Namespace) -> int:
    path = options.output or picture_path(options.source, ".jpg")
    suffix = path.suffix.lower()
    check_output(path, ".jpg", ".jpeg", ".png")
    if options.max_age is not None and not 0 < options.max_age <= 3600:
        raise InputError(f"--max-age is above 0 and at most 3600 seconds, not {options.max_age:g}")
    service = daemon(options, options.source)
    if service is not None:
        query = {"format": "png" if suffix == ".png" else "jpeg"}
        if options.max_age is not None:
            query["max_age"] = str(options.max_age)
        name = urllib.parse.quote(options.source, safe="")
        data, head = service.fetch_with_head(f"/snapshot/{name}?{urllib.parse.urlencode(query)}")
        size = head.get("X-Noctule-Size", "")
    else:
        from noctule.capture.picture.encode import encode

        with own_eyes(options, options.source) as eyes:
            frame = eyes.snapshot(options.source, options.max_age)
            data = encode(frame, suffix, eyes.capture().quality)
            size = "{}x{}".format(*frame.upright_size)
    from noctule.capture.files.files import write_file

    write_file(path, data)
    say(f"{path}: {size}, {len(data)} bytes")
    return 0
