"""What each action does, with real files, real programs and a clock of ours."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from noctule.assistant.actions.bind import Parts, build_registry
from noctule.assistant.actions.commands import UserCommands
from noctule.assistant.actions.declared import SPECS
from noctule.assistant.actions.process import Output
from noctule.assistant.actions.registry import ActionRegistry, Argument, Call, Result, Spec, Value, fill
from noctule.assistant.actions.status import BoardStatus
from noctule.assistant.actions.volume import Mixer
from noctule.assistant.phrases.request import Request, read
from noctule.assistant.timers import Timers
from noctule.core.clock import ManualClock
from noctule.core.errors import BusyError, DeviceError, InputError, NoctuleError, UnavailableError
from noctule.core.events import Bus

NOTHING = read("")


class Camera:
    """A capture provider that remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, float]] = []

    def snapshot(self, source: str) -> Path:
        self.asked.append((source, 0))
        return Path("/pictures/one.jpg")

    def clip(self, source: str, seconds: float) -> tuple[Path, float]:
        self.asked.append((source, seconds))
        return Path("/pictures/one.mp4"), seconds


class Ears:
    def __init__(self) -> None:
        self.muted: list[bool] = []

    def mute(self, muted: bool) -> None:
        self.muted.append(muted)


class Amixer:
    """Answers like amixer; remembers the arguments."""

    def __init__(self, answers: dict[str, Output] | None = None) -> None:
        self.calls: list[list[str]] = []
        self.answers = answers or {}

    def __call__(self, argv: Sequence[str], timeout: float) -> Output:
        self.calls.append(list(argv[1:]))
        verb = "scontrols" if "scontrols" in argv else "sset"
        usual = {
            "scontrols": Output(0, "Simple mixer control 'Capture',0\nSimple mixer control 'PCM',0\n"),
            "sset": Output(0, "  Front Left: Playback 26 [40%] [on]\n  Front Right: Playback 26 [41%] [on]\n"),
        }
        return self.answers.get(verb, usual[verb])


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(wall=1_740_999_900.0)


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def parts(tmp_path: Path, clock: ManualClock) -> Parts:
    return Parts(
        clock=clock,
        timers=Timers(tmp_path / "timers.json", Bus(), clock, boot_id="b", limit=lambda: 4),
        board=BoardStatus(tmp_path),
        mixer=Mixer(lambda: "", Amixer(), lambda name: f"/usr/bin/{name}"),
        commands=UserCommands(dict),
    )


def say(registry: ActionRegistry, action: str, text: str = "", **arguments: str | tuple[str, float]) -> str:
    """Run an action and fill its first usable reply, as the brain does."""
    values = {
        name: Value(value) if isinstance(value, str) else Value(value[0], value[1])
        for name, value in arguments.items()
    }
    result = registry.run(Call(action, values), read(text))
    spec = registry.spec(action)
    return fill(spec.replies[0], {name: value.text for name, value in values.items()} | dict(result.fields))


def test_every_declared_action_is_bound(parts: Parts) -> None:
    assert build_registry(parts).offered() == list(SPECS)


def test_time_and_date(parts: Parts) -> None:
    registry = build_registry(parts)
    assert say(registry, "time") == "It is 11:05."
    assert say(registry, "date", day="today") == "Today is Monday, 3 March 2025."
    assert say(registry, "date", day="tomorrow") == "Tomorrow is Tuesday, 4 March 2025."
    assert say(registry, "date", day="yesterday") == "Yesterday was Sunday, 2 March 2025."


@pytest.mark.parametrize(
    ("wall", "tomorrow"), [(1743288300.0, "Sunday, 30 March"), (1761427500.0, "Sunday, 26 October")]
)
def test_tomorrow_where_the_clocks_change(
    parts: Parts, monkeypatch: pytest.MonkeyPatch, wall: float, tomorrow: str
) -> None:
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    parts.clock = ManualClock(wall=wall)
    assert f"Tomorrow is {tomorrow} 2025." == say(build_registry(parts), "date", day="tomorrow")


