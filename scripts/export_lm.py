#!/usr/bin/env python3
"""Turn a checkpoint folder (config.json, *.safetensors, tokenizer.model) into a package that Noctule runs.

Runs on a PC with scripts/requirements-host.txt installed; the folder it writes is copied to the board.
Architectures: Llama (SmolLM, TinyLlama …), Gemma 1-3 (text), Qwen 2 and 3; and Kyutai's speech models (moshi, stt,
tts, hibiki), which become a speech-lm package and a codec package and need no torch; and Kyutai's pocket-tts (a .yaml
configuration, its safetensors file and its tokenizer), which becomes one pocket-tts package, without torch too.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shlex
import sys
from pathlib import Path

_HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(_HERE), str(_HERE.parent / "daemon")]

from noctule.core.errors import InputError, NoctuleError  # noqa: E402 - the line above makes it importable

_NEEDS = {
    "torch": "torch",
    "litert_torch": "litert-torch",
    "ai_edge_quantizer": "ai-edge-quantizer",
    "safetensors": "safetensors",
    "sentencepiece": "sentencepiece",
    "ai_edge_litert": "ai-edge-litert",
}
_NEEDS_SPEECH = {name: _NEEDS[name] for name in ("sentencepiece", "ai_edge_litert")}
_NEEDS_POCKET = {**_NEEDS_SPEECH, "yaml": "PyYAML"}
_CONTEXTS = [128, 512]
#: Sustained read bandwidth in GB/s to judge a model by: measured on a Pi 5, peak figures of an Orin Nano halved.
_BOARDS = {"Raspberry Pi 5": 10.0, "Jetson Orin Nano": 40.0}


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="export_lm.py", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("checkpoint", type=Path, help="folder with config.json, *.safetensors and tokenizer.model")
    parser.add_argument("-o", "--output", type=Path, required=True, help="package folder to write")
    parser.add_argument("--quant", default="int8", help="int8 (default), int4, int4-head8, float32, int8-tensor")
    parser.add_argument("--context", type=numbers, default=_CONTEXTS, help="context buckets (default 128,512)")
    parser.add_argument("--prefill", type=numbers, default=[32], help="prefill chunks, e.g. 32 (default) or 16,64")
    parser.add_argument("--cache", default="auto", help="keys and values: int8, float32, or auto (default): int8 "
                        "unless the weights are float32 or int8-tensor, or the model is a Qwen 2")  # fmt: skip
    parser.add_argument("--name", default="", help="name in the manifest (default: the checkpoint folder's)")
    parser.add_argument("--version", default="1", help="version in the manifest")
    parser.add_argument("--licence", default="unknown", help="licence of the weights, as SPDX where it has one")
    parser.add_argument("--source", default="", help="where the weights come from (default: their sha256)")
    parser.add_argument("--chat", type=Path, help="JSON file with the manifest's chat object")
    parser.add_argument("--sampling", type=Path, help="JSON file with the manifest's sampling object")
    from builders.export import pocket_command
    from builders.export import speech_command as kyutai_command

    kyutai_command.add_arguments(parser)
    pocket_command.add_arguments(parser)
    return parser.parse_args(arguments)


def numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of whole numbers such as 128,512") from None


def command_line(options: argparse.Namespace) -> str:
    """The command that builds this package again, with the paths of this machine left out."""
    join = ",".join
    parts = [
        "scripts/export_lm.py",
        options.checkpoint.name,
        "-o",
        options.output.name,
        "--quant",
        options.quant,
        "--context",
        join(map(str, options.context)),
        "--prefill",
        join(map(str, options.prefill)),
        *([] if options.cache == "auto" else ["--cache", options.cache]),
    ]
    return shlex.join(parts)


def export(options: argparse.Namespace) -> None:
    from builders.export import pocket_command
    from builders.export import speech_command as kyutai_command

    speech, pocket = kyutai_command.is_speech(options.checkpoint), pocket_command.is_pocket(options.checkpoint)
    needs = _NEEDS_POCKET if pocket else _NEEDS_SPEECH if speech else _NEEDS
    missing = [package for module, package in needs.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise InputError(
            f"the export needs {', '.join(missing)}, which this Python ({sys.executable}) does not have",
            "python -m pip install -r scripts/requirements-host.txt",
        )
    from builders.common.terminal import Progress, quiet

    if pocket:
        pocket_command.export(options, _CONTEXTS, Progress(), _BOARDS)
        return
    if speech:
        if options.cache != "auto":
            raise InputError("--cache is for text models", "speech models keep float32 keys and values")
        kyutai_command.export_speech(options, _CONTEXTS, Progress(), _BOARDS)
        return
    with quiet():  # the converters greet at import
        from builders.export.text.package import Request, export_text, read_object
    request = Request(
        checkpoint=options.checkpoint,
        package=options.output,
        quant=options.quant,
        contexts=options.context,
        prefills=options.prefill,
        cache=options.cache,
        name=options.name,
        version=options.version,
        licence=options.licence,
        source=options.source,
        command=command_line(options),
        chat=read_object(options.chat),
        sampling=read_object(options.sampling),
    )
    result = export_text(request, Progress())
    print(f"{options.output}: {result.bytes / 1e6:.1f} MB, {8 * result.bytes / result.parameters:.1f} bits a weight")
    cost = result.gap
    print(f"against float32: logits differ by {cost.relative:.2%}, same top token in {cost.top1:.0%} of the steps")
    print(f"each token reads {result.token_bytes / 1e6:.1f} MB of weights; reading them alone allows at most")
    for board, bandwidth in _BOARDS.items():
        print(f"  {bandwidth * 1e9 / result.token_bytes:7.0f} tokens/s on a {board} ({bandwidth:.0f} GB/s)")


def main(arguments: list[str] | None = None) -> int:
    try:
        export(parse(arguments))
    except NoctuleError as error:
        print(f"export_lm.py: {error.explain()}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("export_lm.py: interrupted, nothing was written", file=sys.stderr)
        return 130
    return 0


def leave(status: int) -> None:
    """Exit without the lines that the runtime's C++ side prints while the interpreter is torn down."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    sys.exit(status)


if __name__ == "__main__":
    leave(main())
