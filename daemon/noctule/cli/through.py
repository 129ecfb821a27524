"""`noctule listen --through FILE.wav…`: recordings through the whole loop, each stage with its time.

A daemon of its own is built from the configuration, without its doors to the network: wake word, recogniser, brain,
actions and voice are the real ones, a running daemon is left alone. Timers set here end with it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import tempfile
import threading
from pathlib import Path
from typing import Any

from noctule.app import Plugged, Service, assembled, build_engine
from noctule.assistant.grammar.in_force import GrammarInForce
from noctule.audio.playlist import Playlist
from noctule.audio.speaker import WavSpeaker
from noctule.audio.wavefile import STDIN, WavReader
from noctule.capture.component import CaptureComponent
from noctule.cli.common import check_folder, load, printable, say, warn
from noctule.core.errors import InputError
from noctule.core.events import Bus, Event
from noctule.service.component import Host
from noctule.service.journal import Journal
from noctule.voice.pipeline import VoicePipeline
from noctule.voice.session import ASLEEP

#: bytes that are taken of a pipe: four hours at 16 kHz.
MOST_PIPED = 1 << 29
#: what ends a turn; each has the ledger.
_ENDS = ("turn", "failed", "cancelled", "unsure", "unrecognised")
_LEDGER = (("words_ms", "last word"), ("ended_ms", "end noticed"), ("token_ms", "first token"),
           ("sound_ms", "first sound"))  # fmt: skip


class Through:
    """Prints what happens to each file. files: to be played; folder: where answers go."""

    def __init__(self, files: list[Path], folder: Path, as_json: bool) -> None:
        self._files, self._folder, self._json = files, folder, as_json
        self._began = 0.0
        #: files that led to an answer, and the one that is being played.
        self.answered: set[Path] = set()
        self._file: Path | None = None
        self._hearing: VoicePipeline | None = None
        self._grown = threading.Event()

    def senses(self, host: Host) -> list[Plugged]:
        source = Playlist(self._files, self._idle, self._begin, warn=warn)
        self._hearing = VoicePipeline(host, source, GrammarInForce(host.config))
        self._grown.set()
        senses = [Plugged(self._hearing)]
        if host.config().capture.enabled:
            senses.append(Plugged(CaptureComponent(host)))
        return senses

    def _idle(self) -> bool:
        hearing = self._hearing
        return hearing is not None and hearing.session.state == ASLEEP and hearing.turns.idle

    def watch(self, service: Service) -> None:
        """End the service when everything was played and answered."""

        def wait() -> None:
            self._grown.wait()
            assert self._hearing is not None
            self._hearing.ears.finished.wait()
            service.end()

        threading.Thread(target=wait, daemon=True).start()

    def _begin(self, path: Path, at: float) -> None:
        self._file, self._began = path, at
        if not self._json:
            say(f"{path}")

    def __call__(self, event: Event) -> None:
        """The bus's sink."""
        at = event.monotonic - self._began
        if self._json:
            name = None if self._file is None else str(self._file)
            say(json.dumps({"file": name, "at": round(at, 3), **event.as_dict()}, ensure_ascii=False, default=str))
        else:
            for line in self._lines(event):
                say(f"{at:8.2f} s  {printable(line)}" if self._file is not None else printable(line))
        if event.kind == "session.turn" and self._file is not None:
            self.answered.add(self._file)

    def _lines(self, event: Event) -> list[str]:
        fields, kind = event.fields, event.kind
        if kind == "speech.words":
            return [f"hears: {fields['text']}"]
        if kind == "speech.race":
            race = f"; in the race: {fields['sentences']}" if fields["sentences"] else ""
            return [f"free text: {fields['text']} ({fields['free_score']}){race}; decision: {fields['decision']}"]
        if kind == "session.words":
            sure = f", {fields['confidence']:.0%} sure" if "confidence" in fields else ""
            return [f"understood: {fields['words']} ({fields['reason']}{sure})"]
        if kind in ("action.done", "action.failed"):
            return [f"action {fields['action']}: {'done' if kind == 'action.done' else fields['reply']}"]
        if kind in ("wake.heard", "session.nothing", "session.utterance") or event.level <= 4:
            lines = [event.message]
        elif kind == "session.turn":
            lines = [f"answered: {fields['reply']}", *([f"spoken: {self._answer()}"] if fields["spoken"] else [])]
        elif kind == "session.unsure":
            lines = [event.message, f"answered: {fields['reply']}"]
        else:
            return []
        ends = kind.partition(".")[2] in _ENDS and "total_ms" in fields
        return [*lines, *([ledger(fields)] if ends else [])]

    def _answer(self) -> str:
        speaker = self._hearing.loudspeaker if self._hearing is not None else None
        return str(speaker.latest) if isinstance(speaker, WavSpeaker) and speaker.latest else "aloud"


def ledger(fields: Any) -> str:
    """One line: where the time of a turn went."""
    since = ", ".join(f"{name} {fields[key]} ms" for key, name in _LEDGER if key in fields)
    after = f"after the end of speech: {since}; " if since else ""
    return f"{after}{fields['total_ms']} ms from the wake word to the end"


def _kept(path: Path, folder: Path) -> Path:
    """The file; of the standard input, which can be read only once, a copy."""
    if str(path) not in STDIN or Path("/dev/stdin").is_file():
        return Path("/dev/stdin") if str(path) == "-" else path
    copy = folder / "standard input.wav"
    with copy.open("wb") as out, os.fdopen(os.dup(0), "rb") as pipe:
        while (data := pipe.read(1 << 20)) and out.tell() < MOST_PIPED:
            out.write(data)
    return copy


def run(options: argparse.Namespace) -> int:
    """Play, print, and leave: 0 when every file led to an answer."""
    if options.output is not None:
        check_folder(options.output)
    folder = (options.output or Path(tempfile.mkdtemp(prefix="noctule-listen-"))).absolute()
    with tempfile.TemporaryDirectory(prefix="noctule-") as scratch, open(os.devnull, "w") as nowhere:
        files = [_kept(path, Path(scratch)) for path in options.files]
        for path in files:
            WavReader(path).close()  # a broken file is named before a model is loaded
        options.set = [
            *options.set, f"service.state_dir={scratch}", f"api.socket={scratch}/control.sock", "api.group=",
            "api.tcp=", "wyoming.listen=", "mqtt.host=", "capture.page_port=0", "lm.weight_cache=false",
            "wake.enabled=true", "audio.muted=false", f"audio.output=file:{folder}",
            f"capture.folder={folder}/pictures",
        ]  # fmt: skip
        through, bus = Through(files, folder, options.json), Bus()
        bus.add_sink(through)
        loaded = load(options)
        service = Service(loaded, lambda: loaded, bus, Journal(nowhere), assembled(build_engine, through.senses))
        through.watch(service)
        asyncio.run(service.run())
    if not options.json:
        say(f"answers and pictures: {folder}")
    return 0 if through.answered == set(files) else 1


def check(options: argparse.Namespace) -> None:
    """Options of `listen` that have no meaning here. Raises InputError."""
    if options.word or options.threshold is not None:
        raise InputError(
            "--through uses the configured wake words.", "--set wake.words=… or wake.threshold=… instead"
        )