def test_timers_through_actions(parts: Parts, clock: ManualClock) -> None:
    registry = build_registry(parts)
    assert say(registry, "timer.list") == "No timer is running."
    assert say(registry, "timer.set", duration=("5 minutes", 300.0)) == "Timer set for 5 minutes."
    say(registry, "timer.set", duration=("an hour", 3600.0), name="Pasta")
    clock.advance(60)
    assert (
        say(registry, "timer.list")
        == "2 timers: the timer for 5 minutes has 4 minutes left; the Pasta timer has 59 minutes left."
    )
    assert say(registry, "timer.list", name="pasta") == "The Pasta timer has 59 minutes left."
    assert say(registry, "timer.list", name="tea") == "There is no tea timer."
    with pytest.raises(InputError, match=r"Which one\? There are 2"):
        say(registry, "timer.cancel")
    with pytest.raises(InputError, match="no tea timer"):
        say(registry, "timer.cancel", name="tea")
    with pytest.raises(InputError, match="no timer for 2 minutes"):
        say(registry, "timer.cancel", duration=("two minutes", 120.0))
    assert say(registry, "timer.cancel", duration=("five minutes", 300.0)) == "Cancelled the timer for 5 minutes."
    assert say(registry, "timer.cancel") == "Cancelled the Pasta timer."
    with pytest.raises(InputError, match="No timer is running"):
        say(registry, "timer.cancel", which="all")
    for _ in range(4):
        say(registry, "timer.set", duration=("1 minute", 60.0))
    with pytest.raises(BusyError):
        say(registry, "timer.set", duration=("1 minute", 60.0))
    assert say(registry, "timer.cancel", which="all") == "Cancelled 4 timers."


def test_a_timer_without_a_usable_duration(parts: Parts) -> None:
    registry = build_registry(parts)
    with pytest.raises(InputError, match="For how long"):
        say(registry, "timer.set", "set a timer")
    with pytest.raises(InputError, match="from 1 second to 1 day"):
        say(registry, "timer.set", "set a timer for three weeks")


def test_pictures_when_there_are_none(parts: Parts) -> None:
    registry = build_registry(parts)
    with pytest.raises(UnavailableError, match="No camera is configured"):
        say(registry, "snapshot", source="camera")
    with pytest.raises(UnavailableError, match="No display is configured"):
        say(registry, "clip", source="display")
    with pytest.raises(UnavailableError, match="No microphone"):
        say(registry, "mute")


def test_pictures_and_microphone(parts: Parts) -> None:
    camera, ears = Camera(), Ears()
    parts.capture, parts.microphone = camera, ears
    registry = build_registry(parts)
    assert say(registry, "snapshot", source="display") == "I took a picture of the display: one.jpg."
    assert say(registry, "clip", source="camera") == "I recorded 10 seconds from the camera: one.mp4."
    say(registry, "clip", source="camera", duration=("5 s", 5.0))
    assert camera.asked == [("display", 0), ("camera", 10), ("camera", 5)]
    say(registry, "mute")
    say(registry, "unmute")
    assert ears.muted == [True, False]


def test_stop_and_help(parts: Parts) -> None:
    stopped = []
    parts.stop = lambda: stopped.append(1)
    registry = build_registry(parts, allow=["time", "help", "stop"])
    say(registry, "stop")
    assert stopped == [1]
    assert say(registry, "help") == "I can tell the time, be quiet and tell the time in other places."
    registry.allow([])
    assert registry.permitted(registry.spec("none"))
    with pytest.raises(UnavailableError, match="help is switched off"):
        say(registry, "help")
    registry.allow(["help"])
    assert say(registry, "help") == "I can't do anything here."


class Settings:
    """A [commands.NAME] section."""

    def __init__(self, phrases: list[str], run: list[str], timeout: float = 5.0, reply: str = "Done.") -> None:
        self.phrases, self.run, self.timeout, self.reply = phrases, run, timeout, reply


def test_help_names_the_users_commands(parts: Parts) -> None:
    parts.commands = UserCommands(lambda: {"lamp": Settings(["lights on"], ["true"])})
    assert say(build_registry(parts, allow=["time", "help"]), "help").endswith("Your own commands: lights on.")


# -- status ------------------------------------------------------------------------------------------------------


