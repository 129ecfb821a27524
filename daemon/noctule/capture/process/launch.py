"""Where a source's capture process comes from: started here, or lent by a helper in a desktop session."""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Callable, Sequence

from noctule.capture.process.discover import resolve
from noctule.capture.process.door import KINDS, HelperDoor, HelperProcess, absent
from noctule.capture.process.presence import absence
from noctule.capture.process.process import SYSTEM_PYTHON, CaptureProcess
from noctule.capture.spec import SourceSpec
from noctule.core.errors import DeviceError, NoctuleError


def interpreter_for(spec: SourceSpec) -> str:
    """The Python that runs a source: the system's for cameras whose libraries are only there."""
    module = {"picamera2": "picamera2", "jetson": "gi"}.get(spec.kind)
    if module is not None and importlib.util.find_spec(module) is None and SYSTEM_PYTHON.exists():
        return str(SYSTEM_PYTHON)
    return sys.executable


class Launcher:
    """Launches capture processes for one source. python, command: whose interpreter, or what, runs instead."""

    def __init__(self, spec: SourceSpec, python: str | None, command: Sequence[str], door: HelperDoor | None) -> None:
        self._spec, self._python, self._command, self._door = spec, python, command, door

    def launch(self) -> tuple[SourceSpec, CaptureProcess | HelperProcess]:
        """(what the source stands for now, its process). DeviceError for what is missing."""
        if self._door is not None and self._through_door(self._door):
            return self._spec, HelperProcess(self._door.take(), self._spec)
        actual = resolve(self._spec)
        missing = absence(actual)
        if missing is not None:
            raise missing
        try:
            return actual, CaptureProcess(actual, self._python or interpreter_for(actual), self._command)
        except OSError as failed:
            raise DeviceError(f"no capture process could be started: {failed.strerror}") from None

    def absence(self) -> DeviceError | None:
        """A cheap look: why it cannot be launched now, or None."""
        if self._door is not None and self._through_door(self._door):
            return None if self._door.waiting() else absent()
        return absence(self._spec)

    def _through_door(self, door: HelperDoor) -> bool:
        """A Wayland display is always somebody else's; any other display is where a helper offers it."""
        return self._spec.kind == "wayland" or (self._spec.kind in KINDS and door.waiting())


def await_return(
    wanted: Callable[[], bool],
    absence: Callable[[], NoctuleError | None],
    missed: Callable[[NoctuleError | None], None],
    nap: Callable[[float], None],
    pause: float,
    look: float,
) -> None:
    """Until `pause` seconds have passed, or something that was missing is back, or nobody wants it any more.

    absence: what is missing now; missed: told it after each look; look: seconds between looks.
    """
    until = time.monotonic() + pause
    missing = absence()
    while wanted():
        if missing is None and time.monotonic() >= until:
            return
        left = max(0.02, until - time.monotonic())
        nap(min(look, left) if missing is None else look)
        now_missing = absence()
        if missing is not None and now_missing is None:
            return
        missed(now_missing)
        missing = now_missing
