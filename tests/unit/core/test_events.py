"""The bus: nobody waits for a slow listener, and what it lost is counted."""

from __future__ import annotations

import threading

from noctule.core.clock import ManualClock, SystemClock
from noctule.core.errors import ConfigError, DeviceError, NoctuleError
from noctule.core.events import Bus


def test_a_slow_subscriber_loses_its_oldest_events_and_the_count_says_so() -> None:
    bus = Bus()
    with bus.subscribe(size=3) as slow, bus.subscribe(size=10) as quick:
        for i in range(5):
            bus.publish("x.y", "t", f"m{i}", n=i)
        assert [e.fields["n"] for e in slow.drain()] == [2, 3, 4]
        assert slow.dropped == 2
        assert [e.fields["n"] for e in quick.drain()] == [0, 1, 2, 3, 4]
        assert quick.dropped == 0
    bus.publish("x.y", "t", "after")
    assert slow.get(0) is None, "a closed subscription gets nothing"
    slow.close()


def test_events_are_numbered_and_carry_both_clocks() -> None:
    bus, seen = Bus(), []
    bus.add_sink(seen.append)
    first, second = bus.publish("a.b", "p", "one"), bus.publish("a.b", "p", "two", level=4, k=1)
    assert seen == [first, second]
    assert second.seq == first.seq + 1
    assert second.monotonic >= first.monotonic
    told = second.as_dict()
    assert told["fields"] == {"k": 1}
    assert (told["kind"], told["part"], told["message"], told["level"]) == ("a.b", "p", "two", 4)


def test_a_waiting_subscriber_is_woken() -> None:
    bus = Bus()
    rang = threading.Event()
    with bus.subscribe(on_event=rang.set) as subscription:
        thread = threading.Thread(target=bus.publish, args=("a.b", "p", "hello"))
        thread.start()
        got = subscription.get(timeout=5)
        thread.join(5)
        assert got is not None
        assert got.message == "hello"
        assert rang.is_set()
        assert subscription.get(timeout=0.001) is None


def test_the_manual_clock_moves_only_when_told() -> None:
    clock, event = ManualClock(), threading.Event()
    start, wall = clock.monotonic(), clock.wall()
    done = threading.Event()
    thread = threading.Thread(target=lambda: (clock.wait(event, 10), done.set()))
    thread.start()
    clock.advance(9)
    assert not done.wait(0.02)
    clock.advance(1)
    assert done.wait(5)
    thread.join(5)
    clock.jump_wall(-100)
    assert clock.monotonic() == start + 10
    assert clock.wall() == wall + 10 - 100


def test_the_system_clock_waits_for_events() -> None:
    clock, event = SystemClock(), threading.Event()
    event.set()
    assert clock.wait(event, 1)
    assert not clock.wait(threading.Event(), -1)
    assert clock.monotonic() <= clock.monotonic()
    assert clock.wall() > 1_700_000_000


def test_errors_are_one_family_with_a_sentence_and_a_hint() -> None:
    error = DeviceError("The microphone is gone.", "plug it in")
    assert isinstance(error, NoctuleError)
    assert str(error) == "The microphone is gone."
    assert error.explain() == "The microphone is gone. (plug it in)"
    assert NoctuleError("x").explain() == "x"
    both = ConfigError(["a", "b"])
    assert (str(both), both.exit_code, both.problems) == ("a\nb", 78, ["a", "b"])