@pytest.fixture
def board(tmp_path: Path) -> tuple[Path, Path]:
    proc, sys = tmp_path / "proc", tmp_path / "sys"
    (sys / "class/thermal/thermal_zone0").mkdir(parents=True)
    (sys / "class/thermal/thermal_zone0/temp").write_text("48312\n")
    proc.mkdir()
    (proc / "meminfo").write_text("MemTotal:        8000000 kB\nMemAvailable:    4000000 kB\n")
    (proc / "uptime").write_text("93784.51 1000.0\n")
    return proc, sys


def test_status(parts: Parts, board: tuple[Path, Path], tmp_path: Path) -> None:
    parts.board = BoardStatus(tmp_path, *board)
    registry = build_registry(parts)
    assert say(registry, "status", what="temperature") == "The board is at 48 °C."
    assert say(registry, "status", what="memory") == "4.1 of 8.2 GB memory are free."
    assert say(registry, "status", what="uptime") == "The board has been up for 1 day 2 hours 3 minutes."
    free = os.statvfs(tmp_path)
    text = say(registry, "status", what="disk")
    assert text.endswith(f"of {free.f_blocks * free.f_frsize / 1e9:.1f} GB disk space are free.")
    whole = say(registry, "status", what="all")
    assert whole.startswith("The board is at 48 °C. 4.1 of 8.2 GB memory are free. ")
    assert whole.count("free") == 2


def test_status_of_a_board_that_tells_nothing(parts: Parts, tmp_path: Path) -> None:
    parts.board = BoardStatus(tmp_path / "gone", tmp_path, tmp_path)
    registry = build_registry(parts)
    for what, said in [
        ("temperature", "no temperature sensor"),
        ("memory", "does not tell"),
        ("uptime", "does not tell"),
        ("disk", "cannot be read"),
        ("all", "nothing about itself"),
    ]:
        with pytest.raises(UnavailableError, match=said):
            say(registry, "status", what=what)
    (tmp_path / "meminfo").write_text("MemTotal: many kB\n")
    with pytest.raises(UnavailableError, match="does not tell"):
        say(registry, "status", what="memory")


def test_status_leaves_out_what_is_not_there(parts: Parts, board: tuple[Path, Path], tmp_path: Path) -> None:
    parts.board = BoardStatus(tmp_path, board[0], tmp_path / "nothing")
    assert "°C" not in say(build_registry(parts), "status", what="all")


def test_uptime_under_a_minute_has_seconds(tmp_path: Path) -> None:
    (tmp_path / "uptime").write_text("42.9 1.0\n")
    assert BoardStatus(tmp_path, tmp_path).uptime()[0] == "The board has been up for 43 seconds"


# -- volume ------------------------------------------------------------------------------------------------------


def mixed(parts: Parts, amixer: Amixer, control: str = "") -> ActionRegistry:
    parts.mixer = Mixer(lambda: control, amixer, lambda name: f"/usr/bin/{name}")
    return build_registry(parts)


def test_volume(parts: Parts) -> None:
    amixer = Amixer()
    registry = mixed(parts, amixer)
    assert say(registry, "volume.set", level=("40%", 40.0)) == "Volume at 41 percent."
    assert say(registry, "volume.up") == "Volume up to 41 percent."
    assert say(registry, "volume.down", step=("five percent", 5.0)) == "Volume down to 41 percent."
    say(registry, "volume.mute")
    say(registry, "volume.unmute")
    changes = [call for call in amixer.calls if "sset" in call]
    assert changes == [
        ["-M", "sset", "PCM", "40%", "unmute"],
        ["-M", "sset", "PCM", "10%+"],
        ["-M", "sset", "PCM", "5%-"],
        ["-M", "sset", "PCM", "mute"],
        ["-M", "sset", "PCM", "unmute"],
    ]
    with pytest.raises(InputError, match="To what"):
        say(registry, "volume.set")


def test_volume_of_the_configured_control(parts: Parts) -> None:
    amixer = Amixer()
    say(mixed(parts, amixer, "Line Out"), "volume.up")
    assert amixer.calls == [["-M", "sset", "Line Out", "10%+"]]


