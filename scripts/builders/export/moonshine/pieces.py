"""The pieces of a checkpoint's tokenizer.json, by id, as the package keeps them: see noctule.lm.speech.moonshine."""

from __future__ import annotations

import json
import re
from pathlib import Path

from noctule.core.errors import InputError

_BYTE = re.compile(r"<0x([0-9A-F]{2})>")


def pieces_of_json(path: Path, vocab: int) -> list[bytes]:
    """From a Hugging Face tokenizer.json; refuses one that is no byte-fallback BPE whose merges stand in the order of
    their ids, because that order is all that the package keeps of them."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        model = raw["model"]
        ids: dict[str, int] = dict(model["vocab"])
        merges = [entry.split(" ") if isinstance(entry, str) else list(entry) for entry in model["merges"]]
        for entry in raw.get("added_tokens", []):
            ids[entry["content"]] = int(entry["id"])
    except FileNotFoundError:
        raise InputError(f"{path}: the checkpoint has no tokenizer.json", "download every file of it") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is not a tokenizer.json: {error}") from None
    if model.get("type") != "BPE" or not model.get("byte_fallback"):
        raise InputError(f"{path}: only a BPE tokenizer with byte fallback can be imported")
    _check_order(path, ids, merges)
    pieces = [b""] * vocab
    for piece, number in ids.items():
        if not 0 <= number < vocab:
            raise InputError(f"{path}: piece {piece!r} has id {number}, and the model knows {vocab}")
        byte = _BYTE.fullmatch(piece)
        pieces[number] = bytes([int(byte[1], 16)]) if byte else piece.encode()
    return pieces


def _check_order(path: Path, ids: dict[str, int], merges: list[list[str]]) -> None:
    last = -1
    for left, right in merges:
        number = ids.get(left + right, -1)
        if number < last:
            raise InputError(f"{path}: the merge of {left!r} and {right!r} does not stand in the order of the ids")
        last = number
