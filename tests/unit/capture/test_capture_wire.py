"""What a capture process and its owner say to each other, and what happens when one of them does not."""

from __future__ import annotations

import os
import socket

import pytest

from noctule.capture.process import wire
from noctule.capture.process.child import CaptureLoop, make_source, serve
from noctule.capture.sources.base import Delivery
from noctule.capture.spec import SourceSpec
from noctule.core.errors import DeviceError


def pair() -> tuple[socket.socket, socket.socket]:
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def test_messages_and_descriptors_arrive_whole() -> None:
    ours, theirs = pair()
    with ours, theirs:
        fd = os.memfd_create("x")
        assert wire.send(ours, {"t": "ring", "slots": 8}, fd)
        got = wire.Receiver(theirs).get(1.0)
        assert got is not None
        message, received, data = got
        assert message == {"t": "ring", "slots": 8}
        assert received is not None
        assert os.fstat(received).st_ino == os.fstat(fd).st_ino
        assert data == b""
        os.close(fd)
        os.close(received)


def test_packets_larger_than_a_datagram_are_put_together() -> None:
    ours, theirs = pair()
    with ours, theirs:
        data = os.urandom(150_000)
        assert wire.send_packet(ours, {"pts": 7}, data)
        assert wire.send(ours, {"t": "beat"})
        receiver = wire.Receiver(theirs)
        got = receiver.get(1.0)
        assert got is not None
        assert (got[0]["pts"], got[2]) == (7, data)
        beat = receiver.get(0)
        assert beat is not None
        assert beat[0]["t"] == "beat"
        assert receiver.get(0) is None


def test_an_unfinished_packet_is_dropped_and_the_next_is_whole() -> None:
    ours, theirs = pair()
    with ours, theirs:
        wire.send(ours, {"t": "packet", "chunks": 3, "bytes": 9})
        wire._send(ours, b"\0abc", None)
        wire.send_packet(ours, {"pts": 2}, b"whole")
        wire._send(ours, b"\0stray", None)
        wire.send(ours, {"t": "beat"})
        receiver = wire.Receiver(theirs)
        got = [receiver.get(1.0), receiver.get(1.0)]
        assert [g[2] for g in got if g] == [b"whole", b""]


def test_a_full_queue_is_said_not_waited_for() -> None:
    ours, theirs = pair()
    with ours, theirs:
        ours.setblocking(False)
        sent = 0
        while wire.send(ours, {"t": "frame", "n": sent}):
            sent += 1
        assert sent > 10
        assert not wire.send_packet(ours, {"pts": 0}, b"x")


def test_the_other_side_gone() -> None:
    ours, theirs = pair()
    theirs.close()
    with ours:
        with pytest.raises(wire.Closed):
            wire.send(ours, {"t": "beat"})
        with pytest.raises(wire.Closed):
            wire.Receiver(ours).get(1.0)


def test_last_words_are_heard_although_ours_were_not() -> None:
    """A process that fails while we still talk to it: the kernel reports a reset, but its reason is there."""
    ours, theirs = pair()
    with ours:
        wire.send(ours, {"t": "packets", "on": True})
        wire.send(theirs, {"t": "error", "message": "no"})
        theirs.close()
        receiver = wire.Receiver(ours)
        got = receiver.get(1.0)
        assert got is not None
        assert got[0]["message"] == "no"
        with pytest.raises(wire.Closed):
            receiver.get(1.0)


@pytest.mark.parametrize("data", [b"{", b"[]", b'{"t": 1}', b'"t"', b"[" * 5000])
def test_what_is_no_message_ends_the_talk(data: bytes) -> None:
    ours, theirs = pair()
    with ours, theirs:
        ours.send(data)
        with pytest.raises(wire.Closed, match="does not speak"):
            wire.Receiver(theirs).get(1.0)


# --- the child's loop, in this process


class Fake:
    """A source that does what it is told."""

    def __init__(self, *steps: object) -> None:
        self.steps = list(steps)
        self.closed = False

    def open(self) -> dict[str, object]:
        return {"width": 1}

    def read(self) -> Delivery:
        step = self.steps.pop(0)
        if isinstance(step, BaseException):
            raise step
        assert isinstance(step, Delivery)
        return step

    def stream(self) -> None:
        return None

    def close(self) -> None:
        self.closed = True


def spec(kind: str = "file", address: str = "/nonexistent/x.mp4") -> SourceSpec:
    return SourceSpec("s", kind, address)


def test_the_loop_beats_when_nothing_is_due_and_closes_its_source() -> None:
    ours, theirs = pair()
    with ours, theirs:
        source = Fake(Delivery(), Delivery(alive=True), EOFError())
        with pytest.raises(EOFError):
            CaptureLoop(theirs, source, spec()).run()
        assert source.closed
        receiver = wire.Receiver(ours)
        heard = [got[0]["t"] for _ in range(2) if (got := receiver.get(1.0)) is not None]
        assert heard == ["opened", "beat"]
        assert receiver.get(0) is None  # a silent read says nothing: the source may be stuck


def test_stop_is_obeyed() -> None:
    ours, theirs = pair()
    with ours, theirs:
        wire.send(ours, {"t": "stop"})
        source = Fake(Delivery())
        CaptureLoop(theirs, source, spec()).run()
        assert source.closed


@pytest.mark.parametrize(
    ("steps", "says"),
    [((EOFError(),), "s ended"), ((DeviceError("it broke"),), "it broke"), ((MemoryError(),), "memory")],
)
def test_how_it_ended_is_said(steps: tuple[BaseException, ...], says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = pair()
    monkeypatch.setattr("noctule.capture.process.child.make_source", lambda spec: Fake(*steps))
    with ours, theirs:
        wire.send(ours, {"t": "open", "spec": spec().to_json()})
        assert serve(theirs) == 0
        receiver = wire.Receiver(ours)
        heard = [got[0] for _ in range(3) if (got := receiver.get(1.0)) is not None]
        assert [message["t"] for message in heard] == ["beat", "opened", "error"]
        assert says in heard[-1]["message"]


def test_a_stranger_on_the_socket() -> None:
    ours, theirs = pair()
    with ours, theirs:
        wire.send(ours, {"t": "hello"})
        assert serve(theirs) == 2
    ours, theirs = pair()
    ours.close()
    with theirs:
        assert serve(theirs) == 0


def test_a_stream_that_is_not_there_is_tried_again_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = pair()
    monkeypatch.setattr("noctule.capture.process.child._RETRY", 0.01)
    tries = iter([DeviceError("refused"), DeviceError("refused"), None])

    class Shy(Fake):
        def open(self) -> dict[str, object]:
            error = next(tries)
            if error is not None:
                raise error
            return {"width": 2}

    with ours, theirs:
        with pytest.raises(EOFError):
            CaptureLoop(theirs, Shy(EOFError()), spec("network", "rtsp://x")).run()
        receiver = wire.Receiver(ours)
        assert [got[0]["t"] for _ in range(3) if (got := receiver.get(1.0))] == ["trouble", "trouble", "opened"]
        tries = iter([DeviceError("refused")])
        with pytest.raises(DeviceError, match="refused"):
            CaptureLoop(theirs, Shy(), spec("file")).run()


def test_kinds_nobody_knows() -> None:
    with pytest.raises(DeviceError, match='no kind of source named "telepathy"'):
        make_source(spec("telepathy"))
