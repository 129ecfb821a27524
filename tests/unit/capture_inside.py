"""A capture loop in a thread of the test."""

from __future__ import annotations

import socket
import threading
from typing import Any

from noctule.capture.process import wire
from noctule.capture.process.child import CaptureLoop, make_source
from noctule.capture.process.ring import RingReader
from noctule.capture.spec import SourceSpec
from waiting import WAIT


class Inside:
    """A Runner in a thread, and what it said."""

    def __init__(self, spec: SourceSpec) -> None:
        self.ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.receiver = wire.Receiver(self.ours)
        self.failure: BaseException | None = None
        self.ring: RingReader | None = None

        def run() -> None:
            try:
                CaptureLoop(theirs, make_source(spec), spec).run()
            except BaseException as error:  # noqa: BLE001 - looked at by the test
                self.failure = error
            finally:
                theirs.close()

        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()

    def hear(self, kind: str) -> tuple[dict[str, Any], bytes]:
        """The next message of a kind."""
        while True:
            got = self.receiver.get(WAIT)
            assert got is not None, f"no {kind}"
            message, fd, data = got
            if message["t"] == "ring" and fd is not None:
                self.ring = RingReader(fd, message["slots"], message["payload"])
            if message["t"] == kind:
                return message, data

    def frame(self) -> Any:
        message, _ = self.hear("frame")
        assert self.ring is not None
        frame = self.ring.read(message["n"], "s", 0)
        assert frame is not None
        return frame

    def close(self) -> None:
        wire.send(self.ours, {"t": "stop"})
        self.thread.join(WAIT)
        assert not self.thread.is_alive()
        self.ours.close()
