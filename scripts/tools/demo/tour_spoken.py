"""The spoken part of scripts/demo: recordings are played into the daemon's microphone, and what comes of it is shown.

The voices are festival's ked and slt (scripts/demo_recordings), an engine that no model here was trained on.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
import time
import wave
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[3]
RECORDINGS = ROOT / "config" / "demo"
RATE, HOP = 16_000, 160
#: seconds: of room before the first word (a wake word's detector wants to know it), and for a turn to end.
LEAD, PATIENCE, TRIES = 2.5, 20.0, 3
#: what ends a turn
ENDS = ("session.turn", "session.failed", "session.cancelled", "session.unsure", "session.unrecognised",
        "session.asked", "session.nothing")  # fmt: skip
LEDGER = {"words_ms": "last word", "ended_ms": "end noticed", "token_ms": "first token", "sound_ms": "first sound"}


@dataclass(frozen=True)
class Scene:
    """said: what the recording says; action: what must come of it, "" for none."""

    recording: str
    said: str
    action: str


SCENES = (
    Scene("time", "hey noctule, what time is it", "time"),
    Scene("screenshot", "hey noctule, take a screenshot", "snapshot"),
    Scene("timer", "hey noctule, set a timer for two minutes", "timer.set"),
    Scene("other", "hey noctule, who won the world cup", ""),
)


class Person:
    """Whoever speaks into the microphone, a named pipe of raw 16 kHz PCM: a quiet room, and now and then a recording.

    In real time, so that the times measured over it are those of a room.
    """

    def __init__(self, pipe: Path) -> None:
        os.mkfifo(pipe)
        self._pipe = pipe
        self._scenes: queue.Queue[np.ndarray] = queue.Queue()
        self._gone = threading.Event()
        self._thread = threading.Thread(target=self._talk, daemon=True)

    def __enter__(self) -> Person:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._gone.set()
        self._thread.join(5)

    def say(self, path: Path) -> None:
        with wave.open(str(path)) as file:
            self._scenes.put(np.frombuffer(file.readframes(file.getnframes()), "<i2"))

    def _talk(self) -> None:
        room = np.random.default_rng(0)
        speech = np.zeros(0, np.int16)
        descriptor = os.open(self._pipe, os.O_RDWR)  # both ways: opening does not wait for the daemon
        began, hops = time.monotonic(), 0
        try:
            while not self._gone.wait(max(0.0, began + hops * HOP / RATE - time.monotonic())):
                if not len(speech):
                    with contextlib.suppress(queue.Empty):
                        speech = self._scenes.get_nowait()
                hop = room.integers(-1, 2, HOP).astype("<i2")
                hop[: len(speech[:HOP])] += speech[:HOP].astype("<i2")
                speech = speech[HOP:]
                with contextlib.suppress(BlockingIOError):
                    os.write(descriptor, hop.tobytes())
                hops += 1
        finally:
            os.close(descriptor)


class Events:
    """`noctule tail --json` in the background: every event, in order."""

    def __init__(self, command: list[str], env: dict[str, str]) -> None:
        self._process = subprocess.Popen([*command, "tail", "--json"], env=env, stdout=subprocess.PIPE, text=True)
        self._events: queue.Queue[dict[str, Any]] = queue.Queue()
        self._thread = threading.Thread(target=self._read, daemon=True)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._events.put(json.loads(line))

    def __enter__(self) -> Events:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(5)
        self._thread.join(5)

    def turn(self) -> Iterator[dict[str, Any]]:
        """The events of the next turn, until it ends. queue.Empty when none comes."""
        deadline = time.monotonic() + PATIENCE
        while True:
            event = self._events.get(timeout=max(0.1, deadline - time.monotonic()))
            yield event
            if event["kind"] in ENDS:
                return


def speak(command: list[str], env: dict[str, str], person: Person, answers: Path) -> tuple[list[str], list[str]]:
    """Play every scene and print what came of it: (what was misheard, what did not happen), a sentence each."""
    wrong, broken = [], []
    with Events(command, env) as events:
        time.sleep(LEAD)
        for scene in SCENES:
            print(f'\n  says     "{scene.said}"   ({scene.recording}.wav)')
            turn = _scene(events, person, scene, answers)
            if turn is None:
                broken.append(f'"{scene.said}" was never heard')
                continue
            broken += [f'"{scene.said}": there was no {stage}' for stage in turn.missing()]
            if turn.action != scene.action:
                meant = scene.action or "no action"
                wrong.append(f'"{scene.said}" led to {turn.action or "no action"} instead of {meant}')
    return wrong, broken


def _scene(events: Events, person: Person, scene: Scene, answers: Path) -> Shown | None:
    """One request, said again as anybody would when it does not wake or asks again; None: never heard."""
    turn: Shown | None = None
    for attempt in range(TRIES):
        if attempt:
            print("  says     the same again" + ("" if turn else " (it did not wake)"))
        person.say(RECORDINGS / f"{scene.recording}.wav")
        try:
            shown = _show(events, answers)
        except queue.Empty:
            continue
        turn = replace(shown, woken=shown.woken or (turn is not None and turn.woken))
        if not turn.asked_again:
            return turn
    if turn is not None:  # it is still listening: silence, until it sleeps again
        with contextlib.suppress(queue.Empty):
            for _ in events.turn():
                pass
    return turn


@dataclass
class Shown:
    """What was seen of one turn."""

    woken: bool = False
    words: int = 0
    action: str = ""
    reply: str = ""
    spoken: bool = False
    asked_again: bool = False

    def missing(self) -> list[str]:
        """The stages that every turn of the demonstration must have."""
        stages = {"wake word": self.woken, "word": self.words, "answer": self.reply, "spoken answer": self.spoken}
        return [name for name, seen in stages.items() if not seen]


def _show(events: Events, answers: Path) -> Shown:
    """Print one turn."""
    shown, before = Shown(), len(list(answers.glob("*.wav")))
    for event in events.turn():
        kind, fields = event["kind"], event.get("fields") or {}
        if kind == "wake.heard":
            shown.woken = True
            print(f"  wakes    {event['message']}")
        elif kind == "speech.words":
            shown.words += 1
            print(f"  hears    {fields['text']}")
        elif kind == "speech.race":
            print(f"  race     free text: {fields['text']} ({fields['free_score']} a word)")
            print(f"           sentences: {fields['sentences'] or 'none'}")
            print(f"  decides  {fields['decision']}{': ' + fields['why'] if fields['why'] else ''}")
        elif kind in ("action.done", "action.failed"):
            shown.action = fields["action"]
            print(f"  action   {shown.action}: {kind.partition('.')[2]}")
        elif kind in ENDS:
            shown.reply, shown.spoken = fields.get("reply", ""), bool(fields.get("spoken"))
            shown.asked_again = kind == "session.unsure" and not fields.get("again")
            print(f"  ends     {event['message']}")
            print(f"  answers  {shown.reply}")
            files = sorted(answers.glob("*.wav"), key=lambda path: path.stat().st_mtime)
            if shown.spoken and len(files) > before:
                print(f"  speaks   {files[-1]}")
            since = ", ".join(f"{name} {fields[key]} ms" for key, name in LEDGER.items() if key in fields)
            print(f"  ledger   after the end of speech: {since}; {fields.get('total_ms')} ms in all")
    return shown


if __name__ == "__main__":
    sys.exit("this is a part of scripts/demo")
