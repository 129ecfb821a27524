"""The inside of a SentencePiece model file: its pieces and the few flags that decide how text is treated. Pure.

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
    #: where each piece's message lies in the file, and the normalizer's (tag and length included)
    spans: list[tuple[int, int]]
    normalizer_span: tuple[int, int] | None


def read_pieces(data: bytes) -> PieceTable:
    """Parse a model file; ValueError when it is none."""
    pieces: list[str] = []
    types: list[int] = []
    trainer: dict[int, int | bytes] = {}
    normalizer: dict[int, int | bytes] = {}
    spans: list[tuple[int, int]] = []
    normalizer_span = None
    for number, value, start, end in _fields(data):
        if number == 1 and isinstance(value, bytes):
            name, kind = _piece(value)
            pieces.append(name)
            types.append(kind)
            spans.append((start, end))
        elif number == 2 and isinstance(value, bytes):
            trainer = {n: v for n, v, _, _ in _fields(value)}
        elif number == 3 and isinstance(value, bytes):
            normalizer = {n: v for n, v, _, _ in _fields(value)}
            normalizer_span = (start, end)
    if not pieces:
        raise ValueError("no pieces")
    rule = normalizer.get(1, b"")
    return PieceTable(
        pieces=pieces,
        types=types,
        byte_fallback=bool(trainer.get(35, 0)),
        whitespace_suffix=bool(trainer.get(24, 0)),
        normalizer=rule.decode("utf-8", "replace") if isinstance(rule, bytes) else "",
        has_charsmap=bool(normalizer.get(2, b"")),
        dummy_prefix=bool(normalizer.get(3, 1)),
        squeezes_whitespace=bool(normalizer.get(4, 1)),
        escapes_whitespace=bool(normalizer.get(5, 1)),
        spans=spans,
        normalizer_span=normalizer_span,
    )


def rewrite(data: bytes, table: PieceTable, control: Collection[int], dummy_prefix: bool = True) -> bytes:
    """The same model with the pieces `control` made CONTROL, which text never encodes to.

    `dummy_prefix` False also turns off the space SentencePiece puts before a text. `table` is of the same `data`.
    """
    changes: list[tuple[int, int, bytes]] = []
    for token in control:
        start, end = table.spans[token]
        (_, body, _, _), *_ = _fields(data[start:end])
        if isinstance(body, bytes):
            kept = b"".join(body[s:e] for n, _, s, e in _fields(body) if n != 3)
            changes.append((start, end, _message(1, kept + bytes([3 << 3, PieceType.CONTROL]))))
    if not dummy_prefix:
        start, end = table.normalizer_span or (len(data), len(data))
        fields = list(_fields(data[start:end]))
        body = fields[0][1] if fields else b""
        if isinstance(body, bytes):
            # Of a field that is not repeated the last value counts.
            changes.append((start, end, _message(3, body + bytes([3 << 3, 0]))))
    out, at = [], 0
    for start, end, new in sorted(changes):
        out += [data[at:start], new]
        at = end
    return b"".join([*out, data[at:]])


def _piece(message: bytes) -> tuple[str, int]:
    """Name and type of one piece. Written out for the usual order and small lengths: there may be 262,144."""
    if len(message) > 2 and message[0] == 0x0A and message[1] < 0x80:
        end = 2 + message[1]
        rest = message[end:]
        if len(rest) == 5 and rest[0] == 0x15:
            return message[2:end].decode("utf-8"), int(PieceType.NORMAL)
        if len(rest) == 7 and rest[0] == 0x15 and rest[5] == 0x18 and rest[6] < 0x80:
            return message[2:end].decode("utf-8"), rest[6]
    entry = {n: v for n, v, _, _ in _fields(message)}
    name, kind = entry.get(1, b""), entry.get(3, int(PieceType.NORMAL))
    if not isinstance(name, bytes) or not isinstance(kind, int):
        raise ValueError("a piece without a name")
    return name.decode("utf-8"), kind


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
