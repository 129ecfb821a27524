"""A running service changes its language model: by hand, by a reload, for idleness, and to spare the board."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from app_world import World
from board_world import FakeBoard
from model_world import RealWorld, package

from noctule.assistant import engine as mind
from noctule.assistant.model_manager import ModelManager, Needs
from noctule.assistant.worker import Engine
from noctule.core.errors import BusyError, ModelError, NoctuleError, TooLargeError, UnavailableError
from noctule.service.board import Board
from noctule.service.request import Ask
from waiting import WAIT, until

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RealWorld]:
    (tmp_path / "models").mkdir()
    made = RealWorld(tmp_path)
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    for name in ("talker", "other"):
        package(tmp_path / "models" / name)
    yield made
    made.notify.close()


def spoil(folder: Path) -> Path:
    """A package whose files are whole but whose golden logits are another model's."""

    def change(folder: Path, manifest: dict[str, Any]) -> None:
        manifest["golden"]["logits"] = [[value + 7.0 for value in row] for row in manifest["golden"]["logits"]]

    return package(folder, change)


def lm(world: World) -> Mapping[str, Any]:
    found: Mapping[str, Any] = world.client().get("/status")["lm"]
    return found


# -- by hand ---------------------------------------------------------------------------------------


def test_another_model_takes_over_and_back(world: RealWorld) -> None:
    def script() -> None:
        world.hear("READY=1")
        assert lm(world)["model"] == "talker"
        facts = world.client().post("/model", {"use": "other"})["lm"]
        assert facts["model"] == "other"
        assert facts["loaded"] is True
        assert world.ask("hello")["tokens"]["completion"] > 0
        status = lm(world)
        assert (status["model"], status["configured"]) == ("other", "talker")
        assert world.client().get("/model")["lm"]["model"] == "other"
        # a reload that says nothing of the model leaves the choice alone; one that does ends it
        world.configure("max_tokens = 5\n")
        world.client().post("/reload")
        assert lm(world)["model"] == "other"
        assert world.client().post("/model", {"use": ""})["lm"]["model"] == "talker"
        assert "configured" not in lm(world)

    world.run(script)
    assert [e.fields["model"] for e in world.events if e.kind == "lm.loaded"] == ["talker", "other", "talker"]


@pytest.mark.parametrize("bad", ["golden", "missing", "empty"])
def test_a_bad_package_leaves_the_old_one_serving_and_says_why(world: RealWorld, bad: str) -> None:
    folder = world.folder / "models" / "bad"
    if bad == "golden":
        spoil(folder)
    elif bad == "empty":
        package(folder)
        (folder / "model.tflite").write_bytes(b"")

    def script() -> None:
        world.hear("READY=1")
        with pytest.raises(NoctuleError, match=r"other logits than it should|There is no model bad|empty|bytes"):
            world.client().post("/model", {"use": "bad"})
        assert lm(world)["model"] == "talker"
        assert world.ask("hello")["ok"] is True
        assert world.client().get("/status")["state"] == "ready", "nothing that was promised is missing"

    world.run(script)
    (refused,) = [e for e in world.events if e.kind == "lm.refused"]
    assert refused.message.endswith("; talker goes on serving")
    assert refused.level == 3


