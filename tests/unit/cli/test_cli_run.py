"""`noctule run` in this process: the last step before the service, and its refusals."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest
from app_world import World, world

from noctule.cli import run_command
from noctule.core.events import Event
from noctule.service.journal import Journal

__all__ = ["world"]


class Left(BaseException):
    """Stands for the end of the process."""


def test_it_serves_until_sigterm_and_leaves_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def leave(code: int) -> None:
        raise Left(code)

    monkeypatch.setattr(os, "_exit", leave)
    world.configure("[lm]\nenabled = false\n")
    stopper = threading.Thread(target=lambda: (world.hear("READY=1"), os.kill(os.getpid(), signal.SIGTERM)))
    stopper.start()
    with pytest.raises(Left) as left:
        run_command(["run", "--config", str(world.file)])
    stopper.join()
    assert left.value.args == (0,)


def test_a_missing_model_is_found_missing_in_the_worker(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def leave(code: int) -> None:
        raise Left(code)

    monkeypatch.setattr(os, "_exit", leave)
    world.configure('[lm]\nmodel = "no-such-model"\n')
    heard: list[str] = []

    def stop() -> None:
        world.hear("READY=1")
        heard.append(world.hear("STATUS="))
        os.kill(os.getpid(), signal.SIGTERM)

    stopper = threading.Thread(target=stop)
    stopper.start()
    with pytest.raises(Left):
        run_command(["run", "--config", str(world.file)])
    stopper.join()
    assert "There is no model no-such-model" in heard[0]


def test_under_systemd_the_mistakes_go_to_the_journal(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    entries: list[Event] = []
    monkeypatch.setattr(Journal, "structured", property(lambda self: True))
    monkeypatch.setattr(Journal, "__call__", lambda self, event: entries.append(event))
    world.configure("[lm]\nthreds = 1\nqueue = 0\n")
    assert run_command(["run", "--config", str(world.file)]) == 78
    assert [event.kind for event in entries] == ["config.rejected", "config.rejected"]
    assert all(event.level == 3 for event in entries)
    assert "did you mean threads?" in entries[0].message
    assert capsys.readouterr().err == ""
    world.configure("")
    Path(world.path.parent).mkdir()
    world.path.write_text("in the way")
    assert run_command(["run", "--config", str(world.file)]) == 69
    assert entries[-1].kind == "service.stopped"
    assert "in the way" in entries[-1].message


def test_on_a_terminal_the_mistakes_are_lines(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.configure("[lm]\nthreds = 1\n")
    assert run_command(["run", "--config", str(world.file)]) == 78
    err = capsys.readouterr().err.splitlines()
    assert err[0].startswith(f"noctule: {world.file}:6: lm.threds: unknown key")
    assert world.hear("STATUS=").startswith("STATUS=Refused to start: ")
