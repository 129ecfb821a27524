"""The client against servers that are not there, forbid, hang, lie or break off."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from noctule.api import client as client_module
from noctule.api.client import Client
from noctule.core.errors import BusyError, InputError, NoctuleError, TooLargeError, UnavailableError
from waiting import WAIT


@contextmanager
def server(path: Path, answer: bytes, *, read: bool = True, hold: threading.Event | None = None) -> Iterator[None]:
    """Accepts one connection, reads a little, answers with these bytes, and closes (or holds on)."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(1)

    def serve() -> None:
        with listener.accept()[0] as connection:
            if read:
                connection.recv(65536)
            connection.sendall(answer)
            if hold is not None:
                hold.wait(WAIT)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        if hold is not None:
            hold.set()
        thread.join(WAIT)
        listener.close()


def http(status: int, body: bytes) -> bytes:
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % (status, len(body)) + body


def test_no_daemon(tmp_path: Path) -> None:
    (tmp_path / "dead.sock").touch()
    socket.socket(socket.AF_UNIX).close()
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "left.sock"))
    for name in ("none.sock", "left.sock", "dead.sock/x"):
        with pytest.raises(UnavailableError, match="not running") as error:
            Client(tmp_path / name).get("/status")
        assert error.value.hint == "systemctl start noctule"


def test_a_socket_that_is_not_ours_to_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: socket.socket, address: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    with pytest.raises(UnavailableError, match="may not use") as error:
        Client(tmp_path / "control.sock").get("/status")
    assert "usermod -aG noctule" in error.value.hint


def test_a_daemon_that_hangs(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with server(path, b"", hold=threading.Event()), pytest.raises(UnavailableError, match=r"not answered for 0\.1 s"):
        Client(path, timeout=0.1).get("/status")


@pytest.mark.parametrize(
    "answer",
    [b"", b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", http(200, b"<html>"),
     http(200, b"[]"), http(200, b"\xff\xfe")],
    ids=["nothing", "another protocol", "cut off", "no JSON", "no object", "no text"],
)  # fmt: skip
def test_an_answer_that_is_not_noctules(tmp_path: Path, answer: bytes) -> None:
    path = tmp_path / "s"
    with server(path, answer), pytest.raises(UnavailableError) as error:
        Client(path, WAIT).get("/status")
    assert error.value.hint


def test_a_refusal_that_comes_before_the_body_is_sent_is_read(tmp_path: Path) -> None:
    path = tmp_path / "s"
    body = json.dumps({"error": {"code": "too-large", "message": "Too large.", "hint": "less"}}).encode()
    with server(path, http(413, body), read=False), pytest.raises(TooLargeError, match="Too large"):
        Client(path, WAIT).post("/ask", {"text": "a" * 5_000_000})


@pytest.mark.parametrize(
    ("code", "kind", "exit_code"),
    [("busy", BusyError, 75), ("input", InputError, 65), ("unavailable", UnavailableError, 69),
     ("slow", NoctuleError, 1), ("", NoctuleError, 1)],
)  # fmt: skip
def test_errors_come_back_as_what_they_were(
    tmp_path: Path, code: str, kind: type[NoctuleError], exit_code: int
) -> None:
    path = tmp_path / "s"
    body = json.dumps({"error": {"code": code, "message": "No.", "hint": "Why not."}}).encode()
    with server(path, http(503, body)), pytest.raises(kind, match=r"No\.") as error:
        Client(path, WAIT).get("/status")
    assert (error.value.code, error.value.hint, error.value.exit_code) == (code, "Why not.", exit_code)


def test_a_stream_cut_off_in_the_middle_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "s"
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    with server(path, head + b'f\r\n{"delta": "It"}\r\n'):
        lines = Client(path, WAIT).stream("POST", "/ask", {"text": "time"})
        with pytest.raises(UnavailableError, match="broke"):
            list(lines)


def test_many_answers_leave_no_descriptor_behind(tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for n in range(5):
        path = tmp_path / str(n)
        with server(path, http(200, b"{}")):
            assert Client(path, WAIT).get("/health") == {}
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize("size", [64, 65])
def test_an_answer_that_is_too_long_is_not_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(client_module, "MAX_ANSWER", 64)
    monkeypatch.setattr(client_module, "MAX_CLIP", 64)
    for number, ask in enumerate((Client.fetch, Client.fetch_with_head)):
        path = tmp_path / f"{number}.sock"
        with server(path, http(200, b"x" * size)):
            if size == 64:
                found = ask(Client(path), "/frame/display")
                assert (found if isinstance(found, bytes) else found[0]) == b"x" * 64
            else:
                with pytest.raises(TooLargeError, match="answer has more than"):
                    ask(Client(path), "/frame/display")
