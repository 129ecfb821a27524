"""Every configuration of the package pocket_tts, with random weights: float32 equals it, int8 is near.

NOCTULE_POCKET_LAYERS=0 takes the full depth of the large ones (an hour on one core); by default they have two layers.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pocket_tts = pytest.importorskip("pocket_tts")

import yaml  # noqa: E402

from builders.export.pocket.package import Options  # noqa: E402
from builders.export.pocket.parity import compare  # noqa: E402
from builders.export.pocket.reference import random_checkpoint  # noqa: E402
from builders.export.pocket.tokenizer import tokenizer_file  # noqa: E402
from noctule.core.errors import InputError  # noqa: E402

pytestmark = [pytest.mark.host, pytest.mark.slow, pytest.mark.timeout(3600)]

CONFIGS = {path.stem: path for path in sorted((Path(pocket_tts.__file__).parent / "config").glob("*.yaml"))}
LAYERS = int(os.environ.get("NOCTULE_POCKET_LAYERS", "2"))


def shape(name: str) -> dict[str, Any]:
    raw: dict[str, Any] = yaml.safe_load(CONFIGS[name].read_text(encoding="utf-8"))
    stack = raw["flow_lm"]["transformer"]
    if LAYERS and stack["d_model"] > 512:
        stack["num_layers"] = min(LAYERS, stack["num_layers"])
    return raw


@pytest.mark.parametrize("name", CONFIGS)
def test_float32_equals_pocket_tts(name: str, tmp_path: Path) -> None:
    config = random_checkpoint(shape(name), tmp_path / "checkpoint", name)
    gap = compare(config, Options(linear="float32", conv="float32", buckets=(64, 512)))
    print(name, gap)
    assert gap.fits, str(gap)


@pytest.mark.parametrize("flow", ["lsd", "flow_matching", "drifting", "pointwise"])
def test_every_head_on_the_smallest_model(flow: str, tmp_path: Path) -> None:
    raw = shape("english_2m_2026-10")
    raw["flow_lm"]["flow"]["type"] = flow
    config = random_checkpoint(raw, tmp_path / "checkpoint", flow)
    gap = compare(config, Options(linear="float32", conv="float32", buckets=(64, 512)))
    assert gap.fits, str(gap)


def test_int8_is_near(tmp_path: Path) -> None:
    config = random_checkpoint(shape("english_7m_2026-10"), tmp_path / "checkpoint", "int8")
    gap = compare(config, Options(buckets=(64, 512)), forced=True)
    print(gap)
    assert gap.hidden < 0.1
    assert gap.latent < 0.1


@pytest.mark.parametrize("kind", ["Unigram", "BPE"])
def test_a_tokenizer_in_json_becomes_one_that_reads_alike(kind: str, tmp_path: Path) -> None:
    import sentencepiece
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    lines = [path.read_text(encoding="utf-8") for path in CONFIGS.values()]
    lines += [Path(__file__).read_text(encoding="utf-8"), "Über Äpfel, être, mañana, ação, però «wirklich» — ja"]
    model = models.Unigram() if kind == "Unigram" else models.BPE(unk_token="<unk>")
    theirs = Tokenizer(model)
    theirs.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    theirs.decoder = decoders.Metaspace(prepend_scheme="always")
    special = {"special_tokens": ["<unk>"], "vocab_size": 400}
    trainer = (
        trainers.UnigramTrainer(unk_token="<unk>", **special) if kind == "Unigram" else trainers.BpeTrainer(**special)
    )
    theirs.train_from_iterator(lines, trainer)
    path = tmp_path / "tokenizer.json"
    theirs.save(str(path))
    ours = sentencepiece.SentencePieceProcessor(model_proto=tokenizer_file(path))
    for text in ("num_layers: 24 and more", "hello there, it is 3.50!", "Äpfel être"):
        assert ours.encode(text) == theirs.encode(text).ids


def test_a_tokenizer_that_cannot_be_written_back_is_refused(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    path = tmp_path / "tokenizer.json"
    theirs = Tokenizer(models.WordLevel({"<unk>": 0, "hello": 1}, unk_token="<unk>"))
    theirs.pre_tokenizer = pre_tokenizers.Whitespace()
    theirs.save(str(path))
    with pytest.raises(InputError, match="is not a tokenizer that was made from SentencePiece"):
        tokenizer_file(path)
    path.write_text("{}")
    with pytest.raises(InputError, match="is not a tokenizer"):
        tokenizer_file(path)
