"""pocket-tts's tokenizer as the SentencePiece file that the board reads.

A checkpoint brings a SentencePiece model, or a `tokenizers` JSON that was converted from one. The JSON is written
back as SentencePiece, and the result is refused unless both give the same ids for every piece and for sample texts.
"""

from __future__ import annotations

import base64
import json
import struct
from pathlib import Path
from typing import Any

from noctule.core.errors import InputError

_NORMAL, _UNKNOWN, _CONTROL, _BYTE = 1, 2, 3, 6
_SPACE = "\u2581"
#: texts that both tokenizers must read alike, beside the vocabulary's own pieces
_SAMPLES = (
    "Hello world. I am a small voice, and it's 10:45 now!",
    "Timer for pasta set: 1 hour 30 minutes.",
    "Über Äpfel, être, mañana, ação, però — «wirklich»?",
    "two  blanks",
    ".!...?",
    ",;:",
    "x" * 40,
)


def tokenizer_file(path: Path, *, padded: bool = False) -> bytes:
    """The bytes of a SentencePiece model. padded: texts may begin with blanks. InputError, one sentence, when
    the file is missing or is none."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise InputError(
            f"{path}: there is no tokenizer", "put the one beside the configuration that it names"
        ) from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    return _converted(path, data, padded) if path.suffix == ".json" else data


def _converted(path: Path, data: bytes, padded: bool) -> bytes:
    try:
        raw = json.loads(data)
        model = raw["model"]
        made = _unigram(raw, model) if model.get("type") == "Unigram" else _pairs(raw, model)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise InputError(f"{path} is not a tokenizer that was made from SentencePiece ({error})") from None
    _prove(path, data, made, [*_SAMPLES, *([" " * 8 + "Yes."] if padded else [])])
    return made


def _unigram(raw: dict[str, Any], model: dict[str, Any]) -> bytes:
    unknown, vocabulary = int(model.get("unk_id") or 0), model["vocab"]
    pieces = [(str(piece), float(score)) for piece, score in vocabulary]
    return _proto(raw, pieces, unknown, 1, bool(model.get("byte_fallback", False)))


def _pairs(raw: dict[str, Any], model: dict[str, Any]) -> bytes:
    """Byte-pair encoding: a piece's score is the rank of the merge that makes it, negative."""
    if model.get("type") != "BPE":
        raise ValueError(f"its model is {model.get('type')}")
    by_id = sorted(model["vocab"].items(), key=lambda entry: entry[1])
    ranks: dict[str, int] = {}
    for rank, merge in enumerate(model["merges"]):
        left, right = merge.split(" ") if isinstance(merge, str) else merge
        ranks.setdefault(left + right, rank)
    pieces = [(piece, -float(ranks.get(piece, len(ranks)))) for piece, _ in by_id]
    unknown = model["vocab"][model.get("unk_token") or "<unk>"]
    return _proto(raw, pieces, unknown, 2, bool(model.get("byte_fallback", False)))


def sentencepiece_file(pieces: list[tuple[str, float]]) -> bytes:
    """A unigram SentencePiece model of pieces and their log-probabilities, the first one unknown; a text begins with
    a space and keeps its blanks."""
    return _proto({"pre_tokenizer": {"type": "Metaspace", "prepend_scheme": "always"}}, pieces, 0, 1, False)


def _proto(
    raw: dict[str, Any], pieces: list[tuple[str, float]], unknown: int, kind: int, byte_fallback: bool
) -> bytes:
    """A ModelProto (sentencepiece_model.proto): pieces = 1, trainer_spec = 2, normalizer_spec = 3."""
    special = {int(entry["id"]) for entry in raw.get("added_tokens") or [] if entry.get("special")}
    out = b""
    for i, (piece, score) in enumerate(pieces):
        is_byte = byte_fallback and len(piece) == 6 and piece.startswith("<0x")
        sort = _UNKNOWN if i == unknown else _CONTROL if i in special else _BYTE if is_byte else _NORMAL
        body = _bytes(1, piece.encode()) + b"\x15" + struct.pack("<f", score) + _number(3, sort)
        out += _bytes(1, body)
    trainer = _number(3, kind) + _number(4, len(pieces)) + _number(35, int(byte_fallback)) + _number(40, unknown)
    for field in (41, 42, 43):  # begin, end, padding: none
        trainer += _number(field, (1 << 64) - 1)
    prefixed, squeezed, charsmap = _normalizer(raw)
    spec = (_bytes(2, charsmap) if charsmap else b"") + _number(3, int(prefixed)) + _number(4, int(squeezed))
    return out + _bytes(2, trainer) + _bytes(3, spec + _number(5, 1))


def _normalizer(raw: dict[str, Any]) -> tuple[bool, bool, bytes]:
    """Whether a space is put before a text, whether white space is squeezed, and the compiled character map."""
    steps = _flat(raw.get("normalizer"), "normalizers") + _flat(raw.get("pre_tokenizer"), "pretokenizers")
    prefixed = any(
        (
            step["type"] == "Metaspace"
            and step.get("prepend_scheme", "always" if step.get("add_prefix_space") else "never") != "never"
        )
        or step["type"] == "Prepend"
        for step in steps
    )
    squeezed = any(step["type"] == "Replace" and " {2,}" in json.dumps(step.get("pattern")) for step in steps)
    squeezed = squeezed or any(step["type"] == "Strip" for step in steps)
    maps = [base64.b64decode(step["precompiled_charsmap"]) for step in steps if step["type"] == "Precompiled"]
    return prefixed, squeezed, maps[0] if maps else b""


def _flat(step: dict[str, Any] | None, inner: str) -> list[dict[str, Any]]:
    if step is None:
        return []
    return [leaf for part in step[inner] for leaf in _flat(part, inner)] if step["type"] == "Sequence" else [step]


def _prove(path: Path, data: bytes, made: bytes, samples: list[str]) -> None:
    import sentencepiece

    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise InputError(
            f"{path} is read with the package tokenizers, which is not installed",
            "python -m pip install -r scripts/requirements-host.txt",
        ) from None
    try:
        theirs = Tokenizer.from_str(data.decode())
        ours = sentencepiece.SentencePieceProcessor(model_proto=made)
    except Exception as error:  # noqa: BLE001 - both libraries raise plain Exception for a file they cannot read
        raise InputError(f"{path} cannot be loaded as a tokenizer: {' '.join(str(error).split())}") from None
    texts = [
        *samples,
        *(str(theirs.id_to_token(i)).replace(_SPACE, " ").strip() for i in range(theirs.get_vocab_size())),
    ]
    added = [str(entry["content"]) for entry in json.loads(data).get("added_tokens") or []]
    texts = [text for text in texts if text and not any(mark in text for mark in ("<0x", *added))]
    wrong = next((text for text in texts if theirs.encode(text).ids != ours.encode(text)), None)
    if wrong is not None:
        raise InputError(
            f"{path} cannot be written as SentencePiece: {wrong!r} would be read otherwise",
            "give the SentencePiece file that it was made from, and name it in tokenizer_path",
        )


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value
