"""The Wyoming recogniser against a server made with the wyoming package itself."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from noctule.audio.wav_writer import WavWriter
from noctule.cli import run_command
from noctule.core.errors import InputError, UnavailableError
from noctule.lm.speech.words import Word
from noctule.voice.stt.wyoming import WyomingRecogniser, load

load()  # first: it imports the package without its deprecation warning

from wyoming.asr import Transcribe, Transcript  # noqa: E402
from wyoming.audio import AudioChunk, AudioStop  # noqa: E402
from wyoming.error import Error  # noqa: E402
from wyoming.event import Event  # noqa: E402
from wyoming.server import AsyncEventHandler, AsyncServer  # noqa: E402

HEARD: dict[str, object] = {}
WAIT = 60.0


class Handler(AsyncEventHandler):
    async def handle_event(self, event: Event) -> bool:
        if Transcribe.is_type(event.type):
            HEARD["language"] = Transcribe.from_event(event).language
            HEARD["audio"] = b""
            if HEARD.get("early"):
                await self.write_event(Error(text="no licence.").event())
        elif AudioChunk.is_type(event.type):
            HEARD["audio"] += AudioChunk.from_event(event).audio  # type: ignore[operator]
        elif AudioStop.is_type(event.type) and not HEARD.get("early"):
            if HEARD.get("rude"):
                return False
            if HEARD.get("mute"):
                return True
            if HEARD.get("error"):
                await self.write_event(Error(text="model not loaded", code="no-model").event())
                return True
            if "text" in HEARD:
                await self.write_event(Event("transcript", {"text": HEARD["text"]}))
                return True
            await self.write_event(Transcript(text=" turn on the lights \n").event())
        return True


@contextmanager
def server(path: Path) -> Iterator[str]:
    uri = f"unix://{path}"
    loop = asyncio.new_event_loop()
    ready = threading.Event()

    async def main() -> None:
        serving = AsyncServer.from_uri(uri)
        await serving.start(Handler)
        ready.set()
        await stop.wait()
        await serving.stop()

    stop = asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(main()))
    thread.start()
    assert ready.wait(5)
    try:
        yield uri
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(5)
        loop.close()


def heard(recogniser: WyomingRecogniser, samples: np.ndarray) -> str:
    listening = recogniser.begin()
    try:
        assert listening.feed(samples[:2500]) == []
        assert listening.feed(samples[2500:]) == []
        return " ".join(item.text for item in listening.finish(0.5) if isinstance(item, Word))
    finally:
        listening.cancel()


def spoken(count: int) -> np.ndarray:
    """Something that stands out from the quiet before it."""
    rng = np.random.default_rng(3)
    return np.concatenate([rng.normal(0, 20, count // 2), rng.normal(0, 4000, count - count // 2)]).astype(np.int16)


def test_words_come_back_and_every_sample_went_out(tmp_path: Path) -> None:
    HEARD.clear()
    samples = spoken(4000)
    with server(tmp_path / "stt.sock") as uri:
        recogniser = WyomingRecogniser(uri, "en")
        assert recogniser.name == uri
        assert heard(recogniser, samples) == "turn on the lights"
        assert HEARD["audio"] == samples.astype("<i2").tobytes()
        assert HEARD["language"] == "en"
        HEARD["rude"] = True
        with pytest.raises(UnavailableError, match="cannot be used"):
            heard(recogniser, samples)
        recogniser.close()
    with pytest.raises(UnavailableError, match="cannot be used"):
        WyomingRecogniser(f"unix://{tmp_path}/absent").begin()


def test_sound_goes_out_while_it_is_spoken_and_a_broken_off_command_leaves(tmp_path: Path) -> None:
    HEARD.clear()
    with server(tmp_path / "stt.sock") as uri:
        listening = WyomingRecogniser(uri).begin()
        listening.feed(np.ones(1600, np.int16))
        for _ in range(1000):
            if HEARD.get("audio"):
                break
            threading.Event().wait(0.005)
        assert len(HEARD["audio"]) == 3200  # type: ignore[arg-type]
        listening.cancel()
        listening.cancel()


def test_a_silent_engine_is_not_waited_for(tmp_path: Path) -> None:
    HEARD.clear()
    HEARD["mute"] = True
    with server(tmp_path / "stt.sock") as uri:
        listening = WyomingRecogniser(uri, timeout=0.2).begin()
        with pytest.raises(UnavailableError, match=r"did not answer in 0\.2 s"):
            listening.finish(0.0)


def test_an_address_must_be_one() -> None:
    with pytest.raises(InputError, match="no Wyoming address"):
        WyomingRecogniser("http://x")


def test_transcribe_asks_the_engine_where_it_is_configured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    HEARD.clear()
    config = tmp_path / "noctule.toml"
    monkeypatch.setenv("NOCTULE_CONFIG", str(config))
    with WavWriter(tmp_path / "in.wav", 16_000) as out:
        out.write(spoken(24_000).astype(np.float32) / 32768)
    with server(tmp_path / "stt.sock") as uri:
        config.write_text(f'[speech]\nstt = "wyoming"\nwyoming = "{uri}"\nlanguage = "en"\n')
        assert run_command(["transcribe", str(tmp_path / "in.wav")]) == 0
        assert capsys.readouterr().out == "turn on the lights\n"
        assert len(HEARD["audio"]) == 48_000  # type: ignore[arg-type]
        assert run_command(["transcribe", "--json", str(tmp_path / "in.wav")]) == 0
        assert capsys.readouterr().out == '{"text": "turn on the lights"}\n'


@pytest.mark.parametrize(("manner", "says"), [("error", "model not loaded"), ("early", "no licence")])
def test_what_the_engine_says_is_wrong_is_passed_on_at_once(tmp_path: Path, manner: str, says: str) -> None:
    HEARD.clear()
    HEARD[manner] = True
    with server(tmp_path / "stt.sock") as uri:
        recogniser = WyomingRecogniser(uri, timeout=WAIT)
        with pytest.raises(UnavailableError, match=rf"says: {says}\.$"):
            heard(recogniser, spoken(400_000))  # long: an error that comes early is seen while sound still goes out


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, ""),
        ("", ""),
        ("[BLANK_AUDIO]", ""),
        ("(music)", ""),
        (" *coughs* ♪ la la ♪", ""),
        ("<|nospeech|>", ""),
        ("[BLANK_AUDIO] turn on (clears throat) the lights.", "turn on the lights."),
        ("Thank you.", "Thank you."),
        ("None", "None"),
        (7, ""),
    ],
)
def test_what_is_no_word_is_none(tmp_path: Path, text: object, words: str) -> None:
    HEARD.clear()
    HEARD["text"] = text
    with server(tmp_path / "stt.sock") as uri:
        assert heard(WyomingRecogniser(uri, timeout=WAIT), spoken(16_000)) == words


@pytest.mark.parametrize("level", [0.0, 3.0, 60.0])
def test_the_end_of_subtitles_is_no_word_in_a_room_where_nobody_speaks(tmp_path: Path, level: float) -> None:
    room = np.random.default_rng(8).normal(0, level, 16_000).astype(np.int16)
    HEARD.clear()
    with server(tmp_path / "stt.sock") as uri:
        for text in ("Thank you.", "Thanks for watching!", "you", "Vielen Dank.", "Gracias por ver el video.",
                     "Abone olmayı unutmayın.", "Продолжение следует...", "ご視聴ありがとうございました",
                     "시청해주셔서 감사합니다!"):  # fmt: skip
            HEARD["text"] = text
            assert heard(WyomingRecogniser(uri, timeout=WAIT), room) == ""
