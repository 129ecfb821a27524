"""The Wyoming protocol's events as bytes, within bounds.

    {"type": "transcript", "data": {…}, "data_length": N, "payload_length": M}\\n   N bytes of JSON   M bytes

as github.com/rhasspy/wyoming describes it; `data` and the JSON that follows are merged. The package of that name
reads lines and payloads of any size, which a server must not.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from noctule.core.errors import InputError, TooLargeError

#: bytes of the first line, of the JSON that follows it, and of sound (two seconds are 64,000).
MAX_LINE, MAX_DATA, MAX_PAYLOAD = 8192, 65_536, 262_144


@dataclass(frozen=True)
class WireMessage:
    """One event. payload: sound, mostly empty."""

    type: str
    data: Mapping[str, Any] = field(default_factory=dict)
    payload: bytes = b""

    def encode(self) -> bytes:
        """As sent: everything but the type after the first line, which keeps that short for the other side too."""
        data = json.dumps(self.data, ensure_ascii=False).encode("utf-8", "replace") if self.data else b""
        head: dict[str, Any] = {"type": self.type}
        head |= {"data_length": len(data)} if data else {}
        head |= {"payload_length": len(self.payload)} if self.payload else {}
        return json.dumps(head).encode() + b"\n" + data + self.payload


async def read(reader: asyncio.StreamReader) -> WireMessage | None:
    """The next event, None at the end. reader: made with limit=MAX_LINE. Raises InputError for what is no event."""
    try:
        line = await reader.readuntil(b"\n")
    except asyncio.IncompleteReadError as error:
        if error.partial.strip():
            raise InputError("The connection ended within an event.") from None
        return None
    except asyncio.LimitOverrunError:
        raise TooLargeError(f"The line of an event is longer than {MAX_LINE} bytes.") from None
    head = _object(line, "The line of an event")
    kind = head.get("type")
    if not isinstance(kind, str) or not 0 < len(kind) <= 64:
        raise InputError("An event has no type.")
    data = {} if head.get("data") is None else head["data"]
    if not isinstance(data, dict):
        raise InputError("The data of an event is no object.")
    more = _length(head, "data_length", MAX_DATA)
    size = _length(head, "payload_length", MAX_PAYLOAD)
    try:
        if more:
            data = {**data, **_object(await reader.readexactly(more), "The data of an event")}
        payload = await reader.readexactly(size) if size else b""
    except asyncio.IncompleteReadError:
        raise InputError("The connection ended within an event.") from None
    return WireMessage(kind, data, payload)


def _object(text: bytes, what: str) -> dict[str, Any]:
    try:
        found = json.loads(text.decode("utf-8-sig"))
    except (ValueError, RecursionError):  # also not UTF-8, and Python's own bounds on digits and depth
        raise InputError(f"{what} is not JSON.") from None
    if not isinstance(found, dict):
        raise InputError(f"{what} is no JSON object.")
    return found


def _length(head: Mapping[str, Any], name: str, most: int) -> int:
    value = head.get(name) or 0
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise InputError(f"{name} is no number of bytes.")
    if value > most:
        raise TooLargeError(f"{name} is above {most}.")
    return value
