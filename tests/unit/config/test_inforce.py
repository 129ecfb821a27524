"""What a reload says of each key: in force now, or after a restart."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from noctule.config import Config, LoadedConfig
from noctule.config.in_force import InForce
from noctule.core.errors import ConfigError
from noctule.core.events import Bus, Event


class World:
    def __init__(self) -> None:
        self.events: list[Event] = []
        self.applied: list[Config] = []
        self.files = Config()
        self.error: ConfigError | None = None
        self.failed: dict[str, str] = {}
        bus = Bus()
        bus.add_sink(self.events.append)
        self.inforce = InForce(LoadedConfig(Config()), self.load, bus)

    def load(self) -> LoadedConfig:
        if self.error is not None:
            raise self.error
        return LoadedConfig(self.files, files=[Path("/etc/noctule/noctule.toml")])

    def reload(self, *changes: tuple[str, object], first: Callable[[], None] = lambda: None) -> dict[str, object]:
        self.files = Config()
        for dotted, value in changes:
            section, name = dotted.split(".")
            setattr(getattr(self.files, section), name, value)

        async def apply(old: Config, new: Config) -> Mapping[str, str]:
            self.applied.append(new)
            first()
            return self.failed

        return asyncio.run(self.inforce.reload(apply))


def test_live_keys_are_applied_and_others_wait() -> None:
    world = World()
    done = world.reload(("lm.max_tokens", 9), ("lm.enabled", False), ("api.max_clients", 3))
    assert done["applied"] == ["lm.max_tokens"]
    assert done["restart"] == ["api.max_clients", "lm.enabled"]
    assert done["files"] == ["/etc/noctule/noctule.toml"]
    assert world.inforce.config is world.files
    assert world.applied == [world.files]
    assert [(e.kind, e.fields.get("key")) for e in world.events] == [
        ("config.applied", "lm.max_tokens"),
        ("config.restart", "api.max_clients"),
        ("config.restart", "lm.enabled"),
        ("config.reloaded", None),
    ]


def test_what_waits_is_said_until_it_is_set_back_or_its_part_is_built_anew() -> None:
    world = World()
    world.reload(("lm.enabled", False), ("api.max_clients", 3))
    assert world.reload(("lm.enabled", False), ("api.max_clients", 3)) == {
        "applied": [], "failed": {}, "restart": ["api.max_clients", "lm.enabled"],
        "files": ["/etc/noctule/noctule.toml"],
    }  # fmt: skip
    world.inforce.built("lm")  # its part was built anew, so it has the new value
    assert world.inforce.pending() == ["api.max_clients"]
    assert world.reload(("lm.enabled", False))["applied"] == ["api.max_clients"]
    assert world.inforce.pending() == []
    assert world.reload()["restart"] == ["lm.enabled"], "and going back needs a restart again"


def test_a_part_rebuilt_during_the_reload_has_its_keys_at_once() -> None:
    world = World()
    done = world.reload(("lm.enabled", False), first=lambda: world.inforce.built("lm"))
    assert (done["applied"], done["restart"]) == (["lm.enabled"], [])


def test_a_key_that_could_not_be_put_in_force_is_said_with_the_reason() -> None:
    world = World()
    world.failed = {"lm.model": "There is no model other."}
    done = world.reload(("lm.model", "other"), ("lm.max_tokens", 9))
    assert done["applied"] == ["lm.max_tokens"]
    assert done["failed"] == world.failed
    (said,) = [e for e in world.events if e.kind == "config.failed"]
    assert said.message == "lm.model is not in force: There is no model other."
    assert said.level == 3


def test_mistakes_keep_the_old_configuration() -> None:
    world = World()
    before = world.inforce.config
    world.error = ConfigError(["a.toml:1: lm.x: unknown key", "a.toml:2: lm.y: unknown key"])
    with pytest.raises(ConfigError):
        world.reload()
    assert world.inforce.config is before
    assert world.applied == []
    assert [e.kind for e in world.events] == ["config.rejected", "config.rejected"]
