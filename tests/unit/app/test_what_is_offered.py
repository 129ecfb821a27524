"""What a board offers works, and what it cannot do is told as that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from app_world import World, world

from noctule.api.mqtt.topics import Topics, discovery
from noctule.app import build_components
from noctule.audio.wavefile import WavReader
from noctule.core.errors import UnavailableError

__all__ = ["world"]  # the fixture

MODELS = Path(__file__).resolve().parents[3] / "models"


def board(world: World, more: str) -> None:
    world.configure(f'models = ["{MODELS}"]\n[capture]\nenabled = false\n[lm]\nenabled = false\n{more}')
    world.senses = build_components


def offered(status: Any) -> set[str]:
    return {place for place in discovery(Topics("noctule", "b"), status, commands=True) if "sensor" not in place}


def test_a_board_with_a_loudspeaker_alone_speaks(world: World, tmp_path: Path) -> None:
    out = tmp_path / "out"
    board(world, f'[audio]\nsource = "none"\noutput = "file:{out}"\n[speech]\ntts = "en_US-joe-medium"\n')
    (tmp_path / "out").mkdir()

    def script() -> None:
        world.until("service.ready")
        client = world.client()
        assert offered(client.get("/status")) == {"notify/say"}
        assert client.post("/say", {"text": "Hello there."}) == {"spoken": True}
        (spoken,) = out.glob("*.wav")
        with WavReader(spoken) as wav:
            assert sum(len(block) for block in wav.blocks()) / wav.format.sample_rate > 0.4
        assert client.get("/status")["speaker"]["voice"]["spoken"] == 1
        with pytest.raises(UnavailableError, match="No microphone is used here"):
            client.post("/mute", {"on": True})
        client.post("/timers", {"seconds": 1})
        while client.get("/status")["speaker"]["voice"]["spoken"] < 2:
            world.until("timer.fired")

    assert world.run(script).stuck == []


def test_a_board_without_a_voice_says_so(world: World, tmp_path: Path) -> None:
    board(world, '[audio]\nsource = "none"\noutput = "off"\n')

    def script() -> None:
        world.until("service.ready")
        client = world.client()
        assert offered(client.get("/status")) == set()
        assert not {"POST /say", "POST /mute", "POST /clip"} & set(client.get("/help")["help"])
        for path, body, says in (
            ("/say", {"text": "hello"}, "No loudspeaker is used here"),
            ("/mute", {"on": True}, "No microphone is used here"),
            ("/wake", {"save": True}, "No microphone is used here"),
            ("/pause", {}, "Pictures are switched off"),
        ):
            with pytest.raises(UnavailableError, match=says):
                client.post(path, body)

    assert world.run(script).stuck == []


def test_a_loudspeaker_whose_voice_is_off_says_so(world: World, tmp_path: Path) -> None:
    board(world, f'[audio]\nsource = "none"\noutput = "file:{tmp_path}"\n[speech]\ntts = "off"\n')

    def script() -> None:
        world.until("service.ready")
        world.until("part.started", 1)
        client = world.client()
        while client.get("/status")["parts"][-1]["last_work_s"] is None:
            pass
        with pytest.raises(UnavailableError, match="no voice"):
            client.post("/say", {"text": "hello"})

    assert world.run(script).stuck == []
