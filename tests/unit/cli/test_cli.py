"""The noctule command as its user meets it: what it prints, where, and with which exit status."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from api_world import ApiWorld

from noctule import __version__
from noctule.__main__ import main
from noctule.cli import VERBS, run_command
from noctule.cli.common import duration, printable, size
from noctule.cli.tail import words
from noctule.core.errors import ConfigError, UnavailableError
from noctule.service.request import Ask
from waiting import WAIT

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiWorld]:
    monkeypatch.setenv("NOCTULE_SOCKET", str(tmp_path / "control.sock"))
    with ApiWorld(tmp_path) as world:
        yield world


@pytest.fixture
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOCTULE_SOCKET", str(tmp_path / "none.sock"))


STATUS: dict[str, Any] = {
    "version": "0.1.0",
    "pid": 1,
    "state": "degraded",
    "summary": "Degraded",
    "troubles": ["lm: There is no model x."],
    "uptime_s": 3725.0,
    "started": 1.0,
    "parts": [
        {"name": "api", "state": "working", "reason": "", "hint": "", "last_work_s": 0.4, "restarts": 0},
        {"name": "lm", "state": "degraded", "reason": "There is no model x.", "hint": "build it",
         "last_work_s": None, "restarts": 1},
    ],
    "lm": {"enabled": True, "waiting": 1, "model": "noctule-tiny", "version": "1", "sha256": "abcdef0123456789",
           "threads": 2, "context": 128, "runtime": "ai-edge-litert 2.3.0",
           "requests": {"received": 5, "answered": 3, "failed": 1, "refused": 1, "cancelled": 0}},
    "api": {"socket": "/run/noctule/control.sock", "clients": 1, "connections": 9, "refused": 2},
    "timers": [{"number": 1, "name": "pasta", "duration_s": 60, "remaining_s": 31.0}],
    "memory": {"resident_bytes": 50 << 20},
    "board": {"temperature_c": 48.3},
    "journal": {"structured": True, "lost": 3},
    "config": {"files": ["/etc/noctule/noctule.toml"], "needs_restart": ["lm.threads"]},
}  # fmt: skip


def test_status_leads_with_one_sentence_and_only_what_matters(api: ApiWorld, capsys: Capture) -> None:
    api.status = lambda: STATUS
    assert run_command(["status"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "Noctule works, but not all of it: it answers in writing. Up 1 h 2 min.",
        "  lm: There is no model x. (build it)",
        "  1 timer running",
        "  changed, and in force after a restart: lm.threads",
        "  3 journal entries were lost",
    ]
    voice = {"voice": "joe", "loudspeaker": "USB", "spoken": 0, "interrupted": 0, "trouble": ""}
    ears = {
        "source": "USB",
        "state": "ok",
        "words": {"hey_noctule": 0.9, "alexa": 0.8},
        "voice": voice,
        "missing": {},
    }
    well = {**STATUS, "state": "ready", "troubles": [], "parts": [], "timers": [], "ears": ears,
            "journal": {"structured": True, "lost": 0}, "config": {"files": [], "needs_restart": []}}  # fmt: skip
    api.status = lambda: well
    assert run_command(["status"]) == 0
    assert capsys.readouterr().out == (
        'Noctule is ready: it listens for "hey noctule" or "alexa" and answers aloud. Up 1 h 2 min.\n'
    )
    muted = {**ears, "state": "muted", "missing": {"stt": "There is no model y: commands are not understood"}}
    mqtt = {"broker": "b:1883", "connected": False}
    api.status = lambda: {**well, "ears": muted, "board": {"temperature_c": 85.0}, "mqtt": mqtt,
                          "tcp": {"warning": "others"}}  # fmt: skip
    assert run_command(["status"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "Noctule is ready: its microphone is off (noctule mute off). Up 1 h 2 min.",
        "  There is no model y: commands are not understood",
        "  the MQTT broker b:1883 is not connected",
        "  tcp: others",
        "  the board is hot: 85 °C",
    ]
    api.status = lambda: {**well, "state": "starting"}
    assert run_command(["status"]) == 0
    assert capsys.readouterr().out == "Noctule is starting (since 1 h 2 min).\n"


def test_the_version_is_an_option_too(capsys: Capture) -> None:
    with pytest.raises(SystemExit) as ended:
        run_command(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"noctule {__version__}\n"


def test_status_for_people(api: ApiWorld, capsys: Capture) -> None:
    api.status = lambda: STATUS
    assert run_command(["status", "-v"]) == 0
    out = capsys.readouterr().out
    for expected in (
        "noctule 0.1.0: degraded, up 1 h 2 min",
        "trouble: lm: There is no model x.",
        "api      working    worked 0.4 s ago, 0 restarts",
        "lm       degraded   never worked, 1 restart",
        "There is no model x. (build it)",
        "noctule-tiny 1, sha256 abcdef012345, 2 threads, context 128, ai-edge-litert 2.3.0",
        "5 received, 3 answered, 1 failed, 1 refused, 0 cancelled, 1 waiting",
        "50.0 MiB resident, 48 °C, 1 timer, 3 journal entries lost",
        "/run/noctule/control.sock: 1 client, 2 refused",
        "not in force until a restart: lm.threads",
    ):
        assert expected in out


def test_status_warns_of_doors_that_others_can_reach(api: ApiWorld, capsys: Capture) -> None:
    tcp = {"address": "0.0.0.0:8642", "open": True, "clients": 1, "refused": 2, "lan": True, "warning": "others"}
    wyoming = {"address": "127.0.0.1:10400", "open": False, "lan": False}
    mqtt = {"broker": "b:1883", "node": "pi", "connected": True, "commands": True, "asked": 3, "dropped": 0}
    api.status = lambda: {**STATUS, "tcp": tcp, "wyoming": wyoming, "mqtt": mqtt}
    assert run_command(["status", "-v"]) == 0
    out = capsys.readouterr().out
    assert "  tcp      0.0.0.0:8642: 1 client, 2 refused\n           warning: others\n" in out
    assert "  wyoming  127.0.0.1:10400: not open\n" in out
    assert "  mqtt     b:1883 as pi: connected, 0 events dropped, 3 requests taken\n" in out


def test_status_leaves_out_what_the_board_does_not_tell(api: ApiWorld, capsys: Capture) -> None:
    quiet = {**STATUS, "memory": {"resident_bytes": None}, "board": {"temperature_c": None}, "timers": [],
             "journal": {"structured": False, "lost": 0}, "config": {"files": [], "needs_restart": []},
             "lm": {"enabled": False, "waiting": 0, "requests": STATUS["lm"]["requests"]}}  # fmt: skip
    api.status = lambda: quiet
    assert run_command(["status", "-v"]) == 0
    out = capsys.readouterr().out
    assert "switched off" in out
    assert "board" not in out
    assert "until a restart" not in out
    api.status = lambda: {**quiet, "lm": {**quiet["lm"], "enabled": True}}
    assert run_command(["status", "-v"]) == 0
    assert "  model" not in capsys.readouterr().out


def test_status_as_json_is_what_the_daemon_said(api: ApiWorld, capsys: Capture) -> None:
    api.status = lambda: STATUS
    assert run_command(["status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == STATUS


def test_ask_prints_the_pieces_as_one_line(api: ApiWorld, capsys: Capture) -> None:
    def answer(ask: Ask) -> dict[str, object]:
        for piece in ("It is ", "14:05", "."):
            ask.emit(piece)
        return {"reply": "It is 14:05."}

    api.answer = answer
    assert run_command(["ask", "what", "time", "is", "it"]) == 0
    assert capsys.readouterr().out == "It is 14:05.\n"
    assert api.asks[0].text == "what time is it"


def test_ask_prints_a_reply_that_was_not_streamed(api: ApiWorld, capsys: Capture) -> None:
    api.answer = lambda ask: {"reply": "Done."}
    assert run_command(["ask", "lights", "on"]) == 0
    assert capsys.readouterr().out == "Done.\n"


def test_ask_json_is_the_whole_answer(api: ApiWorld, capsys: Capture) -> None:
    api.answer = lambda ask: {"reply": "Déjà vu.", "tokens": 3}
    assert run_command(["ask", "--json", "hi"]) == 0
    out = capsys.readouterr().out
    assert json.loads(out) == {"reply": "Déjà vu.", "tokens": 3}
    assert "é" in out


def test_an_answer_cannot_play_with_the_terminal(api: ApiWorld, capsys: Capture) -> None:
    def answer(ask: Ask) -> dict[str, object]:
        ask.emit("red \x1b[31m text\x07")
        return {"reply": ""}

    api.answer = answer
    assert run_command(["ask", "hi"]) == 0
    assert capsys.readouterr().out == "red \ufffd[31m text\ufffd\n"


def test_an_error_of_the_daemon_is_one_line_and_a_hint(api: ApiWorld, capsys: Capture) -> None:
    api.submit_error = UnavailableError("The language model is out of service.", "see noctule status")
    assert run_command(["ask", "hi"]) == 69
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "noctule: The language model is out of service.\nhint: see noctule status\n"


def test_reload_prints_each_setting(api: ApiWorld, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_command(["reload"]) == 0
    assert capsys.readouterr().out == "applied: lm.top_k\n"
    monkeypatch.setattr(ApiWorld, "_reload", _nothing_changed)


async def _nothing_changed(world: ApiWorld) -> dict[str, Any]:
    return {"applied": [], "failed": {}, "restart": []}


def test_reload_when_nothing_changed_and_when_a_restart_is_needed(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ApiWorld, "_reload", _nothing_changed)
    with ApiWorld(tmp_path) as api:
        assert run_command(["reload", "--socket", str(api.path)]) == 0
        assert capsys.readouterr().out == "nothing has changed\n"

    async def restart(world: ApiWorld) -> dict[str, Any]:
        return {"applied": [], "failed": {}, "restart": ["lm.threads"]}

    monkeypatch.setattr(ApiWorld, "_reload", restart)
    with ApiWorld(tmp_path) as api:
        assert run_command(["reload", "--socket", str(api.path)]) == 0
    assert capsys.readouterr().out == "needs a restart: lm.threads\n"


def test_reload_with_mistakes_lists_them_and_exits_78(api: ApiWorld, capsys: Capture) -> None:
    api.reload_error = ConfigError(["a.toml:1: lm.x: unknown key", "a.toml:2: lm.y: unknown key"])
    assert run_command(["reload"]) == 78
    assert capsys.readouterr().err.splitlines() == [
        "noctule: a.toml:1: lm.x: unknown key",
        "noctule: a.toml:2: lm.y: unknown key",
    ]


@pytest.mark.usefixtures("nobody")
@pytest.mark.parametrize("argv", [["status"], ["ask", "hi"], ["tail"], ["reload"], ["status", "--json"]])
def test_without_a_daemon(argv: list[str], capsys: Capture) -> None:
    assert run_command(argv) == 69
    assert capsys.readouterr().err == "noctule: The daemon is not running.\nhint: systemctl start noctule\n"


def tail_until(api: ApiWorld, argv: list[str], capsys: Capture, *more: Any) -> tuple[int, list[str]]:
    """Run tail in a thread, publish some events once it listens, stop the daemon; (exit status, lines)."""
    codes: list[int] = []
    runner = threading.Thread(target=lambda: codes.append(run_command(argv)))
    listening = threading.Event()
    subscribe = api.bus.subscribe

    def observed(*args: Any) -> Any:
        subscription = subscribe(*args)
        listening.set()
        return subscription

    api.bus.subscribe = observed  # type: ignore[method-assign]
    runner.start()
    assert listening.wait(WAIT)
    for kind, part, message, level, fields in more:
        api.bus.publish(kind, part, message, level, **fields)
    api.bus.publish("timer.fired", "timers", "Timer 1 is over", number=1)
    api.bus.publish("lm.loaded", "lm", "hidden", level=7)
    api.bus.publish("part.degraded", "lm", "lm is out of service", level=3)
    api.loop.call_soon_threadsafe(api.server.close)
    runner.join(WAIT)
    return codes[0], capsys.readouterr().out.splitlines()


def test_tail_says_events_in_words_until_the_daemon_stops(api: ApiWorld, capsys: Capture) -> None:
    code, lines = tail_until(api, ["tail"], capsys)
    assert code == 0
    assert [line[9:] for line in lines] == ["timers: Timer 1 is over", "error: lm: lm is out of service"]


def test_tail_json_has_every_line(api: ApiWorld, capsys: Capture) -> None:
    code, lines = tail_until(api, ["tail", "--json"], capsys)
    assert code == 0
    assert [json.loads(line)["kind"] for line in lines] == [
        "stream.opened", "timer.fired", "lm.loaded", "part.degraded", "stream.closed"
    ]  # fmt: skip


def test_tail_shows_what_was_said_only_when_asked_to() -> None:
    event = {
        "kind": "ask.answered",
        "part": "lm",
        "message": "Answered",
        "time": 0,
        "fields": {"reply": "Noon.", "n": 1},
    }
    assert words(event)[9:] == "lm: Answered"
    assert words(event, private=True)[9:] == "lm: Answered [reply: Noon.]"


def test_tail_shows_words_while_they_are_spoken_only_to_who_may_see_them() -> None:
    fields = {"words": "time", "text": "what time"}
    event = {"kind": "speech.words", "part": "turns", "message": "A word was heard", "level": 7, "fields": fields}
    assert words(event) == ""
    assert words(event, private=True)[9:] == "hears: what time"


@pytest.mark.parametrize("allowed", [False, True])
def test_tail_shows_words_when_the_daemon_logs_them(allowed: bool, api: ApiWorld, capsys: Capture) -> None:
    api.words = allowed
    fields = {"words": "time", "text": "what time"}
    code, lines = tail_until(api, ["tail"], capsys, ("speech.words", "turns", "A word was heard", 7, fields))
    assert code == 0
    assert [line[9:] for line in lines if "hears" in line] == (["hears: what time"] if allowed else [])


def test_tail_words_of_odd_events() -> None:
    assert words({"kind": "stream.heartbeat"}) == ""
    assert "7 events were dropped" in words({"kind": "stream.dropped", "dropped": 7})
    assert words({"kind": "x", "part": "p", "message": "two\nlines\x1b", "time": 0}).endswith("p: two lines\ufffd")


# -- verbs that work alone ---------------------------------------------------------------------------------------


def test_version(capsys: Capture) -> None:
    assert main(["version"]) == 0
    assert capsys.readouterr().out == f"noctule {__version__}\n"


def test_config_check_names_every_mistake(tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "noctule.toml"
    file.write_text("[lm]\nthreds = 2\nqueue = 0\n\n[apy]\n")
    assert run_command(["config", "check", str(file)]) == 78
    err = capsys.readouterr().err
    assert f"noctule: {file}:2: lm.threds: unknown key (did you mean threads?)" in err
    assert f"noctule: {file}:3: lm.queue: must be at least 1" in err
    assert f"noctule: {file}:5: [apy]: unknown section (did you mean api?)" in err
    assert "Traceback" not in err


def test_config_check_of_a_good_file_and_of_none(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "noctule.toml"
    file.write_text("[lm]\nthreads = 2\n")
    assert run_command(["config", "check", str(file)]) == 0
    assert capsys.readouterr().out == f"{file}: ok\n"
    monkeypatch.setattr("noctule.config.load.DEFAULT_PATH", tmp_path / "none" / "noctule.toml")
    assert run_command(["config", "check"]) == 0
    assert "every setting has its default" in capsys.readouterr().out


def test_config_show_says_where_values_come_from(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "noctule.toml"
    file.write_text("[lm]\nthreads = 1\n")
    monkeypatch.setenv("NOCTULE_CONFIG", str(file))
    monkeypatch.setenv("NOCTULE_LM__SEED", "7")
    assert run_command(["config", "show", "--origin", "--set", "lm.queue=3"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert any(line.startswith("threads = 1") and line.endswith(f"# {file}:2") for line in out)
    assert any(line.startswith("seed = 7") and "environment NOCTULE_LM__SEED" in line for line in out)
    assert any(line.startswith("queue = 3") and line.endswith("# flag --set") for line in out)
    assert run_command(["config", "show"]) == 0
    assert "#" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "words"),
    [([], "VERB"), (["asq"], "invalid choice: 'asq'"), (["ask"], "TEXT"), (["status", "--jsn"], "--jsn"),
     (["config"], "check | show"), (["config", "chek"], "chek")],
)  # fmt: skip
def test_a_wrong_command_line_is_one_line_and_a_hint(argv: list[str], words: str, capsys: Capture) -> None:
    assert run_command(argv) == 64
    err = capsys.readouterr().err
    assert words in err
    assert "--help" in err
    assert len(err.splitlines()) == 2


@pytest.mark.parametrize("verb", ["", *VERBS])
def test_every_verb_has_help(verb: str, capsys: Capture) -> None:
    with pytest.raises(SystemExit) as done:
        run_command([verb, "--help"] if verb else ["--help"])
    assert done.value.code == 0
    out = capsys.readouterr().out
    assert verb in out
    if not verb:
        assert all(name in out for name in VERBS)


def test_ctrl_c_is_quiet(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    def interrupted(options: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("noctule.cli.version.run", interrupted)
    assert run_command(["version"]) == 130
    assert capsys.readouterr().err == ""


def test_a_terminal_that_cannot_show_a_character(api: ApiWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", out)
    api.answer = lambda ask: {"reply": "21 °C"}
    assert run_command(["ask", "hot?"]) == 0
    assert out.buffer.getvalue() == b"21 ?C\n"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0 s"), (59.94, "59.9 s"), (60, "1 min 0 s"), (3599, "59 min 59 s"), (3600, "1 h 0 min"),
     (90000, "1 d 1 h"), (86399, "23 h 59 min")],
)  # fmt: skip
def test_durations_in_words(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_sizes_in_words() -> None:
    assert (size(3 << 19), size(3 << 29)) == ("1.5 MiB", "1.5 GiB")
    assert printable("a\tb") == "a\ufffdb"


# -- as a process ------------------------------------------------------------------------------------------------


def command(*argv: str, **more: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "noctule", *argv], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, **more,
    )  # fmt: skip


def test_a_reader_that_leaves_is_no_error(api: ApiWorld) -> None:
    def answer(ask: Ask) -> dict[str, object]:
        ask.emit("first line\n")
        while ask.going_on():
            ask.emit("and another line that nobody reads\n")
            threading.Event().wait(0.001)
        return {"reply": ""}

    api.answer = answer
    process = command("ask", "tell", "me", "everything")
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline() == "first line\n"
    process.stdout.close()
    assert process.wait(WAIT) == 141
    assert process.stderr.read() == ""
    process.stderr.close()


def test_the_verbs_load_no_model_runtime() -> None:
    code = (
        "import sys; from noctule.__main__ import main; main(['version']); "
        "from noctule.cli import status, ask, tail; "
        "sys.exit(any(m in sys.modules for m in ('numpy', 'ai_edge_litert', 'aiohttp')))"
    )
    done = subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": os.pathsep.join(sys.path)}, check=False)
    assert done.returncode == 0
