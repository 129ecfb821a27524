"""The tokenizer: round trips over Unicode's corners, text that tries to forge special tokens, half characters."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import sentencepiece
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fixtures.tokenizers import CONTROL, info_of, tokenizer, trained
from noctule.core.errors import InputError, ModelError
from noctule.lm.piece_table import PieceType, read_pieces, rewrite
from noctule.lm.tokenizer import Tokenizer

NASTY = [
    "",
    " ",
    "  two  spaces  ",
    "\ttab\nnew line\r\n",
    "e\u0301 combining, \u1112\u1161\u11ab jamo",
    "👩‍👩‍👧‍👦 family, 🏳️‍🌈, 👍🏽",
    "שלום \u202eevil\u202c العربية",
    "nul \0 inside",
    "\u2581", "a\u2581b", "\u2581\u2581 x \u2581", " \u2581a",
    "ﬁ ﬀ ① Å \u212b ＜s＞ ½",
    "\u00a0\u2003\u200b\ufeff",
    "\ufffd\ufffe\uffff\U0010ffff",
    "zalgo z\u0335\u0321\u0322\u0327",
    "<0x41><0xE2>",
]  # fmt: skip
FORGERIES = [
    "<s>",
    "</s>",
    "<unk>",
    "<pad>",
    *CONTROL,
    "<|user|><|user|>",
    "x<|end|>y",
    " <|end|>\n",
    "<|us<|user|>er|>",
]
EXACT = [
    {"model_type": model_type, "dummy_prefix": prefix}
    for model_type in ("bpe", "unigram")
    for prefix in (True, False)
]

texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=40) | st.lists(
    st.sampled_from([*NASTY, *FORGERIES, "\u2581", " ", "hello", "é"]), max_size=6
).map("".join)


@pytest.mark.parametrize("options", EXACT, ids=str)
@pytest.mark.parametrize("text", [*NASTY, *FORGERIES])
def test_nasty_text_survives_a_round_trip(options: dict[str, object], text: str) -> None:
    tok = tokenizer(**options)
    assert tok.exact
    for start in (True, False):
        ids = tok.encode(text, start=start)
        assert tok.decode(ids, start=start) == text
        assert not tok.special & set(ids)


@settings(max_examples=250, deadline=None)
@given(text=texts, options=st.sampled_from(EXACT), start=st.booleans())
@example(text=" \u2581", options=EXACT[0], start=True)
def test_any_text_survives_and_never_makes_a_special_token(
    text: str, options: dict[str, object], start: bool
) -> None:
    tok = tokenizer(**options)
    ids = tok.encode(text, start=start)
    assert tok.decode(ids, start=start) == text
    assert not tok.special & set(ids)
    assert len(ids) * tok.longest >= len(text.encode())


@settings(max_examples=150, deadline=None)
@given(text=texts, start=st.booleans())
def test_the_incremental_decoder_agrees_and_never_emits_half_a_character(text: str, start: bool) -> None:
    tok = tokenizer()
    decoder = tok.decoder(start=start)
    so_far = ""
    for token in tok.encode(text, start=start):
        so_far += decoder.push(token)
        assert text.startswith(so_far)
    assert so_far + decoder.finish() == text


@settings(max_examples=100, deadline=None)
@given(ids=st.lists(st.integers(0, 399), max_size=30))
def test_any_ids_decode_to_valid_text_the_same_way_at_once_and_one_by_one(ids: list[int]) -> None:
    tok = tokenizer()
    ids = [i % tok.vocab_size for i in ids]
    raw = b"".join("\ufffd".encode() if i == 0 else tok.token_text(i) for i in ids)
    whole = tok.decode(ids, start=False)
    assert whole == raw.decode("utf-8", "replace")
    decoder = tok.decoder(start=False)
    parts = [decoder.push(i) for i in ids]
    assert "".join(parts) + decoder.finish() == whole


def test_a_character_of_four_bytes_comes_out_with_its_last_byte() -> None:
    tok = tokenizer()
    ids = tok.encode("🦇", start=False)
    assert len(ids) == 4
    decoder = tok.decoder(start=False)
    assert [decoder.push(i) for i in ids] == ["", "", "", "🦇"]
    decoder = tok.decoder(start=False)
    for i in ids[:3]:
        decoder.push(i)
    assert decoder.finish() == "\ufffd"


def test_ids_equal_sentencepiece_on_ordinary_text() -> None:
    for options in EXACT:
        tok, plain = tokenizer(**options), sentencepiece.SentencePieceProcessor(model_proto=trained(**options))
        for text in ("set a timer for ten minutes", "  hello   world", "naïve café 305!", "🦇"):
            assert tok.encode(text) == plain.encode(text)


def test_the_middle_of_a_text_gets_no_leading_space() -> None:
    tok = tokenizer(dummy_prefix=True)
    assert tok.token_text(tok.encode("hello")[0]).startswith(b" ")
    assert not tok.token_text(tok.encode("hello", start=False)[0]).startswith(b" ")
    assert tok.decode(tok.encode("hello"), start=False) == " hello"


def test_templates_make_control_tokens_and_text_does_not() -> None:
    tok = tokenizer()
    user, end = tok.control_id("<|user|>"), tok.control_id("<|end|>")
    assert tok.encode_template("<|user|>hello<|end|>\n") == [
        user, *tok.encode("hello", start=False), end, *tok.encode("\n", start=False),
    ]  # fmt: skip
    assert tok.encode_template("hello<|end|>") == [*tok.encode("hello"), end]
    assert tok.encode_template("hello", start=False) == tok.encode("hello", start=False)
    assert tok.encode_template("") == []
    assert tok.decode(tok.encode_template("<|user|>hello<|end|>"), start=False) == "hello"
    with pytest.raises(ModelError, match=r"no control piece '<\|nobody\|>'"):
        tok.control_id("<|nobody|>")


def test_the_longest_control_name_wins() -> None:
    names = ("<|a|>", "<|a|>b")
    tok = tokenizer(user_defined=names)
    assert tok.encode_template("<|a|>b<|a|>") == [tok.control["<|a|>b"], tok.control["<|a|>"]]


def test_user_defined_white_space_stays_text_but_visible_pieces_do_not() -> None:
    tok = tokenizer(user_defined=("\n\n", "<|x|>"))
    data = trained(user_defined=("\n\n", "<|x|>"))
    newline = sentencepiece.SentencePieceProcessor(model_proto=data).piece_to_id("\n\n")
    assert newline in tok.encode("a\n\nb")
    assert newline not in tok.special
    assert tok.decode(tok.encode("a\n\nb<|x|>")) == "a\n\nb<|x|>"


def test_a_normal_piece_named_as_control_cannot_be_forged_either() -> None:
    data = trained()
    model = sentencepiece.SentencePieceProcessor(model_proto=data)
    hello = model.piece_to_id("▁hello")
    info = dataclasses.replace(info_of(data), control={"▁hello": hello})
    tok = Tokenizer(data, info)
    assert hello not in tok.encode("hello hello")
    assert tok.decode(tok.encode("hello hello")) == "hello hello"


@pytest.mark.parametrize(
    ("options", "text", "back", "why"),
    [
        ({"normalizer": "nmt_nfkc"}, "ﬁ Å①", "fi Å1", "nmt_nfkc"),
        ({"squeeze": True}, "  a   b ", "a b", "squeezed"),
        ({"byte_fallback": False}, "a🦇b", "a\ufffdb", "fall back"),
        ({"byte_fallback": False}, "a\u2581b", "a b", "fall back"),
    ],
)
def test_models_that_lose_something_say_so(options: dict[str, object], text: str, back: str, why: str) -> None:
    tok = tokenizer(**options)
    assert not tok.exact
    assert why in tok.inexact_because
    assert tok.decode(tok.encode(text)) == back


@pytest.mark.parametrize("text", ["\ud800", "ok \udfff", "a\ud83db"])
def test_half_a_surrogate_pair_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="half a character"):
        tokenizer().encode(text)


def test_ids_outside_the_vocabulary_are_refused() -> None:
    tok = tokenizer()
    for token in (-1, tok.vocab_size):
        with pytest.raises(InputError, match="outside"):
            tok.decode([token])
        with pytest.raises(InputError, match="outside"):
            tok.token_text(token)


def test_special_tokens_have_no_text() -> None:
    tok = tokenizer()
    assert tok.pieces()[1] == tok.pieces()[2] == tok.token_text(tok.control["<|user|>"]) == b""
    assert tok.token_text(tok.encode("\0", start=False)[0]) == b"\0"


@pytest.mark.parametrize(
    "data", [b"", b"garbage garbage", b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", b"\x12\x00"]
)
def test_a_file_that_is_no_tokenizer_is_one_sentence(data: bytes) -> None:
    with pytest.raises(ModelError, match=r"t\.model: is not a SentencePiece model"):
        Tokenizer(data, info_of(trained()), "t.model")


def test_a_truncated_model_is_refused() -> None:
    data = trained()
    with pytest.raises(ModelError):
        Tokenizer(data[: len(data) // 2], info_of(data), "t.model")


def test_the_tokenizer_of_another_model_is_refused() -> None:
    info = info_of(trained())
    with pytest.raises(ModelError, match=r"pieces, the manifest says"):
        Tokenizer(trained(vocab_size=380), info, "t.model")
    with pytest.raises(ModelError, match=r"token 3 is '<\|x\|>', the manifest says '<\|user\|>'"):
        Tokenizer(trained(user_defined=("<|x|>", "<|y|>", "<|z|>")), info, "t.model")


def test_models_that_cannot_be_treated_right_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = trained()
    info = info_of(data)
    suffix = b"\x12\x03\xc0\x01\x01"  # trainer_spec { treat_whitespace_as_suffix: true }
    with pytest.raises(ModelError, match="marks spaces in a way that is not supported"):
        Tokenizer(data + suffix, info, "t.model")
    twice = b"\x0a\x0c\x0a\x03\xe2\x96\x81\x15\x00\x00\x80\xbf\x18\x01"  # the piece "▁" once more
    bigger = dataclasses.replace(info, vocab_size=info.vocab_size + 1)
    with pytest.raises(ModelError, match=r"t\.model: SentencePiece cannot load the model"):
        Tokenizer(data + twice, bigger, "t.model")
    monkeypatch.setattr("noctule.lm.tokenizer.rewrite", lambda data, *_, **__: data)
    with pytest.raises(ModelError, match=r"the text '<\|user\|>' can forge the special token 3"):
        Tokenizer(data, dataclasses.replace(info, control={"<|user|>": 3}), "t.model")


def test_missing_byte_pieces_are_noticed() -> None:
    data = trained()
    byte = read_pieces(data).types.index(PieceType.BYTE)
    with pytest.raises(ModelError, match="256 byte pieces"):
        Tokenizer(rewrite(data, read_pieces(data), {byte}), info_of(data), "t.model")


def test_rewriting_changes_only_what_it_says() -> None:
    data = trained()
    before = read_pieces(data)
    after = read_pieces(rewrite(data, before, {3, 50}, dummy_prefix=False))
    assert before.pieces == after.pieces
    changed = [i for i, (a, b) in enumerate(zip(before.types, after.types, strict=True)) if a != b]
    assert changed == [3, 50]
    assert before.dummy_prefix
    assert not after.dummy_prefix
    assert rewrite(data, before, ()) == data


def test_pieces_of_any_length_and_order_of_fields_are_read() -> None:
    long = "<" + "x" * 200 + ">"
    tok = tokenizer(user_defined=(long,))
    assert tok.control_id(long) in tok.special
    assert tok.decode(tok.encode(f"a{long}b")) == f"a{long}b"
    data = trained()
    swapped = b"\x18\x03\x0a\x03new"  # the type before the name, no score
    table = read_pieces(data + b"\x0a" + bytes([len(swapped)]) + swapped)
    assert (table.pieces[-1], table.types[-1]) == ("new", PieceType.CONTROL)


def test_load_reads_a_file(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.model"
    path.write_bytes(trained())
    assert Tokenizer.load(path, info_of(trained())).decode([5]) == Tokenizer(trained(), info_of(trained())).decode(
        [5]
    )
    with pytest.raises(ModelError, match="cannot be read"):
        Tokenizer.load(tmp_path / "none.model", info_of(trained()))
