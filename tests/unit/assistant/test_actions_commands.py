"""The user's own commands: matched by phrase, run without a shell, bounded in time and output."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import pytest

from noctule.assistant.actions.commands import UserCommands
from noctule.assistant.actions.process import OUTPUT_LIMIT, run_program
from noctule.assistant.actions.registry import Value
from noctule.assistant.grammar.files import rules_and_lists
from noctule.assistant.grammar.grammar import Grammar, Match
from noctule.assistant.phrases.request import read
from noctule.core.errors import CancelledError, UnavailableError


class Settings:
    def __init__(self, phrases: list[str], run: list[str], timeout: float = 10.0, reply: str = "Done.") -> None:
        self.phrases, self.run, self.timeout, self.reply = phrases, run, timeout, reply


def said(text: str, phrases: list[str]) -> Match | None:
    return Grammar(rules_and_lists(), (), {"lamp": phrases}).match(read(text))


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


@pytest.mark.parametrize(
    "text", ["lights on", "Lights on!", "please lights on", "hey Noctule, LIGHTS ON, thanks", "Let there be light."]
)
def test_phrases_match_whatever_the_case_and_courtesy(text: str) -> None:
    match = said(text, ["Lights on", "let there be light"])
    assert match is not None
    assert match.command == "lamp"


@pytest.mark.parametrize(
    "text", ["", "lights", "lights on now now or never", "turn the lights on", "lights on; rm -rf /", "please"]
)
def test_nothing_else_matches(text: str) -> None:
    assert said(text, ["Lights on"]) is None


def test_runs_and_answers() -> None:
    commands = UserCommands(lambda: {"hi": Settings(["hi"], python("print('hello')"), reply="Said.")})
    reply, result = commands.run("hi")
    assert reply == "Said."
    assert result.data == {"command": "hi", "exit": 0, "output": "hello\n"}


def test_what_fills_a_slot_reaches_the_program_as_it_is(tmp_path: Path) -> None:
    """As an argument, as a part of one and in the environment; braces that are no slot stay; what was not said is
    empty; nothing is read by a shell."""
    code = (
        "import os, sys; print(sys.argv[1:], os.environ.get('NOCTULE_SLOT_ROOM'), os.environ.get('NOCTULE_SLOT_X'))"
    )
    run = [*python(code), "{room}", "to={degrees}", "{other}", "[{x}]"]
    phrases = ["heat [the {room:text}] to {degrees:number}", "{x:day}"]
    commands = UserCommands(lambda: {"heat": Settings(phrases, run, reply="{room} at {degrees}.")})
    evil = "$(touch x); `rm` \n" + "y" * 500
    reply, result = commands.run("heat", values={"room": Value(evil), "degrees": Value("21", 21.0)})
    bounded = " ".join(evil.split())[:200]
    assert result.data["output"] == f"{[bounded, 'to=21', '{other}', '[]']} {bounded} None\n"
    assert reply == f"{bounded} at 21."


def test_there_is_no_shell(tmp_path: Path) -> None:
    """What a shell would expand, split or run arrives as it is."""
    argument = f"$HOME `touch {tmp_path}/x`; * > {tmp_path}/y"
    output = run_program([*python("import sys; print(sys.argv[1:])"), argument], 10)
    assert output.text == f"{[argument]}\n"
    assert list(tmp_path.iterdir()) == []


def test_runs_as_our_user_without_input_in_its_own_session() -> None:
    code = "import os, sys; print(os.getuid(), os.getsid(0) == os.getpid(), repr(sys.stdin.read()))"
    assert run_program(python(code), 10).text == f"{os.getuid()} True ''\n"


def test_a_failure_is_told_with_the_programs_words() -> None:
    commands = UserCommands(lambda: {"bad": Settings(["bad"], python("import sys; sys.exit('no such lamp')"))})
    with pytest.raises(UnavailableError, match=r"bad ended with 1: no such lamp"):
        commands.run("bad")


def test_a_signal_is_told() -> None:
    code = "import os, signal; os.kill(os.getpid(), signal.SIGTERM)"
    commands = UserCommands(lambda: {"bad": Settings(["bad"], python(code))})
    with pytest.raises(UnavailableError, match=r"was ended by signal 15\."):
        commands.run("bad")


def test_a_slow_program_is_stopped_with_its_children() -> None:
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(600)'])"
    with pytest.raises(UnavailableError, match=r"longer than 0.3 seconds"):
        run_program(python(code), 0.3)


def test_a_child_left_behind_does_not_hold_us() -> None:
    """The program ends; a child of its own session keeps the pipe open."""
    code = (
        "import subprocess, sys\n"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(30)'], start_new_session=True)\n"
        "print('left')"
    )
    done = threading.Event()
    texts = []

    def work() -> None:
        texts.append(run_program(python(code), 60).text)
        done.set()

    threading.Thread(target=work, daemon=True).start()
    assert done.wait(20)
    assert texts == ["left\n"]


def test_output_is_bounded() -> None:
    output = run_program(python("print('x' * 1_000_000)"), 30)
    assert output.code == 0
    assert len(output.text) == OUTPUT_LIMIT


def test_a_program_that_closes_its_output_and_works_on() -> None:
    code = "import os, time; os.close(1); os.close(2); time.sleep(0.3); os._exit(3)"
    assert run_program(python(code), 30).code == 3


def test_cancel() -> None:
    with pytest.raises(CancelledError):
        run_program(python("import time; time.sleep(600)"), 600, lambda: False)


@pytest.mark.parametrize("argv", [["/no/such/program"], [str(Path(__file__).parent)], ["a\0b"]])
def test_what_cannot_be_started(argv: list[str]) -> None:
    with pytest.raises(UnavailableError, match="cannot be started"):
        run_program(argv, 1)


def test_a_command_that_went_away() -> None:
    with pytest.raises(UnavailableError, match="no longer configured"):
        UserCommands(dict).run("gone")
