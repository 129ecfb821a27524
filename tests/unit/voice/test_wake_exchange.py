"""Other wake words take the place of those that listen: by hand and by a reload, while sound goes on."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_world import RealWorld, package
from test_hearing import NABU, Home
from wakeword_models import loud_model, noise, write_loud

from noctule.app import build_components
from noctule.audio.chunk import HOP, Chunk, Framer
from noctule.core.errors import InputError, ModelError, NoctuleError, UnavailableError
from noctule.voice.pipeline import VoicePipeline
from noctule.voice.wakewords.in_service import MOST, find_wake_word
from waiting import WAIT, wait_for

SHIPPED = Path(__file__).resolve().parents[3] / "models" / "hey_noctule"
QUIET = noise(1.0, 3.0, 1)


class Tap:
    """A microphone that hears what the test plays, as fast as it is read. See SoundSource."""

    name, steady = "tap", False

    def __init__(self) -> None:
        self._due: queue.Queue[Chunk] = queue.Queue()
        self._framer = Framer()
        #: the driver hangs from the next read on, in which it then is, until it is let go.
        self.stuck = threading.Event()
        self.hangs = threading.Event()
        self.free = threading.Event()

    def play(self, samples: Any) -> None:
        for start in range(0, len(samples), HOP * 10):
            chunk = self._framer.push(samples[start : start + HOP * 10], time.monotonic())
            if chunk is not None:
                self._due.put(chunk)

    def heard_all(self) -> None:
        self._due.join()

    def open(self) -> None: ...
    def close(self) -> None: ...

    def read(self, timeout: float) -> Chunk | None:
        if self.stuck.is_set():
            self.hangs.set()
            assert self.free.wait(WAIT)
        try:
            chunk = self._due.get(timeout=min(timeout, 0.01))
        except queue.Empty:
            return None
        self._due.task_done()
        return chunk


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path)
    made.config.service.models = [tmp_path / "models"]
    made.config.audio.output = "off"
    return made


def loud(home: Home, name: str = "loud", **changes: Any) -> Path:
    return write_loud(home.config.service.models[0] / name, name, **changes)


def kinds(home: Home) -> list[str]:
    return [event.kind for event in home.events]


def test_another_word_takes_over_in_the_middle_of_the_sound_and_is_not_deaf(home: Home) -> None:
    loud(home)
    tap = Tap()
    hearing = VoicePipeline(home.host, tap)
    with home.running(hearing) as events:
        wait_for(events, "audio.opened")
        for _ in range(4):
            tap.play(QUIET)
        tap.heard_all()
        assert hearing.words.use(["loud"]) is True
        assert hearing.words.in_force() == {"loud": 0.5}, "the threshold of its package"
        assert hearing.status()["chosen"] == ["loud"]
        assert wait_for(events, "wake.loaded").message == 'Wakes for "Loud Noise"'
        # the very next second: a detector that just started would be deaf for two
        tap.play(np.concatenate([noise(0.6), QUIET]))
        assert wait_for(events, "wake.heard").fields["word"] == "loud"
        assert hearing.words.use([]) is True
        assert list(hearing.words.in_force()) == ["okay_nabu"]
        assert hearing.status()["chosen"] == []
        tap.heard_all()
        before = kinds(home).count("wake.heard")
        tap.play(np.concatenate([noise(0.6), QUIET, QUIET]))
        tap.heard_all()
        hearing.mute_by_hand(True, "to have heard everything")
        wait_for(events, "audio.closed")
        assert kinds(home).count("wake.heard") == before, "nobody listens for it any more"


def test_what_was_said_before_the_change_does_not_wake_the_new_word(home: Home) -> None:
    loud(home)
    tap = Tap()
    hearing = VoicePipeline(home.host, tap)
    with home.running(hearing) as events:
        wait_for(events, "audio.opened")
        for part in (QUIET, QUIET, QUIET, noise(0.6), QUIET):
            tap.play(part)
        tap.heard_all()
        hearing.words.use(["loud"])
        tap.play(QUIET)
        tap.heard_all()
        hearing.mute_by_hand(True, "to have heard everything")
        wait_for(events, "audio.closed")
        assert "wake.heard" not in kinds(home)


def _absent(home: Home) -> list[str]:
    return ["nobody"]


def _damaged(home: Home) -> list[str]:
    model = loud(home) / "loud.tflite"
    model.write_bytes(model.read_bytes()[:-100])
    return ["loud"]


def _changed(home: Home) -> list[str]:
    model = loud(home) / "loud.tflite"
    data = bytearray(model.read_bytes())
    data[-200] ^= 1
    model.write_bytes(bytes(data))
    return ["loud"]


def _twice(home: Home) -> list[str]:
    loud(home)
    return ["loud", "loud"]


def _hears_silence(home: Home) -> list[str]:
    folder = loud(home, files={}, front_end={})
    (folder / "loud.tflite").write_bytes(loud_model(bias=5.0))
    (folder / "manifest.json").write_text(
        '{"type": "micro", "version": 2, "model": "loud.tflite", "wake_word": "x",'
        ' "micro": {"probability_cutoff": 0.5, "sliding_window_size": 5}}'
    )
    return ["loud"]


def _too_many(home: Home) -> list[str]:
    return ["hey"] * (MOST + 1)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (_absent, "There is no wake word nobody"),
        (_damaged, "the package says"),
        (_changed, "SHA-256"),
        (_twice, "given twice"),
        (_hears_silence, "is heard in a silent room"),
        (_too_many, "At most 8"),
    ],
)
def test_a_refused_word_changes_nothing_and_says_so(home: Home, spoil: Any, says: str) -> None:
    home.config.wake.words = [str(SHIPPED)]
    words = spoil(home)
    tap = Tap()
    hearing = VoicePipeline(home.host, tap)
    with home.running(hearing) as events:
        wait_for(events, "audio.opened")
        before, detector = hearing.words.in_force(), hearing.ears.detector
        with pytest.raises((ModelError, InputError), match=says):
            hearing.words.use(words)
        assert hearing.words.in_force() == before
        assert hearing.ears.detector is detector
        assert hearing.status()["chosen"] == []
        assert hearing.troubles() == [], "what is configured serves"
        if words != ["hey"] * (MOST + 1):  # that one is refused before anything is looked at
            refused = wait_for(events, "wake.refused")
            assert says in refused.message
            assert "goes on listening for hey_noctule" in refused.message


def test_muted_ears_change_over_too(home: Home) -> None:
    loud(home)
    home.config.audio.muted = True
    hearing = VoicePipeline(home.host, Tap())
    with home.running(hearing) as events:
        wait_for(events, "wake.loaded")
        assert hearing.words.use(["loud"]) is True
        assert list(hearing.words.in_force()) == ["loud"]
        assert not hearing.ears.report()["open"]


def test_ears_that_are_out_of_service_start_with_what_was_chosen(home: Home) -> None:
    loud(home)
    home.config.wake.words = ["nobody"]
    hearing = VoicePipeline(home.host, Tap())
    with home.running(hearing) as events:
        wait_for(events, "part.degraded")
        with pytest.raises(ModelError, match="There is no wake word"):
            hearing.words.use(["nobody"])
        assert hearing.words.use(["loud"]) is False, "they are told at once that they may try again"
        wait_for(events, "part.recovered")
        assert list(hearing.words.in_force()) == ["loud"]
        assert hearing.words.again() is False


def test_ears_that_hang_in_their_device_are_not_waited_for(home: Home) -> None:
    loud(home)
    tap = Tap()
    hearing = VoicePipeline(home.host, tap)
    hearing.words.hand_over = lambda detector: hearing.ears.exchange(detector, limit=0.05)
    with home.running(hearing) as events:
        wait_for(events, "audio.opened")
        tap.stuck.set()
        assert tap.hangs.wait(WAIT)
        with pytest.raises(UnavailableError, match="did not change over in time"):
            hearing.words.use(["loud"])
        tap.stuck.clear()
        tap.free.set()
        assert list(hearing.words.in_force()) == ["okay_nabu"]


def test_ears_that_end_in_between_build_what_was_chosen(home: Home) -> None:
    loud(home)
    tap = Tap()
    hearing = VoicePipeline(home.host, tap)
    with home.running(hearing) as events:
        wait_for(events, "audio.opened")
        tap.stuck.set()
        assert tap.hangs.wait(WAIT)
        outcome: list[bool] = []
        asking = threading.Thread(target=lambda: outcome.append(hearing.words.use(["loud"])))
        asking.start()
        while hearing.ears._next is None:
            threading.Event().wait(0.005)
        worker = home.supervisor.part("ears")
        worker.stop.set()  # type: ignore[attr-defined]
        tap.stuck.clear()
        tap.free.set()
        asking.join(WAIT)
        assert outcome == [False]
        assert hearing.words.by_hand == ("loud",)
        assert hearing.words.again() is True


# -- a reload --------------------------------------------------------------------------------------------------------


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RealWorld]:
    (tmp_path / "models").mkdir()
    made = RealWorld(tmp_path)
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    package(tmp_path / "models" / "talker")
    write_loud(tmp_path / "models" / "loud")
    (tmp_path / "models" / "hey_noctule").symlink_to(SHIPPED)
    (tmp_path / "models" / "okay_nabu").symlink_to(NABU)
    os.mkfifo(tmp_path / "sound")
    made.senses = build_components
    configure(made, '["hey_noctule"]')
    yield made
    made.notify.close()


def configure(world: RealWorld, words: str, stop: str = "[]") -> None:
    world.configure(
        f'[audio]\nsource = "path"\npath = "{world.folder}/sound"\noutput = "off"\n[capture]\nenabled = false\n'
        f"[wake]\nwords = {words}\nstop_words = {stop}\n"
    )


def test_a_reload_changes_over_and_a_bad_one_says_so_until_it_is_mended(world: RealWorld) -> None:
    def script() -> None:
        world.hear("READY=1")
        client = world.client()
        configure(world, '["loud", "hey_noctule"]', '["loud"]')
        done = client.post("/reload")
        assert sorted(done["applied"]) == ["wake.stop_words", "wake.words"]
        assert (done["restart"], done["failed"]) == ([], {})
        assert list(client.get("/wake")["words"]) == ["loud", "hey_noctule"]
        (ears,) = [organ for organ in world.service.components if organ.name == "ears"]
        assert ears.session.settings.stop_words == {"loud"}  # type: ignore[attr-defined]

        configure(world, '["nobody"]')
        done = client.post("/reload")
        assert list(done["failed"]) == ["wake.words"]
        status = client.get("/status")
        assert status["state"] == "degraded"
        assert status["troubles"] == [f"wake.words is not in force: {absent(world)}"]
        assert list(status["ears"]["words"]) == ["loud", "hey_noctule"]
        assert list(client.post("/reload")["failed"]) == ["wake.words"], "tried again, and said again"

        write_loud(world.folder / "models" / "nobody", "nobody")
        assert client.post("/reload")["failed"] == {}
        status = client.get("/status")
        assert (status["state"], list(status["ears"]["words"])) == ("ready", ["nobody"])

    world.run(script)


def absent(world: RealWorld) -> str:
    with pytest.raises(NoctuleError) as caught:
        find_wake_word("nobody", [world.folder / "models"])
    return caught.value.message


def test_a_choice_by_hand_stays_over_a_reload_until_the_words_are_configured_anew(world: RealWorld) -> None:
    def script() -> None:
        world.hear("READY=1")
        client = world.client()
        assert client.post("/wake", {"use": ["loud"]}) == {"words": {"loud": 0.5}, "listening": True}
        world.file.write_text(world.file.read_text() + "save_days = 7\n")
        assert client.post("/reload")["applied"] == ["wake.save_days"]
        assert list(client.get("/wake")["words"]) == ["loud"]
        configure(world, '["hey_noctule", "loud"]')
        assert "wake.words" in client.post("/reload")["applied"]
        assert client.get("/status")["ears"]["chosen"] == []
        assert list(client.get("/wake")["words"]) == ["hey_noctule", "loud"]
        for bad in ([5], [""], ["a\0b"], ["x" * 2000]):
            with pytest.raises(InputError, match="has 1 to 1024 characters"):
                client.post("/wake", {"use": bad})

    world.run(script)
