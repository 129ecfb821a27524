"""Does the TFLite runtime work on this machine? Asked in a child process, because the answer may be its death.

A runtime built for newer processors dies of an illegal instruction at import or at the first kernel, and nothing
in the process can catch that. So `probe_runtime` starts a child that loads `probe.tflite` and runs its two
signatures, whose answers are known: "float32" gives x + x, "int8" the sum of x by a matrix quantised per channel.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from noctule.core.errors import ModelError
from noctule.inference import runtime as tflite

_MODEL = Path(__file__).with_name("probe.tflite")
_WIDTH = 64


@dataclass(frozen=True)
class RuntimeProbe:
    """The verdict. `sentence` is for people, whether or not `ok`."""

    ok: bool
    sentence: str
    name: str = ""
    version: str = ""
    #: what should be known of the release; see Runtime.caveat
    caveat: str = ""
    #: whether int8 layers with one scale a channel are computed (tflite-runtime 2.14 answers zeros)
    int8: bool = False


def probe_runtime(command: Sequence[str] | None = None, *, timeout: float = 20.0) -> RuntimeProbe:
    """Start the child and judge what becomes of it; takes some 0.3 s. `command` is replaceable for tests."""
    command = command or [sys.executable, "-c", "from noctule.inference.probe import main; main()"]
    here = str(Path(__file__).resolve().parents[2])
    # an isolated Python (-I) was told to take nothing from there; neither shall its child
    given = "" if sys.flags.ignore_environment else os.environ.get("PYTHONPATH", "")
    path = os.pathsep.join(part for part in (here, given) if part)
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=timeout, check=False,
            stdin=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": path},
            cwd="/",  # not the caller's folder, where `-c` would find modules that somebody put there
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return RuntimeProbe(False, f"the TFLite runtime did not answer within {timeout:g} s")
    except OSError as error:
        return RuntimeProbe(False, f"the check of the TFLite runtime cannot be started: {error.strerror}")
    if done.returncode < 0:
        return RuntimeProbe(False, _death(-done.returncode))
    last = (done.stderr.strip().splitlines() or [""])[-1]
    if done.returncode != 0:
        return RuntimeProbe(False, f"the TFLite runtime failed: {last or f'exit {done.returncode}'}")
    return _verdict(done.stdout)


def _death(number: int) -> str:
    if number == signal.SIGILL:
        return (
            "the TFLite runtime stopped on an illegal instruction: this CPU does not have the instructions it was "
            "built for"
        )
    return f"the TFLite runtime crashed ({signal.Signals(number).name})"


def _verdict(output: str) -> RuntimeProbe:
    try:
        answer = json.loads(output)
        if "error" in answer:
            return RuntimeProbe(False, str(answer["error"]))
        name, version = str(answer["name"]), str(answer["version"])
        works, int8 = bool(answer["float32"]), bool(answer["int8"])
        caveat = str(answer.get("caveat", ""))
    except (ValueError, KeyError, TypeError):
        return RuntimeProbe(False, "the check of the TFLite runtime gave no answer")
    if not works:
        return RuntimeProbe(
            False, f"{name} {version} computes wrong numbers on this machine", name, version, caveat, int8
        )
    note = "" if int8 else "; it cannot compute int8 layers with a scale per channel, so most language models fail"
    note += f"; {caveat}" if caveat else ""
    return RuntimeProbe(True, f"{name} {version} works{note}", name, version, caveat, int8)


def main() -> None:
    """The child: prints one JSON object."""
    try:
        runtime = tflite.default_runtime()
        with runtime.load_model(_MODEL) as model:
            answers = {}
            x = np.arange(_WIDTH, dtype=np.float32)[None] / _WIDTH
            for name, wanted in (("float32", x + x), ("int8", np.full_like(x, x.sum()))):
                runner = model.runner(name)
                runner.write("x", x)
                runner.run()
                answers[name] = bool(np.allclose(runner.read("y"), wanted, rtol=0.02, atol=0.02))
    except ModelError as error:
        print(json.dumps({"error": error.explain()}))
        return
    print(json.dumps({"name": runtime.name, "version": runtime.version, "caveat": runtime.caveat, **answers}))