def test_volume_errors(parts: Parts) -> None:
    parts.mixer = Mixer(lambda: "", Amixer(), lambda name: None)
    with pytest.raises(UnavailableError, match="amixer is not installed"):
        say(build_registry(parts), "volume.up")
    for answers, said in [
        ({"scontrols": Output(0, "Simple mixer control 'Capture',0\n")}, "no sound output"),
        (
            {"scontrols": Output(1, "ALSA lib confmisc.c:855:(parse_card) cannot find card '0'\n")},
            "There is no sound card whose volume could be changed",
        ),
        ({"sset": Output(1, "amixer: Unknown gibberish\n")}, "does not let its volume be changed"),
        ({"sset": Output(0, "Simple mixer control 'PCM',0\n")}, "has no volume"),
    ]:
        with pytest.raises(DeviceError, match=said) as refused:
            say(mixed(parts, Amixer(answers)), "volume.up")
        assert not [word for word in ("ALSA", "amixer:", "gibberish") if word in refused.value.message]


def test_what_amixer_says_goes_to_the_journal_alone(parts: Parts) -> None:
    told: list[str] = []
    text = "ALSA lib confmisc.c:855:(parse_card) cannot find card '0'\namixer: Mixer attach default error"
    parts.mixer = Mixer(lambda: "", Amixer({"scontrols": Output(1, text)}), lambda name: name, told.append)
    with pytest.raises(DeviceError, match="There is no sound card"):
        say(build_registry(parts), "volume.up")
    assert told == [text.replace("\n", " / ")]
    unable = Output(1, "amixer: Unable to find simple control 'Bass',0")
    parts.mixer = Mixer(lambda: "Bass", Amixer({"sset": unable}), lambda name: name)
    with pytest.raises(DeviceError, match="has no control called Bass"):
        say(build_registry(parts), "volume.up")


# -- the registry ------------------------------------------------------------------------------------------------


def handler(call: Call, request: Request) -> Result:
    return Result({"x": "1"})


SPEC = Spec("a.b", "do it", (Argument("c", "choice", required=True, choices=("y", "z")),), ("{x}",), ("x",))


def test_declarations_are_checked() -> None:
    with pytest.raises(ValueError, match="twice"):
        ActionRegistry([SPEC, SPEC])
    with pytest.raises(ValueError, match="undeclared"):
        ActionRegistry([Spec("a", "", replies=("{fact}",))])
    with pytest.raises(ValueError, match="no action q"):
        ActionRegistry([SPEC]).bind("q", handler)
    with pytest.raises(KeyError):
        SPEC.argument("nope")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "needs its c"),
        ({"c": Value("w")}, "must be one of y, z"),
        ({"d": Value("y")}, "no argument 'd'"),
    ],
)
def test_calls_are_held_to_the_declaration(arguments: dict[str, Value], said: str) -> None:
    registry = ActionRegistry([SPEC])
    registry.bind("a.b", handler)
    with pytest.raises(InputError, match=said):
        registry.run(Call("a.b", arguments), NOTHING)


def test_number_arguments_are_held_to_their_bounds(parts: Parts) -> None:
    registry = build_registry(parts)
    for value in (Value("five minutes"), Value("x", 0.0), Value("x", 90_000.0)):
        with pytest.raises(InputError, match="from 1 to 86400"):
            registry.run(Call("timer.set", {"duration": value}), NOTHING)


def test_unknown_unbound_and_broken_actions() -> None:
    registry = ActionRegistry([SPEC])
    with pytest.raises(InputError, match="no action named 'q'"):
        registry.run(Call("q"), NOTHING)
    good = Call("a.b", {"c": Value("y")})
    with pytest.raises(UnavailableError, match="not available"):
        registry.run(good, NOTHING)
    registry.bind("a.b", lambda call, request: Result())
    with pytest.raises(NoctuleError, match="did not say its x"):
        registry.run(good, NOTHING)

    def full(call: Call, request: Request) -> Result:
        raise OSError(28, "No space left on device")

    registry.bind("a.b", full)
    with pytest.raises(NoctuleError, match=r"a.b failed: No space left on device"):
        registry.run(good, NOTHING)
