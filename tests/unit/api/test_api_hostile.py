"""What the control socket does with those who do not behave: a plain 4xx for them, and nothing for anybody else."""

from __future__ import annotations

import contextlib
import grp
import os
import random
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from api_world import ApiWorld, read_answer

from noctule.api import control as control_module
from noctule.api.http.peer import SO_PEERGROUPS, Peer, allowed, peer_of
from noctule.api.http.unix_socket import bind
from noctule.core.errors import DeviceError, ForbiddenError
from waiting import WAIT

GET = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def api(tmp_path: Path) -> Iterator[ApiWorld]:
    with ApiWorld(tmp_path) as world:
        yield world


@pytest.fixture
def good_requests(api: ApiWorld) -> Iterator[None]:
    """Good requests go on all the while; each must be answered rightly."""
    stop, first = threading.Event(), threading.Event()
    failures: list[str] = []

    def ask() -> None:
        while not stop.is_set():
            answer = api.client().post("/ask", {"text": "time", "stream": False})
            if answer != {"reply": "you said time"}:
                failures.append(str(answer))
            first.set()

    thread = threading.Thread(target=ask)
    thread.start()
    assert first.wait(WAIT)
    yield
    first.clear()
    assert first.wait(WAIT), "good requests are no longer answered"
    stop.set()
    thread.join(WAIT)
    assert failures == []


def refused(answer: tuple[int, dict[str, object]], status: int, *words: str) -> None:
    got, body = answer
    assert got == status, body
    error = body["error"]
    assert isinstance(error, dict)
    assert set(error) == {"code", "message", "hint"}
    for word in words:
        assert word in error["message"], error


