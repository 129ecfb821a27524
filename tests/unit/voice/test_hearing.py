"""The organ of hearing on a real wake-word model and real sound: file in, events and API answers out."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pymicro_wakeword
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from noctule.api.http.json import json_errors
from noctule.api.routes.voice import routes as voice_routes
from noctule.audio.chunk import RATE
from noctule.audio.sources import PcmSource, WavSource
from noctule.audio.wav_writer import WavWriter
from noctule.audio.wavefile import WavReader
from noctule.cli import run_command
from noctule.cli.status import _ears as ears_words
from noctule.config import Config
from noctule.core.clock import SystemClock
from noctule.core.errors import ConfigError, ModelError, UnavailableError
from noctule.core.events import Bus, Event
from noctule.service.component import Host
from noctule.service.request import Ask
from noctule.service.supervisor import Supervisor
from noctule.voice.pipeline import VoicePipeline, sound_source
from noctule.voice.transcript import Spoken, Wording
from noctule.voice.wakewords.in_service import find_wake_word
from waiting import until, wait_for

SOUND = Path(__file__).resolve().parents[2] / "fixtures" / "sound" / "okay_nabu.wav"
TINY = Path(__file__).resolve().parents[3] / "models" / "noctule-tiny"
NABU = Path(pymicro_wakeword.__file__).parent / "models" / "okay_nabu.json"


def scene(path: Path, *, words: bool = True, command: bool = True) -> Path:
    """Three seconds of a quiet room, the wake word, a babbled command, and the room again."""
    rng = np.random.default_rng(1)
    with WavReader(SOUND) as reader:
        word = np.concatenate(list(reader.at_rate(RATE, 160)))

    def room(seconds: float) -> np.ndarray:
        return (rng.standard_normal(int(seconds * RATE)) * 0.001).astype(np.float32)

    syllables = [room(0.06), (rng.standard_normal(RATE // 6) * 0.1).astype(np.float32)] * 5
    with WavWriter(path, RATE) as writer:
        for part in [room(3), word if words else room(1), room(0.3), *(syllables if command else []), room(1.5)]:
            writer.write(part)
    return path


class Home:
    """A host with a language worker that answers at once."""

    def __init__(self, folder: Path) -> None:
        self.config = Config()
        self.config.service.state_dir = folder
        self.config.wake.words = [str(NABU)]
        self.bus, self.asked = Bus(), list[str]()
        self.events: list[Event] = []
        self.bus.add_sink(self.events.append)
        self.hold = False
        self.host = Host(lambda: self.config, self.bus, SystemClock(), self.submit, lambda text: text)

    def submit(self, ask: Ask) -> None:
        self.asked.append(ask.text)
        assert isinstance(ask.result, Future)
        if not self.hold:
            ask.emit("Do")
            ask.emit("ne.")
            ask.result.set_result({"reply": "Done."})

    @contextmanager
    def running(self, hearing: VoicePipeline) -> Iterator[Any]:
        supervisor = self.supervisor = Supervisor(self.bus)
        with self.bus.subscribe() as events:
            for job in hearing.jobs():
                supervisor.add(job)
            supervisor.start()
            try:
                yield events
            finally:
                assert supervisor.stop(5) == {}
                hearing.close()


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_a_recorded_wake_word_wakes_it_and_the_command_is_captured(home: Home, tmp_path: Path) -> None:
    home.config.wake.save = True
    hearing = VoicePipeline(home.host, WavSource(scene(tmp_path / "s.wav"), paced=False, trail=1.0))
    with home.running(hearing) as events:
        heard = wait_for(events, "wake.heard")
        assert heard.fields["word"] == "okay_nabu"
        utterance = wait_for(events, "session.utterance")
        assert 1.5 < utterance.fields["seconds"] < 3.5
        assert "no recogniser" in wait_for(events, "session.unrecognised").message
    assert np.abs(hearing.last_utterance().samples.astype(int)).max() > 2000
    assert home.asked == []
    status = hearing.status()
    assert status["words"] == {"okay_nabu": pytest.approx(0.85, abs=0.2)}
    json.dumps(status)


def test_the_same_scene_without_the_word_stays_asleep(home: Home, tmp_path: Path) -> None:
    hearing = VoicePipeline(home.host, WavSource(scene(tmp_path / "s.wav", words=False), paced=False, trail=1.0))
    with home.running(hearing):
        assert hearing.ears.finished.wait(30)
    kinds = {event.kind for event in home.events}
    assert "wake.heard" not in kinds
    with pytest.raises(UnavailableError):
        hearing.last_utterance()


def test_clips_are_kept_only_when_wanted(home: Home, tmp_path: Path) -> None:
    home.config.wake.save = True
    hearing = VoicePipeline(home.host, WavSource(scene(tmp_path / "s.wav"), paced=False, trail=1.0))
    with home.running(hearing) as events:
        kept = Path(wait_for(events, "wake.saved").fields["file"])
    with WavReader(kept) as reader:
        assert sum(map(len, reader.blocks())) == 2 * RATE
    home.config.wake.save = False
    hearing.apply(home.config)
    assert hearing.status()["saving"] is False


def test_answers_come_from_the_language_worker_and_can_be_given_up(home: Home) -> None:
    hearing = VoicePipeline(home.host, PcmSource(Path("/unused")))
    beats: list[int] = []
    pieces: list[str] = []

    def beat() -> None:
        beats.append(1)

    hello = Spoken((Wording("hello"),), lambda index, sure: False)
    assert hearing._answer(hello, pieces.append, lambda: False, beat) == {"reply": "Done."}
    assert pieces == ["Do", "ne."], "as they come"
    home.hold = True
    with pytest.raises(Exception, match="interrupted"):
        hearing._answer(hello, pieces.append, lambda: True, beat)
    home.config.lm.timeout = -10.0
    with pytest.raises(UnavailableError, match="in time"):
        hearing._answer(hello, pieces.append, lambda: False, beat)
    assert len(beats) >= 3


def test_several_wordings_go_to_the_language_worker_together(home: Home) -> None:
    hearing = VoicePipeline(home.host, PcmSource(Path("/unused")))
    asks: list[Ask] = []
    submit = home.host.submit
    object.__setattr__(home.host, "submit", lambda ask: (asks.append(ask), submit(ask)))
    spoken = Spoken((Wording("set a time", 0.6), Wording("", 0.3), Wording("set a timer", 0.1)), lambda i, sure: True)
    hearing._answer(spoken, lambda piece: None, lambda: False, lambda: None)
    hearing._answer(Spoken(spoken.wordings[:1], spoken.settle), lambda piece: None, lambda: False, lambda: None)
    assert asks[0].text == "set a time"
    assert asks[0].options["wordings"] == [("set a time", 0.6), ("", 0.3), ("set a timer", 0.1)]
    assert asks[0].options["settle"] is spoken.settle
    assert asks[1].options == {}, "one wording needs no election"


def test_what_cannot_be_built_is_said(home: Home, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no wake word hey_nobody in"):
        find_wake_word("hey_nobody", [tmp_path])
    with pytest.raises(ModelError):
        find_wake_word(str(tmp_path / "absent.json"), [])
    home.config.audio.source = "path"
    with pytest.raises(ConfigError, match=r"audio\.path"):
        sound_source(home.config)
    home.config.audio.path = tmp_path / "x.wav"
    assert isinstance(sound_source(home.config), WavSource)
    home.config.audio.path = tmp_path / "x.pipe"
    assert isinstance(sound_source(home.config), PcmSource)
    home.config.audio.source = "microphone"
    assert sound_source(home.config).name == "default microphone"
    home.config.speech.stt = "wyoming"
    with pytest.raises(ConfigError, match=r"speech\.wyoming: must be tcp"):
        VoicePipeline(home.host)


def test_the_routes_mute_tune_and_serve_clips(home: Home, tmp_path: Path) -> None:
    hearing = VoicePipeline(home.host, WavSource(scene(tmp_path / "s.wav"), paced=False, trail=1.0))

    async def calls(client: TestClient[web.Request, web.Application]) -> None:
        async def post(path: str, body: dict[str, Any], status: int = 200) -> dict[str, Any]:
            async with client.post(path, json=body) as response:
                assert response.status == status, await response.text()
                return await response.json()  # type: ignore[no-any-return]

        assert await post("/mute", {"on": True}) == {"muted": True, "changed": True}
        assert await post("/mute", {"on": True}) == {"muted": True, "changed": False}
        await post("/mute", {"on": False})
        assert (await post("/wake", {"word": "okay_nabu", "threshold": 0.5}))["words"] == {"okay_nabu": 0.5}
        home.config.wake.threshold = 0.77
        hearing.apply(home.config)
        assert hearing.status()["words"] == {"okay_nabu": 0.5}, "what was set by hand wins"
        assert (await post("/wake", {"word": "okay_nabu", "threshold": None}))["words"] == {"okay_nabu": 0.77}
        error = (await post("/wake", {"word": "hey_you", "threshold": 0.5}, 400))["error"]
        assert "okay_nabu" in error["message"]
        await post("/wake", {"word": "okay_nabu", "threshold": 7}, 400)
        await post("/wake", {"word": "okay_nabu"}, 400)
        assert await post("/wake", {"save": True}) == {"saving": True}
        name = hearing.clips.save("w", 0.5, np.ones(RATE, np.int16), time.time()).name
        async with client.get("/wake") as response:
            shown = await response.json()
        assert [clip["name"] for clip in shown["clips"]] == [name]
        async with client.get(f"/wake/clips/{name}") as response:
            assert (await response.read())[:4] == b"RIFF"
            assert response.content_type == "audio/wav"
        await post(f"/wake/clips/{name}", {"label": "no"})
        await post(f"/wake/clips/{name}", {"label": "huh"}, 400)
        async with client.get("/wake/clips/..%2F..%2Fetc%2Fpasswd") as response:
            assert response.status == 400
        async with client.get("/utterance") as response:
            assert (await response.read())[:4] == b"RIFF"

    async def main() -> None:
        app = web.Application(middlewares=[json_errors(lambda request, error: None)])
        app.add_routes(voice_routes(hearing))
        async with TestClient(TestServer(app)) as client:
            await calls(client)

    with home.running(hearing) as events:
        wait_for(events, "session.unrecognised")
        asyncio.run(main())
        kinds = [e.kind for e in events.drain()]
        assert "audio.muted" in kinds
        assert "wake.threshold" in kinds


def test_thresholds_need_loaded_words(home: Home) -> None:
    hearing = VoicePipeline(home.host, PcmSource(Path("/unused")))
    with pytest.raises(UnavailableError, match="not loaded"):
        hearing.words.tune("okay_nabu", 0.5)
    hearing.mute(True)
    assert hearing.status()["state"] == "muted"


def test_listen_prints_times_and_scores(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    yes, no = scene(tmp_path / "yes.wav"), scene(tmp_path / "no.wav", words=False)
    assert run_command(["listen", str(yes), str(no), "--word", str(NABU)]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith(f"{yes}: 3.") or out[0].startswith(f"{yes}: 4.")
    assert 'heard "Okay Nabu"' in out[0]
    assert out[-1].startswith(f"{no}: nothing heard in")
    assert run_command(["listen", "--json", str(yes), "--word", str(NABU), "--threshold", "0.999"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["heard"] == []
    assert 0.5 < told["best"]["okay_nabu"] < 0.999
    assert run_command(["listen", str(tmp_path / "absent.wav"), "--word", str(NABU)]) == 65
    assert "Traceback" not in capsys.readouterr().err


def test_listen_hears_a_word_at_the_very_beginning_of_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    """A detector that has just begun is deaf for two seconds; a recording is not."""
    root = Path(__file__).resolve().parents[3]
    for path in sorted((root / "config" / "demo").glob("*.wav")):
        assert run_command(["listen", "--json", str(path), "--word", str(root / "models" / "hey_noctule")]) == 0
        (heard,) = json.loads(capsys.readouterr().out)["heard"]
        assert heard["word"] == "hey_noctule"
        assert 0.8 < heard["time"] < 1.6


def test_a_pipe_without_a_writer_is_not_a_frozen_part(home: Home, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    hearing = VoicePipeline(home.host, PcmSource(tmp_path / "pipe"))
    with home.running(hearing) as events:
        wait_for(events, "audio.opened")
        ears = next(p for p in home.supervisor.parts() if p.name == "ears")
        until(lambda: ears.beats >= 3)
        assert hearing.ears.report()["open"]
        assert "part.frozen" not in {event.kind for event in home.events}


def test_stop_silences_an_answer_and_nothing_else(home: Home) -> None:
    hearing = VoicePipeline(home.host, PcmSource(Path("/unused")))
    hearing.hush()
    assert not hearing.turns.over(0), "asleep, there is nothing to silence"
    turn = hearing.session.announce()
    assert turn is not None
    assert not hearing.turns.over(turn)
    hearing.hush()
    assert hearing.turns.over(turn)


def with_models(home: Home, folder: Path) -> None:
    """The shipped names, with tiny packages behind them, and answers as files."""
    fixtures = Path(__file__).parents[2] / "fixtures"
    for side, name in (("stt", "moonshine-tiny-en"), ("tts", "en_US-joe-medium")):
        shutil.copytree(fixtures / "kyutai-tiny-modes" / side, folder / "models" / name)
        shutil.copytree(fixtures / "kyutai-tiny" / "codec", folder / "models" / f"{name}-codec")
    home.config.service.models = [folder / "models"]
    home.config.lm.weight_cache = False
    home.config.audio.output = f"file:{folder / 'answers'}"


def test_a_command_goes_through_real_models_from_wake_word_to_spoken_answer(home: Home, tmp_path: Path) -> None:
    """The tiny packages' weights are random, so their words are noise; that words, answer and sound come is not."""
    with_models(home, tmp_path)
    hearing = VoicePipeline(home.host, WavSource(scene(tmp_path / "s.wav"), paced=False, trail=1.0))
    with home.running(hearing) as events:
        word = wait_for(events, "speech.words")
        assert word.level == 7
        turn = wait_for(events, "session.turn")
        status = hearing.status()
    assert turn.fields["spoken"] is True
    assert home.asked
    assert home.asked[0].startswith(word.fields["text"])
    with WavReader(tmp_path / "answers" / "answer-1.wav") as wav:
        assert wav.format.sample_rate == 24_000
        assert sum(map(len, wav.blocks())) > 0
    assert status["recogniser"] == "kyutai-tiny-stt"
    assert status["voice"]["voice"] == "kyutai-tiny-tts"
    assert status["missing"] == {}
    assert status["last_turn"]["outcome"] == "turn"
    json.dumps(status)
    lines = "\n".join(ears_words(status))
    assert "listens  with kyutai-tiny-stt" in lines
    assert "speaks   with kyutai-tiny-tts" in lines
    assert re.search(r"last     turn 1: turn, \d+ ms in all; after the end of speech: last word -?\d+ ms", lines)


