"""The governor: what counts as a strain, in which order things are given up, and when they come back.

Readings are files, as a board has them; only the clock is a test's.
"""

from __future__ import annotations

import ctypes
import threading
from pathlib import Path

import pytest
from board_world import FakeBoard

from noctule.config.schema_health import GovernorConfig as Settings
from noctule.core import memory as heap
from noctule.core.clock import ManualClock, SystemClock
from noctule.core.errors import UnavailableError
from noctule.core.events import Bus, Event
from noctule.core.memory import trim
from noctule.service.board import Readings, resident_bytes
from noctule.service.governor import LADDER, Governor, judge
from noctule.service.supervisor import Part
from waiting import WAIT


class FakeStep:
    def __init__(self, name: str, relieves: str) -> None:
        self.name, self.relieves = name, frozenset(relieves.split())
        self.has = True
        self.fails = False
        self.taken = False

    def take(self) -> str:
        if self.fails:
            raise UnavailableError("its part is out of service")
        self.taken = self.has
        return f"less {self.name}" if self.has else ""

    def undo(self) -> str:
        self.taken = False
        return f"more {self.name}"


class World:
    def __init__(self, folder: Path) -> None:
        self.fake = FakeBoard(folder)
        self.settings = Settings(patience=10, recovery=60)
        self.clock = ManualClock()
        self.events: list[Event] = []
        bus = Bus()
        bus.add_sink(self.events.append)
        self.steps = {
            step.name: step
            for step in (
                FakeStep("model", "memory"),
                FakeStep("background", "heat power memory"),
                FakeStep("frames", "heat power"),
                FakeStep("context", "heat memory"),
                FakeStep("threads", "heat power"),
            )
        }
        self.changes = 0
        self.governor = Governor(
            lambda: self.settings, self.fake.board, self.steps.values(), bus, self.clock, changed=self._changed
        )

    def _changed(self) -> None:
        self.changes += 1

    def after(self, seconds: float) -> list[str]:
        """Look every five seconds for that long; the steps in force then, in the order taken."""
        for _ in range(int(seconds / 5)):
            self.clock.advance(5)
            self.governor.look()
        return [step["step"] for step in self.governor.report()["steps"]]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_board_at_rest_is_left_alone(world: World) -> None:
    assert world.after(3600) == []
    assert world.events == []
    readings = world.governor.report()["readings"]
    assert readings["temperature_c"] == 48.3
    assert readings["available"] == 0.7
    assert readings["group_use"] == 0.25
    assert readings["throttled"] == 0
    assert readings["voltage_alarm"] is False


def test_heat_goes_down_the_ladder_and_back_up_in_reverse(world: World) -> None:
    world.fake.temperature(84)
    assert world.after(5) == [], "a moment of heat is no reason"
    assert world.after(10) == ["threads"]
    assert world.after(5) == ["threads"], "each step gets its time to help"
    assert world.after(5) == ["threads", "context"]
    assert world.after(20) == ["threads", "context", "frames", "background"], "the model's absence cools nothing"
    assert world.after(600) == ["threads", "context", "frames", "background"]
    assert world.governor.troubles()[0] == "less threads, because the board is at 84 °C"
    world.fake.temperature(75)
    assert world.after(600) == ["threads", "context", "frames", "background"], "between hot and cool nothing changes"
    world.fake.temperature(70)
    assert world.after(60) == ["threads", "context", "frames", "background"]
    assert world.after(5) == ["threads", "context", "frames"]
    assert world.after(55) == ["threads", "context", "frames"]
    assert world.after(5) == ["threads", "context"]
    assert world.after(120) == []
    assert not any(step.taken for step in world.steps.values())
    said = [(event.kind, event.fields["step"]) for event in world.events]
    down = ["threads", "context", "frames", "background"]
    assert said == [("governor.eased", s) for s in down] + [("governor.restored", s) for s in reversed(down)]
    assert world.events[0].level == 4
    assert world.changes == 8
    report = world.governor.report()
    assert (report["taken"], report["undone"]) == (4, 4)


