"""Preflight: is everything this board needs there, and if not, what to type.

Each check gives a `Finding`: ok, note (worth knowing, works without it) or fix (something does not work). A check
never raises: what it meets becomes its sentence. A running service is asked about its own microphone, for a device
that it holds cannot be opened a second time.
"""

from __future__ import annotations

import contextlib
import grp
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noctule import __version__
from noctule.api.client import Client
from noctule.config import Config, LoadedConfig
from noctule.core.errors import NoctuleError, UnavailableError
from noctule.service.board import Board, temperature_c

if TYPE_CHECKING:
    from noctule.audio.microphone import Microphone

OK, NOTE, FIX = "ok", "note", "fix"
#: bytes of free disk, below which state and clips will soon fail.
LOW_DISK = 200_000_000
LOW_MEMORY = 150_000_000
HOT = 80.0
#: seconds of sound that the microphone check records.
RECORD = 0.5
#: groups whose members may use sound cards, cameras and the GPU.
GROUPS = {"audio": "the microphone", "video": "cameras"}
#: bits of the Raspberry Pi firmware's get_throttled (documentation of vcgencmd).
_THROTTLED = {0: "under-voltage now", 1: "frequency capped now", 2: "throttled now", 16: "under-voltage since boot"}


def _kept_off_networks() -> bool:
    """True when the installed unit has PrivateNetwork=yes (the shipped one has)."""
    try:
        done = subprocess.run(
            ["systemctl", "show", "noctule.service", "--property=LoadState,PrivateNetwork"],
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return {"LoadState=loaded", "PrivateNetwork=yes"} <= set(done.stdout.split())


@dataclass(frozen=True)
class Finding:
    """subject: a word or two; state: OK, NOTE or FIX; text: one sentence; hint: what to type."""

    subject: str
    state: str
    text: str
    hint: str = ""


class Doctor:
    """config: as loaded; socket: the control socket of a service that may or may not run."""

    def __init__(
        self, loaded: LoadedConfig, socket: Path, *, proc: Path = Path("/proc"), sys: Path = Path("/sys")
    ) -> None:
        self._loaded, self._socket = loaded, socket
        self._proc, self._sys = proc, sys
        self._status: Mapping[str, Any] | None = None

    @property
    def config(self) -> Config:
        return self._loaded.config

    def examine(self) -> Iterator[Finding]:
        """Every check, in the order in which trouble is best mended."""
        checks: list[tuple[str, Callable[[], Iterator[Finding]]]] = [
            ("runtime", self._runtime),
            ("configuration", self._configuration),
            ("service", self._service),
            ("network", self._network),
            ("models", self._models),
            ("wake words", self._wake_words),
            ("speech", self._speech),
            ("microphone", self._microphone),
            ("loudspeaker", self._loudspeaker),
            ("rights", self._rights),
            ("disk", self._disk),
            ("memory", self._memory),
            ("heat", self._heat),
            ("clock", self._clock),
        ]
        for subject, check in checks:
            try:
                yield from check()
            except NoctuleError as error:
                yield Finding(subject, FIX, error.message, error.hint)
            except OSError as error:
                yield Finding(subject, FIX, f"It cannot be examined: {error.strerror or error}.")

    def _runtime(self) -> Iterator[Finding]:
        from noctule.inference.probe import probe_runtime

        here = f"noctule {__version__}, Python {platform.python_version()}, {platform.machine()}"
        yield Finding("version", OK, here)
        probe = probe_runtime()
        state = FIX if not probe.ok else NOTE if probe.caveat else OK
        hint = "" if state == OK else "install the release that requirements/ names: scripts/install and the .deb do"
        yield Finding("runtime", state, probe.sentence, hint)

    def _configuration(self) -> Iterator[Finding]:
        files = ", ".join(str(path) for path in self._loaded.files) or "no file: every setting has its default"
        yield Finding("configuration", OK, files)

    def _service(self) -> Iterator[Finding]:
        try:
            self._status = Client(self._socket, 5.0).get("/status")
        except UnavailableError as error:
            yield Finding("service", NOTE, error.message, error.hint)
            return
        text = f"{self._status['summary']} (pid {self._status['pid']})"
        troubles = self._status["troubles"]
        yield Finding("service", FIX if troubles else OK, text, "journalctl -u noctule" if troubles else "")

    def _network(self) -> Iterator[Finding]:
        from noctule.api.exposure import exposed

        doors = exposed(self.config)
        for door in doors:
            yield Finding("network", NOTE if door.warning else OK, door.sentence, door.warning)
        if not doors:
            yield Finding("network", OK, "Nothing listens on a network; only the control socket is open.")
        needing = [door.sentence for door in doors if door.network]
        if needing and _kept_off_networks():
            text = f"The service's unit keeps it off every network, so this cannot work: {'; '.join(needing)}."
            hint = 'sudo systemctl edit noctule, with the lines under "THE PORT" in docs/api.md; restart'
            yield Finding("sandbox", FIX, text, hint)

    def _models(self) -> Iterator[Finding]:
        from noctule.inference.find import find_model
        from noctule.inference.manifest import load_manifest

        if not self.config.lm.enabled:
            yield Finding("models", NOTE, "The language model is switched off.", "lm.enabled")
            return
        manifest = load_manifest(find_model(self.config.lm.model, self.config.service.models), "text-lm")
        yield Finding("models", OK, f"{manifest.name} {manifest.version}: every file has its size and sha256")

    def _wake_words(self) -> Iterator[Finding]:
        from noctule.voice.wakewords.in_service import find_wake_word

        if not self.config.wake.enabled:
            yield Finding("wake words", NOTE, "Wake words are switched off.", "wake.enabled")
            return
        for word in self.config.wake.words:
            package = find_wake_word(word, self.config.service.models)
            yield Finding("wake words", OK, f'"{package.phrase}" is whole; threshold {package.threshold:g}')

    def _speech(self) -> Iterator[Finding]:
        from noctule.voice.engines import examine

        if not self.config.wake.enabled or self.config.audio.source == "none":
            yield Finding("speech", NOTE, "Nobody is listened to: nothing is recognised or spoken.", "wake.enabled")
            return
        for side, what in (("stt", "Commands are heard but not understood"), ("tts", "Answers are not spoken")):
            try:
                found = examine(self.config, side)
            except NoctuleError as error:
                yield Finding("speech", FIX, f"{what}: {error}", error.hint)
            else:
                yield Finding("speech", OK if found else NOTE, found or f"{what}.", "" if found else f"speech.{side}")

    def _microphone(self) -> Iterator[Finding]:
        from noctule.audio.health import OK as HEALTHY
        from noctule.audio.health import REMEDY
        from noctule.audio.microphone import Microphone

        audio = self.config.audio
        if audio.source == "none" or not self.config.wake.enabled:
            yield Finding("microphone", NOTE, "No microphone is used.", "audio.source, wake.enabled")
            return
        if self._status is not None and "ears" in self._status:
            ears = self._status["ears"]
            level = f", level {ears['level_db']:g} dB, peak {ears['peak_db']:g} dB" if "level_db" in ears else ""
            good = ears["state"] in (HEALTHY, "muted")
            text = f"The service's {ears['source']} is {ears['state']}{level}"
            yield Finding("microphone", OK if good else FIX, text, REMEDY.get(ears["state"], "noctule status"))
            return
        if audio.source == "path":
            there = audio.path.exists()
            text = f"{audio.path} is {'there' if there else 'missing'}"
            yield Finding("microphone", OK if there else FIX, text, "" if there else "audio.path")
            return
        yield self._record(Microphone(audio.device, audio.rate, audio.channel))

    @staticmethod
    def _record(microphone: Microphone) -> Finding:
        """Open the microphone, listen for half a second, and say what it heard."""
        from noctule.audio.health import HealthMeter

        meter = HealthMeter(window=RECORD)
        microphone.open()
        try:
            deadline = time.monotonic() + RECORD * 4
            while meter.latest is None and time.monotonic() < deadline:
                chunk = microphone.read(0.1)
                if chunk is not None:
                    meter.feed(chunk)
        finally:
            microphone.close()
        heard = meter.latest
        if heard is None:
            return Finding("microphone", FIX, f"{microphone.name} opens but delivers nothing.", "arecord -l")
        levels = f"level {heard.level_db:g} dB, peak {heard.peak_db:g} dB"
        text = f"{microphone.name} at {microphone.rate} Hz: {heard.state}, {levels}"
        return Finding("microphone", FIX if heard.remedy else OK, text, heard.remedy)

    def _loudspeaker(self) -> Iterator[Finding]:
        from noctule.audio import portaudio

        try:
            with portaudio.session() as audio:
                device = portaudio.choose(portaudio.devices(audio), self.config.audio.speaker, inputs=False)
        except NoctuleError as error:
            yield Finding("loudspeaker", NOTE, error.message, error.hint)
        else:
            yield Finding("loudspeaker", OK, device.name)

    def _rights(self) -> Iterator[Finding]:
        if os.geteuid() == 0:
            yield Finding("rights", NOTE, "Asked as root, who may do everything; the service's own user may do less.")
            return
        mine = set(os.getgroups())
        for name, what in GROUPS.items():
            with contextlib.suppress(KeyError):
                if grp.getgrnam(name).gr_gid not in mine:
                    hint = f"sudo usermod -aG {name} $USER, then log in again"
                    yield Finding("rights", NOTE, f"You are not in the group {name}, which {what} need.", hint)

    def _disk(self) -> Iterator[Finding]:
        folder = self.config.service.state_dir
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
        free = shutil.disk_usage(folder).free
        yield Finding(
            "disk",
            OK if free > LOW_DISK else FIX,
            f"{free / 1e9:.1f} GB are free for {self.config.service.state_dir}",
            "" if free > LOW_DISK else "make room: df -h",
        )

    def _memory(self) -> Iterator[Finding]:
        lines = (self._proc / "meminfo").read_text().splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
        yield Finding(
            "memory",
            OK if free > LOW_MEMORY else FIX,
            f"{free / 1e6:.0f} MB can be had",
            "" if free > LOW_MEMORY else "stop what you do not need: systemd-cgtop -m",
        )

    def _heat(self) -> Iterator[Finding]:
        degrees = temperature_c(self._sys)
        if degrees is None:
            yield Finding("heat", NOTE, "This board has no temperature sensor that can be read.")
        else:
            hot = degrees > HOT
            yield Finding("heat", FIX if hot else OK, f"{degrees:.0f} °C", "a fan, or lm.threads = 1" if hot else "")
        readings = Board(self._proc, self._sys).read()
        if readings.voltage_alarm is not None and readings.throttled is None:
            low = readings.voltage_alarm
            hint = "a stronger power supply" if low else ""
            yield Finding("power", FIX if low else OK, "under-voltage now" if low else "steady", hint)
        if readings.throttled is not None:
            bits = readings.throttled
            said = [text for bit, text in _THROTTLED.items() if bits >> bit & 1]
            hint = "a stronger power supply" if any("voltage" in text for text in said) else "cooling"
            yield Finding("power", FIX if said else OK, ", ".join(said) or "steady", hint if said else "")

    def _clock(self) -> Iterator[Finding]:
        tool = shutil.which("timedatectl")
        if time.time() < 1_700_000_000:
            yield Finding("clock", FIX, "The clock is years behind; times and dates will be wrong.", "timedatectl")
        elif tool is None:
            yield Finding("clock", NOTE, "There is no timedatectl to ask whether the clock is synchronised.")
        else:
            asked = subprocess.run(
                [tool, "show", "-P", "NTPSynchronized"], capture_output=True, text=True, timeout=10, check=False
            )
            synced = asked.stdout.strip() == "yes"
            text = "synchronised" if synced else "not synchronised: times and dates may be wrong"
            yield Finding("clock", OK if synced else NOTE, text, "" if synced else "timedatectl set-ntp true")
