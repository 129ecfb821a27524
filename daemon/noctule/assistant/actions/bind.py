"""The registry of this board: every declared action with the part that carries it out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from noctule.assistant.actions.alarm_actions import bind_alarms
from noctule.assistant.actions.basics import bind_basics
from noctule.assistant.actions.commands import UserCommands
from noctule.assistant.actions.declared import RULE_SPECS, SPECS
from noctule.assistant.actions.devices import CaptureProvider, MicrophoneSwitch, NoCapture, NoMicrophone, bind_devices
from noctule.assistant.actions.elsewhere import bind_elsewhere
from noctule.assistant.actions.registry import ActionRegistry
from noctule.assistant.actions.status import BoardStatus, bind_status
from noctule.assistant.actions.timer_actions import bind_timers
from noctule.assistant.actions.volume import Mixer, bind_volume
from noctule.assistant.alarms import Alarms
from noctule.assistant.timers import Timers
from noctule.core.clock import Clock


@dataclass
class Parts:
    """What actions need of the service. stop: silence whatever is being said or rung."""

    clock: Clock
    timers: Timers
    board: BoardStatus
    mixer: Mixer
    commands: UserCommands
    capture: CaptureProvider = field(default_factory=NoCapture)
    microphone: MicrophoneSwitch = field(default_factory=NoMicrophone)
    stop: Callable[[], None] = lambda: None
    alarms: Alarms | None = None


def build_registry(parts: Parts, allow: Iterable[str] | None = None) -> ActionRegistry:
    """Every declared action, bound. allow: families the configuration allows, None for all."""
    registry = ActionRegistry((*SPECS, *RULE_SPECS), allow)
    bind_basics(registry, parts.clock, parts.commands.phrases, parts.stop)
    bind_timers(registry, parts.timers, parts.clock)
    bind_elsewhere(registry, parts.clock)
    if parts.alarms is not None:
        bind_alarms(registry, parts.alarms)
    bind_status(registry, parts.board)
    bind_volume(registry, parts.mixer)
    bind_devices(registry, parts.capture, parts.microphone)
    return registry