def test_heat_that_comes_back_while_recovering_starts_the_wait_anew(world: World) -> None:
    world.fake.temperature(84)
    assert world.after(15) == ["threads"]
    world.fake.temperature(60)
    assert world.after(50) == ["threads"]
    world.fake.temperature(79)
    assert world.after(5) == ["threads"], "the gap: not hot, but not well either"
    world.fake.temperature(60)
    assert world.after(55) == ["threads"]
    assert world.after(10) == []


def test_memory_takes_only_what_gives_memory_back(world: World) -> None:
    world.fake.memory(5)
    assert world.after(40) == ["context", "background", "model"]
    world.fake.memory(9)
    assert world.after(600) == ["context", "background", "model"], "more than low, less than well"
    world.fake.memory(30)
    assert world.after(300) == []


def test_a_second_strain_takes_what_the_first_passed_over(world: World) -> None:
    world.fake.memory(5)
    assert world.after(15) == ["context"]
    world.fake.memory(70)
    world.fake.alarm(1)
    assert world.after(15) == ["context", "threads"]
    assert world.governor.report()["strains"] == ["the supply voltage is too low"]
    world.fake.alarm(0)
    assert world.after(200) == []
    assert [e.fields["step"] for e in world.events if e.kind == "governor.restored"] == ["threads", "context"]


def test_a_step_with_nothing_to_give_is_passed_over_and_asked_again_later(world: World) -> None:
    world.steps["threads"].has = False
    world.steps["context"].fails = True
    world.fake.temperature(90)
    assert world.after(15) == ["frames"]
    world.steps["threads"].has = True
    assert world.after(10) == ["frames", "threads"]


def test_switched_off_it_undoes_what_it_did_at_once(world: World) -> None:
    world.fake.temperature(90)
    assert len(world.after(60)) == 4
    world.settings = Settings(enabled=False)
    assert world.after(5) == []
    assert world.governor.report()["enabled"] is False
    assert world.after(60) == []


def test_a_threshold_changed_by_a_reload_counts_at_the_next_look(world: World) -> None:
    world.fake.temperature(65)
    assert world.after(60) == []
    world.settings = Settings(hot=60, cool=55, patience=10)
    assert world.after(15) == ["threads"]


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        (lambda f: f.throttled(0x1), "power", "the supply voltage is too low"),
        (lambda f: f.throttled(0x50000), "", ""),  # since the boot, not now
        (lambda f: f.throttled(0x4), "heat", "the firmware slows the processor down"),
        (lambda f: f.throttled(0x8), "heat", "the firmware slows the processor down"),
        (lambda f: f.alarm(1), "power", "the supply voltage is too low"),
        (lambda f: f.pressure(35), "memory", "programs wait for memory 35 % of the time"),
        (lambda f: f.group(395, 400), "memory", "99% of the memory that the service may have is used"),
        (lambda f: f.group(395, 400, cached=100), "", ""),  # file pages are given back
        (lambda f: f.memory(3), "memory", "3% of the memory is free"),
        (lambda f: f.temperature(80), "heat", "the board is at 80 °C"),
    ],
)
def test_each_sign_of_distress_is_read_from_its_file(tmp_path: Path, change: object, kind: str, words: str) -> None:
    fake = FakeBoard(tmp_path)
    change(fake)  # type: ignore[operator]
    bad = [(s.kind, s.words) for s in judge(fake.board.read(), None, Settings()) if s.bad]
    assert bad == ([(kind, words)] if kind else [])


def test_counters_count_from_one_look_to_the_next(tmp_path: Path) -> None:
    fake = FakeBoard(tmp_path)
    fake.overcurrents(3, 4)
    fake.group(100, 400, highs=9)
    first = fake.board.read()
    assert first.overcurrents == 7
    assert not any(s.bad for s in judge(first, None, Settings())), "what happened before the start is past"
    fake.overcurrents(3, 5)
    fake.group(100, 400, highs=10)
    second = fake.board.read()
    bad = {(s.kind, s.words) for s in judge(second, first, Settings()) if s.bad}
    assert bad == {
        ("power", "the board draws too much current"),
        ("memory", "the service was held back at its memory bound"),
    }
    assert not any(s.bad for s in judge(second, second, Settings()))


