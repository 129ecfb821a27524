"""Text to token ids and back, on SentencePiece. Knows nothing of models.

Forgery. Ids that mean something to the model (control pieces, begin and end of sequence, padding, user-defined
pieces with any visible character) must come only from us, never from what a user writes. SentencePiece never
turns text into CONTROL pieces but does so with USER_DEFINED and NORMAL ones, so the loaded copy of the model has
all of the above made CONTROL: "<|user|>" typed by a user becomes the plain pieces or bytes of those characters.
Only `encode_template`, for strings from a manifest, turns the names of control pieces into their ids. Loading
proves it: every special piece's own text is encoded and must not yield a special id.

Round trip. `decode(encode(text)) == text` exactly when `exact` is true: the normalizer is the identity, white
space is not squeezed, and unknown characters fall back to bytes. Otherwise the normalizer's view of the text
comes back (NFKC: "ﬁ" as "fi"; squeezed: one space for many, none at the ends), and characters the model has no
piece for come back as U+FFFD. `inexact_because` says which. U+2581 (SentencePiece's own mark for a space) in a
text is encoded as its three bytes where there is byte fallback, so that it also survives.

The leading space. Many models put a space before a text (`dummy_prefix`), so that "Hello" and " Hello" share
pieces. That is right at the start of a sequence and wrong in the middle: `start=False` encodes without it.
"""

from __future__ import annotations

import codecs
import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import sentencepiece

from noctule.core.errors import InputError, ModelError
from noctule.inference.manifest import TokenizerInfo
from noctule.lm.piece_table import PieceTable, PieceType, read_pieces, rewrite

#: U+2581, which stands for a space inside pieces.
_SPACE = "\u2581"
_REPLACEMENT = "\ufffd".encode()


