"""A folded Decoder -> one float32 TFLite file with a signature per context bucket and prefill length."""

from __future__ import annotations

from pathlib import Path

import litert_torch
import torch
from torch import Tensor

from builders.common.terminal import quiet
from builders.export.text.graph import Decoder


def decode_name(slots: int) -> str:
    return f"decode_{slots}"


def prefill_name(length: int, slots: int) -> str:
    return f"prefill_{length}_{slots}"


def text_signatures(
    decoder: Decoder, contexts: list[int], prefills: list[int]
) -> dict[str, tuple[Decoder, int, int]]:
    """Signature name -> (decoder with the right outputs, T, C). Prefills longer than a bucket are left out."""
    prefill = decoder.outputs(logits=False)
    signatures = {decode_name(slots): (decoder, 1, slots) for slots in contexts}
    for slots in contexts:
        for length in prefills:
            if length <= slots:
                signatures[prefill_name(length, slots)] = (prefill, length, slots)
    return signatures


def convert(signatures: dict[str, tuple[Decoder, int, int]], path: Path) -> None:
    """Trace every signature and write the file; weights are shared between signatures."""
    converter = litert_torch
    for name, (decoder, length, slots) in signatures.items():
        converter = converter.signature(name, decoder, sample_kwargs=sample_inputs(decoder, length, slots))
    with quiet():
        converter.convert().export(str(path))


def sample_inputs(decoder: Decoder, length: int, slots: int) -> dict[str, Tensor | dict[str, Tensor]]:
    return {
        "tokens": torch.zeros(length, 1, dtype=torch.int32),
        "input_pos": torch.zeros(1, dtype=torch.int32),
        "kv_cache": decoder.empty_cache(slots),
    }