def test_a_board_that_tells_nothing_is_judged_by_nothing(tmp_path: Path) -> None:
    fake = FakeBoard(tmp_path / "x")
    for path in [*fake.proc.rglob("*"), *fake.sys.rglob("*")]:
        if path.is_file():
            path.unlink()
    assert fake.board.read() == Readings()
    assert fake.board.available_bytes() is None
    assert judge(Readings(), None, Settings()) == []
    # … and so do files that make no sense
    fake.put(fake.proc / "meminfo", "MemTotal: kB\nMemAvailable\n")
    fake.put(fake.proc / "pressure/memory", "some avg10=lots\n")
    fake.put(fake.proc / "self/cgroup", "0::/../../etc\n1:name=x:/y\nrubbish\n")
    fake.put(fake.sys / "class/thermal/thermal_zone0/temp", "-127000\n")
    fake.put(fake.sys / "devices/platform/soc/soc:firmware/get_throttled", "what?\n")
    fake.put(fake.sys / "class/hwmon/hwmon1/name", "rpi_volt\n")
    assert fake.board.read() == Readings()


def test_room_is_the_smaller_of_the_machines_and_the_services_own(tmp_path: Path) -> None:
    fake = FakeBoard(tmp_path)
    assert fake.board.available_bytes() == 300_000_000
    fake.group(390, 400, cached=50)
    assert fake.board.available_bytes() == 60_000_000
    fake.group(390, None)
    assert fake.board.available_bytes() == 700_000 * 1024


def test_the_loop_looks_beats_and_ends(tmp_path: Path) -> None:
    fake = FakeBoard(tmp_path)
    clock = SystemClock()
    looked = threading.Semaphore(0)

    class Counting(FakeBoard):
        def read(self) -> Readings:
            looked.release()
            return fake.board.read()

    counting = Counting(tmp_path / "c")
    governor = Governor(lambda: Settings(interval=0.05), counting, [], Bus(), clock)  # type: ignore[arg-type]
    part, stop = Part("governor", 5, clock), threading.Event()
    thread = threading.Thread(target=governor.job.run, args=(part, stop))
    thread.start()
    try:
        for _ in range(3):
            assert looked.acquire(timeout=WAIT)
    finally:
        stop.set()
        governor.job.wake()
        thread.join(WAIT)
    assert not thread.is_alive()
    assert part.beats >= 2


def test_the_ladder_names_every_step_once() -> None:
    assert len(set(LADDER)) == len(LADDER) == 5


def test_free_memory_is_given_back_every_minute(tmp_path: Path) -> None:
    """The loop with a clock of its own: each wait lasts as long as was asked for, at most a second."""
    clock, times = ManualClock(start=100.0), list[float]()
    stop = threading.Event()

    def passes(event: threading.Event, seconds: float) -> bool:
        clock.advance(max(seconds, 0.01))
        if clock.monotonic() >= 100 + 185:
            stop.set()
        return False

    clock.wait = passes  # type: ignore[method-assign]
    fake = FakeBoard(tmp_path)
    governor = Governor(
        Settings, fake.board, [], Bus(), clock, give_back=lambda: times.append(clock.monotonic() - 100)
    )
    governor.run(Part("governor", 15, clock), stop)
    assert [round(at / 60) for at in times] == [1, 2, 3]


def test_trimming_gives_free_pages_back() -> None:
    libc = ctypes.CDLL(None)
    libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    trim()
    before = resident_bytes()
    blocks = [libc.malloc(ctypes.c_size_t(1000)) for _ in range(40_000)]
    for block in blocks:
        ctypes.memset(block, 1, 1000)
    for block in blocks[:-1]:  # the last one keeps the heap's end where it is
        libc.free(block)
    kept = resident_bytes()
    trim()
    after = resident_bytes()
    libc.free(blocks[-1])
    assert before is not None
    assert kept is not None
    assert after is not None
    assert kept - before > 30e6
    assert after - before < 10e6


def test_a_c_library_without_trim_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = []
    monkeypatch.setattr(heap.ctypes, "CDLL", lambda name: looked.append(name) or object())
    heap._malloc_trim.cache_clear()
    try:
        trim()
        trim()
    finally:
        heap._malloc_trim.cache_clear()
    assert looked == [None]
