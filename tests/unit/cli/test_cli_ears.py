"""The verbs of hearing, against a socket that answers as the daemon does."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from noctule.cli import run_command, wake
from noctule.cli.status import _ears

Capture = pytest.CaptureFixture[str]
CLIP = "20261122T101112.345-hey-0.970.wav"


class Daemon:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Any]] = []
        self.clips = [{"name": CLIP, "label": "", "word": "hey", "score": 0.97}]
        self.muted = False

    def app(self) -> web.Application:
        async def mute(request: web.Request) -> web.Response:
            on = (await request.json())["on"]
            changed, self.muted = on != self.muted, on
            return web.json_response({"muted": on, "changed": changed})

        async def show(request: web.Request) -> web.Response:
            return web.json_response({"words": {"hey": 0.9}, "saving": True, "clips": self.clips})

        async def tell(request: web.Request) -> web.Response:
            body = await request.json()
            self.told.append((request.path, body))
            if "use" in body:
                return web.json_response({"words": {"you": 0.7}, "listening": body["use"] != ["later"]})
            return web.json_response({"words": {"hey": body.get("threshold") or 0.9}, "saving": body.get("save")})

        async def clip(request: web.Request) -> web.Response:
            return web.Response(body=b"RIFFsound", content_type="audio/wav")

        async def speak(request: web.Request) -> web.Response:
            text = (await request.json())["text"]
            self.told.append(("/say", text))
            return web.json_response({"spoken": text != "a long story"})

        app = web.Application()
        app.add_routes([web.post("/say", speak)])
        app.add_routes([web.post("/mute", mute), web.get("/wake", show), web.post("/wake", tell)])
        app.add_routes([web.get("/wake/clips/{name}", clip), web.post("/wake/clips/{name}", tell)])
        return app


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    daemon = Daemon()
    path = tmp_path / "s"
    monkeypatch.setenv("NOCTULE_SOCKET", str(path))

    @contextmanager
    def serving() -> Iterator[None]:
        loop, ready = asyncio.new_event_loop(), threading.Event()
        stop = asyncio.Event()

        async def main() -> None:
            runner = web.AppRunner(daemon.app())
            await runner.setup()
            await web.UnixSite(runner, str(path)).start()
            ready.set()
            await stop.wait()
            await runner.cleanup()

        thread = threading.Thread(target=lambda: loop.run_until_complete(main()))
        thread.start()
        assert ready.wait(5)
        yield
        loop.call_soon_threadsafe(stop.set)
        thread.join(5)
        loop.close()

    with serving():
        yield daemon


def test_mute_says_what_is_so_now(daemon: Daemon, capsys: Capture) -> None:
    assert run_command(["mute"]) == 0
    assert run_command(["mute", "on"]) == 0
    assert run_command(["mute", "off"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "The microphone is closed.",
        "The microphone is closed (it already was).",
        "The microphone is open.",
    ]


def test_wake_words_are_shown_and_tuned(daemon: Daemon, capsys: Capture) -> None:
    assert run_command(["wake", "show"]) == 0
    assert run_command(["wake", "threshold", "hey", "0.8"]) == 0
    assert run_command(["wake", "threshold", "hey", "default"]) == 0
    assert run_command(["wake", "save", "on"]) == 0
    assert run_command(["wake", "label", CLIP, "no"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[:3] == ["hey: threshold 0.9", "clips are kept", f"  {CLIP}  not labelled"]
    assert out[3:] == ["hey: 0.8", "hey: 0.9", "Clips are kept now.", f"{CLIP}: no"]
    assert [body for _, body in daemon.told] == [
        {"word": "hey", "threshold": 0.8},
        {"word": "hey", "threshold": None},
        {"save": True},
        {"label": "no"},
    ]
    assert run_command(["wake", "threshold", "hey", "loud"]) == 65
    assert capsys.readouterr().err.startswith("noctule: 'loud' is not a number.")


def test_other_wake_words_are_chosen(
    daemon: Daemon, capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for words in (["you", "./mine"], ["configured"], ["later"]):
        assert run_command(["wake", "use", *words]) == 0
    assert [body["use"] for _, body in daemon.told] == [["you", f"{tmp_path}/mine"], [], ["later"]]
    out = capsys.readouterr().out.splitlines()
    assert out[:3] == [
        "Listens for you above 0.7",
        f'Until the next start. To keep it: wake.words = ["you", "{tmp_path}/mine"] in the configuration.',
        "Listens for you above 0.7",
    ]
    assert "out of service" in out[3]


def test_review_plays_and_labels(
    daemon: Daemon, capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    player = tmp_path / "aplay"
    player.write_text(f"#!/bin/sh\ncat >> {tmp_path}/played\n")
    player.chmod(0o755)
    answers = iter(["r", "y", "q"])
    monkeypatch.setattr(wake.shutil, "which", lambda name: str(player))
    monkeypatch.setattr("builtins.input", lambda prompt: next(answers))
    assert run_command(["wake", "review"]) == 0
    assert (tmp_path / "played").read_bytes() == b"RIFFsound" * 2
    assert daemon.told == [(f"/wake/clips/{CLIP}", {"label": "yes"})]
    assert run_command(["wake", "review"]) == 0
    daemon.clips = []
    assert run_command(["wake", "review"]) == 0
    assert capsys.readouterr().out.endswith("There is nothing to review.\n")
    monkeypatch.setattr(wake.shutil, "which", lambda name: None)
    assert run_command(["wake", "review"]) == 69


def test_status_shows_what_is_heard() -> None:
    ears: dict[str, Any] = {
        "source": "USB Mic",
        "state": "silent",
        "level_db": -120.0,
        "remedy": "turn it up",
        "session": {"state": "asleep"},
        "words": {"hey": 0.9},
    }
    assert _ears(ears) == [
        "  hears    USB Mic: silent, level -120 dB; asleep",
        "           turn it up",
        "  wakes    for hey above 0.9",
    ]
    assert _ears({**ears, "words": {}, "remedy": ""}) == ["  hears    USB Mic: silent, level -120 dB; asleep"]


def test_say_speaks_in_the_daemons_room(daemon: Daemon, capsys: Capture) -> None:
    assert run_command(["say", "dinner", "is", "ready"]) == 0
    assert run_command(["say", "a long story"]) == 1
    assert daemon.told == [("/say", "dinner is ready"), ("/say", "a long story")]
    assert capsys.readouterr().out == "It was interrupted.\n"
    assert run_command(["say", "hello", "--voice", "x.wav"]) == 65
    assert "give -o FILE.wav" in capsys.readouterr().err


def test_status_tells_who_listens_and_speaks_and_what_is_missing() -> None:
    voice = {"voice": None, "loudspeaker": "Speaker", "trouble": "This board has no loudspeaker.", "spoken": 2,
             "interrupted": 1}  # fmt: skip
    ears = {"source": "Mic", "state": "ok", "session": {"state": "asleep"}, "words": {}, "recogniser": None,
            "voice": voice, "missing": {"stt": "There is no model x: commands are heard but not understood"},
            "last_turn": {"turn": 7, "outcome": "unrecognised", "ended_ms": 700, "total_ms": 2000}}  # fmt: skip
    assert _ears(ears)[1:] == [
        "  speaks   with a chime only through Speaker: 2 spoken, 1 interrupted",
        "           This board has no loudspeaker.",
        "           missing: There is no model x: commands are heard but not understood",
        "  last     turn 7: unrecognised, 2000 ms in all; after the end of speech: end noticed 700 ms",
    ]
