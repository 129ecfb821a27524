#!/usr/bin/env python3
"""Turn a published Piper voice (NAME.onnx and NAME.onnx.json) into a package that Noctule speaks with.

Runs on a PC with the package onnx installed (no torch, no onnxruntime); the folder it writes is copied to the board.
Any VITS voice of Piper: x_low, low, medium and high, one speaker or many, phoneme types espeak and text.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

_HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(_HERE), str(_HERE.parent / "daemon")]

from noctule.core.errors import NoctuleError  # noqa: E402 - the line above makes it importable


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="import_voice.py", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("voice", type=Path, metavar="VOICE.onnx", help="the voice as published")
    parser.add_argument("config", type=Path, nargs="?", metavar="VOICE.onnx.json", help="default: beside the voice")
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
    from noctule.core.errors import InputError

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
