"""The inside of a SentencePiece model file: its pieces and the few flags that decide how text is treated. L2; pure.

SentencePiece's Python API neither tells user-defined pieces from normal ones nor lets a piece be taken out of
play, so the file's protobuf wire format is read (and rewritten) directly. Field numbers after
sentencepiece_model.proto of google/sentencepiece:

    ModelProto     1 pieces*, 2 trainer_spec, 3 normalizer_spec
    SentencePiece  1 piece (string), 2 score (float), 3 type (enum, default NORMAL)
    TrainerSpec    3 model_type, 24 treat_whitespace_as_suffix, 35 byte_fallback, 40 unk_id
    NormalizerSpec 1 name, 2 precompiled_charsmap, 3 add_dummy_prefix, 4 remove_extra_whitespaces,
                   5 escape_whitespaces
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import IntEnum


class PieceType(IntEnum):
    """What a piece is for."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


@dataclass(frozen=True)
class PieceTable:
    """Pieces in order of id, and the flags of the trainer and the normalizer."""

    pieces: list[str]
    types: list[int]
    byte_fallback: bool
    whitespace_suffix: bool
    normalizer: str
    has_charsmap: bool
    dummy_prefix: bool
    squeezes_whitespace: bool
    escapes_whitespace: bool


def read_pieces(data: bytes) -> PieceTable:
    """Parse a model file; ValueError when it is none."""
    pieces: list[str] = []
    types: list[int] = []
    trainer: dict[int, int | bytes] = {}
    normalizer: dict[int, int | bytes] = {}
    for number, value, _, _ in _fields(data):
        if number == 1 and isinstance(value, bytes):
            entry = {n: v for n, v, _, _ in _fields(value)}
            name, kind = entry.get(1, b""), entry.get(3, int(PieceType.NORMAL))
            if not isinstance(name, bytes) or not isinstance(kind, int):
                raise ValueError("a piece without a name")
            pieces.append(name.decode("utf-8"))
            types.append(kind)
        elif number == 2 and isinstance(value, bytes):
            trainer = {n: v for n, v, _, _ in _fields(value)}
        elif number == 3 and isinstance(value, bytes):
            normalizer = {n: v for n, v, _, _ in _fields(value)}
    if not pieces:
        raise ValueError("no pieces")
    name = normalizer.get(1, b"")
    return PieceTable(
        pieces=pieces,
        types=types,
        byte_fallback=bool(trainer.get(35, 0)),
        whitespace_suffix=bool(trainer.get(24, 0)),
        normalizer=name.decode("utf-8", "replace") if isinstance(name, bytes) else "",
        has_charsmap=bool(normalizer.get(2, b"")),
        dummy_prefix=bool(normalizer.get(3, 1)),
        squeezes_whitespace=bool(normalizer.get(4, 1)),
        escapes_whitespace=bool(normalizer.get(5, 1)),
    )


def rewrite(data: bytes, control: Collection[int], dummy_prefix: bool | None = None) -> bytes:
    """The same model with the pieces `control` made CONTROL, which text never encodes to.

    `dummy_prefix` False also turns off the space SentencePiece puts before a text.
    """
    out: list[bytes] = []
    index = 0
    seen_normalizer = False
    for number, value, start, end in _fields(data):
        chunk = data[start:end]
        if number == 1 and isinstance(value, bytes):
            if index in control:
                kept = b"".join(value[s:e] for n, _, s, e in _fields(value) if n != 3)
                chunk = _message(1, kept + bytes([3 << 3, PieceType.CONTROL]))
            index += 1
        elif number == 3 and isinstance(value, bytes) and dummy_prefix is False:
            chunk = _message(3, value + bytes([3 << 3, 0]))  # of a repeated scalar the last one counts
            seen_normalizer = True
        out.append(chunk)
    if dummy_prefix is False and not seen_normalizer:
        out.append(_message(3, bytes([3 << 3, 0])))
    return b"".join(out)


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes, int, int]]:
    """(field number, value, start, end) of each field of a message; ValueError when the bytes are not one."""
    at, size = 0, len(data)
    while at < size:
        start = at
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        value: int | bytes
        if wire == 0:
            value, at = _varint(data, at)
        elif wire == 2:
            length, at = _varint(data, at)
            value = data[at : at + length]
            at += length
        elif wire in (1, 5):
            width = 8 if wire == 1 else 4
            value = data[at : at + width]
            at += width
        else:
            raise ValueError(f"wire type {wire}")
        if number == 0 or at > size:
            raise ValueError("cut short")
        yield number, value, start, at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise ValueError("cut short")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _message(number: int, body: bytes) -> bytes:
    length, size = len(body), bytearray()
    while length >= 0x80:
        size.append(length & 0x7F | 0x80)
        length >>= 7
    size.append(length)
    return bytes([number << 3 | 2]) + bytes(size) + body
