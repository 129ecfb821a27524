"""No part of a secret in an address or a sentence is ever shown, whatever characters it has."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from noctule.capture.spec import SourceSpec, parse_address
from noctule.cli import run_command
from noctule.core.errors import InputError
from noctule.core.events import Event
from noctule.core.secrets import hide_address, hide_secrets, misplaced
from noctule.service.journal import fields_of

#: signs that passwords have and URLs give a meaning to, among letters and figures that no common word has in a row.
SIGNS = "/@#?:;&=%+,!$*()[]{}|\\~^'`-_. "


def secret(rng: random.Random) -> str:
    letters = "bfjkqvwxz0123456789BFJKQVWXZ"
    return "".join(rng.choice(letters if rng.random() < 0.7 else SIGNS) for _ in range(rng.randrange(8, 24)))


def address(rng: random.Random, word: str) -> str:
    scheme = rng.choice(["rtsp", "rtsps", "http", "https", "rtmp", "tcp"])
    host = rng.choice(["cam", "127.0.0.1:27554", "192.0.2.7", "[2001:db8::1]:554", "nvr.example.org:8554"])
    user = rng.choice(["viewer", "admin", "joe.b"])
    # what has no user's part cannot have an "@" that would be taken for its end, nor a blank: it is one word
    plain = word.replace("@", "x").replace(" ", "x")
    return rng.choice(
        [
            f"{scheme}://{user}:{word}@{host}/live",
            f"{scheme}://{word}:{user}@{host}",
            f"{scheme}:/{user}:{word}@{host}/live",
            f"{scheme}://{user}:{word}@{host}/live?channel=1#{word}",
            f"{scheme}://{host}/user={user}&password={plain}&channel=1&stream=0.sdp",
            f"{scheme}://{host}/live;pwd={plain}",
            f"{scheme}://{host};pwd={plain}",
            f"{scheme}://{host}/{user}/{plain}/live",
            f"{scheme}://{host}/live#{plain}",
            f"{scheme}://{host}/live?token={plain}",
        ]
    )


def pieces(word: str) -> set[str]:
    return {word[i : i + 4] for i in range(len(word) - 3)}


def test_a_thousand_addresses() -> None:
    rng = random.Random(23)
    for _ in range(1000):
        word = secret(rng)
        text = address(rng, word)
        shown = hide_address(text)
        assert not [piece for piece in pieces(word) if piece in shown], (text, shown)
        assert SourceSpec("front", "network", text).label == shown
        try:
            spec = parse_address(text)
        except InputError as error:
            assert not [piece for piece in pieces(word) if piece in error.explain()], (text, error)
        else:
            assert spec is None or spec.kind == "file" or spec.name == shown


def test_a_thousand_sentences_and_the_journal() -> None:
    rng = random.Random(24)
    for _ in range(1000):
        word = secret(rng).replace(" ", "x")
        text = f"The stream rtsp://viewer:{word}@cam:554/live broke off; pwd={word} was refused"
        shown = hide_secrets(text)
        assert not [piece for piece in pieces(word) if piece in shown], (text, shown)
        entry = fields_of(Event("capture.lost", "front", text, {"source": text}, 4), log_words=True)
        assert not [piece for piece in pieces(word) for value in entry.values() if piece in value]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rtsp://viewer:Hidden/Secret@127.0.0.1:27554/live", "rtsp://127.0.0.1:27554/live"),
        ("rtsp://viewer:pa@ss/w@127.0.0.1:27554/live", "rtsp://127.0.0.1:27554/live"),
        ("rtsp://cam/Streaming/Channels/101", "rtsp://cam/Streaming/Channels/101"),
        ("rtsp://cam:7447/aGVsbG8gd29ybGQ", "rtsp://cam:7447/…"),
        ("rtsp://cam/user=admin_password=tlJwpbo6_channel=1.sdp", "rtsp://cam/…"),
        ("viewer:Hidden/Secret@cam/live", "cam/live"),
        ("/dev/video0", "/dev/video0"),
        (":0", ":0"),
        ("/srv/films/holiday.mp4", "/srv/films/holiday.mp4"),
    ],
)
def test_what_is_shown(text: str, shown: str) -> None:
    assert hide_address(text) == shown


def test_other_sentences_stay_as_they_are() -> None:
    for text in (
        "The API listens on http://127.0.0.1:8642/v1/chat/completions",
        "sources.front.address: must be text in quotes, not 7",
        "docs/api.md has the drop-in: LoadCredential",
    ):
        assert hide_secrets(text) == text


@pytest.mark.parametrize(
    ("text", "character"),
    [
        ("rtsp://viewer:Hidden/Secret@cam/live", "/"),
        ("rtsp://viewer:a#b@cam/live", "#"),
        ("rtsp://viewer:a?b@cam/live", "?"),
        ("rtsp://frigate:password!@#$%^&*()_-=+[]{}@192.0.2.1:554/cam", "#"),
        ("rtsp://viewer:a%2Fb@cam/live", ""),
        ("rtsp://viewer:a@b@cam/live", ""),
        ("https://example.org/@user/film.mp4", ""),
        ("http://cam:80/a@b", ""),
    ],
)
def test_a_sign_that_must_be_written_otherwise_is_named(text: str, character: str) -> None:
    assert misplaced(text) == character
    if character:
        with pytest.raises(InputError) as refused:
            parse_address(text)
        assert all(code in refused.value.hint for code in ("%23", "%2F", "%3F"))


def test_a_picture_of_an_address_is_not_named_after_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_command(["snapshot", "rtsp://viewer:hid@den@127.0.0.1:1/live"]) != 0
    assert run_command(["extract", "rtsp://viewer:hid@den@127.0.0.1:1/live", "-o", "out"]) != 0
    said = capsys.readouterr()
    assert not [part for part in ("hid", "den") if part in said.out + said.err]
    assert not [path for path in tmp_path.rglob("*") if "den" in path.name]


def test_a_kind_of_stream_that_is_not_known_is_named_without_its_secret() -> None:
    with pytest.raises(InputError) as refused:
        parse_address("rtspt://user12345:password12345@192.0.2.1/live4")
    assert str(refused.value) == 'rtspt://192.0.2.1/live4: "rtspt" is no kind of stream that is known'
