"""Every setting is either in force after a reload, in the running part itself, or said to need a restart."""

from __future__ import annotations

import asyncio
import copy
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from model_world import RealWorld, package
from wakeword_models import write_loud

from noctule.app import build_components
from noctule.assistant.model_manager import ModelManager
from noctule.assistant.timers import Timers
from noctule.config import Config, LoadedConfig
from noctule.config.in_force import InForce
from noctule.config.keys import key_of, keys_of
from noctule.config.load import walk
from noctule.config.render import toml
from noctule.config.schema import SECTIONS, TABLES, CommandConfig, SourceConfig
from noctule.core.events import Bus
from noctule.service.journal import LEVELS

MODELS = Path(__file__).resolve().parents[3] / "models"


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RealWorld]:
    (tmp_path / "models").mkdir()
    made = RealWorld(tmp_path)
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    for name in ("talker", "other"):
        package(tmp_path / "models" / name)
    (tmp_path / "models" / "hey_noctule").symlink_to(MODELS / "hey_noctule")
    write_loud(tmp_path / "models" / "hi_noctule", "hi_noctule")
    os.mkfifo(tmp_path / "sound")
    made.senses = build_components
    yield made
    made.notify.close()


class Running:
    """The parts of a running service, for the probes."""

    def __init__(self, world: RealWorld) -> None:
        self.service = world.service
        self.world = world
        organs = {organ.name: organ for organ in self.service.components}
        self.ears: Any = organs["ears"]
        self.eyes: Any = organs["eyes"]

    @property
    def mind(self) -> Any:
        return self.service.component(ModelManager).worker.slot._engine

    @property
    def options(self) -> Any:
        return self.mind._settings().options

    def command(self) -> Any:
        """The user's command as the brain's own object has it."""
        return self.mind._brain._commands._commands()["lamp"]


Probe = Callable[[Running], Any]

#: live setting -> (its new value, where in the running service it must be found, as what if not as itself)
LIVE: Mapping[str, tuple[Any, Probe] | tuple[Any, Probe, Any]] = {
    "service.verbosity": ("debug", lambda r: r.service._journal.level, LEVELS["debug"]),
    "service.log_words": (True, lambda r: r.service._journal.log_words),
    "lm.model": ("other", lambda r: r.mind.about()["model"]),
    "lm.threads": (2, lambda r: r.mind.about()["threads"]),
    "lm.weight_cache": (False, lambda r: r.service.component(ModelManager).wanted().weight_cache),
    "lm.context": (9, lambda r: r.mind._lm.context),
    "lm.idle_unload": (77.0, lambda r: r.service.component(ModelManager)._rest().after),
    "lm.keep_warm_mb": (5, lambda r: r.service.component(ModelManager)._rest().keep, 5_000_000),
    "lm.when_full": ("slide", lambda r: r.mind._lm.overflow),
    "lm.max_tokens": (7, lambda r: r.options.max_tokens),
    "lm.max_prompt": (50, lambda r: len(refused(lambda: r.world.ask("a" * 51)))),
    "lm.temperature": (0.75, lambda r: r.options.sampling.temperature),
    "lm.top_k": (3, lambda r: r.options.sampling.top_k),
    "lm.seed": (5, lambda r: r.options.seed),
    "lm.queue": (3, lambda r: r.service.component(ModelManager).worker._size),
    "lm.timeout": (9.0, lambda r: len(refused(lambda: r.world.ask("hi", timeout=10)))),
    "actions.allow": (["time"], lambda r: r.mind._registry.family_allowed("date"), False),
    "actions.max_timers": (1, lambda r: r.service.component(Timers)._limit()),
    "actions.mixer": ("PCM", lambda r: r.mind._registry is not None and r.service.config.actions.mixer),
    "wake.words": (["hi_noctule"], lambda r: list(r.ears.status()["words"])),
    "wake.stop_words": (["hi_noctule"], lambda r: list(r.ears.session.settings.stop_words)),
    "wake.threshold": (0.77, lambda r: list(r.ears.status()["words"].values()), [0.77]),
    "wake.save": (True, lambda r: r.ears.status()["saving"]),
    "wake.save_quota": (9, lambda r: r.ears.clips.quota_mb),
    "wake.save_days": (8, lambda r: r.ears.clips.days),
    "speech.confidence": (0.3, lambda r: r.ears.voices.threshold()),
    "speech.pause": (0.5, lambda r: r.ears.voices._config().speech.pause),
    "speech.speaker": ('anna', lambda r: r.ears.voices._config().speech.speaker),
    "speech.speed": (1.5, lambda r: r.ears.voices._config().speech.speed),
    "speech.volume": (0.5, lambda r: r.ears.voices._config().speech.volume),
    "speech.partials": (0.3, lambda r: r.ears.voices.partials()),
    "supervision.restarts": (9, lambda r: r.service.supervisor.policy.restarts),
    "supervision.window": (99.0, lambda r: r.service.supervisor.policy.window),
    "supervision.retry": (9.5, lambda r: r.service.supervisor.policy.retry),
    "governor.enabled": (False, lambda r: r.world.client().get("/status")["governor"]["enabled"]),
    **{
        f"governor.{name}": (value, lambda r, name=name: getattr(r.service.governor._settings(), name))  # type: ignore[misc]
        for name, value in {
            "interval": 2.0, "patience": 3.0, "recovery": 4.0, "hot": 81.0, "cool": 71.0, "memory_low": 3.0,
            "memory_well": 9.0, "pressure": 33.0, "fps": 2.0,
        }.items()
    },
    "capture.quota_mb": (7, lambda r: r.eyes.sources.store._limits().quota, 7 << 20),
    "capture.max_days": (2.0, lambda r: r.eyes.sources.store._limits().max_age, 2 * 86400.0),
    "capture.min_free_mb": (3, lambda r: r.eyes.sources.store._limits().min_free, 3 << 20),
    **{
        f"capture.{name}": (value, lambda r, name=name: getattr(r.eyes.sources.capture(), name))  # type: ignore[misc]
        for name, value in {
            "max_age": 3.0, "timeout": 4.0, "quality": 55, "max_clip": 33.0, "thumbnails": True,
        }.items()
    },
    "commands.lamp.phrases": (["light please"], lambda r: r.service.config.commands["lamp"].phrases),
    "commands.lamp.run": (["true", "1"], lambda r: r.service.config.commands["lamp"].run),
    "commands.lamp.timeout": (3.0, lambda r: r.service.config.commands["lamp"].timeout),
    "commands.lamp.reply": ("It is light.", lambda r: r.world.ask("light please")["reply"]),
}  # fmt: skip