def test_what_is_missing_is_said_and_looked_for_again_after_a_reload(home: Home, tmp_path: Path) -> None:
    home.config.service.models = [tmp_path / "models"]
    (tmp_path / "models").mkdir()
    home.config.audio.output = f"file:{tmp_path / 'answers'}"
    os.mkfifo(tmp_path / "pipe")
    hearing = VoicePipeline(home.host, PcmSource(tmp_path / "pipe"))
    with home.running(hearing) as events:
        told = {wait_for(events, "speech.missing").part for _ in range(2)}
        assert told == {"stt", "tts"}
        assert set(hearing.status()["missing"]) == {"stt", "tts"}
        assert "missing: There is no model moonshine-tiny-en" in "\n".join(ears_words(hearing.status()))
        with pytest.raises(UnavailableError, match="no voice"):
            hearing.say("hello")
        with_models(home, tmp_path / "more")
        hearing.apply(home.config)
        for _ in range(2):
            wait_for(events, "speech.loaded")
    assert hearing.status()["missing"] == {}


def test_timers_are_announced_and_texts_are_said_through_the_socket(home: Home, tmp_path: Path) -> None:
    with_models(home, tmp_path)
    os.mkfifo(tmp_path / "pipe")
    hearing = VoicePipeline(home.host, PcmSource(tmp_path / "pipe"))
    said: list[str] = []

    async def main() -> None:
        app = web.Application(middlewares=[json_errors(lambda request, error: None)])
        app.add_routes(voice_routes(hearing))
        async with TestClient(TestServer(app)) as client:
            async with client.post("/say", json={"text": "hello there"}) as response:
                assert await response.json() == {"spoken": True}
            async with client.post("/say", json={}) as response:
                assert response.status == 400

    with home.running(hearing) as events:
        asyncio.run(main())
        for sentence in ("The pasta timer is over.", "The timer for 2 minutes is over."):
            home.bus.publish("timer.fired", "timers", "over", reply=sentence)
        while len(said) < 3:
            said.append(wait_for(events, "speech.announced").fields["reply"])
    assert said == ["hello there", "The pasta timer is over.", "The timer for 2 minutes is over."]
    assert len(list((tmp_path / "answers").iterdir())) == 3


