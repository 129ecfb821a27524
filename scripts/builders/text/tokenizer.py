"""The tokenizer of noctule-tiny: SentencePiece BPE over the words of requests and replies."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import sentencepiece

from builders.text.generate import Generator
from noctule.assistant.actions.declared import SPECS
from noctule.assistant.actions.format import CallFormat, control_pieces
from noctule.assistant.phrases.request import read

VOCABULARY = 2048
_PLACEHOLDER = re.compile(r"\{[a-z_]+\}")


def corpus(seed: int, lines: int) -> Iterable[str]:
    """Requests as the model reads them, and every declared reply, repeated so that its words become pieces."""
    for example in islice(Generator("train", seed).stream(), lines):
        yield read(example.text).plain
    for spec in SPECS:
        for reply in spec.replies:
            for _ in range(max(1, lines // 1000)):
                yield _PLACEHOLDER.sub(" ", reply)


def train_tokenizer(folder: Path, seed: int, lines: int) -> Path:
    """Write folder/tokenizer.model. No normalisation: words.read has done it; unknown letters become bytes."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        # An iterator and a writer rather than files: their paths would be written into the model.
        sentence_iterator=iter(corpus(seed, lines)),
        model_writer=model,
        model_type="bpe",
        vocab_size=VOCABULARY,
        normalization_rule_name="identity",
        byte_fallback=True,
        split_digits=True,
        character_coverage=1.0,
        control_symbols=control_pieces(SPECS),
        # pad first would move the ids that Llama-style packages share.
        unk_id=0,
        bos_id=1,
        eos_id=2,
        pad_id=3,
        num_threads=1,  # more threads may break ties differently from run to run
        input_sentence_size=0,
        shuffle_input_sentence=False,
        minloglevel=2,
    )
    path = folder / "tokenizer.model"
    partial = path.with_suffix(".partial")
    partial.write_bytes(model.getvalue())
    partial.replace(path)
    return path


def load_format(path: Path) -> CallFormat:
    """The call format in the ids of the tokenizer at `path`."""
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(path))
    control = {piece: pieces.piece_to_id(piece) for piece in control_pieces(SPECS)}
    return CallFormat(pieces.encode, control, pieces.bos_id(), pieces.eos_id())
