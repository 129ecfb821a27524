"""The Wyoming server as the service knows it: its address, its clients, what it offers."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from noctule import __version__
from noctule.api.ask import Control
from noctule.api.http import address, unix_socket
from noctule.api.http.peer import allowed, peer_of
from noctule.api.wyoming.connection import Connection, Offer
from noctule.api.wyoming.dictation import Dictation, Send
from noctule.api.wyoming.listening import WakeListening
from noctule.api.wyoming.wire import MAX_LINE, WireMessage
from noctule.config import Config
from noctule.config.address import wyoming_address
from noctule.core.errors import BusyError, NoctuleError, UnavailableError
from noctule.service.component import Host
from noctule.service.loop_thread import LoopThread
from noctule.service.supervisor import Job
from noctule.voice.transcription import Transcriptions
from noctule.wake.package import WakePackage, distinct

_ABOUT = {"attribution": {"name": "Noctule", "url": ""}, "installed": True, "version": __version__}


class WyomingServer:
    """A component. Raises ConfigError for an address that must not be used."""

    name = "wyoming"

    def __init__(self, host: Host) -> None:
        config = host.config()
        self._host = host
        self.place = wyoming_address(config.wyoming.listen, config.wyoming.lan)
        self._most = config.wyoming.max_clients
        self._transcriptions = Transcriptions(host.config, host.bus)
        self._offer = Offer(Control.of(host), self._info, self._listening, self._answered, self._dictation)
        self._looped = LoopThread(self.name, self._open, self._close)
        self._listener: asyncio.Server | None = None
        self._inode = 0
        self._clients: set[asyncio.Task[None]] = set()
        self._counts = {"connections": 0, "refused": 0, "answered": 0}
        #: the port in use, which the system chose if the configured one is 0.
        self.port = 0 if isinstance(self.place, str) else self.place.port

    # -- the loop's thread ---------------------------------------------------------------------------------------

    async def _open(self) -> None:
        if isinstance(self.place, str):
            path = Path(self.place)
            sock = unix_socket.bind(path, self._host.config().api.group, "wyoming.listen")
            self._inode = path.lstat().st_ino
            self._listener = await asyncio.start_unix_server(self._serve, sock=sock, limit=MAX_LINE)
        else:
            sock = address.bind(self.place, "wyoming.listen")
            self.port = sock.getsockname()[1]
            self._listener = await asyncio.start_server(self._serve, sock=sock, limit=MAX_LINE)

    async def _close(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()
        for task in list(self._clients):
            task.cancel()
        if self._clients:
            await asyncio.wait(list(self._clients), timeout=1.0)
        if isinstance(self.place, str):
            with contextlib.suppress(FileNotFoundError):
                if Path(self.place).lstat().st_ino == self._inode:
                    Path(self.place).unlink()

    def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._counts["connections"] += 1
        try:
            self._admit(writer.get_extra_info("socket"))
        except NoctuleError as error:
            self._counts["refused"] += 1
            writer.write(WireMessage("error", {"text": error.explain(), "code": error.code}).encode())
            writer.close()
            return
        task = asyncio.ensure_future(Connection(self._offer, reader, writer).run())
        self._clients.add(task)
        task.add_done_callback(self._left)

    def _admit(self, sock: socket.socket) -> None:
        if isinstance(self.place, str):
            peer, group = peer_of(sock), self._host.config().api.group
            if not allowed(peer, group):
                raise UnavailableError(f"User {peer.uid} may not use this socket.", f"only root and {group} may")
        if len(self._clients) >= self._most:
            raise BusyError(f"All {self._most} connections are taken.", "see wyoming.max_clients")

    def _left(self, task: asyncio.Task[None]) -> None:
        self._clients.discard(task)
        if not task.cancelled() and task.exception() is not None:
            error = task.exception()
            self._host.bus.publish(
                "api.refused", self.name, f"A Wyoming connection failed: {type(error).__name__}: {error}", 3
            )

    def _answered(self) -> None:
        self._counts["answered"] += 1

    # -- what is offered -----------------------------------------------------------------------------------------

    def _packages(self) -> list[WakePackage]:
        from noctule.voice.wakewords.in_service import find_wake_word

        config = self._host.config()
        if not config.wake.enabled:
            raise UnavailableError("Wake words are switched off.", "wake.enabled")
        return distinct([find_wake_word(word, config.service.models) for word in config.wake.words])

    def _listening(self) -> WakeListening:
        return WakeListening(self._packages(), self._warn)

    def _warn(self, sentence: str) -> None:
        self._host.bus.publish("api.refused", self.name, sentence, 4)

    def _dictation(self, data: Mapping[str, Any], send: Send) -> Dictation:
        return Dictation(self._transcriptions, data, send)

    def _info(self) -> Mapping[str, Any]:
        """The answer to `describe`: programs and models as wyoming.info declares them."""
        about: dict[str, Any] = {"handle": [], "wake": []}
        if name := self._transcriptions.written_by():
            models = [{**_ABOUT, "name": name, "description": "Speech to text", "languages": ["en"]}]
            program = {**_ABOUT, "name": "noctule", "description": "Noctule", "models": models}
            about["asr"] = [{**program, "supports_transcript_streaming": True}]
        model = self._host.status()["lm"].get("model")
        if model:
            languages = list(self._host.config().wyoming.languages)
            models = [{**_ABOUT, "name": str(model), "description": "Actions and answers", "languages": languages}]
            about["handle"] = [{**_ABOUT, "name": "noctule", "description": "Noctule", "models": models}]
        words: list[dict[str, Any]] = []
        with contextlib.suppress(NoctuleError):  # `noctule doctor` tells of it; a client just sees no wake words
            words = [
                {**_ABOUT, "name": p.id, "description": p.phrase, "phrase": p.phrase, "languages": list(p.languages)}
                for p in self._packages()
            ]
        if words:
            about["wake"] = [{**_ABOUT, "name": "noctule", "description": "Noctule", "models": words}]
        return about

    # -- component ---------------------------------------------------------------------------------------------------

    def jobs(self) -> Sequence[Job]:
        return [self._looped.job]

    def status(self) -> Mapping[str, Any]:
        lan = not isinstance(self.place, str) and not self.place.loopback
        facts: dict[str, Any] = {"address": str(self.place), "open": self._listener is not None, "lan": lan}
        facts |= {"clients": len(self._clients), **self._counts}
        return facts | ({"warning": f"{address.LAN_WARNING} and without a password"} if lan else {})

    def apply(self, config: Config) -> None:
        """Nothing here changes without a restart."""

    def close(self) -> None:
        """The thread closed its socket as it ended."""
        self._transcriptions.close()