class Tokenizer:
    """One model's tokenizer. Cheap to share: it has no state between calls."""

    def __init__(self, data: bytes, info: TokenizerInfo, where: str = "tokenizer") -> None:
        """`data`: a SentencePiece model file; `info`: the manifest's section; `where`: its path, for errors."""
        try:
            table = read_pieces(data)
        except ValueError as error:
            raise ModelError(f"{where}: is not a SentencePiece model ({error})", "copy or build it again") from None
        self._where = where
        self._check(table, info)
        self.vocab_size = len(table.pieces)
        self.bos, self.eos, self.pad = info.bos, frozenset(info.eos), info.pad
        self.control = dict(info.control)
        self.special = _special_ids(table, info)
        self._plain = self._processor(rewrite(data, table, self.special))
        self._inner = self._plain
        if table.dummy_prefix:
            self._inner = self._processor(rewrite(data, table, self.special, dummy_prefix=False))
        self._bytes = {
            int(piece[1:-1], 16): i
            for i, (piece, kind) in enumerate(zip(table.pieces, table.types, strict=True))
            if kind == PieceType.BYTE
        }
        self._texts = [
            _text_of(piece, kind, i in self.special)
            for i, (piece, kind) in enumerate(zip(table.pieces, table.types, strict=True))
        ]
        #: most bytes one token can stand for: a text of n bytes has at least n / longest tokens
        self.longest = max(1, *map(len, self._texts))
        self._by_length = sorted(self.control, key=len, reverse=True)
        self._unknown = frozenset(i for i, kind in enumerate(table.types) if kind == PieceType.UNKNOWN)
        self._prove_unforgeable(table.pieces)
        # Names and places of the pieces are not needed again: 9 MB for a vocabulary of 49,152.
        self._table = dataclasses.replace(table, pieces=[], types=[], spans=[])

    @classmethod
    def load(cls, path: Path, info: TokenizerInfo) -> Tokenizer:
        """Read a model file that `load_manifest` has verified."""
        try:
            return cls(path.read_bytes(), info, str(path))
        except OSError as error:
            raise ModelError(f"{path}: cannot be read: {error.strerror}") from None

    # ---- what it is -------------------------------------------------------------------------------------------

    @property
    def dummy_prefix(self) -> bool:
        """Whether a space is put before a text that starts a sequence."""
        return self._table.dummy_prefix

    @property
    def inexact_because(self) -> str:
        """Why a round trip may change a text; empty when it never does."""
        table = self._table
        reasons = []
        if table.has_charsmap:
            reasons.append(f"the normalizer is {table.normalizer or 'custom'}, not identity")
        if table.squeezes_whitespace:
            reasons.append("white space is squeezed")
        if not table.byte_fallback:
            reasons.append("unknown characters do not fall back to bytes")
        return ", ".join(reasons)

    @property
    def exact(self) -> bool:
        """True when `decode(encode(text)) == text` for every text."""
        return not self.inexact_because

    def pieces(self) -> list[bytes]:
        """`token_text` of every id, for code that builds masks; do not change the list."""
        return self._texts

    def token_text(self, token: int) -> bytes:
        """The bytes a token stands for: one raw byte for byte pieces, nothing for special and unknown ones."""
        self._check_ids([token])
        return self._texts[token]

    def control_id(self, piece: str) -> int:
        """The id of a control piece by name."""
        if piece not in self.control:
            raise ModelError(f"{self._where}: there is no control piece {piece!r}")
        return self.control[piece]

    # ---- text to ids ------------------------------------------------------------------------------------------

    def encode(self, text: str, *, start: bool = True) -> list[int]:
        """Ids of a text, none of them special, whatever the text says. InputError for lone surrogates."""
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise InputError(
                f"the text holds half a character (a lone surrogate) at position {error.start}",
                "send valid UTF-8",
            ) from None
        if _SPACE not in text or not self._bytes:
            return list((self._plain if start else self._inner).encode(text))
        mark = [self._bytes[byte] for byte in _SPACE.encode()]
        ids: list[int] = []
        for i, part in enumerate(text.split(_SPACE)):
            ids += mark if i else []
            ids += (self._plain if start and not ids else self._inner).encode(part)
        return ids

    def encode_template(self, text: str, *, start: bool = True) -> list[int]:
        """Ids of a manifest's string, in which names of control pieces stand for their ids."""
        ids: list[int] = []
        plain = ""
        at = 0
        while at < len(text):
            name = next((n for n in self._by_length if text.startswith(n, at)), None)
            if name is None:
                plain += text[at]
                at += 1
                continue
            ids += self.encode(plain, start=start and not ids) if plain else []
            ids.append(self.control[name])
            plain = ""
            at += len(name)
        return ids + (self.encode(plain, start=start and not ids) if plain else [])

    # ---- ids to text ------------------------------------------------------------------------------------------

    def decode(self, ids: Iterable[int], *, start: bool = True) -> str:
        """Text of ids; special ones are left out, bytes that are no UTF-8 become U+FFFD."""
        decoder = self.decoder(start=start)
        return "".join([decoder.push(i) for i in ids]) + decoder.finish()

    def decoder(self, *, start: bool = True) -> IncrementalDecoder:
        """A decoder that takes one id at a time. `start`: the ids begin a text that was encoded with a prefix."""
        return IncrementalDecoder(self, start)

    def _bytes_of(self, token: int) -> bytes:
        self._check_ids([token])
        if token in self._unknown:
            return _REPLACEMENT
        return self._texts[token]

    # ---- checks -----------------------------------------------------------------------------------------------

    def _check(self, table: PieceTable, info: TokenizerInfo) -> None:
        where = self._where
        if len(table.pieces) != info.vocab_size:
            raise ModelError(
                f"{where}: has {len(table.pieces)} pieces, the manifest says {info.vocab_size}",
                "the tokenizer belongs to another model",
            )
        for piece, token in info.control.items():
            if table.pieces[token] != piece:
                raise ModelError(f"{where}: token {token} is {table.pieces[token]!r}, the manifest says {piece!r}")
        if table.whitespace_suffix or not table.escapes_whitespace:
            raise ModelError(f"{where}: marks spaces in a way that is not supported (suffix or unescaped)")
        if table.byte_fallback and table.types.count(PieceType.BYTE) != 256:
            raise ModelError(f"{where}: promises byte fallback but lacks some of the 256 byte pieces")

    def _check_ids(self, ids: list[int]) -> None:
        for token in ids:
            if not 0 <= token < self.vocab_size:
                raise InputError(f"token {token} is outside 0..{self.vocab_size - 1}")

    def _processor(self, data: bytes) -> Any:
        try:
            return sentencepiece.SentencePieceProcessor(model_proto=data)
        except (RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise ModelError(f"{self._where}: SentencePiece cannot load the model: {reason}") from None

    def _prove_unforgeable(self, pieces: list[str]) -> None:
        for token in self.special:
            piece = pieces[token].replace(_SPACE, " ")
            for text in (piece, f"a{piece}b"):
                if self.special & {*self._plain.encode(text), *self._inner.encode(text)}:
                    raise ModelError(f"{self._where}: the text {piece!r} can forge the special token {token}")


class IncrementalDecoder:
    """Turns ids into text as they come, holding back the bytes of an unfinished character."""

    def __init__(self, tokenizer: Tokenizer, start: bool) -> None:
        self._tokenizer = tokenizer
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        self._strip = start and tokenizer.dummy_prefix

    def push(self, token: int) -> str:
        """The text that is complete with this token; may be empty."""
        data = self._tokenizer._bytes_of(token)
        if self._strip and data:
            data = data.removeprefix(b" ")
            self._strip = False
        return self._utf8.decode(data)

    def finish(self) -> str:
        """What is left: U+FFFD if a character was cut off, else nothing."""
        return self._utf8.decode(b"", final=True)


def _special_ids(table: PieceTable, info: TokenizerInfo) -> frozenset[int]:
    """Every id a user must not be able to write. Pieces of white space alone stay text, and so do byte pieces."""
    named = {*info.control.values(), *info.eos, *(i for i in (info.bos, info.pad) if i is not None)}
    special = {i for i, kind in enumerate(table.types) if kind in (PieceType.CONTROL, PieceType.UNUSED)}
    candidates = {i for i, kind in enumerate(table.types) if kind == PieceType.USER_DEFINED}
    candidates |= {i for i in named if table.types[i] == PieceType.NORMAL}
    return frozenset(special | {i for i in candidates if table.pieces[i].replace(_SPACE, " ").strip()})


def _text_of(piece: str, kind: int, special: bool) -> bytes:
    if special or kind == PieceType.UNKNOWN:
        return b""
    if kind == PieceType.BYTE:
        return bytes([int(piece[1:-1], 16)])
    return piece.replace(_SPACE, " ").encode()
