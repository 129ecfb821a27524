"""What a reload says of each key: in force now, or after a restart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from noctule.config import Config, LoadedConfig
from noctule.errors import ConfigError
from noctule.events import Bus, Event
from noctule.inforce import InForce


class World:
    def __init__(self) -> None:
        self.events: list[Event] = []
        self.applied: list[Config] = []
        self.files = Config()
        self.error: ConfigError | None = None
        bus = Bus()
        bus.add_sink(self.events.append)
        self.inforce = InForce(LoadedConfig(Config()), self.load, bus)

    def load(self) -> LoadedConfig:
        if self.error is not None:
            raise self.error
        return LoadedConfig(self.files, files=[Path("/etc/noctule/noctule.toml")])

    def reload(self, *changes: tuple[str, object], first: Callable[[], None] = lambda: None) -> dict[str, list[str]]:
        self.files = Config()
        for dotted, value in changes:
            section, name = dotted.split(".")
            setattr(getattr(self.files, section), name, value)

        def apply(config: Config) -> None:
            self.applied.append(config)
            first()

        return self.inforce.reload(apply)


def test_live_keys_are_applied_and_others_wait() -> None:
    world = World()
    done = world.reload(("lm.max_tokens", 9), ("lm.threads", 7), ("api.max_clients", 3))
    assert done["applied"] == ["lm.max_tokens"]
    assert done["restart"] == ["api.max_clients", "lm.threads"]
    assert done["files"] == ["/etc/noctule/noctule.toml"]
    assert world.inforce.config is world.files
    assert world.applied == [world.files]
    assert [(e.kind, e.fields.get("key")) for e in world.events] == [
        ("config.applied", "lm.max_tokens"),
        ("config.restart", "api.max_clients"),
        ("config.restart", "lm.threads"),
        ("config.reloaded", None),
    ]


def test_what_waits_is_said_until_it_is_set_back_or_its_part_is_built_anew() -> None:
    world = World()
    world.reload(("lm.threads", 7), ("api.max_clients", 3))
    assert world.reload(("lm.threads", 7), ("api.max_clients", 3)) == {
        "applied": [], "restart": ["api.max_clients", "lm.threads"], "files": ["/etc/noctule/noctule.toml"]
    }  # fmt: skip
    world.inforce.built("lm")  # the worker was restarted, so it has the new threads
    assert world.inforce.pending() == ["api.max_clients"]
    assert world.reload(("lm.threads", 7))["applied"] == ["api.max_clients"]
    assert world.inforce.pending() == []
    assert world.reload()["restart"] == ["lm.threads"], "and going back needs a restart again"


def test_a_part_rebuilt_during_the_reload_has_its_keys_at_once() -> None:
    world = World()
    done = world.reload(("lm.model", "other"), first=lambda: world.inforce.built("lm"))
    assert (done["applied"], done["restart"]) == (["lm.model"], [])


def test_mistakes_keep_the_old_configuration() -> None:
    world = World()
    before = world.inforce.config
    world.error = ConfigError(["a.toml:1: lm.x: unknown key", "a.toml:2: lm.y: unknown key"])
    with pytest.raises(ConfigError):
        world.reload()
    assert world.inforce.config is before
    assert world.applied == []
    assert [e.kind for e in world.events] == ["config.rejected", "config.rejected"]