def test_a_second_model_must_fit_beside_the_first(world: RealWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeBoard(world.folder / "board")
    fake.group(399, 400)
    monkeypatch.setattr(mind, "Board", lambda: Board(fake.proc, fake.sys))

    def script() -> None:
        world.hear("READY=1")
        with pytest.raises(TooLargeError, match=r"needs about \d+ MB beside the model in service, and 1 MB can"):
            world.client().post("/model", {"use": "other"})
        assert world.ask("hello")["ok"] is True

    world.run(script)


def test_it_is_an_exchange_under_requests_none_of_which_fails(world: RealWorld) -> None:
    answers: list[Any] = []
    failures: list[BaseException] = []

    def script() -> None:
        world.hear("READY=1")
        stop = threading.Event()

        def ask() -> None:
            while not stop.is_set():
                try:
                    answers.append(world.ask("hello there"))
                except NoctuleError as error:
                    failures.append(error)

        asking = [threading.Thread(target=ask) for _ in range(2)]
        for thread in asking:
            thread.start()
        for name in ("other", "talker", "other"):
            assert world.client().post("/model", {"use": name})["lm"]["model"] == name
        stop.set()
        for thread in asking:
            thread.join(WAIT)

    world.run(script)
    assert failures == []
    assert answers


# -- by a reload -----------------------------------------------------------------------------------


def test_a_reload_puts_another_model_and_other_threads_in_force(world: RealWorld) -> None:
    def script() -> None:
        world.hear("READY=1")
        world.file.write_text(world.file.read_text().replace('"talker"\nthreads = 1', '"other"\nthreads = 2'))
        done = world.client().post("/reload")
        assert sorted(done["applied"]) == ["lm.model", "lm.threads"]
        assert done["restart"] == []
        assert done["failed"] == {}
        status = lm(world)
        assert (status["model"], status["threads"]) == ("other", 2)

    world.run(script)


def test_a_reload_to_a_bad_model_says_so_in_its_answer_and_in_status(world: RealWorld) -> None:
    spoil(world.folder / "models" / "bad")

    def script() -> None:
        world.hear("READY=1")
        world.file.write_text(world.file.read_text().replace('"talker"', '"bad"') + "max_tokens = 7\n")
        done = world.client().post("/reload")
        assert list(done["failed"]) == ["lm.model"]
        assert "answers other logits than it should" in done["failed"]["lm.model"]
        assert done["applied"] == ["lm.max_tokens"]
        status = world.client().get("/status")
        assert status["lm"]["model"] == "talker"
        assert status["state"] == "degraded"
        assert status["troubles"][0].startswith("lm.model bad does not serve: ")
        assert world.ask("hello")["ok"] is True
        # setting it back is enough
        world.configure("")
        assert world.client().post("/reload")["failed"] == {}
        assert world.client().get("/status")["state"] == "ready"

    world.run(script)


def test_a_service_without_a_model_is_mended_by_choosing_one(world: RealWorld) -> None:
    spoil(world.folder / "models" / "bad")
    world.file.write_text(world.file.read_text().replace('"talker"', '"bad"'))

    def script() -> None:
        world.hear("READY=1")
        with pytest.raises(UnavailableError, match="out of service"):
            world.ask("hello")
        assert world.client().post("/model", {"use": "talker"})["lm"]["model"] == "talker"
        assert world.ask("hello")["ok"] is True
        until(lambda: world.client().get("/status")["state"] == "ready", "it is well again")

    world.run(script)


# -- idleness --------------------------------------------------------------------------------------


def test_an_idle_large_model_leaves_memory_and_the_next_request_loads_it(world: RealWorld) -> None:
    world.configure("idle_unload = 0.2\nkeep_warm_mb = 0\n")

    def script() -> None:
        world.hear("READY=1")
        unloaded = world.until("lm.unloaded")
        assert unloaded.message.startswith("Unloaded talker: nobody asked for ")
        status = world.client().get("/status")
        assert status["lm"]["loaded"] is False
        assert status["lm"]["model"] == "talker"
        assert status["state"] == "ready", "resting is what was asked for"
        answer = world.ask("hello")
        assert answer["seconds"]["load"] > 0
        after = lm(world)
        assert after["first_s"] >= answer["seconds"]["load"], "whoever waits for the first word waits for the load"
        world.until("lm.unloaded", 2)

    world.run(script)
    answered = next(e for e in world.events if e.kind == "ask.answered")
    assert answered.fields["load_s"] > 0
    assert answered.fields["first_s"] >= answered.fields["load_s"]


def test_a_small_model_stays_warm(world: RealWorld) -> None:
    world.configure("idle_unload = 0.05\nkeep_warm_mb = 300\n[supervision]\nstall = 1\n")

    def script() -> None:
        world.hear("READY=1")
        for _ in range(2):  # two canaries are more than ten times the idle time
            beats = next(p["beats"] for p in world.client().get("/status")["parts"] if p["name"] == "lm")
            until(
                lambda beats=beats: (
                    next(  # type: ignore[misc]
                        p["beats"] for p in world.client().get("/status")["parts"] if p["name"] == "lm"
                    )
                    > beats
                ),
                "the worker beats",
            )
        assert lm(world)["loaded"] is True
        assert "load" not in world.ask("hello")["seconds"]

    world.run(script)
    assert "lm.unloaded" not in world.kinds()


def test_a_model_that_is_gone_when_it_is_needed_again_is_a_degraded_part_not_a_crash(world: RealWorld) -> None:
    world.configure("idle_unload = 0.1\nkeep_warm_mb = 0\n")

    def script() -> None:
        world.hear("READY=1")
        world.until("lm.unloaded")
        manifest = world.folder / "models" / "talker" / "manifest.json"
        kept = manifest.read_bytes()
        manifest.unlink()
        with pytest.raises(UnavailableError, match="could not be loaded again: There is no model talker"):
            world.ask("hello")
        until(lambda: world.client().get("/status")["state"] == "degraded", "it is said")
        manifest.write_bytes(kept)
        world.client().post("/reload")
        until(lambda: world.client().get("/status")["state"] == "ready", "it is back")
        assert world.ask("hello")["ok"] is True

    world.run(script)


# -- the governor on the running parts -------------------------------------------------------------


def test_the_governor_lowers_threads_and_context_of_the_running_model_and_gives_them_back(world: RealWorld) -> None:
    fake = FakeBoard(world.folder / "board")
    world.board = fake.board
    model = world.folder / "models" / "talker"
    quick = "[governor]\ninterval = 0.05\npatience = 0\nrecovery = 0.1\n"
    world.configure(quick)
    world.file.write_text(world.file.read_text().replace("threads = 1", "threads = 4"))
    buckets = sorted(int(name.partition("_")[2]) for name in _signatures(model) if name.startswith("decode_"))
    assert len(buckets) > 1, "this model has something to give"

    def script() -> None:
        world.hear("READY=1")
        before = lm(world)
        assert (before["threads"], before["context"]) == (4, buckets[-1])
        fake.temperature(90)
        until(lambda: lm(world)["threads"] == 2, "fewer threads")
        until(lambda: lm(world)["context"] == buckets[0], "the smallest bucket")
        status = world.client().get("/status")
        assert status["state"] == "degraded"
        assert "the language model uses 2 of 4 threads, because the board is at 90 °C" in status["troubles"]
        assert [step["step"] for step in status["governor"]["steps"]] == ["threads", "context"]
        assert "Degraded: " in world.hear("STATUS=Degraded: the language model uses")
        assert world.ask("hello")["ok"] is True
        fake.temperature(40)
        until(lambda: world.client().get("/status")["state"] == "ready", "all is well again")
        until(lambda: lm(world)["threads"] == 4, "its threads are back")
        until(lambda: lm(world)["context"] == buckets[-1], "its context is back")
        assert world.ask("hello")["ok"] is True

    world.run(script)


def test_short_of_memory_the_model_is_there_only_while_it_answers(world: RealWorld) -> None:
    fake = FakeBoard(world.folder / "board")
    world.board = fake.board
    world.configure("[governor]\ninterval = 0.05\npatience = 0\nrecovery = 0.1\n")

    def script() -> None:
        world.hear("READY=1")
        fake.memory(3)
        until(lambda: lm(world)["loaded"] is False, "it leaves memory")
        assert world.ask("hello")["seconds"]["load"] > 0
        until(lambda: lm(world)["loaded"] is False, "and again after the answer")
        fake.memory(60)
        until(lambda: world.client().get("/status")["state"] == "ready", "memory is there again")
        world.ask("hello")
        assert lm(world)["loaded"] is True

    world.run(script)


def _signatures(folder: Path) -> list[str]:
    from noctule.inference.manifest import load_manifest

    graph = load_manifest(folder, "text-lm").graph
    assert graph is not None
    return list(graph.signatures)


# -- what only a fake engine can show --------------------------------------------------------------


@pytest.fixture
def fake_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    made = World(tmp_path)
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    yield made
    made.notify.close()


class Named:
    """An engine that says its name."""

    def __init__(self, world: World, name: str, log: list[str]) -> None:
        self.world, self.name, self.log = world, name, log

    def answer(self, ask: Ask) -> Mapping[str, Any]:
        assert not self.log.count(f"closed {self.name}"), "no closed engine is asked"
        found = self.world.answer(ask)
        ask.emit(self.name)
        return {**found, "reply": self.name}

    def canary(self) -> None:
        pass

    def about(self) -> Mapping[str, Any]:
        return {"model": self.name}

    def close(self) -> None:
        self.log.append(f"closed {self.name}")


def test_the_request_in_flight_finishes_on_the_old_model(fake_world: World) -> None:
    world, log = fake_world, []  # type: World, list[str]
    began, may_end = threading.Event(), threading.Event()
    may_load = threading.Event()

    def build(needs: Needs) -> Engine:
        assert needs.lm is not None
        log.append(f"loading {needs.lm.model}{' beside' if needs.beside else ''}")
        if needs.beside:
            assert may_load.wait(WAIT)
            log.append(f"verified {needs.lm.model}")
        return Named(world, needs.lm.model, log)

    def answer(ask: Ask) -> Mapping[str, Any]:
        began.set()
        assert may_end.wait(WAIT)
        return {"ok": True}

    world.build = build  # type: ignore[method-assign]
    world.answer = answer

    def script() -> None:
        world.hear("READY=1")
        replies: list[str] = []
        asking = threading.Thread(
            target=lambda: replies.append(world.client().post("/ask", {"text": "a", "stream": False})["reply"])
        )
        asking.start()
        assert began.wait(WAIT)
        outcome = world.service.component(ModelManager).use("new")
        with pytest.raises(BusyError, match="being loaded already"):
            world.service.component(ModelManager).use("newer")
        may_load.set()
        until(lambda: "verified new" in log, "it is loaded while the old one answers")
        assert not outcome.done(), "but it does not serve yet"
        assert "closed noctule-tiny" not in log
        may_end.set()
        asking.join(WAIT)
        assert replies == ["noctule-tiny"]
        assert outcome.result(WAIT)["model"] == "new"
        assert world.client().post("/ask", {"text": "b", "stream": False})["reply"] == "new"

    world.run(script)
    assert log == [
        "loading noctule-tiny", "loading new beside", "verified new", "closed noctule-tiny", "closed new",
    ]  # fmt: skip


def test_what_was_loaded_and_never_served_is_freed_at_the_end(fake_world: World) -> None:
    world, log = fake_world, []  # type: World, list[str]
    hold = threading.Event()
    began = threading.Event()

    def build(needs: Needs) -> Engine:
        assert needs.lm is not None
        return Named(world, needs.lm.model, log)

    def answer(ask: Ask) -> Mapping[str, Any]:
        began.set()
        while ask.going_on():
            hold.wait(0.01)
        return {"ok": True}

    world.build = build  # type: ignore[method-assign]
    world.answer = answer

    def script() -> None:
        world.hear("READY=1")
        asking = threading.Thread(target=lambda: _ignore(lambda: world.client().post("/ask", {"text": "a"})))
        asking.start()
        assert began.wait(WAIT)
        outcome = world.service.component(ModelManager).use("new")
        until(lambda: world.service.component(ModelManager).worker.slot._next is not None, "it waits for its turn")
        os.kill(os.getpid(), 15)
        asking.join(WAIT)
        with pytest.raises(UnavailableError, match="stopping"):
            outcome.result(WAIT)

    world.run(script)
    assert sorted(log) == ["closed new", "closed noctule-tiny"]


def _ignore(work: Any) -> None:
    try:
        work()
    except NoctuleError:
        return


def test_without_a_language_model_there_is_nothing_to_exchange(fake_world: World) -> None:
    world = fake_world
    world.configure("[lm]\nenabled = false\n")

    def script() -> None:
        world.hear("READY=1")
        with pytest.raises(UnavailableError, match="switched off"):
            world.client().post("/model", {"use": "x"})
        with pytest.raises(NoctuleError, match="at most 1024"):
            world.client().post("/model", {"use": "x" * 2000})

    world.run(script)


def test_a_loader_that_breaks_is_an_error_in_words(fake_world: World) -> None:
    world = fake_world

    def build(needs: Needs) -> Engine:
        if needs.beside:
            raise ZeroDivisionError
        assert needs.lm is not None
        return Named(world, needs.lm.model, [])

    world.build = build  # type: ignore[method-assign]

    def script() -> None:
        world.hear("READY=1")
        with pytest.raises(UnavailableError, match="could not be loaded"):
            world.client().post("/model", {"use": "x"})

    world.run(script)
    assert isinstance(ModelError("x"), NoctuleError)
