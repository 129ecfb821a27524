"""The sub-word vocabulary: SentencePiece pieces learned from the training sentences, and every letter."""

from __future__ import annotations

from pathlib import Path

import sentencepiece
from sentencepiece import sentencepiece_model_pb2

from builders.speech.sentences import Sentences, vocabulary
from builders.speech.shape import LmShape

SENTENCES = 40_000


def train_tokenizer(target: Path, seed: int, shape: LmShape) -> None:
    """Write tokenizer.model. Ids as in Kyutai's own: 0 unknown (and end of padding), 1 bos, 2 eos, 3 padding."""
    stream = Sentences("train", seed).stream()
    lines = [next(stream).text for _ in range(SENTENCES)]
    lines += sorted(vocabulary()) * 2 + list("abcdefghijklmnopqrstuvwxyz'") * 20
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_prefix=str(target.with_suffix("")),
        vocab_size=shape.pieces,
        model_type="unigram",
        character_coverage=1.0,
        unk_id=0,
        bos_id=1,
        eos_id=2,
        pad_id=3,
        split_by_number=False,
        # texts come in small letters already; the usual rules would be most of the file
        normalization_rule_name="identity",
        hard_vocab_limit=True,
        num_threads=1,
        minloglevel=2,
    )
    target.with_suffix(".vocab").unlink(missing_ok=True)


def adopt(package: Path, target: Path) -> None:
    """A package's tokenizer, without rules for text that is not in small letters already."""
    model = sentencepiece_model_pb2.ModelProto()
    model.ParseFromString((package / "tokenizer.model").read_bytes())
    model.normalizer_spec.name, model.normalizer_spec.precompiled_charsmap = "identity", b""
    target.write_bytes(model.SerializeToString())


class Pieces:
    """Words to tokens and back."""

    def __init__(self, path: Path) -> None:
        self._processor = sentencepiece.SentencePieceProcessor(model_file=str(path))

    def word(self, word: str) -> list[int]:
        """The tokens of one word; the first begins with a space mark."""
        tokens: list[int] = self._processor.encode(word)
        return tokens

    def text(self, tokens: list[int]) -> str:
        """Tokens without padding → text."""
        out: str = self._processor.decode([t for t in tokens if t > 3])
        return out
