"""`noctule extract FILE|SOURCE`: real pictures, chosen by time, key frames, scenes or motion, with a JSON index."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noctule.capture.needs import need_capture
from noctule.cli.common import check_folder, load, remark, say
from noctule.cli.eyes import Progress, bounded_memory, daemon, eyes_arguments, own_eyes
from noctule.core.errors import InputError, NoctuleError
from noctule.core.secrets import hide_address

if TYPE_CHECKING:
    from noctule.capture.files.extract import Plan, Shot

#: pictures that are taken of a pipe, which may have no end.
MOST = 10_000
HELP = "take pictures out of a video file or a live source"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source", metavar="FILE|SOURCE", help="a video file, - for a pipe, a source's name, or an address: x11::0"
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--every", metavar="TIME", help="the picture on screen every so often: 2s, 0.5")
    which.add_argument("--fps", metavar="N", help="so many pictures per second")
    which.add_argument("--nth", type=int, metavar="N", help="every Nth picture")
    which.add_argument("--at", metavar="TIME,…", help="the picture on screen at each time: 1:02.5,90")
    which.add_argument("--keyframes", action="store_true", help="pictures that stand for themselves in the stream")
    which.add_argument("--scenes", action="store_true", help="the first picture of every scene")
    which.add_argument("--motion", action="store_true", help="the picture with which each motion begins")
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("pictures"), metavar="DIR", help="where to put them"
    )
    parser.add_argument("--format", choices=("jpg", "png"), default="jpg", help="of the pictures")
    parser.add_argument("--quality", type=int, default=85, metavar="1-100", help="of JPEG pictures")
    parser.add_argument("--threshold", type=float, default=0.0, help="of --scenes or --motion, 0 for the usual")
    parser.add_argument("--corrupt", action="store_true", help="give damaged pictures too, flagged")
    parser.add_argument("--limit", type=int, default=0, metavar="N", help="at most so many")
    parser.add_argument("--rate", metavar="N", help="pictures a second of a raw stream that does not say")
    parser.add_argument("--for", dest="seconds", default="10", metavar="TIME", help="how long to watch a live source")
    eyes_arguments(parser)


def run(options: argparse.Namespace) -> int:
    need_capture()
    from noctule.capture.files.files import FolderWriter, write_file
    from noctule.capture.picture.encode import encode

    plan = plan_of(options)
    check_folder(options.output)
    if not 1 <= options.quality <= 100:
        raise InputError(f"a JPEG quality is 1 to 100, not {options.quality}")
    index: list[dict[str, Any]] = []
    bar = Progress()
    problem: NoctuleError | None = None
    about: dict[str, Any] = {"source": hide_address(options.source), "mode": plan.mode}
    try:
        with _shots(options, plan, bar) as shots, FolderWriter(options.output, _min_free(options)) as writer:
            for number, shot in enumerate(shots):
                bar.count = number + 1
                entry = shot.about()
                if shot.frame is not None:
                    entry["file"] = f"{number:06d}.{options.format}"
                    writer.write(entry["file"], encode(shot.frame, f".{options.format}", options.quality))
                index.append(entry)
    except NoctuleError as error:
        if not index:
            raise
        problem = error  # what came before it is kept, and the index says why there is no more
        about["ended"] = error.message
    finally:
        bar.close()
        for note in bar.notes:
            remark(note)
    if bar.notes:
        about["notes"] = list(bar.notes)
    write_file(options.output / "index.json", json.dumps({**about, "pictures": index}, indent=1).encode() + b"\n")
    given = sum("file" in entry for entry in index)
    say(f"{options.output}: {given} picture{'' if given == 1 else 's'} and index.json")
    for entry in index:
        if "problem" in entry:
            say(f"  at {entry['asked']:g} s: {entry['problem']}")
    if problem is not None:
        raise problem
    return 0


def plan_of(options: argparse.Namespace) -> Plan:
    """The plan that the command line asks for; one picture a second when it says nothing. Raises InputError."""
    from noctule.capture.files.extract import Plan, parse_time

    shared: dict[str, Any] = {"threshold": options.threshold, "corrupt": options.corrupt, "limit": options.limit}
    if options.at is not None:
        return Plan("at", times=tuple(parse_time(text) for text in options.at.split(",")), **shared)
    if options.nth is not None:
        if options.nth < 1:
            raise InputError(f"--nth is a whole number from 1 on, not {options.nth}")
        return Plan("nth", n=options.nth, **shared)
    for mode in ("keyframes", "scenes", "motion"):
        if getattr(options, mode):
            return Plan(mode, **shared)
    step = (
        parse_time(options.every or "1") if options.fps is None else 1 / max(_rate(options.fps), Fraction(1, 86400))
    )
    if step <= 0:
        raise InputError("--every is a time above 0")
    return Plan("every", step=step, **shared)


def _rate(text: str, option: str = "--fps") -> Fraction:
    try:
        rate = Fraction(text)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if not 0 < rate <= 1000:
        raise InputError(f"{option} is a number above 0 and at most 1000, not {text}")
    return rate


def _min_free(options: argparse.Namespace) -> int:
    """Bytes that stay free on the disk: as the store keeps them, also where the configuration is broken."""
    from noctule.config.schema import Capture

    try:
        return load(options).config.capture.min_free_mb << 20
    except NoctuleError:
        return Capture().min_free_mb << 20


@contextlib.contextmanager
def _shots(options: argparse.Namespace, plan: Plan, bar: Progress) -> Iterator[Iterator[Shot]]:
    """The shots of whatever the source is: a file, the daemon's source, or one of our own."""
    from noctule.capture.files.extract import FileShots, extract_live, parse_time
    from noctule.capture.spec import parse_address

    spec = parse_address(options.source)
    if options.source == "-" or (spec is not None and spec.kind == "file"):
        with bounded_memory():
            path = "-" if spec is None else spec.address
            file = FileShots(path, plan, bar, None if options.rate is None else _rate(options.rate, "--rate"))
            bar.notes = file.notes
            if file.endless and not plan.limit:
                remark(f"a pipe may never end: it is read until it does, or {MOST} pictures are taken (--limit)")
            with contextlib.closing(file):
                yield itertools.islice(file, plan.limit or (MOST if file.endless else None))
        return
    seconds = float(parse_time(options.seconds))
    watched = f"{hide_address(options.source)} is watched for {seconds:g} s (--for)"
    service = daemon(options, options.source)
    if service is not None:
        from noctule.capture.files.remote import extract_remote

        remark(watched)
        yield extract_remote(service.open_stream, options.source, plan, seconds)
        return
    with own_eyes(options, options.source) as eyes:
        remark(watched)
        yield extract_live(eyes.feed(options.source), plan, seconds)
