"""The other end of the control socket, for the noctule command. Synchronous; standard library only.

Errors of the service come back as the exceptions they were; a service that is not there, or a socket we may not
use, is one sentence too.
"""

from __future__ import annotations

import contextlib
import errno
import http.client
import json
import os
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from noctule.core.errors import (
    BusyError,
    CancelledError,
    ConfigError,
    DeviceError,
    ForbiddenError,
    InputError,
    ModelError,
    NoctuleError,
    TooLargeError,
    UnavailableError,
)

_BY_CODE: dict[str, type[NoctuleError]] = {
    kind.code: kind
    for kind in (
        BusyError,
        CancelledError,
        DeviceError,
        ForbiddenError,
        InputError,
        ModelError,
        TooLargeError,
        UnavailableError,
    )
}
#: longest line of a stream, and longest single answer, that is believed to come from the service.
MAX_ANSWER = 16 << 20
#: longest clip that is taken from the service.
MAX_CLIP = 1 << 30


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class Client:
    """Talks to the service at `path`. timeout: seconds without any byte after which it counts as hung."""

    def __init__(self, path: Path, timeout: float = 30.0) -> None:
        self._path = path
        self._timeout = timeout

    def get(self, path: str) -> dict[str, Any]:
        """One answer to GET."""
        return self._one("GET", path, None)

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """One answer to POST."""
        return self._one("POST", path, body or {})

    def fetch(self, path: str) -> bytes:
        """The body of one answer to GET that is no JSON: a picture, a sound."""
        with self._answer("GET", path, None) as response:
            data = _whole(response, MAX_ANSWER)
            if response.status != 200:
                _object(data)
                raise UnavailableError(f"The daemon answered {path} with {response.status}.")
            return data

    def stream(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Iterator[dict[str, Any]]:
        """The lines of a streamed answer, as they come; an error line, or an end without the last one, is raised."""
        with self._answer(method, path, body) as response:
            ended = False
            while data := response.readline(MAX_ANSWER):
                line = _object(data)
                ended = "done" in line or line.get("kind") == "stream.closed"
                yield line
            if not ended:  # http.client takes a connection that was cut for the end
                raise ConnectionResetError(errno.ECONNRESET, "the stream was cut")

    def fetch_with_head(self, path: str, method: str = "GET") -> tuple[bytes, Mapping[str, str]]:
        """As `fetch`, with the answer's headers; for any method and for answers as large as a clip."""
        with self._answer(method, path, None) as response:
            data = _whole(response, MAX_CLIP)
            if response.status >= 400:
                _object(data)
            return data, dict(response.headers)

    @contextlib.contextmanager
    def open_stream(self, path: str) -> Iterator[BinaryIO]:
        """An endless answer to GET that is not JSON, for reading."""
        with self._answer("GET", path, None) as response:
            if response.status >= 400:
                _object(response.read(MAX_ANSWER))
            yield response

    def _one(self, method: str, path: str, body: Mapping[str, Any] | None) -> dict[str, Any]:
        with self._answer(method, path, body) as response:
            return _object(response.read(MAX_ANSWER))

    @contextlib.contextmanager
    def _answer(self, method: str, path: str, body: Mapping[str, Any] | None) -> Iterator[http.client.HTTPResponse]:
        data = None if body is None else json.dumps(body).encode()
        connection = _UnixConnection(self._path, self._timeout)
        try:
            with self._plainly():
                connection.connect()
                # A refusal may arrive before all of a large body is sent: then read it instead of complaining.
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    connection.request(method, path, data, {"Content-Type": "application/json"})
                response = connection.getresponse()
                yield response
        finally:
            connection.close()

    @contextlib.contextmanager
    def _plainly(self) -> Iterator[None]:
        try:
            yield
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
            raise UnavailableError("The daemon is not running.", "systemctl start noctule") from None
        except PermissionError:
            raise UnavailableError(
                f"You may not use the control socket {self._path}.", "join its group: sudo usermod -aG noctule $USER"
            ) from None
        except TimeoutError:
            raise UnavailableError(
                f"The daemon has not answered for {self._timeout:g} s.", "journalctl -u noctule"
            ) from None
        except (OSError, http.client.HTTPException) as error:
            what = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else type(error).__name__
            raise UnavailableError(f"The connection to the daemon broke: {what}.", "journalctl -u noctule") from None


def _whole(response: http.client.HTTPResponse, most: int) -> bytes:
    """All of an answer; half a picture would pass for a whole one."""
    data = response.read(most + 1)
    if len(data) > most:
        raise TooLargeError(f"The daemon's answer has more than {most >> 20} MiB.", "ask for less of it")
    return data


def _object(data: bytes) -> dict[str, Any]:
    """A JSON object; an error object is raised as the exception it names."""
    try:
        found = json.loads(data)
    except ValueError:
        raise UnavailableError("The daemon's answer is not JSON.", "does api.socket lead to Noctule?") from None
    if not isinstance(found, dict):
        raise UnavailableError("The daemon's answer is not a JSON object.", "does api.socket lead to Noctule?")
    error = found.get("error")
    if isinstance(error, dict):
        raise _exception(str(error.get("code", "")), str(error.get("message", "")), str(error.get("hint", "")))
    return found


def _exception(code: str, message: str, hint: str) -> NoctuleError:
    if code == ConfigError.code:
        return ConfigError(message.split("\n"), hint)
    found = _BY_CODE.get(code, NoctuleError)(message, hint)
    found.code = code
    return found
