"""The Wyoming server as the wyoming package's own client meets it, and as those who do not behave do."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import socket
import stat
import threading
import warnings
import wave
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pymicro_wakeword
import pytest
from app_world import World
from hypothesis import given, settings
from hypothesis import strategies as st

from noctule.api.wyoming import server as organ_module
from noctule.api.wyoming.connection import Offer
from noctule.api.wyoming.server import WyomingServer
from noctule.api.wyoming.wire import MAX_DATA, MAX_LINE, MAX_PAYLOAD, WireMessage, read
from noctule.app import Plugged
from noctule.assistant.actions.declared import REFUSALS
from noctule.config.address import Address, wyoming_address
from noctule.core.errors import BusyError, ConfigError, InputError
from noctule.service.component import Host
from noctule.service.request import Ask
from waiting import WAIT

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # audioop, in Python 3.11 and 3.12
    from wyoming.asr import Transcript
    from wyoming.audio import AudioChunk, AudioStart, AudioStop
    from wyoming.client import AsyncClient
    from wyoming.error import Error
    from wyoming.event import Event
    from wyoming.handle import Handled, NotHandled
    from wyoming.info import Describe, Info
    from wyoming.ping import Ping, Pong
    from wyoming.wake import Detect, Detection, NotDetected

SOUND = Path(__file__).resolve().parents[2] / "fixtures" / "sound" / "okay_nabu.wav"
NABU = Path(pymicro_wakeword.__file__).parent / "models" / "okay_nabu.json"


class Home(World):
    """A service with the organ, and Home Assistant's side of the protocol."""

    def place(self, listen: str, more: str = "") -> None:
        self.configure(f'[wyoming]\nlisten = "{listen}"\n{more}\n[wake]\nwords = ["{NABU}"]\n')
        self.senses = self.make
        self.organs: list[WyomingServer] = []

    def make(self, host: Host) -> list[Plugged]:
        self.organs.append(WyomingServer(host))
        return [Plugged(self.organs[-1])]

    @property
    def uri(self) -> str:
        return f"tcp://127.0.0.1:{self.organs[0].port}"

    def talk(self, steps: Callable[[AsyncClient], Coroutine[Any, Any, Any]]) -> Any:
        async def all_of_it() -> Any:
            async with AsyncClient.from_uri(self.uri) as client:
                return await steps(client)

        return asyncio.run(asyncio.wait_for(all_of_it(), WAIT))

    def say(self, text: str, **more: Any) -> Event:
        async def steps(client: AsyncClient) -> Event:
            await client.write_event(Transcript(text=text, **more).event())
            found = await client.read_event()
            assert found is not None
            return found

        return self.talk(steps)

    def raw(self, data: bytes) -> bytes:
        """Everything that comes back until the server closes."""
        with socket.create_connection(("127.0.0.1", self.organs[0].port), timeout=WAIT) as sock:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                sock.sendall(data)
                sock.shutdown(socket.SHUT_WR)
            got = b""
            with contextlib.suppress(ConnectionResetError):
                while piece := sock.recv(65536):
                    got += piece
            return got

    def counts(self) -> dict[str, Any]:
        return dict(self.client().get("/status")["wyoming"])


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    made = Home(tmp_path)
    made.place("tcp://127.0.0.1:0")
    yield made
    made.notify.close()


def serve(home: Home, script: Callable[[], None]) -> None:
    def whole() -> None:
        home.until("service.ready")
        script()

    assert home.run(whole).stuck == []


def test_it_says_what_it_offers_and_answers_in_words(home: Home) -> None:
    def answer(ask: Ask) -> dict[str, Any]:
        if ask.text == "busy":
            raise BusyError("8 requests are waiting already.")
        if ask.text == "play music":
            return {"reply": REFUSALS["media"], "ok": True, "call": {"action": "none"}}
        return {"reply": f"you said {ask.text}", "ok": ask.text != "fail"}

    async def describe(client: AsyncClient) -> Info:
        await client.write_event(Describe().event())
        found = await client.read_event()
        assert found is not None
        return Info.from_event(found)

    async def ping(client: AsyncClient) -> str | None:
        await client.write_event(Event("from-the-future", {"a": 1}))
        await client.write_event(Ping(text="there?").event())
        found = await client.read_event()
        assert found is not None
        return Pong.from_event(found).text

    def script() -> None:
        info = home.talk(describe)
        assert [model.name for model in info.handle[0].models] == ["fake"]
        assert info.handle[0].models[0].languages == ["en"]
        assert [model.phrase for model in info.wake[0].models] == ["Okay Nabu"]
        assert home.talk(ping) == "there?", "and what it does not know it ignores"
        handled = Handled.from_event(home.say("hello\nthere", context={"conversation_id": "7"}))
        assert handled.text == "you said hello there"
        assert handled.context == {"conversation_id": "7"}
        for text, reply in (("busy", "8 requests are waiting already."), ("play music", REFUSALS["media"]),
                            ("fail", "you said fail"), (" ", "The request is empty.")):  # fmt: skip
            event = home.say(text)
            assert NotHandled.is_type(event.type), text
            assert NotHandled.from_event(event).text == reply
        counts = home.counts()
        assert counts["answered"] == 3
        assert counts["connections"] == 7
        assert counts["open"] is True
        assert "warning" not in counts

    home.answer = answer
    serve(home, script)


