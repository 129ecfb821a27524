"""From the microphone's chunk to the published event, through the real daemon: what `bench wake` calls its delay.

`noctule run` listens to a pipe into which this process writes phrases, a hop every 10 ms, as a sound card would. The
same detector, run over the same sound beforehand, tells which hop decides each detection; so a delay is from the
moment that hop was written to the moment that `wake.heard` was published (the event carries it, on the clock that all
processes share) and to the moment that a listener of the control socket had it. Only a driver and its buffer are
missing: they are the sound card's.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from builders.sound import signal as sound
from builders.wake.speech import Bank
from noctule.api.client import Client
from noctule.core.errors import NoctuleError
from noctule.wake.detector import Detector
from noctule.wake.package import WakePackage

RATE, HOP = 16_000, 160
_ROOT = Path(__file__).resolve().parents[3]
#: seconds of quiet before the first phrase (warm-up) and after each (the word's refractory time is 2 s).
_LEAD, _PAUSE = 3.0, 2.1
_PATIENCE = 60.0


@dataclass(frozen=True)
class Delay:
    """Milliseconds of every detection, in order: until it was published, and until a listener had it."""

    published: NDArray[np.float64]
    received: NDArray[np.float64]

    def summary(self) -> dict[str, float]:
        """Keys as `bench wake` shows them."""
        return {
            "event_ms_median": float(np.median(self.published)),
            "event_ms_p99": float(np.quantile(self.published, 0.99)),
            "event_ms_max": float(self.published.max()),
            "received_ms_p99": float(np.quantile(self.received, 0.99)),
            "events": len(self.published),
        }


def phrases(banks: Sequence[Path], count: int) -> NDArray[np.int16]:
    """`count` clips of the banks, every voice in turn, at -26 dBFS with quiet between them; whole hops."""
    by_voice = [Bank([path]) for path in banks]
    rng = np.random.default_rng(7)
    parts = [np.zeros(int(_LEAD * RATE), np.float32)]
    for number in range(count):
        bank = by_voice[number % len(by_voice)]
        clip = sound.normal(sound.trim(bank.clip(number // len(by_voice) % len(bank)))) * 0.05
        # A pause of any length: phrases must not stand in step with the hops.
        parts += [clip, np.zeros(int((_PAUSE + rng.uniform(0, 0.03)) * RATE), np.float32)]
    whole = np.concatenate(parts)
    whole = whole[: len(whole) // HOP * HOP]
    quiet = rng.standard_normal(len(whole)).astype(np.float32) * np.float32(1e-4)
    return (np.clip(whole + quiet, -1, 1) * 32767).astype(np.int16)


def deciding_hops(package: WakePackage, samples: NDArray[np.int16]) -> list[tuple[int, float]]:
    """Number of the hop that decides each detection, and its score."""
    detector = Detector([package])
    out = []
    for at in range(0, len(samples), HOP):
        out += [(at // HOP, heard.score) for heard in detector.push(samples[at : at + HOP])]
    detector.close()
    return out


def measure(package: WakePackage, banks: Sequence[Path], count: int) -> Delay:
    """`count` detections in a daemon. Raises NoctuleError when it does not hear what the detector hears."""
    samples = phrases(banks, 2 * count)
    wanted = deciding_hops(package, samples)[:count]
    if len(wanted) < count:
        raise NoctuleError(f"the package hears only {len(wanted)} of {2 * count} clean phrases: too few for a delay")
    # A second more than the last one needs; half a second later it must have been told.
    samples = samples[: (wanted[-1][0] + 100) * HOP]
    with tempfile.TemporaryDirectory(prefix="noctule-delay-") as name, _daemon(Path(name), package) as folder:
        events: list[tuple[float, dict[str, Any]]] = []
        opened, complete = threading.Event(), threading.Event()

        def listen() -> None:
            with contextlib.suppress(NoctuleError):
                for line in Client(folder / "control.sock", _PATIENCE).stream("GET", "/events"):
                    now = time.monotonic()
                    opened.set()
                    if line.get("kind") == "wake.heard":
                        events.append((now, line))
                        if len(events) == len(wanted):
                            complete.set()

        threading.Thread(target=listen, daemon=True).start()
        Client(folder / "control.sock").get("/status")
        written = _speak(folder / "sound", samples)
        complete.wait(5)
    heard = [round(float(line["fields"]["score"]), 3) for _, line in events]
    if heard != [round(score, 3) for _, score in wanted]:
        raise NoctuleError(f"the daemon heard {len(heard)} phrases, the detector {len(wanted)}, or with other scores")
    times = np.array([written[hop] for hop, _ in wanted])
    published = np.array([float(line["monotonic"]) for _, line in events])
    return Delay((published - times) * 1000, (np.array([now for now, _ in events]) - times) * 1000)


def _speak(pipe: Path, samples: NDArray[np.int16]) -> NDArray[np.float64]:
    """Write a hop every 10 ms; when each was written (monotonic seconds)."""
    written = np.zeros(len(samples) // HOP)
    # The daemon holds its end open already; a hop is far smaller than the pipe, so that a write never waits.
    with pipe.open("wb", buffering=0) as file:
        start = time.monotonic() + 0.1
        for hop in range(len(written)):
            if (wait := start + hop * HOP / RATE - time.monotonic()) > 0:
                time.sleep(wait)
            written[hop] = time.monotonic()
            file.write(samples[hop * HOP : (hop + 1) * HOP].astype("<i2").tobytes())
    return written


@contextlib.contextmanager
def _daemon(folder: Path, package: WakePackage) -> Any:
    """`noctule run` with ears on a pipe and everything else as it is installed; `folder`, once it is ready."""
    os.mkfifo(folder / "sound")
    (folder / "noctule.toml").write_text(
        f'[service]\nstate_dir = "{folder}/state"\nmodels = ["{_ROOT}/models"]\n'
        f'[api]\nsocket = "{folder}/control.sock"\n[capture]\nenabled = false\n'
        f'[audio]\nsource = "path"\npath = "{folder}/sound"\noutput = "off"\n'
        # Half a second without a command and it sleeps again, so that every phrase finds it asleep.
        f'[wake]\nwords = ["{package.model.parent.resolve()}"]\npatience = 0.5\n',
        encoding="utf-8",
    )
    log = folder / "log"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready, log.open("w") as said:
        ready.bind(str(folder / "notify"))
        ready.settimeout(_PATIENCE)
        process = subprocess.Popen(
            [sys.executable, "-m", "noctule", "run", "--config", str(folder / "noctule.toml")], stdout=said,
            stderr=said, env={**os.environ, "NOTIFY_SOCKET": str(folder / "notify"),
                              "PYTHONPATH": str(_ROOT / "daemon")},
        )  # fmt: skip
        try:
            while b"READY=1" not in ready.recv(65536):
                pass
            yield folder
        except TimeoutError:
            raise NoctuleError(f"the daemon did not become ready: {log.read_text()[-500:]}") from None
        finally:
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(15)
            if process.poll() is None:
                process.kill()
                process.wait()
