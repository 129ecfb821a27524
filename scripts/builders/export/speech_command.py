"""The speech side of scripts/export_lm.py: a Kyutai checkpoint to a speech-lm and a codec package."""

from __future__ import annotations

import argparse
import json
import shlex
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from builders.common.package_checks import check_destination
from builders.export.kyutai import package as kyutai
from builders.export.kyutai.layers import Precision
from builders.export.kyutai.parse import read_config
from builders.export.mimi import package as mimi
from builders.export.mimi.waves import ConvPrecision
from noctule.core.errors import InputError

#: --quant to (linear layers, embedding rows); int8 rows add little (docs/speech-package.md)
_PRECISIONS = {"float32": ("float32", "float32"), "int8": ("int8", "int8"), "int4": ("int4", "int8")}
#: which half of the codec a mode runs
_CODEC_SIDES = {"stt": ("encode",), "tts": ("decode",), "duplex": ("encode", "decode")}
#: --codec-quant to (linear layers, convolutions) of the decoder; what each costs is in docs/speech-package.md
_CODEC_PRECISIONS: dict[str, tuple[str, ConvPrecision]] = {
    "float32": ("float32", "float32"),
    "int8-linear": ("int8", "float32"),
    "int8": ("int8", "int8"),
}


def is_speech(folder: Path) -> bool:
    """Whether the folder's config.json describes a Kyutai speech model; False when it cannot be read."""
    try:
        raw = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(raw, dict) and kyutai.is_kyutai(raw)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options that only speech models have."""
    group = parser.add_argument_group("speech models (Kyutai)")
    group.add_argument("--codec", type=Path, help="codec package to write (default: OUTPUT-codec beside the output)")
    group.add_argument("--no-codec", action="store_true", help="write the language model only")
    group.add_argument(
        "--codec-quant",
        choices=tuple(_CODEC_PRECISIONS),
        default="float32",
        help="weights of the codec's decoder: float32 (default), int8-linear (its transformer only) or int8; "
        "the encoder is always float32",
    )
    group.add_argument("--mimi-config", type=Path, help="JSON of a Mimi that is not the published one")
    group.add_argument(
        "--cross-frames",
        type=int,
        default=kyutai.CROSS_FRAMES,
        help=f"frames of speaker conditioning (default {kyutai.CROSS_FRAMES}, five voices of 10 s)",
    )


def command_line(options: argparse.Namespace) -> str:
    """The command that builds these packages again, with the paths of this machine left out."""
    parts = ["scripts/export_lm.py", options.checkpoint.name, "-o", options.output.name, "--quant", options.quant]
    if options.codec_quant != "float32":
        parts += ["--codec-quant", options.codec_quant]
    return shlex.join(parts)


def export_speech(
    options: argparse.Namespace,
    default_context: list[int],
    progress: Callable[[str], None],
    boards: Mapping[str, float],
) -> None:
    """Write both packages and print what they need. InputError leaves neither behind."""
    if options.quant not in _PRECISIONS:
        raise InputError(f"--quant {options.quant} is not for speech models", f"choose {', '.join(_PRECISIONS)}")
    config = read_config(options.checkpoint / "config.json")
    codec = options.codec or options.output.parent / f"{options.output.name}-codec"
    targets = [options.output] if options.no_codec else [options.output, codec]
    for target in targets:
        check_destination(target)
    about = {
        "version": options.version,
        "licence": options.licence,
        "source": options.source,
        "build": command_line(options),
    }
    lm_options = kyutai.Options(
        precision=Precision(*_PRECISIONS[options.quant]),
        cross_frames=options.cross_frames,
        name=options.name,
        buckets=() if list(options.context) == default_context else options.context,
        **about,
    )
    if options.no_codec:
        streams, section = kyutai.export_lm(options.checkpoint, options.output, lm_options, progress), None
    else:
        weights = kyutai.find_file(options.checkpoint, config.mimi_name, "codec")
        shape = options.mimi_config
        if shape is None and config.mimi_config_name:
            shape = kyutai.find_file(options.checkpoint, config.mimi_config_name, "codec's config")
        mimi_options = mimi.Options(
            codebooks=kyutai.codec_codebooks(config),
            decoder_linear=_CODEC_PRECISIONS[options.codec_quant][0],
            decoder_conv=_CODEC_PRECISIONS[options.codec_quant][1],
            name=f"{options.name or config.name}-codec",
            **about,
        )
        # half of a speech model is no use to anyone: the codec waits in a scratch folder until both are whole
        with tempfile.TemporaryDirectory(dir=codec.absolute().parent, prefix=f".{codec.name}-") as scratch:
            section = mimi.export_codec(weights, shape, Path(scratch) / "new", mimi_options, progress)
            streams = kyutai.export_lm(options.checkpoint, options.output, lm_options, progress)
            if codec.exists():
                codec.rename(Path(scratch) / "old")
            (Path(scratch) / "new").rename(codec)
    for line in summary(options.output, streams, section, boards):
        print(line)


def summary(
    output: Path, streams: Mapping[str, Any], codec: Mapping[str, Any] | None, boards: Mapping[str, float]
) -> list[str]:
    """Bytes read per 80 ms frame, the bandwidth that asks for, and which boards have it."""
    rate, read = streams["frame_rate"], streams["bytes_per_frame"]
    sides = {side for mode in streams["mode"] for side in _CODEC_SIDES[mode]}
    codec_bytes = sum(codec["bytes_per_frame"][side] for side in sides) if codec is not None else 0
    total = read["total"] + codec_bytes
    context, modes = streams["buckets"][-1], ", ".join(streams["mode"])
    model, depth, codec_read = (f"{size / 1e6:.1f} MB" for size in (read["total"], read["depth"], codec_bytes))
    lines = [
        f"{output}: {modes}, context {context} frames ({context / rate:.0f} s)",
        f"each frame of {1000 / rate:.0f} ms reads {model} of the language model and {codec_read} of the codec",
        f"  of the language model {depth} for the codebooks, one after another",
        f"real time asks for {total * rate / 1e9:.2f} GB/s",
    ]
    for board, bandwidth in boards.items():
        share = total * rate / 1e9 / bandwidth
        verdict = "keeps up" if share < 0.7 else "may just keep up" if share < 1 else "cannot keep up"
        lines.append(f"  {board} ({bandwidth:.0f} GB/s): {verdict}, {share:.0%} of its memory bandwidth")
    for head, gap in streams["golden"]["float_gap"].items():
        lines.append(
            f"against float32: {head} logits differ by {gap['relative']:.2%}, "
            f"the same top token in {gap['agree']} of {gap['heads']}"
        )
    return lines
