"""Timers fire when they should, once, and survive restarts, reboots and clocks that jump."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from noctule.assistant.timers import Timer, Timers
from noctule.core.clock import ManualClock, SystemClock
from noctule.core.errors import BusyError, InputError
from noctule.core.events import Bus, Event


@pytest.fixture
def heard() -> list[Event]:
    return []


@pytest.fixture
def bus(heard: list[Event]) -> Bus:
    bus = Bus()
    bus.add_sink(heard.append)
    return bus


def make(tmp_path: Path, bus: Bus, clock: ManualClock, boot: str = "boot-1", limit: int = 32) -> Timers:
    return Timers(tmp_path / "timers.json", bus, clock, limit=lambda: limit, boot_id=boot)


def kinds(heard: list[Event]) -> list[str]:
    return [event.kind for event in heard]


def test_fires_once_at_its_time_and_not_before(tmp_path: Path, bus: Bus, heard: list[Event]) -> None:
    clock = ManualClock()
    timers = make(tmp_path, bus, clock)
    timers.set(90, "pasta")
    clock.advance(89.9)
    assert timers.fire_due() == []
    clock.advance(0.1)
    assert [timer.name for timer in timers.fire_due()] == ["pasta"]
    clock.advance(1000)
    assert timers.fire_due() == []
    assert timers.running() == []
    assert kinds(heard) == ["timer.set", "timer.fired"]
    assert heard[-1].fields["reply"] == "The pasta timer is over.", "what is said of it"


def test_the_wall_clock_does_not_move_a_running_timer(tmp_path: Path, bus: Bus) -> None:
    clock = ManualClock()
    timers = make(tmp_path, bus, clock)
    timers.set(60)
    clock.jump_wall(3600)
    assert timers.fire_due() == []
    clock.jump_wall(-7200)
    clock.advance(60)
    assert len(timers.fire_due()) == 1


def test_fires_in_order_of_time(tmp_path: Path, bus: Bus) -> None:
    clock = ManualClock()
    timers = make(tmp_path, bus, clock)
    for seconds in (30, 10, 20):
        timers.set(seconds)
    clock.advance(100)
    assert [timer.duration for timer in timers.fire_due()] == [10, 20, 30]


def test_the_loop_really_fires(tmp_path: Path, bus: Bus) -> None:
    """With the machine's own clock and thread."""
    fired = threading.Event()
    timers = Timers(tmp_path / "t.json", bus, SystemClock(), on_fire=lambda timer: fired.set())
    stop, beats = threading.Event(), []
    thread = threading.Thread(target=timers.run, args=(lambda: beats.append(1), stop))
    thread.start()
    timers.set(0.02, "now")
    assert fired.wait(10)
    stop.set()
    timers.wake()
    thread.join(10)
    assert not thread.is_alive()
    assert beats


def test_survives_a_restart_exactly(tmp_path: Path, bus: Bus) -> None:
    clock = ManualClock()
    make(tmp_path, bus, clock).set(100, "tea")
    clock.advance(40)
    clock.jump_wall(50_000)
    again = make(tmp_path, bus, clock)
    [timer] = again.running()
    assert (timer.name, timer.remaining(clock)) == ("tea", 60)
    assert again.set(5).number == 2


def test_overdue_while_away_fires_at_once_and_says_how_late(tmp_path: Path, bus: Bus, heard: list[Event]) -> None:
    clock = ManualClock()
    make(tmp_path, bus, clock).set(100)
    clock.advance(130)
    assert len(make(tmp_path, bus, clock).fire_due()) == 1
    assert heard[-1].fields["late_s"] == 30
    assert "30 seconds late" in heard[-1].message


def test_after_a_reboot_the_wall_clock_decides(tmp_path: Path, bus: Bus) -> None:
    clock = ManualClock()
    make(tmp_path, bus, clock).set(100)
    later = ManualClock(start=5.0, wall=clock.wall() + 70)
    timers = make(tmp_path, bus, later, boot="boot-2")
    assert timers.running()[0].remaining(later) == pytest.approx(30)
    later.jump_wall(30)
    assert len(timers.fire_due()) == 1


def test_a_board_without_a_battery_clock_never_waits_longer_than_what_was_left(tmp_path: Path, bus: Bus) -> None:
    clock = ManualClock()
    make(tmp_path, bus, clock).set(100)
    # It boots an hour in the past; NTP has not answered yet.
    later = ManualClock(start=5.0, wall=clock.wall() - 3600)
    timers = make(tmp_path, bus, later, boot="boot-2")
    assert timers.running()[0].remaining(later) == pytest.approx(100)
    # NTP corrects the clock: the timer's wall time passed long ago.
    later.jump_wall(3600 + 500)
    assert len(timers.fire_due()) == 1