@pytest.mark.usefixtures("good_requests")
class TestWhileGoodRequestsGoOn:
    @pytest.mark.parametrize(
        "body",
        [b"{", b"", b"text=hello", b'{"text": "a"} {"text": "b"}', b"[" * 60_000, b'{"text": ' + b"9" * 5000 + b"}"],
    )
    def test_malformed_json(self, api: ApiWorld, body: bytes) -> None:
        refused(api.post("/ask", body), 400, "")

    def test_not_utf8(self, api: ApiWorld) -> None:
        refused(api.post("/ask", b'{"text": "\xff\xfe"}'), 400, "not UTF-8")

    @pytest.mark.parametrize("body", [b"[]", b'"text"', b"3", b"null"])
    def test_not_an_object(self, api: ApiWorld, body: bytes) -> None:
        refused(api.post("/ask", body), 400, "object")

    @pytest.mark.parametrize(
        ("body", "words"),
        [
            (b'{"text": 3}', "text must be of type str"),
            (b'{"text": null}', "text must be of type str"),
            (b'{"text": ["a"]}', "text must be of type str"),
            (b'{"text": "a", "stream": 1}', "stream must be of type bool"),
            (b'{"text": "a", "timeout": true}', "timeout must be of type int or float"),
            (
                b'{"text": "a", "timeout": 1' + b"0" * 400 + b"}",
                "timeout is out of all bounds: a number of 401 digits",
            ),
            (b'{"stream": true}', "text is missing"),
        ],
    )
    def test_wrong_types(self, api: ApiWorld, body: bytes, words: str) -> None:
        refused(api.post("/ask", body), 400, words)

    def test_unknown_keys_are_named_with_a_guess(self, api: ApiWorld) -> None:
        answer = api.post("/ask", b'{"texd": "time"}')
        refused(answer, 400, "texd")
        assert answer[1]["error"]["hint"] == "did you mean text?"
        refused(api.post("/ask", b'{"text": "a", "' + b"k" * 3000 + b'": 1}'), 400, "Unknown key")
        refused(api.post("/reload", b'{"force": true}'), 400, "force")

    @pytest.mark.parametrize("text", ["", "   ", "\\n\\t"])
    def test_empty_text(self, api: ApiWorld, text: str) -> None:
        refused(api.post("/ask", b'{"text": "%s"}' % text.encode()), 400, "empty")

    @pytest.mark.parametrize("text", ["a\\u0000b", "\\u001b[31m", "\\u0085", "\\ud800", "x\\udfff"])
    def test_control_characters_and_half_characters(self, api: ApiWorld, text: str) -> None:
        refused(api.post("/ask", b'{"text": "%s"}' % text.encode()), 400, "position")

    def test_a_prompt_beyond_max_prompt(self, api: ApiWorld) -> None:
        refused(api.post("/ask", b'{"text": "' + b"a " * 4000 + b'"}'), 413, "8000 characters", "4096")

    def test_a_prompt_of_a_megabyte(self, api: ApiWorld) -> None:
        refused(api.post("/ask", b'{"text": "' + b"a" * 1_000_000 + b'"}'), 413, "65536 bytes")

    def test_a_chunked_body_without_end_is_cut_off_at_the_bound(self, api: ApiWorld) -> None:
        head = b"POST /ask HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        refused(
            api.raw(head + b"4000\r\n" + b"a" * 0x4000 + b"\r\n" + (b"4000\r\n" + b"a" * 0x4000 + b"\r\n") * 8), 413
        )

    def test_broken_chunks(self, api: ApiWorld) -> None:
        head = b"POST /ask HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        refused(api.raw(head + b"zz\r\nhello\r\n"), 400)

    def test_a_compressed_body_is_not_unpacked(self, api: ApiWorld) -> None:
        refused(api.post("/ask", b"\x1f\x8b\x08", "Content-Encoding: gzip\r\n"), 415, "Compressed")

    def test_unknown_paths_and_methods(self, api: ApiWorld) -> None:
        refused(api.raw(b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n"), 404, "/nothing")
        answer = api.raw(b"DELETE /ask HTTP/1.1\r\nHost: x\r\n\r\n")
        refused(answer, 405, "DELETE /ask")
        assert "POST" in answer[1]["error"]["hint"]
        refused(api.raw(b"GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n"), 404)

    def test_too_many_headers(self, api: ApiWorld) -> None:
        head = b"".join(b"X-%d: y\r\n" % n for n in range(200))
        refused(api.raw(b"GET /health HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n"), 431, "headers")

    def test_a_huge_header_and_a_huge_request_line(self, api: ApiWorld) -> None:
        refused(api.raw(b"GET /health HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 100_000 + b"\r\n\r\n"), 431)
        refused(api.raw(b"GET /" + b"y" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n"), 431)

    @pytest.mark.parametrize("seed", range(8))
    def test_binary_garbage(self, api: ApiWorld, seed: int) -> None:
        garbage = random.Random(seed).randbytes(2000) + b"\r\n\r\n"
        refused(api.raw(garbage), 400, "not an HTTP request")

    @pytest.mark.parametrize("length", [b"-1", b"abc", b"1e3", b"99999999999999999999999"])
    def test_a_nonsense_content_length(self, api: ApiWorld, length: bytes) -> None:
        status, _ = api.raw(b"POST /ask HTTP/1.1\r\nHost: x\r\nContent-Length: " + length + b"\r\n\r\n")
        assert status in (400, 413)

    def test_contradicting_lengths_are_not_guessed_at(self, api: ApiWorld) -> None:
        head = b"POST /ask HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        refused(api.raw(head), 400)

    def test_clients_that_leave_in_the_middle(self, api: ApiWorld) -> None:
        whole = b'POST /ask HTTP/1.1\r\nHost: x\r\nContent-Length: 16\r\n\r\n{"text": "time"}'
        for cut in range(0, len(whole), 7):
            with api.connection() as sock:
                sock.sendall(whole[:cut])


def test_the_service_counts_no_client_after_all_have_left(api: ApiWorld) -> None:
    for data in (GET, b"\x00garbage\r\n\r\n", b"GET /no HTTP/1.1\r\nHost: x\r\n\r\n"):
        api.raw(data)
    done = threading.Event()

    def poll() -> None:
        if api.server.door.clients == 0:
            done.set()
        else:
            api.loop.call_later(0.005, poll)

    api.loop.call_soon_threadsafe(poll)
    assert done.wait(WAIT)


@pytest.mark.parametrize(
    "sent",
    [b"", b"GET /health HT", b"GET /health HTTP/1.1\r\nHost: x\r\nX-Slow: ",
     b'POST /ask HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"te'],
    ids=["nothing", "half a line", "half a head", "half a body"],
)  # fmt: skip
def test_a_slow_client_gets_408_and_is_closed(tmp_path: Path, sent: bytes) -> None:
    with ApiWorld(tmp_path, read_timeout=0.1) as api, api.connection() as sock:
        sock.sendall(sent)
        refused(read_answer(sock), 408, "did not arrive within 0.1 s")
        assert sock.recv(1) == b""


def test_slow_clients_do_not_keep_others_waiting(tmp_path: Path) -> None:
    with ApiWorld(tmp_path, read_timeout=WAIT) as api, contextlib.ExitStack() as stack:
        for _ in range(5):
            sock = stack.enter_context(api.connection())
            sock.sendall(b"POST /ask HTTP/1.1\r\nHo")
        for _ in range(3):
            assert api.client().get("/health") == {"ok": True}


def test_a_second_request_on_a_connection_must_be_in_time_too(tmp_path: Path) -> None:
    with ApiWorld(tmp_path, read_timeout=0.2) as api, api.connection() as sock:
        sock.sendall(GET)
        assert read_answer(sock)[0] == 200
        sock.sendall(b"GET /hea")
        refused(read_answer(sock), 408)


def test_the_time_of_an_answer_is_not_the_clients(tmp_path: Path) -> None:
    with ApiWorld(tmp_path, read_timeout=0.05) as api:
        api.answer = lambda ask: {"reply": str(threading.Event().wait(0.2))}
        assert api.client().post("/ask", {"text": "time", "stream": False}) == {"reply": "False"}


def test_more_clients_than_allowed_get_503_at_once(tmp_path: Path) -> None:
    with ApiWorld(tmp_path, max_clients=2) as api, contextlib.ExitStack() as stack:
        held = []
        for _ in range(2):
            sock = stack.enter_context(api.connection())
            sock.sendall(GET)
            assert read_answer(sock)[0] == 200
            held.append(sock)
        refused(api.raw(GET), 503, "All 2 connections are taken")
        held[0].sendall(GET)
        assert read_answer(held[0])[0] == 200, "those who are in are served"
        held[1].close()
        for _ in range(1000):  # the loop sees the end of the other connection soon
            status, _body = api.raw(GET)
            if status == 200:
                break
        assert status == 200


def test_refusals_do_not_fill_the_journal(tmp_path: Path) -> None:
    with ApiWorld(tmp_path, max_clients=1) as api, api.connection() as sock:
        sock.sendall(GET)
        assert read_answer(sock)[0] == 200
        for _ in range(20):
            assert api.raw(GET)[0] == 503
        assert len([e for e in api.events if e.kind == "api.refused"]) == 1
        assert api.server.door.refusals == 20


# -- who may come in ---------------------------------------------------------------------------------------------


def test_a_stranger_is_refused_in_plain_json(api: ApiWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_module, "peer_of", lambda sock: Peer(1, 54321, frozenset([54321])))
    refused(api.raw(GET), 403, "User 54321")
    with pytest.raises(ForbiddenError, match="User 54321") as caught:
        api.client().get("/status")
    assert caught.value.exit_code == 77
    assert any(e.kind == "api.refused" and "54321" in e.message for e in api.events)


def test_the_kernel_says_who_we_are() -> None:
    left, right = socket.socketpair()
    with left, right:
        peer = peer_of(left)
    assert (peer.pid, peer.uid) == (os.getpid(), os.getuid())
    assert peer.groups == {os.getgid(), *os.getgroups()}


def test_a_kernel_without_peer_groups_still_tells_the_primary_one() -> None:
    class Old:
        def __init__(self, sock: socket.socket) -> None:
            self.sock = sock

        def getsockopt(self, level: int, name: int, size: int) -> bytes:
            if name == SO_PEERGROUPS:
                raise OSError(92, "Protocol not available")
            return self.sock.getsockopt(level, name, size)

    left, right = socket.socketpair()
    with left, right:
        assert peer_of(Old(left)).groups == {os.getgid()}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("uid", "groups", "group", "expected"),
    [
        (0, [0], "noctule", True),
        (os.geteuid(), [7], "noctule", True),
        (4321, [4321], "root", False),
        (4321, [4321, 0], "root", True),
        (4321, [0], "", False),
        (4321, [4321, 0], "there-is-no-such-group", False),
    ],
)
def test_root_ourselves_and_the_group_may(uid: int, groups: list[int], group: str, expected: bool) -> None:
    assert allowed(Peer(1, uid, frozenset(groups)), group) is expected


# -- the socket's file -------------------------------------------------------------------------------------------


def test_the_socket_is_0660_for_its_group_and_0600_without_one(tmp_path: Path) -> None:
    for group, mode in (("root" if os.geteuid() == 0 else "", None), ("", 0o600), ("no-such-group", 0o600)):
        path = tmp_path / "sub" / "control.sock"
        with bind(path, group):
            about = path.lstat()
            assert stat.S_ISSOCK(about.st_mode)
            assert stat.S_IMODE(about.st_mode) == (mode or (0o660 if group else 0o600))
        path.unlink()
    assert list((tmp_path / "sub").iterdir()) == []


def test_a_sandbox_without_chown_is_enough_for_ones_own_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*args: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "chown", forbidden)
    own = grp.getgrgid(os.getegid()).gr_name
    with bind(tmp_path / "own.sock", own):
        assert stat.S_IMODE((tmp_path / "own.sock").lstat().st_mode) == 0o660
    monkeypatch.setattr(os, "getgroups", lambda: [entry.gr_gid for entry in grp.getgrall()])
    other = next(entry.gr_name for entry in grp.getgrall() if entry.gr_gid != os.getegid())
    with pytest.raises(DeviceError, match=f"cannot be given to the group {other}"):
        bind(tmp_path / "other.sock", other)
    assert [path.name for path in tmp_path.iterdir()] == ["own.sock"]


def test_a_dead_daemons_socket_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    bind(path, "").close()
    assert path.exists()
    with bind(path, ""), socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(path))


@pytest.mark.parametrize("kind", ["file", "folder", "symlink", "dangling"])
def test_anything_else_at_its_path_is_left_alone(tmp_path: Path, kind: str) -> None:
    path, other = tmp_path / "control.sock", tmp_path / "other.sock"
    if kind == "file":
        path.write_text("precious")
    elif kind == "folder":
        path.mkdir()
    else:
        if kind == "symlink":
            bind(other, "").close()
        path.symlink_to(other)
    before = sorted(p.name for p in tmp_path.iterdir())
    with pytest.raises(DeviceError, match="in the way"):
        bind(path, "")
    assert sorted(p.name for p in tmp_path.iterdir()) == before


def test_a_path_too_long_or_in_a_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / ("x" * 120), tmp_path / "file" / "control.sock"):
        with pytest.raises(DeviceError, match="cannot be made"):
            bind(path, "")


def test_stopping_removes_the_socket_but_not_somebody_elses(tmp_path: Path) -> None:
    with ApiWorld(tmp_path) as api:
        pass
    assert not api.path.exists()
    with ApiWorld(tmp_path) as api:
        api.path.unlink()
        api.path.write_text("somebody else's")
    assert api.path.read_text() == "somebody else's"
