"""The journal's wire format, what is kept out of it, and sd_notify, against real sockets."""

from __future__ import annotations

import io
import os
import re
import socket
import uuid
from pathlib import Path

import pytest

from noctule.core.errors import NoctuleError
from noctule.core.event_kinds import KINDS, catalog
from noctule.core.events import Event
from noctule.service import journal
from noctule.service.journal import Journal, credential, encode, fields_of, notify, reloading, watchdog_interval

ROOT = Path(__file__).resolve().parents[3]


def event(**fields: object) -> Event:
    return Event(kind="ask.answered", part="lm", message="Answered", fields=fields)


def decode(data: bytes) -> dict[str, str]:
    """An independent reading of the native protocol."""
    out: dict[str, str] = {}
    while data:
        line, _, rest = data.partition(b"\n")
        if b"=" in line:
            name, _, value = line.partition(b"=")
            data = rest
        else:
            size = int.from_bytes(rest[:8], "little")
            name, value, data = line, rest[8 : 8 + size], rest[8 + size + 1 :]
        out[name.decode()] = value.decode()
    return out


def test_the_native_format_survives_newlines_and_equals_signs() -> None:
    fields = {"MESSAGE": "one\ntwo=3\n", "A": "x=y", "B": "", "C": "ü\n"}
    assert decode(encode(fields)) == fields


def test_words_stay_out_of_the_journal_unless_asked_for() -> None:
    said = event(prompt="my secret", reply="an answer", tokens=3, nested={"prompt": "my secret"})
    quiet = fields_of(said, log_words=False)
    assert "secret" not in str(quiet)
    assert "an answer" not in str(quiet)
    assert quiet["NOCTULE_TOKENS"] == "3"
    assert quiet["NOCTULE_PART"] == "lm"
    assert quiet["PRIORITY"] == "6"
    assert quiet["MESSAGE_ID"] == KINDS["ask.answered"].message_id
    assert fields_of(said, log_words=True)["NOCTULE_PROMPT"] == "my secret"


def test_a_field_cannot_replace_one_of_ours() -> None:
    assert fields_of(event(kind="forged", part="forged"), True)["NOCTULE_KIND"] == "ask.answered"


def test_entries_reach_the_journal_socket_even_when_too_large_for_a_datagram(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(path))
        listener.settimeout(5)
        monkeypatch.setattr(journal, "SOCKET", path)
        monkeypatch.setattr(journal, "connected_to_journal", lambda: True)
        sink = Journal()
        assert sink.structured
        sink(event(tokens=7))
        assert decode(listener.recv(65536))["NOCTULE_TOKENS"] == "7"
        many = {f"field{i}": "x" * journal.MAX_VALUE for i in range(40)}
        sink(Event(kind="ask.answered", part="lm", message="big", fields=many))
        _, fds, _, _ = socket.recv_fds(listener, 16, 1)
        with open(fds[0], "rb") as memfd:
            memfd.seek(0)
            assert len(decode(memfd.read())["NOCTULE_FIELD39"]) == journal.MAX_VALUE
    sink(event())
    assert sink.lost == 1, "a journal that is gone is counted, not raised"
    sink.close()


def test_a_terminal_gets_one_plain_line() -> None:
    out = io.StringIO()
    sink = Journal(out, level="info")
    sink(Event(kind="x", part="lm", message="two\nlines"))
    sink(Event(kind="x", part="lm", message="detail", level=7))
    assert re.fullmatch(r"\d\d:\d\d:\d\d lm: two lines\n", out.getvalue())
    sink.configure("debug", True)
    sink(Event(kind="x", part="lm", message="detail", level=7))
    assert out.getvalue().endswith("lm: detail\n")
    out.close()
    sink(event())
    assert sink.lost == 1


def test_notify_speaks_to_path_and_abstract_sockets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not notify(READY=1)
    for address in (str(tmp_path / "n"), f"@noctule-{uuid.uuid4()}"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
            listener.bind("\0" + address[1:] if address.startswith("@") else address)
            listener.settimeout(5)
            monkeypatch.setenv("NOTIFY_SOCKET", address)
            assert notify(READY=1, STATUS="a\nb")
            assert listener.recv(999) == b"READY=1\nSTATUS=a b"
            assert reloading()
            assert re.fullmatch(rb"RELOADING=1\nMONOTONIC_USEC=\d+", listener.recv(999))
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "absent"))
    assert not notify(READY=1)


def test_the_watchdog_is_ours_only_when_the_pid_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "20000000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    assert watchdog_interval() == 20.0
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    assert watchdog_interval() == 20.0
    monkeypatch.setenv("WATCHDOG_PID", "1")
    assert watchdog_interval() is None
    monkeypatch.setenv("WATCHDOG_USEC", "soon")
    assert watchdog_interval() is None


def test_credentials_are_read_only_from_their_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    assert credential("token") is None
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    (tmp_path / "token").write_bytes(b"s3cret\n")
    (tmp_path / "token").chmod(0o400)
    assert credential("token") == b"s3cret"
    assert credential("../token") is None
    assert credential("absent") is None
    (tmp_path / "token").chmod(0o444)
    with pytest.raises(NoctuleError, match="read by everybody"):
        credential("token")


def test_only_the_real_journal_stream_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with open(tmp_path / "err", "w") as stream:
        about = os.fstat(stream.fileno())
        monkeypatch.setattr("sys.stderr", stream)
        monkeypatch.setattr(journal, "SOCKET", tmp_path)
        monkeypatch.setenv("JOURNAL_STREAM", f"{about.st_dev}:{about.st_ino}")
        assert journal.connected_to_journal()
        monkeypatch.setenv("JOURNAL_STREAM", "1:2")
        assert not journal.connected_to_journal()
    monkeypatch.setattr("sys.stderr", io.StringIO())
    assert not journal.connected_to_journal()


def test_the_catalog_has_every_kind_once_and_the_shipped_file_is_current() -> None:
    ids = [kind.message_id for kind in KINDS.values()]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch("[0-9a-f]{32}", i) for i in ids)
    assert (ROOT / "systemd" / "noctule.catalog").read_text() == catalog(), "run scripts/render_config"