def test_a_restored_timer_is_restored_again(tmp_path: Path, bus: Bus) -> None:
    clock = ManualClock()
    make(tmp_path, bus, clock).set(100, "a")
    second = ManualClock(start=5.0, wall=clock.wall() + 10)
    timers = make(tmp_path, bus, second, boot="boot-2")
    timers.set(50, "b")
    third = make(tmp_path, bus, second, boot="boot-2")
    assert [(t.name, t.wall_only, round(t.remaining(second))) for t in third.running()] == [
        ("b", False, 50),
        ("a", True, 90),
    ]


def test_cancel(tmp_path: Path, bus: Bus, heard: list[Event]) -> None:
    clock = ManualClock()
    timers = make(tmp_path, bus, clock)
    one, two = timers.set(10), timers.set(20)
    assert timers.cancel([one.number, 99]) == [one]
    assert make(tmp_path, bus, clock).running() == [two]
    assert timers.cancel([one.number]) == []
    assert kinds(heard).count("timer.cancelled") == 1


def test_names_are_private(tmp_path: Path, bus: Bus, heard: list[Event]) -> None:
    clock = ManualClock()
    timers = make(tmp_path, bus, clock)
    timers.cancel([timers.set(10, "secretname").number])
    timers.set(10, "secretname")
    clock.advance(10)
    timers.fire_due()
    assert not [event for event in heard if "secretname" in event.message]
    assert all(event.fields["words"] == "secretname" for event in heard)


def test_bounds(tmp_path: Path, bus: Bus) -> None:
    timers = make(tmp_path, bus, ManualClock(), limit=2)
    for bad in (0, -1, float("nan"), float("inf"), 1e9):
        with pytest.raises(InputError):
            timers.set(bad)
    timers.set(1)
    timers.set(1)
    with pytest.raises(BusyError, match="2 timers"):
        timers.set(1)


NAN = b"""{"format":1,"boot_id":"","saved_wall":0,"next":1,
"timers":[{"number":1,"name":"","duration":NaN,"due":1,"due_wall":1,"wall_only":false}]}"""


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"format": 9}',
        b"\x00\xff",
        b"[" * 100_000,
        NAN,
        b" " * (1 << 20) + b"{}",
    ],
    ids=["empty", "cut", "list", "format", "binary", "deep", "nan", "huge"],
)
def test_a_damaged_file_is_set_aside(tmp_path: Path, bus: Bus, heard: list[Event], content: bytes) -> None:
    path = tmp_path / "timers.json"
    path.write_bytes(content)
    timers = make(tmp_path, bus, ManualClock())
    assert timers.running() == []
    assert kinds(heard) == ["state.set_aside"]
    (aside,) = tmp_path.glob("timers.json.corrupt-*")
    assert aside.read_bytes() == content
    timers.set(5)
    assert json.loads(path.read_text())["timers"][0]["duration"] == 5


def test_a_timer_that_cannot_be_kept_is_not_set(tmp_path: Path, bus: Bus) -> None:
    folder = tmp_path / "state"
    folder.write_text("a file where the folder should be")
    timers = Timers(folder / "timers.json", bus, ManualClock(), boot_id="b")
    with pytest.raises(OSError, match=r"timers|state|directory"):
        timers.set(5)
    assert timers.running() == []


def test_a_cancel_that_cannot_be_kept_is_not_done(tmp_path: Path, bus: Bus) -> None:
    timers = make(tmp_path, bus, ManualClock())
    timer = timers.set(5)
    (tmp_path / ".timers.json.new").mkdir()
    with pytest.raises(OSError, match="timers"):
        timers.cancel([timer.number])
    assert timers.running() == [timer]


def test_report_and_titles(tmp_path: Path, bus: Bus) -> None:
    clock = ManualClock()
    timers = make(tmp_path, bus, clock)
    timers.set(300, "pasta")
    clock.advance(60)
    assert timers.status() == [{"number": 1, "name": "pasta", "duration_s": 300, "remaining_s": 240}]
    assert timers.running()[0].title == "the pasta timer"
    assert Timer(1, "", 90, 0, 0).title == "the timer for 1 minute 30 seconds"