def test_a_wake_word_in_its_sound_is_detected(home: Home) -> None:
    with wave.open(str(SOUND)) as sound:
        rate, pcm = sound.getframerate(), sound.readframes(sound.getnframes())
    assert rate == 16_000
    # A stream that has just begun is deaf for its first seconds; a room is never quite silent.
    quiet = (np.random.default_rng(1).standard_normal(rate * 3) * 33).astype("<i2").tobytes()

    async def stream(client: AsyncClient, sound: bytes, names: list[str] | None) -> Event:
        await client.write_event(Detect(names=names).event())
        await client.write_event(AudioStart(rate=rate, width=2, channels=1, timestamp=5000).event())
        for at in range(0, len(sound), 2047):  # odd: samples are cut in two
            part = AudioChunk(rate=rate, width=2, channels=1, audio=sound[at : at + 2047], timestamp=5000 + at // 32)
            await client.write_event(part.event())
        await client.write_event(AudioStop().event())
        found = await client.read_event()
        assert found is not None
        return found

    def script() -> None:
        heard = home.talk(lambda client: stream(client, quiet + pcm + quiet, ["okay_nabu"]))
        detection = Detection.from_event(heard)
        assert Detection.is_type(heard.type), heard
        assert detection.name == "okay_nabu"
        assert detection.timestamp is not None
        assert 8000 < detection.timestamp < 8000 + len(pcm) / 32 + 500
        assert NotDetected.is_type(home.talk(lambda client: stream(client, quiet, None)).type)
        unknown = home.talk(lambda client: stream(client, b"", ["other"]))
        assert "no wake word 'other'" in Error.from_event(unknown).text
        assert "wake.heard" not in home.kinds(), "it was not our microphone"

    serve(home, script)


@pytest.mark.parametrize("form", [(16_000, 2, 2), (48_000, 2, 1), (44_100, 2, 2), (16_000, 4, 1)])
def test_other_rates_widths_and_stereo_are_converted(home: Home, form: tuple[int, int, int]) -> None:
    rate, width, channels = form
    with wave.open(str(SOUND)) as sound:
        pcm = np.frombuffer(sound.readframes(sound.getnframes()), "<i2")
    noise = np.random.default_rng(1).standard_normal(48_000) * 33
    whole = np.concatenate([noise, pcm, noise])
    at = np.arange(len(whole) * rate // 16_000) * 16_000 / rate
    other = np.interp(at, np.arange(len(whole)), whole) * (65536 if width == 4 else 1)
    data = np.repeat(other.astype(f"<i{width}"), channels).tobytes()

    async def steps(client: AsyncClient) -> Event | None:
        await client.write_event(Detect().event())
        about = {"rate": rate, "width": width, "channels": channels}
        await client.write_event(AudioStart(**about).event())
        for start in range(0, len(data), 8191):
            await client.write_event(AudioChunk(audio=data[start : start + 8191], **about).event())
        await client.write_event(AudioStop().event())
        return await client.read_event()

    def script() -> None:
        event = home.talk(steps)
        assert Detection.is_type(event.type), event

    serve(home, script)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rate": 80}, "80 Hz"),
        ({"width": 7}, "56 bits"),
        ({"channels": 0}, "0 channels"),
        ({"rate": None}, "must say"),
    ],
)
def test_what_is_no_sound_is_refused_by_name(home: Home, change: dict[str, Any], words: str) -> None:
    async def steps(client: AsyncClient) -> Event | None:
        await client.write_event(Detect().event())
        form = {"rate": 16000, "width": 2, "channels": 1, **change}
        await client.write_event(Event("audio-chunk", form, b"\0" * 640))
        return await client.read_event()

    def script() -> None:
        event = home.talk(steps)
        assert words in Error.from_event(event).text

    serve(home, script)


