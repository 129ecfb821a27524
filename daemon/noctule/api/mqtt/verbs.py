"""Commands over MQTT: the verbs of the control socket, put to it by a thread of their own.

PREFIX/NODE/do/VERB    payload: nothing, a plain text (what most verbs need one of), or a JSON object

The socket decides what is allowed and what is wrong; here is only which request a verb is. One is carried out after
the other; beyond `QUEUE` waiting ones a further one is refused.
"""

from __future__ import annotations

import json
import queue
import threading
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from noctule.api.client import Client
from noctule.core.errors import BusyError, InputError, NoctuleError

QUEUE = 8
#: seconds that one may take: a clip, or a text that is spoken.
LIMIT = 180.0
#: bytes of the largest picture that is passed on.
LARGEST = 4 << 20


@dataclass(frozen=True)
class Verb:
    """path: of the request, with the source where {source} stands; plain: the key that a plain text is the value of;
    fixed: what the body always has; picture: the answer is one."""

    path: str
    plain: str = ""
    fixed: Mapping[str, Any] | None = None
    picture: bool = False


VERBS: Mapping[str, Verb] = {
    "say": Verb("/say", "text"),
    "mute": Verb("/mute", fixed={"on": True}),
    "unmute": Verb("/mute", fixed={"on": False}),
    "timer": Verb("/timers", "seconds"),
    "cancel": Verb("/timers/cancel", "number"),
    "snapshot": Verb("/snapshot/{source}", "source", picture=True),
    "pause": Verb("/pause", "source"),
    "resume": Verb("/resume", "source"),
    "reload": Verb("/reload"),
}


@dataclass(frozen=True)
class Done:
    """What became of a command. picture: its bytes, where it is one."""

    verb: str
    answer: Mapping[str, Any] | NoctuleError
    picture: bytes = b""


class Commands:
    """socket: the control socket; the answers are collected by `done`."""

    def __init__(self, socket: Path) -> None:
        self._client = Client(socket, LIMIT)
        self._waiting: queue.Queue[tuple[str, Mapping[str, Any]] | None] = queue.Queue(QUEUE)
        self.answers: queue.Queue[Done] = queue.Queue()
        self._thread = threading.Thread(target=self._run, name="mqtt-commands", daemon=True)
        self._thread.start()

    def put(self, verb: str, payload: bytes) -> None:
        """Take a command. Raises InputError, BusyError."""
        body = read(verb, payload)
        try:
            self._waiting.put_nowait((verb, body))
        except queue.Full:
            raise BusyError(f"{QUEUE} commands from MQTT are waiting already.", "try again soon") from None

    def close(self) -> None:
        """Nobody wants what still waits; the one at work ends by itself."""
        while True:
            try:
                self._waiting.get_nowait()
            except queue.Empty:
                break
        self._waiting.put_nowait(None)

    def _run(self) -> None:
        while (item := self._waiting.get()) is not None:
            verb, body = item
            try:
                self.answers.put(carry_out(self._client, verb, body))
            except NoctuleError as error:
                self.answers.put(Done(verb, error))


def read(verb: str, payload: bytes) -> dict[str, Any]:
    """The request's body. Raises InputError."""
    if verb not in VERBS:
        raise InputError(f"There is no verb {verb[:40]!r}.", f"there are: ask, {', '.join(VERBS)}")
    about, text = VERBS[verb], payload.decode("utf-8-sig", "replace").strip()
    body: dict[str, Any] = {}
    if text.startswith("{"):
        try:
            body = dict(json.loads(text))
        except (ValueError, RecursionError):
            raise InputError("The command's payload is not JSON.") from None
    elif text and about.plain:
        body = {about.plain: _number(text) if about.plain in ("seconds", "number") else text}
    return {**body, **(about.fixed or {})}


def _number(text: str) -> Any:
    try:
        return int(text) if text.isdigit() else float(text)
    except ValueError:
        raise InputError(f"{text[:40]!r} is no number.") from None


def carry_out(client: Client, verb: str, body: Mapping[str, Any]) -> Done:
    """Put the request. Raises NoctuleError."""
    about = VERBS[verb]
    if not about.picture:
        return Done(verb, client.post(about.path, body))
    source = urllib.parse.quote(str(body.get("source", "display")), safe="")
    data, head = client.fetch_with_head(about.path.format(source=source))
    if len(data) > LARGEST:
        raise InputError(f"The picture has {len(data)} bytes; at most {LARGEST} are passed on.")
    facts = {name.removeprefix("X-Noctule-").lower(): value for name, value in head.items() if "X-Noctule" in name}
    return Done(verb, {"bytes": len(data), **facts}, data)
