"""The tokenizer that goes into a package: a SentencePiece model, checked against config.json."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import sentencepiece

from builders.export.text.checkpoint import read_json
from noctule.core.errors import InputError

#: User-defined pieces that structure a dialogue (<start_of_turn>, <|im_end|>, [INST]); text must not forge them.
_MARKER = re.compile(r"<[^<>\s]+>|\[/?[A-Z_]+\]")
_BYTE = re.compile(r"<0x[0-9A-F]{2}>")


def find_tokenizer(folder: Path) -> Path:
    path = folder / "tokenizer.model"
    if path.is_file():
        return path
    if (folder / "tokenizer.json").is_file():
        raise InputError(
            f"{folder} has a tokenizer.json but no tokenizer.model: only SentencePiece tokenizers are supported",
            "this is a byte-level BPE checkpoint (GPT-2, Qwen, Llama 3 style), or its tokenizer.model was not copied",
        )
    raise InputError(f"{path}: no such file", "a package needs the checkpoint's SentencePiece model")


def tokenizer_entry(path: Path, folder: Path, config: dict[str, Any], rows: int) -> dict[str, Any]:
    """The manifest's "tokenizer" object. `rows`: rows of the embedding table, which every piece must have."""
    try:
        pieces = sentencepiece.SentencePieceProcessor(model_file=str(path))
    except (OSError, RuntimeError) as error:
        raise InputError(f"{path} is not a SentencePiece model: {str(error).splitlines()[0]}") from None
    size = int(pieces.vocab_size())
    if size > rows:
        raise InputError(
            f"{path} has {size} pieces but the model has {rows} embedding rows",
            "the tokenizer belongs to another model",
        )
    generation = read_json(folder / "generation_config.json") if (folder / "generation_config.json").is_file() else {}
    ends = [*_ids(config.get("eos_token_id")), *_ids(generation.get("eos_token_id"))]
    if not ends and pieces.eos_id() >= 0:
        ends = [int(pieces.eos_id())]
    bos = config.get("bos_token_id")
    bos = int(pieces.bos_id()) if bos is None else bos
    pad = config.get("pad_token_id")
    pad = int(pieces.pad_id()) if pad is None else pad
    for name, token in [("bos_token_id", bos), *(("eos_token_id", end) for end in ends)]:
        if not -1 <= token < size:
            raise InputError(
                f"{folder / 'config.json'}: {name} {token} is outside the tokenizer's {size} pieces",
                "tokens added to tokenizer.json only are not supported",
            )
    return {
        "file": path.name,
        "vocab_size": size,
        "bos": bos if bos >= 0 else None,
        "eos": list(dict.fromkeys(ends)),
        "pad": pad if pad is not None and pad >= 0 else None,
        "control": _control(pieces, size),
    }


def _ids(value: Any) -> list[int]:
    if value is None:
        return []
    return [int(v) for v in value] if isinstance(value, list) else [int(value)]


def _control(pieces: Any, size: int) -> dict[str, int]:
    """Pieces that user text must never become: control symbols and markers defined as ordinary pieces."""
    found = {}
    for token in range(size):
        piece = pieces.id_to_piece(token)
        if pieces.is_control(token) or (
            _MARKER.fullmatch(piece) and not _BYTE.fullmatch(piece) and not pieces.is_unknown(token)
        ):
            found[piece] = token
    return found