def test_sound_before_detect_is_answered(home: Home) -> None:
    async def steps(client: AsyncClient) -> Event | None:
        form = {"rate": 16000, "width": 2, "channels": 1}
        await client.write_event(AudioStart(**form).event())
        await client.write_event(AudioChunk(audio=bytes(640), **form).event())
        return await client.read_event()

    def script() -> None:
        assert Error.from_event(home.talk(steps)).text == "Sound has come before detect. (send detect first)"

    serve(home, script)


def test_an_unknown_wake_name_warns_and_the_known_one_works(home: Home) -> None:
    async def steps(client: AsyncClient) -> Event | None:
        await client.write_event(Detect(names=["hey_other", "okay_nabu"]).event())
        await client.write_event(AudioStart(rate=16_000, width=2, channels=1).event())
        await client.write_event(AudioStop().event())
        return await client.read_event()

    def script() -> None:
        assert NotDetected.is_type(home.talk(steps).type)
        warned = [event.message for event in home.events if event.part == "wyoming" and event.level == 4]
        assert warned == ["A Wyoming client asks for a wake word that is not here: 'hey_other'; there are: okay_nabu"]

    serve(home, script)


def test_requests_on_one_connection_are_all_answered_in_their_order(home: Home) -> None:
    begun = threading.Event()

    def answer(ask: Ask) -> dict[str, Any]:
        if ask.text == "one":
            begun.wait(WAIT)  # the second has come before the first is answered
        return {"reply": f"you said {ask.text}"}

    async def steps(client: AsyncClient) -> list[str]:
        for text in ("one", "two", "three"):
            await client.write_event(Transcript(text=text).event())
        begun.set()
        return [Handled.from_event(event).text for _ in range(3) if (event := await client.read_event())]

    def script() -> None:
        assert home.talk(steps) == ["you said one", "you said two", "you said three"]

    home.answer = answer
    serve(home, script)


def test_a_client_that_leaves_ends_its_requests(home: Home) -> None:
    left, begun = threading.Event(), threading.Event()

    def answer(ask: Ask) -> dict[str, Any]:
        begun.set()
        for _ in range(2000):
            if not ask.going_on():
                left.set()
                break
            threading.Event().wait(0.005)
        return {"reply": "too late"}

    async def ask_too_often(client: AsyncClient) -> Event | None:
        for _ in range(9):
            await client.write_event(Transcript(text="one").event())
        await asyncio.to_thread(begun.wait, WAIT)
        return await client.read_event()

    def script() -> None:
        event = home.talk(ask_too_often)
        assert "not answered yet" in Error.from_event(event).text
        assert left.wait(WAIT)

    home.answer = answer
    serve(home, script)


BAD = [
    b"\n", b"x\n", b"[]\n", b"3\n", b"null\n", b"{}\n", b'{"type": 3}\n', b'{"type": ""}\n', b"\xff\xfe\n",
    b'{"type": "' + b"a" * 65 + b'"}\n', b'{"type": "ping", "data": []}\n', b'{"type": "ping", "data_length": -1}\n',
    b'{"type": "ping", "data_length": true}\n', b'{"type": "ping", "data_length": "9"}\n',
    b'{"type": "ping", "data_length": 5}\n[1,2]', b'{"type": "ping", "data_length": 9}\n{', b"a" * (MAX_LINE + 9),
    b'{"type": "ping", "data_length": %d}\n' % (MAX_DATA + 1), b"[" * 5000 + b"\n", b"9" * 5000 + b"\n",
    b'{"type": "audio-chunk", "payload_length": %d}\n' % (MAX_PAYLOAD + 1), b'{"type": "half',
    b'{"type": "audio-chunk", "payload_length": 9}\nabc', b'{"type": "detect", "data": {"names": "all"}}\n',
]  # fmt: skip


def test_malformed_lines_harm_nobody(home: Home) -> None:
    failures: list[str] = []
    stop = threading.Event()

    def good() -> None:
        while not stop.is_set():
            if Handled.from_event(home.say("time")).text != "you said time":
                failures.append("a good request failed")

    def script() -> None:
        thread = threading.Thread(target=good)
        thread.start()
        for data in BAD:
            line, _, rest = home.raw(data).partition(b"\n")
            head = json.loads(line)
            assert head["type"] == "error", data[:40]
            assert json.loads(rest[: head["data_length"]])["code"] in ("input", "too-large")
        assert home.raw(b"") == b""
        assert home.raw(b'{"type": "transcript", "data": {"text": 3}}\n' * 2).count(b'"error"') <= 1
        stop.set()
        thread.join(WAIT)
        assert not failures
        assert all(e.level > 3 for e in home.events), "nothing of it is an error of ours"

    serve(home, script)


