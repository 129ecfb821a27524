#!/usr/bin/env python3
"""Make a recogniser package out of Moonshine weights: those in the moonshine-voice wheel, or a checkpoint folder.

    scripts/import_moonshine.py --wheel moonshine_voice-0.0.73-….whl -o models/moonshine-tiny-en
    scripts/import_moonshine.py --checkpoint FOLDER -o models/NAME

A checkpoint folder holds config.json, model.safetensors and tokenizer.json.

Needs numpy and ai-edge-litert, as the device install does; neither torch nor onnxruntime.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from pathlib import Path

_HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(_HERE), str(_HERE.parent / "daemon")]

from builders.common.terminal import Progress  # noqa: E402 - the line above makes it importable
from builders.export.moonshine import card, checkpoint, wheel  # noqa: E402
from builders.export.moonshine.package import Options, export  # noqa: E402
from noctule.core.errors import NoctuleError  # noqa: E402

_NAME = "moonshine-tiny-en"
#: below this the text of a command is doubted; see docs/recogniser.md for the table behind it
_CONFIDENCE = 0.6


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="import_moonshine.py", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    given = parser.add_mutually_exclusive_group(required=True)
    given.add_argument("--wheel", type=Path, help=f"the wheel of {wheel.RELEASE}, of any platform")
    given.add_argument("--checkpoint", type=Path, help="a folder as transformers saves it")
    parser.add_argument("-o", "--output", type=Path, required=True, help="package folder to write")
    parser.add_argument("--name", default="", help=f"name in the manifest (default: {_NAME}, or the folder's)")
    parser.add_argument("--licence", default="unknown", help="licence of a checkpoint's weights, as SPDX")
    parser.add_argument("--float", action="store_true", help="keep a checkpoint's weights in float32 (4 x the size)")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    given = parse(arguments)
    progress = Progress()
    try:
        progress("reading the weights")
        if given.wheel is not None:
            weights, pieces = wheel.from_wheel(given.wheel)
            options = Options(
                name=given.name or _NAME,
                version=wheel.RELEASE.rpartition(" ")[2],
                licence="MIT",
                source=f"the Python package {wheel.RELEASE}",
                build="scripts/import_moonshine.py --wheel …",
                confidence=_CONFIDENCE,
                card=card.CARD.format(release=wheel.RELEASE),
                licence_text=card.licence_of(given.wheel),
            )
        else:
            weights, pieces = checkpoint.from_checkpoint(given.checkpoint)
            options = Options(
                name=given.name or given.checkpoint.resolve().name,
                version="1",
                licence=given.licence,
                source=given.checkpoint.resolve().name,
                build=shlex.join(["scripts/import_moonshine.py", "--checkpoint", given.checkpoint.name]),
                precision="float32" if given.float else "int8",
                confidence=_CONFIDENCE,
            )
        manifest = export(weights, pieces, given.output, options, progress)
    except NoctuleError as error:
        print(f"import_moonshine: {error.explain()}", file=sys.stderr)
        return error.exit_code
    size = sum(entry.bytes for entry in manifest.files.values())
    progress(f"{given.output}: {size / 1e6:.1f} MB")
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main())
