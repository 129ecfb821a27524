"""Moonshine's tokenizer: byte-fallback BPE in which a piece's rank among the merges is its id.

The file holds, for each id, the piece's length and its bytes (a length above 127 in two bytes: the low seven bits,
marked, then the rest). ▁ stands for a space; byte pieces are the byte itself. Nothing else is needed: encoding is the
BPE of Sennrich et al. (arXiv 1508.07909) with the merges in the order of the ids.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from pathlib import Path

from noctule.core.errors import ModelError

_SPACE = "\u2581"
_SPACE_BYTES = _SPACE.encode()


def read_pieces(data: bytes, what: str = "the tokenizer's file") -> list[bytes]:
    """All pieces by id. Raises ModelError when the bytes are cut short."""
    pieces, at = [], 0
    while at < len(data):
        length = data[at]
        at += 1
        if length >= 128:
            high = data[at] if at < len(data) else 256
            length, at = high * 128 + length - 128, at + 1
        if at + length > len(data):
            raise ModelError(f"{what}: the pieces are cut short", "copy or build the package again")
        pieces.append(data[at : at + length])
        at += length
    return pieces


def write_pieces(pieces: Sequence[bytes]) -> bytes:
    """The file of these pieces, none longer than 32767 bytes."""
    out = bytearray()
    for piece in pieces:
        if len(piece) < 128:
            out.append(len(piece))
        else:
            out += bytes([128 + len(piece) % 128, len(piece) // 128])
        out += piece
    return bytes(out)


class MoonshineTokenizer:
    """Text to ids and back. special: ids that are no text (begin, end, unknown, control pieces)."""

    def __init__(
        self, pieces: Sequence[bytes], *, bos: int = 1, eos: int = 2, special: frozenset[int] = frozenset()
    ) -> None:
        self._pieces = list(pieces)
        self.bos, self.eos = bos, eos
        self.special = special | {bos, eos}
        self._bytes: dict[int, int] = {}
        self._ids: dict[bytes, int] = {}
        for number, piece in enumerate(self._pieces):
            if number in self.special or not piece:
                continue
            if len(piece) == 1 and piece[0] not in self._bytes:
                self._bytes[piece[0]] = number  # the byte's own piece comes first; a letter's comes later
            self._ids[piece] = number
        self._word = functools.lru_cache(maxsize=4096)(self._merged)

    @classmethod
    def load(cls, path: Path, *, bos: int, eos: int, special: frozenset[int]) -> MoonshineTokenizer:
        """From a package's file. Raises ModelError."""
        return cls(read_pieces(path.read_bytes(), str(path)), bos=bos, eos=eos, special=special)

    @property
    def vocab_size(self) -> int:
        return len(self._pieces)

    def piece(self, token: int) -> bytes:
        """A token's bytes, with ▁ for a space; b"" for a special one."""
        return b"" if token in self.special else self._pieces[token]

    def begins_word(self, token: int) -> bool:
        """Whether the token's piece starts with a space."""
        return self.piece(token).startswith(_SPACE_BYTES)

    def decode(self, tokens: Sequence[int]) -> str:
        """The text, without the space before its first word; bytes that are no UTF-8 become U+FFFD."""
        data = b"".join(self.piece(token) for token in tokens)
        return data.replace(_SPACE_BYTES, b" ").decode("utf-8", "replace").strip()

    def encode(self, text: str) -> list[int]:
        """Ids of the text as the model writes it: every word with a space before it, runs of white space as one."""
        ids: list[int] = []
        for word in text.split():
            ids += self._word(word)
        return ids

    def _merged(self, word: str) -> tuple[int, ...]:
        """No piece holds a space inside, so that words can be merged one by one, and remembered."""
        parts: list[bytes] = []
        for letter in _SPACE + word:
            data = letter.encode("utf-8", "replace")
            parts += [data] if data in self._ids else [data[i : i + 1] for i in range(len(data))]
        while len(parts) > 1:
            ranked = [
                (self._ids[pair], i)
                for i, pair in enumerate(a + b for a, b in itertools.pairwise(parts))
                if pair in self._ids and len(pair) > 1
            ]
            if not ranked:
                break
            _, at = min(ranked)
            parts[at : at + 2] = [parts[at] + parts[at + 1]]
        return tuple(self._ids[part] if part in self._ids else self._bytes[part[0]] for part in parts)