def test_a_client_that_is_gone_when_told_of_its_mistake(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(writer: Any) -> None:
        raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")

    monkeypatch.setattr(asyncio.StreamWriter, "write_eof", gone)

    def script() -> None:
        assert b'"error"' in home.raw(b"x\n")
        assert Handled.is_type(home.say("hello").type)
        assert all(event.level > 3 for event in home.events)

    serve(home, script)


def test_silent_clients_are_let_go_and_too_many_are_refused(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(organ_module, "Offer", lambda *about: Offer(*about, idle=0.2))
    home.place("tcp://127.0.0.1:0", "max_clients = 2")

    def script() -> None:
        with contextlib.ExitStack() as stack:
            address = ("127.0.0.1", home.organs[0].port)
            quiet = [stack.enter_context(socket.create_connection(address, WAIT)) for _ in range(2)]
            third = stack.enter_context(socket.create_connection(address, WAIT))
            assert b"All 2 connections are taken" in third.recv(4096)
            quiet[0].sendall(b'{"type": "pi')
            assert [sock.recv(100) for sock in quiet] == [b"", b""], "closed without a word"
        assert Handled.is_type(home.say("hello").type)
        assert home.counts()["refused"] == 1

    serve(home, script)


def test_a_unix_socket_for_the_group_alone(home: Home) -> None:
    path = home.folder / "wyoming.sock"
    home.place(f"unix://{path}")

    async def ask() -> Event | None:
        async with AsyncClient.from_uri(f"unix://{path}") as client:
            await client.write_event(Transcript(text="hi").event())
            return await client.read_event()

    def script() -> None:
        event = asyncio.run(asyncio.wait_for(ask(), WAIT))
        assert event is not None
        assert event.data["text"] == "you said hi"
        assert stat.S_IMODE(path.stat().st_mode) & 0o007 == 0
        assert home.counts()["address"] == str(path)

    serve(home, script)
    assert not path.exists()


def test_without_a_model_or_wake_words_nothing_is_offered(home: Home) -> None:
    async def steps(client: AsyncClient) -> tuple[Event | None, Event | None]:
        await client.write_event(Describe().event())
        about = await client.read_event()
        await client.write_event(Detect().event())
        return about, await client.read_event()

    def script() -> None:
        about, error = home.talk(steps)
        assert about.data == {"handle": [], "wake": []}
        assert "switched off" in error.data["text"]
        assert NotHandled.from_event(home.say("hello")).text == "The language model is switched off."

    home.file.write_text(home.file.read_text().replace("[wake]", "[lm]\nenabled = false\n[wake]\nenabled = false"))
    serve(home, script)


@pytest.mark.parametrize(
    "text", ["", "10400", "udp://127.0.0.1:1", "unix://relative", "tcp://host:1", "unix:///" + "x" * 200]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"wyoming\.listen"):
        wyoming_address(text, False)


def test_the_lan_is_an_explicit_choice() -> None:
    with pytest.raises(ConfigError, match=r"wyoming\.lan"):
        wyoming_address("tcp://0.0.0.0:10400", False)
    assert wyoming_address("tcp://0.0.0.0:10400", True) == Address("0.0.0.0", 10400)


def parsed(data: bytes) -> list[WireMessage]:
    async def steps() -> list[WireMessage]:
        reader = asyncio.StreamReader(limit=MAX_LINE)
        reader.feed_data(data)
        reader.feed_eof()
        found = []
        while (message := await read(reader)) is not None:
            found.append(message)
        return found

    return asyncio.run(steps())


@given(st.binary(max_size=300) | st.sampled_from(BAD))
@settings(max_examples=150, deadline=None)
def test_any_bytes_are_events_or_an_input_error(data: bytes) -> None:
    with contextlib.suppress(InputError):
        parsed(data)


@given(
    st.text(min_size=1, max_size=20),
    st.dictionaries(st.text(max_size=5), st.text(max_size=20)),
    st.binary(max_size=50),
)
@settings(max_examples=60, deadline=None)
def test_what_is_written_is_read_again(kind: str, data: dict[str, str], payload: bytes) -> None:
    message = WireMessage(kind, data, payload)
    assert parsed(message.encode() * 2) == [message, message]
