"""snapshot, clip, mute, unmute: what the eyes and ears do when asked.

Eyes and ears are other parts; here are only the two protocols they are asked through, and the parts that stand in
while none is configured and say so.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, runtime_checkable

from noctule.assistant.actions.registry import ActionRegistry, Call, Result
from noctule.assistant.phrases.numbers import say_duration
from noctule.assistant.phrases.request import Request
from noctule.core.errors import UnavailableError

#: Seconds of a clip when none are said.
CLIP_SECONDS = 10.0
_NO_MICROPHONE = "No microphone is configured, so none is listening."
_HEARD_AGAIN = "To be heard again, type noctule mute off."
_SEE_AUDIO = "see [audio] in the configuration"


@runtime_checkable
class CaptureProvider(Protocol):
    """Takes pictures. source: "camera" or "display". Errors are NoctuleErrors with a sentence to answer with."""

    def snapshot(self, source: str) -> Path:
        """Save one picture; where it is."""

    def clip(self, source: str, seconds: float) -> tuple[Path, float]:
        """Save a clip; where it is and how many seconds it really has."""


@runtime_checkable
class MicrophoneSwitch(Protocol):
    """Opens and closes the ears."""

    @property
    def muted(self) -> bool:
        """Whether it is closed."""

    def mute(self, muted: bool) -> None:
        """Close (True) or open (False) the microphone."""


@runtime_checkable
class Quiet(Protocol):
    """Speaks, and can be silenced."""

    def hush(self) -> None:
        """End what is being said."""


class NoCapture:
    """No camera and no display is configured."""

    def snapshot(self, source: str) -> Path:
        """Refuse."""
        raise UnavailableError(f"No {source} is configured.", "see [capture] in the configuration")

    def clip(self, source: str, seconds: float) -> tuple[Path, float]:
        """Refuse."""
        raise UnavailableError(f"No {source} is configured.", "see [capture] in the configuration")


class NoMicrophone:
    """No microphone is configured."""

    @property
    def muted(self) -> bool:
        """Refuse."""
        raise UnavailableError(_NO_MICROPHONE, _SEE_AUDIO)

    def mute(self, muted: bool) -> None:
        """Refuse."""
        raise UnavailableError(_NO_MICROPHONE, _SEE_AUDIO)


def bind_devices(registry: ActionRegistry, capture: CaptureProvider, microphone: MicrophoneSwitch) -> None:
    """Bind snapshot, clip, mute and unmute."""

    def snapshot(call: Call, request: Request) -> Result:
        path = capture.snapshot(call.arguments["source"].text)
        return Result({"file": path.name}, {"file": str(path)})

    def clip(call: Call, request: Request) -> Result:
        length = call.arguments.get("duration")
        wanted = CLIP_SECONDS if length is None or length.number is None else length.number
        path, seconds = capture.clip(call.arguments["source"].text, wanted)
        return Result({"file": path.name, "length": say_duration(seconds)}, {"file": str(path), "seconds": seconds})

    def mute(call: Call, request: Request) -> Result:
        microphone.mute(call.action == "mute")
        return Result(then=_HEARD_AGAIN if call.action == "mute" else "")

    def state() -> str:
        return "The microphone is off." if microphone.muted else "The microphone is on."

    registry.bind("snapshot", snapshot)
    registry.bind("clip", clip)
    registry.bind("mute", mute)
    registry.bind("unmute", mute)
    registry.tell("mute", state)
    registry.tell("unmute", state)