def test_a_timer_without_a_voice_rings(home: Home, tmp_path: Path) -> None:
    home.config.speech.tts = "off"
    home.config.audio.output = f"file:{tmp_path / 'answers'}"
    os.mkfifo(tmp_path / "pipe")
    hearing = VoicePipeline(home.host, PcmSource(tmp_path / "pipe"))
    with home.running(hearing) as events:
        assert hearing.voice is not None
        until(lambda: not hearing.voice.speaks)
        home.bus.publish("timer.fired", "timers", "over", words="", duration_s=120.0)
        assert wait_for(events, "speech.announced").fields["reply"] == ""
    with WavReader(tmp_path / "answers" / "answer-1.wav") as wav:
        assert np.abs(np.concatenate(list(wav.blocks()))).max() > 0.2


def test_listening_through_prints_each_stage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In real time, in a daemon of its own: wake word, words, answer, ledger; and what went where."""
    home = Home(tmp_path)
    with_models(home, tmp_path)
    shutil.copytree(TINY, tmp_path / "models" / TINY.name)
    config = tmp_path / "noctule.toml"
    config.write_text(f'[service]\nmodels = ["{tmp_path}/models"]\n[wake]\nwords = ["{NABU}"]\n')
    yes = scene(tmp_path / "yes.wav")
    out = tmp_path / "out"
    assert run_command(["listen", "--through", str(yes), "-o", str(out), "--config", str(config)]) == 0
    shown = capsys.readouterr().out
    assert re.search(r'\d\.\d\d s  Heard "Okay Nabu"', shown)
    assert re.search(r"\d\.\d\d s  hears: \w+", shown)
    assert re.search(r"\d\.\d\d s  understood: .+ \((ended|end of turn), \d+% sure\)", shown)
    assert re.search(r"\d\.\d\d s  answered: \w+", shown)
    assert re.search(r"after the end of speech: last word -?\d+ ms, end noticed -?\d+ ms, first token", shown)
    assert f"spoken: {out}/answer-1.wav" in shown
    assert (out / "answer-1.wav").is_file()
    assert run_command(["listen", "--through", str(yes), "--word", "x"]) == 65
    assert run_command(["listen", "--through", str(tmp_path / "absent.wav")]) == 65
