"""The pocket-tts side of scripts/export_lm.py: a checkpoint of Kyutai's pocket-tts to one package."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path

from builders.export.mimi.waves import ConvPrecision
from builders.export.pocket import package as pocket
from builders.export.pocket.config import find_config
from noctule.core.errors import InputError

#: --codec-quant to the decoder's convolutions; its transformer follows --quant
_CONV: dict[str, ConvPrecision] = {"float32": "float32", "int8-linear": "float32", "int8": "int8"}
_QUANT = ("int8", "float32")


def is_pocket(folder: Path) -> bool:
    """Whether the folder holds a .yaml configuration and no config.json, which the other models have."""
    return find_config(folder) is not None and not (folder / "config.json").is_file()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options that only pocket-tts has."""
    group = parser.add_argument_group("speech models (pocket-tts); --quant int8 or float32, --codec-quant as above")
    group.add_argument(
        "--state", type=Path, action="append", default=[], metavar="VOICE.safetensors",
        help="a voice exported by pocket-tts to take along, named by its file; may be given again (the first speaks)",
    )  # fmt: skip
    group.add_argument("--decode-steps", type=int, default=0, help="steps of the sampler head (default: the model's)")


def export(
    options: argparse.Namespace,
    default_context: list[int],
    progress: Callable[[str], None],
    boards: Mapping[str, float],
) -> None:
    """Write the package and print what it needs. InputError leaves nothing behind."""
    if options.quant not in _QUANT:
        raise InputError(f"--quant {options.quant} is not for pocket-tts", f"choose {', '.join(_QUANT)}")
    if options.decode_steps < 0:
        raise InputError("--decode-steps must be at least 1")
    chosen = pocket.Options(
        linear=options.quant,
        conv=_CONV[options.codec_quant],
        buckets=pocket.BUCKETS if list(options.context) == default_context else options.context,
        steps=options.decode_steps,
        voices=options.state,
        name=options.name,
        version=options.version,
        licence=options.licence,
        source=options.source,
        build=_command_line(options),
    )
    made = pocket.export_pocket(options.checkpoint, options.output, chosen, progress)
    read, rate = sum(made["bytes_per_frame"].values()), made["frame_rate"]
    print(f"{options.output}: {made['flow']} head, {len(made['voices'])} voices, {made['sample_rate']} Hz")
    print(
        f"each frame of {1000 / rate:.0f} ms reads {read / 1e6:.1f} MB; "
        f"real time asks for {read * rate / 1e9:.2f} GB/s"
    )
    for board, bandwidth in boards.items():
        print(f"  {board} ({bandwidth:.0f} GB/s): {read * rate / 1e9 / bandwidth:.0%} of its memory bandwidth")


def _command_line(options: argparse.Namespace) -> str:
    parts = ["scripts/export_lm.py", options.checkpoint.name, "-o", options.output.name, "--quant", options.quant]
    for path in options.state:
        parts += ["--state", path.name]
    if options.decode_steps:
        parts += ["--decode-steps", str(options.decode_steps)]
    if options.codec_quant != "float32":
        parts += ["--codec-quant", options.codec_quant]
    return shlex.join(parts)
