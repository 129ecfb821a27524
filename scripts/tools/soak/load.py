"""The load: what good and bad clients do to a daemon in an ordinary hour, a little of each, again and again."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from noctule.core.errors import NoctuleError
from tools.soak.watch import children
from tools.soak.world import RECORDING, Daemon

REQUESTS = (
    "what time is it", "set a timer for twenty seconds", "which timers are running", "what's the date today",
    "take a screenshot", "turn on the lights", "who won the world cup in 1998", "how much disk space is left",
    "set a pasta timer for ninety minutes", "cancel the pasta timer", "what can you do", "tell me a joke",
)  # fmt: skip
#: what is no request: torn heads, lies about lengths, wrong types, deep JSON, bytes.
BAD_HTTP = (
    b"GET / HTTP/9.9\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),
    b"POST /ask HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n{}",
    b'POST /ask HTTP/1.1\r\nHost: x\r\nContent-Length: 12\r\n\r\n{"text": 12}',
    b"POST /ask HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
    b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n",
    b"GET /snapshot/..%2f..%2fetc%2fpasswd HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 2000\r\n\r\n" + b"[" * 2000,
    b"\r\n" * 50,
)
BAD_WYOMING = (
    b"not json\n", b"{}\n", b'{"type": 5}\n', b'{"type": "detect", "data_length": -1}\n', b"[" * 4000 + b"\n",
    b'{"type": "audio-chunk", "payload_length": 999999999}\n', b'{"type": "transcript", "data_length": 10}\n{"text',
    b"x" * 9000,
    b'{"type": "audio-chunk", "data": {"rate": 1}, "payload_length": 4}\nabcd',
)  # fmt: skip


@dataclass
class Load:
    """Does what is due. counts: how often each was done; failures: what was refused though it should not be."""

    daemon: Daemon
    rng: random.Random
    counts: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    #: answers that were spoken into files
    spoken: int = 0

    def __post_init__(self) -> None:
        self._requests = itertools.cycle(REQUESTS)
        self._muted = False
        #: seconds between two turns -> what is done
        self._plan: list[tuple[float, Callable[[], None]]] = [
            (4, self.ask), (15, self.status), (20, self.snapshot), (7, self.bad_http), (7, self.bad_wyoming),
            (23, self.hangs_up), (31, self.slow), (60, self.reload), (90, self.mute), (120, self.wyoming_wake),
            (240, self.clip), (300, self.kill_capture), (60, self.hears_answers),
        ]  # fmt: skip
        now = time.monotonic()
        self._due = [now + every * self.rng.random() for every, _ in self._plan]

    def step(self) -> None:
        """Everything whose time has come; then a nap of at most half a second."""
        for index, (every, act) in enumerate(self._plan):
            if time.monotonic() >= self._due[index]:
                self._due[index] = time.monotonic() + every
                name = act.__name__.replace("_", " ")
                self.counts[name] += 1
                try:
                    act()
                except (NoctuleError, OSError) as error:
                    self.failures[f"{name}: {error}"] += 1
        time.sleep(min(0.5, max(0.0, min(self._due) - time.monotonic())))

    def fill_pools(self) -> None:
        """Sixteen clients at once, twice: each thread of the daemon's pools has worked once before the count begins,
        so that the memory it keeps from then on is no leak."""
        for act in (self._look_at_clips, self.snapshot):
            with ThreadPoolExecutor(16) as clients:
                for outcome in [clients.submit(act) for _ in range(16)]:
                    with contextlib.suppress(NoctuleError, OSError):  # more at once than the socket serves
                        outcome.result()

    def _look_at_clips(self) -> None:
        self.daemon.client().get("/wake")

    # -- good clients --------------------------------------------------------------------------------------------

    def ask(self) -> None:
        self.daemon.client().post("/ask", {"text": next(self._requests), "stream": False})

    def status(self) -> None:
        self.daemon.client().get("/status")
        self.daemon.client().fetch("/metrics")

    def snapshot(self) -> None:
        picture = self.daemon.client().fetch("/snapshot/display")
        if picture[:2] != b"\xff\xd8" and picture[:4] != b"\x89PNG":
            raise OSError("no picture came")

    def reload(self) -> None:
        self.daemon.process.send_signal(signal.SIGHUP)

    def mute(self) -> None:
        """On for one turn, off for the next two."""
        self._muted = self.counts["mute"] % 3 == 1
        self.daemon.client().post("/mute", {"on": self._muted})

    def clip(self) -> None:
        self.daemon.client().fetch_with_head("/clip?source=hall&before=1&after=1", "POST")

    def hears_answers(self) -> None:
        """Takes away what was spoken, so that the run needs no more disk the longer it is."""
        for answer in (self.daemon.folder / "answers").glob("answer-*.wav"):
            self.spoken += 1
            answer.unlink()

    def wyoming_wake(self) -> None:
        """The wake word as Home Assistant would send it, and a request."""
        pcm = bytes(96000) + RECORDING.read_bytes()[44:]
        head = {"rate": 16000, "width": 2, "channels": 1}
        with self._dial(self.daemon.wyoming) as sock:
            sock.sendall(_wyoming("detect", {}) + _wyoming("audio-start", head))
            for at in range(0, len(pcm), 6400):
                sock.sendall(_wyoming("audio-chunk", head, pcm[at : at + 6400]))
            sock.sendall(_wyoming("audio-stop", {}) + _wyoming("transcript", {"text": "what time is it"}))
            seen = b""
            while b"handled" not in seen:
                if not (more := sock.recv(65536)):
                    raise OSError("Wyoming hung up on a good client")
                seen += more

    # -- the others ----------------------------------------------------------------------------------------------

    def bad_http(self) -> None:
        for _ in range(5):
            self._throw(self.daemon.path, self.rng.choice(BAD_HTTP))
        self._throw(self.daemon.path, self.rng.randbytes(200))

    def bad_wyoming(self) -> None:
        for _ in range(5):
            self._throw(self.daemon.wyoming, self.rng.choice(BAD_WYOMING))
        self._throw(self.daemon.wyoming, self.rng.randbytes(200) + b"\n")

    def hangs_up(self) -> None:
        """Leaves in the middle: of an answer, of the events, of a moving picture."""
        body = json.dumps({"messages": [{"role": "user", "content": "what can you do"}], "stream": True}).encode()
        head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
        for request in (head + body, b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n",
                        b"GET /stream/display.mjpg HTTP/1.1\r\nHost: x\r\n\r\n"):  # fmt: skip
            with self._dial(self.daemon.path) as sock:
                sock.sendall(request)
                sock.recv(500)

    def slow(self) -> None:
        """Half a request, and nothing more: the daemon must hang up by itself within api.read_timeout."""
        with self._dial(self.daemon.path) as sock:
            sock.sendall(b"GET /status HTTP/1.1\r\nHost:")
            if b"408" not in sock.recv(4096):
                raise OSError("a client that never ends its request was not sent away")

    def kill_capture(self) -> None:
        """A camera driver that crashes."""
        if victims := children(self.daemon.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.rng.choice(victims), signal.SIGKILL)

    # -- how -----------------------------------------------------------------------------------------------------

    @staticmethod
    def _dial(path: object) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(30)
        sock.connect(str(path))
        return sock

    def _throw(self, path: object, data: bytes) -> None:
        """Send, take what comes for a moment, leave. The daemon may hang up first."""
        with self._dial(path) as sock, contextlib.suppress(ConnectionError, TimeoutError):
            sock.settimeout(0.2)
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(65536):
                pass


def _wyoming(kind: str, data: dict[str, object], payload: bytes = b"") -> bytes:
    head = {"type": kind, "data": data} | ({"payload_length": len(payload)} if payload else {})
    return json.dumps(head).encode() + b"\n" + payload
