"""Power is cut at every moment of a write, and files are found in every state a disk leaves them in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from noctule.assistant.timers import Timers
from noctule.core.clock import ManualClock
from noctule.core.errors import InputError
from noctule.core.events import Bus, Event
from noctule.core.state_file import LIMIT, StateFile
from noctule.voice.wakewords.clip_folder import WakeClips
from noctule.voice.wakewords.memory import EarMemory

DAEMON = Path(__file__).resolve().parents[3] / "daemon"
#: Runs in a process of its own, which forks one child for each moment of death. The child makes a third timer and
#: dies at the n-th byte written (the kernel kills it: RLIMIT_FSIZE), or just before or after the n-th call that
#: changes the disk. Prints, for each death, whether the call was acknowledged before.
CUTTER = """
    import os, resource, signal, sys
    from pathlib import Path
    from noctule.core import state_file
    from noctule.core.clock import ManualClock
    from noctule.core.events import Bus
    from noctule.assistant.timers import Timers

    how, moments, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])

    class Counting:
        left = None
        def __init__(self, real): self.real = real
        def __call__(self, *arguments, **named):
            if how == "before" and Counting.left == 0: os._exit(9)
            done = self.real(*arguments, **named)
            if how == "after" and Counting.left == 0: os._exit(9)
            Counting.left -= 1
            return done

    for moment in range(moments):
        child = os.fork()
        if child == 0:
            timers = Timers(folder / str(moment) / "timers.json", Bus(), ManualClock(), boot_id="b")
            if how == "byte":
                resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
                resource.setrlimit(resource.RLIMIT_FSIZE, (moment, moment))
                signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
            else:
                Counting.left = moment
                for name in ("open", "rename", "fsync", "unlink"):
                    setattr(os, name, Counting(getattr(os, name)))
            timers.set(300.0, "third")
            os._exit(0)
        _, status = os.waitpid(child, 0)
        print(moment, int(status == 0))
