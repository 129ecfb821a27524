"""A SentencePiece model of any vocabulary size, made without a corpus: for tests and benchmarks of random weights.

Pieces: <unk>, <s>, </s>, the 256 bytes, printable ASCII letters, then pronounceable syllable words. It encodes and
decodes every text (bytes are the fallback); it means nothing.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

from sentencepiece import sentencepiece_model_pb2 as schema

_SPACE = "\u2581"
_PIECE = schema.ModelProto.SentencePiece
UNK, BOS, EOS = 0, 1, 2
SMALLEST = 3 + 256 + 1


def _words() -> Iterator[str]:
    yield _SPACE
    yield from "etaoinshrdlucmfwypvbgkqjxzETAOINSHRDLUCMFWYPVBGKQJXZ0123456789.,?!'-:"
    syllables = [a + b for a in "bdfghjklmnprstvwz" for b in "aeiou"]
    for length in itertools.count(1):
        for parts in itertools.product(syllables, repeat=length):
            word = "".join(parts)
            yield _SPACE + word
            yield word


def write_tokenizer(path: Path, size: int) -> None:
    """Write a model of `size` pieces (at least SMALLEST) to `path`; the same size gives the same bytes."""
    if size < SMALLEST:
        raise ValueError(f"a vocabulary of {size} is below {SMALLEST}")
    model = schema.ModelProto()
    model.trainer_spec.model_type = schema.TrainerSpec.UNIGRAM
    model.trainer_spec.vocab_size = size
    model.trainer_spec.byte_fallback = True
    model.trainer_spec.unk_id, model.trainer_spec.bos_id, model.trainer_spec.eos_id = UNK, BOS, EOS
    model.trainer_spec.pad_id = -1
    model.normalizer_spec.name = "identity"
    model.normalizer_spec.remove_extra_whitespaces = False
    for piece, kind in (("<unk>", _PIECE.UNKNOWN), ("<s>", _PIECE.CONTROL), ("</s>", _PIECE.CONTROL)):
        model.pieces.add(piece=piece, score=0.0, type=kind)
    for byte in range(256):
        model.pieces.add(piece=f"<0x{byte:02X}>", score=0.0, type=_PIECE.BYTE)
    for rank, word in zip(range(size - len(model.pieces)), _words(), strict=False):
        model.pieces.add(piece=word, score=-1.0 - rank / 1000.0 / max(1, len(word)), type=_PIECE.NORMAL)
    path.write_bytes(model.SerializeToString(deterministic=True))