def refused(work: Callable[[], Any]) -> str:
    from noctule.core.errors import NoctuleError

    with pytest.raises(NoctuleError) as caught:
        work()
    return caught.value.message


def declared() -> dict[str, bool]:
    """Every key of the schema -> whether it is live; NAME stands for a named section."""
    found = {f"{s}.{n}": key_of(f).live for s, cls in SECTIONS.items() for n, (_, f) in keys_of(cls).items()}
    found |= {f"{s}.NAME.{n}": key_of(f).live for s, cls in TABLES.items() for n, (_, f) in keys_of(cls).items()}
    return found


def test_this_test_knows_every_live_setting() -> None:
    known = {name.replace(".lamp.", ".NAME.") for name in LIVE}
    # actions.allow also switches the command off again, so each list is compared whole
    assert known == {name for name, live in declared().items() if live}


def test_each_live_setting_is_in_the_running_part_after_a_reload(world: RealWorld) -> None:
    base = (
        f'[audio]\nsource = "path"\npath = "{world.folder}/sound"\n'
        f'[capture]\nfolder = "{world.folder}/pictures"\n[commands.lamp]\nphrases = ["lamp"]\nrun = ["true"]\n'
    )
    world.configure(base)

    def script() -> None:
        world.hear("READY=1")
        running = Running(world)
        before = {name: entry[0] for name, entry in LIVE.items()}
        for name, value in before.items():
            assert world.service.config.get(name) != value, f"{name}: the test must change it"
        sections: dict[str, list[str]] = {}
        for name, value in before.items():
            if name not in ("service.state_dir", "actions.allow"):
                section, _, key = name.rpartition(".")
                sections.setdefault(section, []).append(f"{key} = {toml(value)}")
        sections["service"] += [f'state_dir = "{world.folder}/state"', f'models = ["{world.folder}/models"]']
        sections["actions"].append('allow = ["time", "command"]')
        sections["capture"].append(f'folder = "{world.folder}/pictures"')
        sections["audio"] = ['source = "path"', f'path = "{world.folder}/sound"']
        text = f'[api]\nsocket = "{world.path}"\n'
        text += "".join(f"[{section}]\n" + "\n".join(lines) + "\n" for section, lines in sections.items())
        world.file.write_text(text)
        done = world.client().post("/reload")
        assert done["restart"] == []
        assert done["failed"] == {}
        assert sorted(done["applied"]) == sorted(before)
        world.ask("hi there")  # some settings are looked at by the request that follows
        wrong = {}
        for name, entry in LIVE.items():
            value, probe = entry[0], entry[1]
            found = probe(running)
            if name in ("lm.max_prompt", "lm.timeout"):
                assert found > 0  # it refused
                continue
            if found != (entry[2] if len(entry) > 2 else value):
                wrong[name] = found
        assert wrong == {}

    world.run(script)


# -- and the others --------------------------------------------------------------------------------------------------


def another(kind: Any, about: Any, value: Any) -> Any:
    """A value of the same type that is not `value`."""
    if about.choices:
        return next(choice for choice in about.choices if choice != value)
    if kind is bool:
        return not value
    if kind in (int, float):
        return value + 1
    if kind is str:
        return value + "x"
    if kind is Path:
        return value / "x"
    return [*value, "x"]


def test_every_setting_is_said_to_be_applied_or_to_need_a_restart() -> None:
    start = Config(commands={"c": CommandConfig()}, sources={"s": SourceConfig()})
    hints = {f"{s}.{n}": (k, key_of(f)) for s, cls in SECTIONS.items() for n, (k, f) in keys_of(cls).items()}
    hints |= {f"commands.c.{n}": (k, key_of(f)) for n, (k, f) in keys_of(CommandConfig).items()}
    hints |= {f"sources.s.{n}": (k, key_of(f)) for n, (k, f) in keys_of(SourceConfig).items()}
    assert set(hints) == {name for name, _, _ in walk(start)}
    for name, (kind, about) in hints.items():
        new = copy.deepcopy(start)
        section, _, item = name.rpartition(".")
        setattr(new.get(section), item, another(kind, about, start.get(name)))
        inforce = InForce(LoadedConfig(start), lambda new=new: LoadedConfig(new), Bus())  # type: ignore[misc]

        async def apply(old: Config, new: Config) -> Mapping[str, str]:
            return {}

        done = asyncio.run(inforce.reload(apply))
        told = (done["applied"], done["restart"])
        assert told == (([name], []) if about.live else ([], [name])), name
