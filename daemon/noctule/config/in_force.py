"""The configuration in force, and what of the one in the files waits for a restart."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from noctule.config import Config, LoadedConfig, changes
from noctule.core.errors import ConfigError
from noctule.core.events import Bus

#: puts a configuration in force; gets the old and the new one, answers which keys could not be, and why.
Apply = Callable[[Config, Config], Awaitable[Mapping[str, str]]]


class InForce:
    """Reads the configuration again and says, key by key, what became of it. load: reads all layers."""

    def __init__(self, loaded: LoadedConfig, load: Callable[[], LoadedConfig], bus: Bus) -> None:
        self._loaded = loaded
        self._load = load
        self._bus = bus
        self._started_with = loaded.config
        #: section -> the configuration its part was last built with, where that can be later than the start
        self._built_with: dict[str, Config] = {}

    @property
    def config(self) -> Config:
        """The configuration in force. Live settings count from it; the others as their part was built."""
        return self._loaded.config

    @property
    def files(self) -> list[str]:
        """The files it was read from."""
        return [str(path) for path in self._loaded.files]

    def built(self, section: str) -> None:
        """The part behind `section` is being built, with the configuration of now."""
        self._built_with[section] = self.config

    def pending(self) -> list[str]:
        """Settings that differ from what their part was built with, and need a restart."""
        found = []
        for built in {id(config): config for config in (self._started_with, *self._built_with.values())}.values():
            for key, live in changes(built, self.config):
                section = key.partition(".")[0]
                if not live and self._built_with.get(section, self._started_with) is built:
                    found.append(key)
        return sorted(found)

    async def reload(self, apply: Apply) -> dict[str, Any]:
        """Read, `apply` and tell: the keys applied, those that could not be (with why), those that need a restart.

        Raises ConfigError, after each mistake was published; the old configuration then stays.
        """
        try:
            new = self._load()
        except ConfigError as error:
            for problem in error.problems:
                self._bus.publish("config.rejected", "config", problem, level=3)
            raise ConfigError(
                error.problems, "the configuration was not applied; the one before stays in force"
            ) from None
        old, self._loaded = self._loaded, new
        failed = dict(await apply(old.config, new.config))
        restart = self.pending()
        changed = [key for key, _ in changes(old.config, new.config)]
        applied = [key for key in changed if key not in restart and key not in failed]
        for key in applied:
            self._bus.publish("config.applied", "config", f"{key} is in force now", 5, key=key)
        for key, why in failed.items():
            self._bus.publish("config.failed", "config", f"{key} is not in force: {why}", 3, key=key)
        for key in restart:
            self._bus.publish("config.restart", "config", f"{key} needs a restart", 5, key=key)
        text = f"{len(applied)} settings applied, {len(restart)} need a restart"
        text += f", {len(failed)} could not be put in force" if failed else ""
        self._bus.publish("config.reloaded", "config", f"The configuration was reloaded: {text}", 5)
        return {"applied": applied, "failed": failed, "restart": restart, "files": self.files}