"""


def cut(folder: Path, how: str, moments: int) -> dict[int, bool]:
    """Deaths by moment -> whether the timer had been acknowledged."""
    code = textwrap.dedent(CUTTER)
    done = subprocess.run(
        [sys.executable, "-c", code, how, str(moments), str(folder)],
        env={**os.environ, "PYTHONPATH": str(DAEMON)}, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    return {int(moment): said == "1" for moment, said in lines}


@pytest.fixture
def quick_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one: a thousand fsyncs take their time on a real disk."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory, prefix="noctule-cut-") as folder:
        yield Path(folder)


@pytest.mark.parametrize("how", ["byte", "before", "after"])
def test_a_power_cut_at_any_moment_leaves_the_old_timers_or_the_new(quick_disk: Path, how: str) -> None:
    tmp_path = quick_disk
    clock = ManualClock()
    size = 0
    moments = 700 if how == "byte" else 12
    for moment in range(moments):
        timers = Timers(tmp_path / str(moment) / "timers.json", Bus(), clock, boot_id="b")
        timers.set(100.0, "first")
        timers.set(200.0, "second")
        size = (tmp_path / str(moment) / "timers.json").stat().st_size
        if how == "byte" and moment > size + 150:
            moments = moment
            break
    acknowledged = cut(tmp_path, how, moments)
    assert len(acknowledged) == moments
    assert any(acknowledged.values()), "late enough, the write is whole"
    assert not all(acknowledged.values()), "early enough, it is not"
    for moment, told in acknowledged.items():
        events: list[Event] = []
        bus = Bus()
        bus.add_sink(events.append)
        timers = Timers(tmp_path / str(moment) / "timers.json", bus, clock, boot_id="b")
        names = [timer.name for timer in timers.running()]
        assert names in (["first", "second"], ["first", "second", "third"]), f"{how} {moment}"
        assert not told or "third" in names, f"{how} {moment}: acknowledged, and lost"
        assert events == []
        timers.set(5.0, "next")  # what a cut left half written is in nobody's way
        assert len(list((tmp_path / str(moment)).iterdir())) == 1


def test_a_file_cut_at_every_length_is_whole_or_set_aside(tmp_path: Path) -> None:
    clock = ManualClock()
    path = tmp_path / "timers.json"
    Timers(path, Bus(), clock, boot_id="b").set(100.0, "pasta")
    whole = path.read_bytes()
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        events: list[Event] = []
        bus = Bus()
        bus.add_sink(events.append)
        timers = Timers(path, bus, clock, boot_id="b")
        if length == len(whole):
            assert [timer.name for timer in timers.running()] == ["pasta"]
            assert events == []
        else:
            assert timers.running() == []
            assert [event.kind for event in events] == ["state.set_aside"]
            assert not path.exists()
    kept = list(tmp_path.glob("timers.json.corrupt-*"))
    assert len(kept) == 8, "and a disk that goes bad is not filled with the proof"


# -- the file by itself ----------------------------------------------------------------------------------------------


class World:
    def __init__(self, path: Path) -> None:
        self.events: list[Event] = []
        bus = Bus()
        bus.add_sink(self.events.append)
        self.file = StateFile(path, bus, "test")

    def kinds(self) -> list[str]:
        return [event.kind for event in self.events]


def same(data: dict[str, Any]) -> dict[str, Any]:
    return data


def test_what_is_written_is_read_and_for_its_owner_only(tmp_path: Path) -> None:
    world = World(tmp_path / "state" / "x.json")
    assert world.file.read(same) is None
    world.file.write({"a": "ü"})
    assert world.file.read(same) == {"a": "ü"}
    assert world.file.path.stat().st_mode & 0o777 == 0o600
    assert world.events == []


def test_a_symbolic_link_is_neither_read_nor_written_through(tmp_path: Path) -> None:
    secret = tmp_path / "secret.json"
    secret.write_text('{"secret": 1}')
    state = tmp_path / "state"
    state.mkdir()
    path = state / "x.json"
    path.symlink_to(secret)
    world = World(path)
    assert world.file.read(same) is None
    assert world.kinds() == ["state.set_aside"]
    assert "symbolic link" in world.events[0].message
    path.symlink_to(secret)
    (state / ".x.json.new").symlink_to(secret)
    world.file.write({"a": 1})
    assert secret.read_text() == '{"secret": 1}'
    assert not path.is_symlink()
    assert world.file.read(same) == {"a": 1}


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["pipe", "folder"])
def test_what_is_no_file_is_set_aside_without_waiting_for_it(tmp_path: Path, make: Any) -> None:
    path = tmp_path / "x.json"
    make(path)
    world = World(path)
    assert world.file.read(same) is None
    assert world.kinds() == ["state.set_aside"]
    world.file.write({"a": 1})
    assert world.file.read(same) == {"a": 1}


def test_a_file_that_is_too_large_is_not_read_into_memory(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    with path.open("wb") as file:
        file.truncate(LIMIT * 1000)
    world = World(path)
    assert world.file.read(same) is None
    assert world.kinds() == ["state.set_aside"]


def test_a_folder_that_cannot_be_written_to_is_said_and_survived(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    world = World(blocked / "x.json")
    assert world.file.read(same) is None
    assert world.file.keep({"a": 1}, "The setting") is False
    assert world.kinds()[-1] == "state.not_kept"
    assert world.events[-1].message.startswith("The setting is in force but could not be kept: ")
    with pytest.raises(OSError, match=r"exists|directory"):
        world.file.write({"a": 1})


# -- what the ears remember ------------------------------------------------------------------------------------------


def test_a_muted_microphone_stays_muted_and_a_tuned_word_tuned(tmp_path: Path) -> None:
    memory = EarMemory(tmp_path, Bus())
    assert (memory.muted, memory.thresholds) == (False, {})
    assert memory.mute(True)
    assert memory.threshold("hey_noctule", 0.83)
    again = EarMemory(tmp_path, Bus())
    assert (again.muted, again.thresholds) == (True, {"hey_noctule": 0.83})
    again.mute(False)
    again.threshold("hey_noctule", None)
    last = EarMemory(tmp_path, Bus())
    assert (last.muted, last.thresholds) == (False, {})


@pytest.mark.parametrize(
    "data",
    [
        {}, {"format": 2, "muted": True, "thresholds": {}}, {"format": 1, "muted": 1, "thresholds": {}},
        {"format": 1, "muted": True, "thresholds": {"a": 7}}, {"format": 1, "muted": True, "thresholds": {"a": "x"}},
        {"format": 1, "muted": True, "thresholds": {"a": float("nan")}},
        {"format": 1, "muted": True, "thresholds": 3},
        {"format": 1, "muted": True, "thresholds": {str(n): 0.5 for n in range(65)}},
    ],
)  # fmt: skip
def test_a_memory_that_makes_no_sense_is_set_aside(tmp_path: Path, data: dict[str, Any]) -> None:
    (tmp_path / "ears.json").write_text(json.dumps(data))
    events: list[Event] = []
    bus = Bus()
    bus.add_sink(events.append)
    memory = EarMemory(tmp_path, bus)
    assert (memory.muted, memory.thresholds) == (False, {})
    assert [event.kind for event in events] == ["state.set_aside"]


# -- labelled clips --------------------------------------------------------------------------------------------------


def test_clips_do_not_follow_links_and_leave_no_halves(tmp_path: Path) -> None:
    clips = WakeClips(tmp_path / "clips", 64, 30)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    samples = np.zeros(1600, np.int16)
    (tmp_path / "clips").symlink_to(elsewhere)
    with pytest.raises(InputError, match="symbolic link"):
        clips.save("word", 0.9, samples, 1e9)
    assert clips.list() == []
    (tmp_path / "clips").unlink()
    kept = clips.save("word", 0.9, samples, 1e9)
    (tmp_path / "clips" / "positives").symlink_to(elsewhere)
    with pytest.raises(InputError, match="symbolic link"):
        clips.label(kept.name, "yes")
    assert list(elsewhere.iterdir()) == []
    half = tmp_path / "clips" / ".20260101T000000.000-word-0.900.wav.77.part"
    half.write_bytes(b"RIFF")
    clips.save("word", 0.9, samples, 1e9 + 1)
    assert not half.exists()
