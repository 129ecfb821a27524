"""JSON over HTTP, with every failure said as `{"error": {"code", "message", "hint"}}`.

What is common to the control API and the ones for other programs: strict bodies, errors in one shape, streams of
JSON lines, and a `web.RequestHandler` that answers even unparsable requests in that shape.
"""

from __future__ import annotations

import asyncio
import difflib
import json
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong

from noctule.api.http.gate import Gate
from noctule.core.errors import InputError, NoctuleError, TooLargeError

#: bounds of a request's head; aiohttp refuses what is beyond.
MAX_LINE, MAX_FIELD, MAX_HEADERS = 4096, 8190, 64
#: seconds a client may leave a piece of a stream unread before it is given up.
WRITE_TIMEOUT = 30.0

#: requests whose handler reads the body itself, piece by piece: a recording may be larger than `api.max_body`
STREAMED = frozenset({"/v1/audio/transcriptions"})

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class HttpError(NoctuleError):
    """An error of HTTP itself: no such path, wrong method."""

    code = "http"

    def __init__(self, status: int, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.http_status = status


def _too_many_headers() -> HttpError:
    return HttpError(431, "The request's headers are too large or too many.", "send fewer")


def error_body(error: NoctuleError) -> dict[str, Any]:
    """The JSON form of an error."""
    return {"error": {"code": error.code, "message": error.message, "hint": error.hint}}


def error_response(error: NoctuleError) -> web.Response:
    response = web.json_response(error_body(error), status=error.http_status)
    if error.http_status == 503:
        response.headers["Retry-After"] = "1"
    return response


def raw_refusal(error: NoctuleError) -> bytes:
    """A whole HTTP response, for connections that never reach aiohttp."""
    body = json.dumps(error_body(error)).encode()
    head = (
        f"HTTP/1.1 {error.http_status} Refused\r\nContent-Type: application/json; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n"
        f"{'Retry-After: 1' + chr(13) + chr(10) if error.http_status == 503 else ''}\r\n"
    )
    return head.encode() + body


class JsonRequestHandler(web.RequestHandler):
    """aiohttp's connection handler; what it cannot parse is answered in our shape, and not logged as a traceback."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        error: NoctuleError
        if isinstance(exc, LineTooLong) or "many headers" in str(exc).lower():
            error = _too_many_headers()
        elif status >= 500:
            error = HttpError(500, "The service made a mistake with this request.", "please report it")
        else:
            error = HttpError(400, "This is not an HTTP request.", "send HTTP with JSON bodies")
        response = error_response(error)
        response.force_close()
        return response


def json_errors(
    failed: Callable[[web.Request, BaseException], None],
    respond: Callable[[web.Request, NoctuleError], web.Response] = lambda request, error: error_response(error),
    permit: Callable[[web.Request], None] = lambda request: None,
) -> Any:
    """Middleware: tells the gate how far the request is, and turns every exception into the one shape.

    failed: told of exceptions that are nobody's but ours; respond: the shape, where it depends on the path;
    permit: raises a NoctuleError to refuse a request before it is read.
    """

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        gate = request.transport.get_protocol() if request.transport is not None else None
        try:
            if len(request.headers) > MAX_HEADERS:  # older aiohttp bounds the size of headers but not their number
                raise _too_many_headers()
            permit(request)
            if request.headers.get("Content-Encoding", "identity") != "identity":
                raise HttpError(415, "Compressed bodies are not taken.", "send the JSON as it is")
            if request.path not in STREAMED:
                await request.read()
                if isinstance(gate, Gate):
                    gate.read_complete()
            return await handler(request)
        except NoctuleError as error:
            return respond(request, error)
        except web.HTTPRequestEntityTooLarge:
            return respond(
                request,
                TooLargeError(f"The request is larger than {request.client_max_size} bytes.", "see api.max_body"),
            )
        except web.HTTPException as error:
            hint = "methods: " + error.headers["Allow"] if "Allow" in error.headers else "see GET /help"
            return respond(
                request, HttpError(error.status, f"{request.method} {request.path}: {error.reason}.", hint)
            )
        except asyncio.CancelledError:
            raise
        except ConnectionError:
            raise
        except web.RequestPayloadError:
            return respond(
                request, InputError("The body of the request is broken.", "check Content-Length and chunks")
            )
        except Exception as error:  # noqa: BLE001 - one request's failure is not the service's
            failed(request, error)
            return respond(
                request, HttpError(500, "The service made a mistake with this request.", "please report it")
            )
        finally:
            if isinstance(gate, Gate):
                gate.served()

    return middleware


#: Whole numbers beyond it are no float exactly, and from 10^308 on none at all.
_LARGEST = 2**53


async def json_body(
    request: web.Request,
    keys: Mapping[str, tuple[type, ...]],
    needed: tuple[str, ...],
    unable: Collection[str] = (),
) -> dict[str, Any]:
    """The body as an object with exactly known keys of known types. Raises InputError naming the first mistake.

    keys: name -> accepted types (bool is not an int here); needed: names that must be there; unable:
    keys that are known and of no use, so that no hint names them.
    """
    try:
        body = json.loads((await request.read()).decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise InputError("The body is not UTF-8 text.", "send a JSON object") from None
    except json.JSONDecodeError as error:
        raise InputError(f"The body is not JSON: {error}.", "send a JSON object") from None
    except (ValueError, RecursionError):  # Python's own bounds on digits and depth
        raise InputError("The body is not JSON: a number too long, or too deeply nested.", "send less") from None
    if not isinstance(body, dict):
        raise InputError("The body must be a JSON object.", 'such as {"text": "what time is it"}')
    for name, value in body.items():
        if name not in keys:
            useful = [key for key in keys if key not in unable]
            close = difflib.get_close_matches(name, useful, n=1)
            hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(useful)}"
            raise InputError(f"Unknown key {name[:60]!r} in the body.", hint)
        if not isinstance(value, keys[name]) or (isinstance(value, bool) and bool not in keys[name]):
            wanted = " or ".join(kind.__name__ for kind in keys[name])
            raise InputError(f"{name} must be of type {wanted}.", f"it is {type(value).__name__}")
        if isinstance(value, int) and abs(value) > _LARGEST:
            raise InputError(f"{name} is out of all bounds: a number of {len(str(abs(value)))} digits.")
    for name in needed:
        if name not in body:
            raise InputError(f"{name} is missing from the body.", f"known: {', '.join(keys)}")
    return body


class Stream:
    """An answer sent piece by piece. The head goes out with the first piece."""

    content_type = "application/octet-stream"

    def __init__(self, request: web.Request) -> None:
        self._request = request
        self._response = web.StreamResponse(headers={"Content-Type": self.content_type, "Cache-Control": "no-store"})

    @property
    def begun(self) -> bool:
        return self._response.prepared

    async def write(self, data: bytes) -> None:
        """Send one piece. Raises ConnectionError when the client is gone, or has not read for `WRITE_TIMEOUT`."""
        if not self._response.prepared:
            await self._response.prepare(self._request)
        try:
            await asyncio.wait_for(self._response.write(data), WRITE_TIMEOUT)
        except asyncio.TimeoutError:
            if self._request.transport is not None:
                self._request.transport.abort()  # close() would wait for what is never read
            raise ConnectionResetError("the client does not read") from None
        # Before Python 3.12 `wait_for` swallows a cancellation that arrives just as it succeeds, and the end of the
        # connection is such a cancellation.
        if self._request.transport is None:
            raise ConnectionResetError("the client went away")

    async def end(self) -> web.StreamResponse:
        await self._response.write_eof()
        return self._response


def compact(value: Mapping[str, Any]) -> bytes:
    """JSON on one line, as UTF-8."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


class JsonLines(Stream):
    """A streamed answer: one JSON object a line (NDJSON)."""

    content_type = "application/x-ndjson"

    async def send(self, line: Mapping[str, Any]) -> None:
        """Send one line; see `write`."""
        await self.write(compact(line) + b"\n")
