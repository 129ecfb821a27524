"""The loudspeaker's volume, through ALSA's own `amixer` program."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Sequence

from noctule.assistant.actions.process import Runner, run_program
from noctule.assistant.actions.registry import ActionRegistry, Call, Result
from noctule.assistant.phrases.request import Request
from noctule.core.errors import DeviceError, InputError, UnavailableError

_TIMEOUT = 5.0
#: How much "louder" is, in percent.
STEP = 10
#: Controls tried, in order, when the configuration names none.
_USUAL = ("Master", "PCM", "Speaker", "Headphone", "Digital")
_CONTROL = re.compile(r"^Simple mixer control '([^']+)',0$", re.MULTILINE)
_NO_CARD = re.compile(r"cannot find card|[Nn]o such (?:file|device)|Invalid card|attach .* error", re.IGNORECASE)
_LEVEL = re.compile(r"\[(\d{1,3})%\]")


class Mixer:
    """One playback control. control: its name now, from the configuration; empty to look for a usual one."""

    def __init__(
        self,
        control: Callable[[], str],
        run: Runner = run_program,
        find: Callable[[str], str | None] = shutil.which,
        tell: Callable[[str], None] = lambda text: None,
    ) -> None:
        """tell: given what amixer itself says of a failure; that is for the journal, never for who asked."""
        self._control = control
        self._run = run
        self._find = find
        self._tell = tell

    def _amixer(self, arguments: Sequence[str]) -> str:
        program = self._find("amixer")
        if program is None:
            raise UnavailableError("The volume cannot be changed: amixer is not installed.", "install alsa-utils")
        output = self._run([program, *arguments], _TIMEOUT)
        if output.code != 0:
            self._tell(" / ".join(output.text.split("\n"))[:500].strip())
            if _NO_CARD.search(output.text):
                raise DeviceError("There is no sound card whose volume could be changed.", "aplay -l")
            control = self._control()
            if control and "find simple control" in output.text:
                raise DeviceError(
                    f"The sound card has no control called {control}.", "see actions.mixer; amixer scontrols"
                )
            raise DeviceError(
                "The sound card does not let its volume be changed.", "see the journal, and actions.mixer"
            )
        return output.text

    def _name(self) -> str:
        wanted = self._control()
        if wanted:
            return wanted
        found = _CONTROL.findall(self._amixer(["scontrols"]))
        for name in _USUAL:
            if name in found:
                return name
        raise DeviceError("There is no sound output whose volume could be changed.", "see actions.mixer")

    def change(self, *settings: str) -> int:
        """Apply amixer settings ("40%", "10%+", "mute"), or none; the level in percent that the card then reports."""
        # -M: the scale people hear, as alsamixer shows it.
        text = self._amixer(["-M", "sset" if settings else "sget", self._name(), *settings])
        levels = [int(level) for level in _LEVEL.findall(text)]
        if not levels:
            raise DeviceError(f"The sound control {self._name()} has no volume.", "see actions.mixer")
        return max(levels)


def bind_volume(registry: ActionRegistry, mixer: Mixer) -> None:
    """Bind the volume actions."""

    def set_level(call: Call, request: Request) -> Result:
        level = call.arguments.get("level")
        if level is None or level.number is None:
            raise InputError("To what? The volume goes from 0 to 100 percent.")
        return _result(mixer.change(f"{level.number:.0f}%", "unmute"))

    def by(sign: str) -> Callable[[Call, Request], Result]:
        def handler(call: Call, request: Request) -> Result:
            step = call.arguments.get("step")
            amount = STEP if step is None or step.number is None else step.number
            return _result(mixer.change(f"{amount:.0f}%{sign}"))

        return handler

    def switch(setting: str) -> Callable[[Call, Request], Result]:
        def handler(call: Call, request: Request) -> Result:
            mixer.change(setting)
            return Result()

        return handler

    registry.bind("volume.set", set_level)
    registry.bind("volume.up", by("+"))
    registry.bind("volume.down", by("-"))
    registry.bind("volume.mute", switch("mute"))
    registry.bind("volume.unmute", switch("unmute"))


def _result(level: int) -> Result:
    return Result({"volume": f"{level} percent"}, {"volume": level})
