"""The journal and systemd. The only file that talks to either.

`Journal` is a sink for the event bus: under systemd an event becomes a journal entry with named fields, its kind's
MESSAGE_ID and a priority; on a terminal the same event is one plain line. Fields named in `events.PRIVATE_FIELDS`, a
user's words and pictures, are left out unless `log_words` is on; so are fields that are not declared by name.

Entries are sent by the native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL) and notifications by sd_notify(3): both
are one datagram to a Unix socket. `systemd-python` would do the same but has no wheels, and a board has no compiler.
"""

from __future__ import annotations

import array
import contextlib
import os
import socket
import stat
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from noctule.core.errors import NoctuleError
from noctule.core.event_kinds import KINDS
from noctule.core.events import PRIVATE_FIELDS, Event
from noctule.core.secrets import hide_secrets

SOCKET = Path("/run/systemd/journal/socket")
LEVELS = {"error": 3, "warning": 4, "notice": 5, "info": 6, "debug": 7}
IDENTIFIER = "noctule"
#: Longest value of one field; journald itself would take far more.
MAX_VALUE = 16_384


def encode(fields: Mapping[str, str]) -> bytes:
    """Fields as the native protocol writes them: NAME=value lines, length-prefixed where a value has a newline."""
    out = bytearray()
    for name, value in fields.items():
        data = value.encode("utf-8", "replace")
        if b"\n" in data:
            out += name.encode() + b"\n" + len(data).to_bytes(8, "little") + data + b"\n"
        else:
            out += name.encode() + b"=" + data + b"\n"
    return bytes(out)


def fields_of(event: Event, log_words: bool) -> dict[str, str]:
    """The journal fields of an event. Names become NOCTULE_<NAME>; private ones only when `log_words`."""
    out = {
        "MESSAGE": hide_secrets(event.message),
        "PRIORITY": str(event.level),
        "SYSLOG_IDENTIFIER": IDENTIFIER,
        "NOCTULE_KIND": event.kind,
        "NOCTULE_PART": event.part,
    }
    if event.kind in KINDS:
        out["MESSAGE_ID"] = KINDS[event.kind].message_id
    for name, value in event.fields.items():
        if name in PRIVATE_FIELDS and not log_words:
            continue
        field = "NOCTULE_" + "".join(c if c.isascii() and c.isalnum() else "_" for c in name).upper()
        if isinstance(value, (str, int, float, bool)) and field not in out:
            out[field] = hide_secrets(str(value)[:MAX_VALUE])
    return out


class Journal:
    """An event sink. `live` values (verbosity, log_words) may be changed at any time.

    Never raises and never blocks for long: an entry the journal does not take is counted in `lost`.
    """

    def __init__(self, stream: TextIO | None = None, *, level: str = "info", log_words: bool = False) -> None:
        self.level = LEVELS[level]
        self.log_words = log_words
        self.lost = 0
        self._stream = stream if stream is not None else sys.stderr
        self._socket: socket.socket | None = None
        if stream is None and connected_to_journal():
            with contextlib.suppress(OSError):
                self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

    @property
    def structured(self) -> bool:
        """Whether entries go to journald rather than to a stream."""
        return self._socket is not None

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()

    def configure(self, level: str, log_words: bool) -> None:
        self.level, self.log_words = LEVELS[level], log_words

    def __call__(self, event: Event) -> None:
        if event.level > self.level:
            return
        if self._socket is not None:
            self._send(encode(fields_of(event, self.log_words)))
        else:
            self._print(event)

    def _print(self, event: Event) -> None:
        # Under systemd without a journal socket the prefix carries the priority (sd-daemon(3)).
        line = hide_secrets(event.message).replace("\n", " ")
        try:
            if self._stream.isatty() or "JOURNAL_STREAM" not in os.environ:
                at = time.strftime("%H:%M:%S", time.localtime(event.time))
                self._stream.write(f"{at} {event.part}: {line}\n")
            else:
                self._stream.write(f"<{event.level}>{line}\n")
            self._stream.flush()
        except (OSError, ValueError):
            self.lost += 1

    def _send(self, entry: bytes) -> None:
        assert self._socket is not None
        try:
            self._socket.sendto(entry, socket.MSG_NOSIGNAL, str(SOCKET))
        except OSError:
            # Too large for a datagram (or the journal is restarting): pass a sealed memfd, as the protocol asks.
            try:
                memfd = os.memfd_create("noctule-journal", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
                try:
                    os.write(memfd, entry)
                    self._socket.sendmsg(
                        [b""],
                        [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [memfd]))],
                        0,
                        str(SOCKET),
                    )
                finally:
                    os.close(memfd)
            except OSError:
                self.lost += 1


def connected_to_journal() -> bool:
    """Whether our standard error is the journal's stream, by the device and inode systemd put in JOURNAL_STREAM."""
    stream = os.environ.get("JOURNAL_STREAM", "")
    device, _, inode = stream.partition(":")
    try:
        about = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError, AttributeError):
        return False
    return stream == f"{about.st_dev}:{about.st_ino}" and bool(device and inode) and SOCKET.exists()


def notify(**state: Any) -> bool:
    """Tell systemd, as sd_notify(3): notify(READY=1, STATUS="…"). False when nobody listens."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return False
    lines = "\n".join(f"{name}={str(value).replace(chr(10), ' ')}" for name, value in state.items())
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as to:
        try:
            to.sendto(lines.encode(), "\0" + address[1:] if address.startswith("@") else address)
        except OSError:
            return False
    return True


def watchdog_interval() -> float | None:
    """Seconds within which systemd wants a ping from this process, or None (sd_watchdog_enabled(3))."""
    usec, pid = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    if not usec.isdigit() or int(usec) <= 0 or (pid and pid != str(os.getpid())):
        return None
    return int(usec) / 1e6


def reloading() -> bool:
    """Announce the start of a reload, with the monotonic time that systemd pairs with the READY=1 that ends it."""
    return notify(RELOADING=1, MONOTONIC_USEC=time.monotonic_ns() // 1000)


def credential(name: str) -> bytes | None:
    """A secret that systemd passes by LoadCredential=, or None. Refuses one that others may read."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY", "")
    if not folder or "/" in name:
        return None
    path = Path(folder) / name
    try:
        if path.stat().st_mode & (stat.S_IRWXO | stat.S_IWGRP):
            raise NoctuleError(f"The credential {name} can be read by everybody.", "use LoadCredential= in the unit")
        return path.read_bytes().strip()
    except OSError:
        return None
