"""The one place where everything is put together: components, their routes, the language engine.

The floors below know nothing of each other: voice, assistant and capture meet here, through protocols.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from aiohttp import web

from noctule.api.ask import Control
from noctule.api.control import ControlServer
from noctule.api.routes.absent import routes as absent_routes
from noctule.api.routes.operate import routes as operate_routes
from noctule.api.routes.timers import routes as timer_routes
from noctule.api.routes.transcriptions import routes as transcription_routes
from noctule.assistant.alarms import Alarms
from noctule.assistant.engine_protocol import Engine
from noctule.assistant.model_manager import Build, ModelManager, Needs
from noctule.assistant.timers import Timers
from noctule.core.errors import NoctuleError
from noctule.service.component import Assembly, Component, Host, close_all
from noctule.service.operation import Operation
from noctule.service.service import Assemble, Service
from noctule.service.supervisor import Part, Supervisor
from noctule.voice.transcription import Transcriptions

__all__ = ["Build", "Needs", "Plugged", "Senses", "Service", "assembled", "build_components", "build_engine"]


@dataclass(frozen=True)
class Plugged:
    """A component with its routes on the control socket, and what ends with that socket."""

    component: Component
    routes: Sequence[web.RouteDef] = ()
    close: Callable[[], None] = lambda: None


#: builds what the configuration asks for besides the language and the timers.
Senses = Callable[[Host], list[Plugged]]


def no_components(host: Host) -> list[Plugged]:
    """A service without senses."""
    return []


def assembled(build: Build, senses: Senses = no_components) -> Assemble:
    """How a service is put together. build: loads the language engine; senses: the other components."""

    def assemble(host: Host, operation: Operation, supervisor: Supervisor) -> Assembly:
        config = host.config()
        timers = Timers(
            config.service.state_dir / "timers.json",
            host.bus,
            host.clock,
            limit=lambda: host.config().actions.max_timers,
            stall=config.supervision.stall,
        )
        alarms = Alarms(
            config.service.state_dir / "alarms.json", host.bus, host.clock, stall=config.supervision.stall
        )
        components: list[Component] = [timers, alarms]

        def needs(part: Part) -> Needs:
            return Needs(host.config, part, timers, host.bus, host.clock, components)

        manager = ModelManager(host.config, host.bus, host.clock, build, needs, supervisor, operation.inforce.built)
        plugged = senses(replace(host, submit=manager.submit))
        components += [manager, *(one.component for one in plugged)]
        control = Control.of(replace(host, submit=manager.submit), operation.reload)
        has = [route for one in plugged for route in one.routes]
        writer = Transcriptions(host.config, host.bus)
        has += transcription_routes(writer, lambda: host.config().api.max_audio)
        routes = [*operate_routes(operation, manager), *timer_routes(timers), *has, *absent_routes(has)]
        front = ControlServer(control, config.api, routes, [*(one.close for one in plugged), writer.close])
        return Assembly(components, front)

    return assemble


def build_engine(needs: Needs) -> Engine:
    """Load the language engine. Its libraries are imported in the worker's thread, while the socket answers."""
    from noctule.assistant.engine import build_engine as build

    return build(needs)


def build_components(host: Host) -> list[Plugged]:
    """What the configuration switches on. Raises NoctuleError for settings that contradict each other; what was
    plugged in before is then closed again."""
    plugged: list[Plugged] = []
    try:
        _plug_in(plugged, host)
    except NoctuleError:
        close_all([one.component for one in plugged], 0.5)
        raise
    return plugged


def _plug_in(plugged: list[Plugged], host: Host) -> None:
    """Each is imported only where it is wanted: a board without cameras pays nothing for them."""
    config = host.config()
    if config.wake.enabled and config.audio.source != "none":
        plugged.append(voice(host))
    elif config.audio.output != "off":
        plugged.append(loudspeaker_only(host))
    if config.capture.enabled:
        plugged += capture(host)
    if config.api.tcp:
        from noctule.api.tcp import TcpApi

        plugged.append(Plugged(TcpApi(host)))
    if config.wyoming.listen:
        from noctule.api.wyoming.server import WyomingServer

        plugged.append(Plugged(WyomingServer(host)))
    if config.mqtt.host:
        from noctule.api.mqtt.link import MqttLink

        plugged.append(Plugged(MqttLink(host)))


def voice(host: Host) -> Plugged:
    """Microphone, wake words, recogniser, voice."""
    from noctule.api.routes.voice import routes
    from noctule.assistant.grammar.in_force import GrammarInForce
    from noctule.voice.pipeline import VoicePipeline

    pipeline = VoicePipeline(host, asking=GrammarInForce(host.config))
    return Plugged(pipeline, routes(pipeline))


def loudspeaker_only(host: Host) -> Plugged:
    """A voice without ears."""
    from noctule.api.routes.voice import say_route
    from noctule.voice.loudspeaker_only import LoudspeakerOnly

    speaker = LoudspeakerOnly(host)
    return Plugged(speaker, [say_route(speaker.say)])


def capture(host: Host) -> list[Plugged]:
    """Displays and cameras, and the page that shows them."""
    from noctule.api.routes.capture import CaptureApi
    from noctule.capture.component import CaptureComponent

    component = CaptureComponent(host)
    api = CaptureApi(component.sources)
    plugged = [Plugged(component, api.routes(), api.close)]
    if host.config().capture.page_port:
        from noctule.api.page.component import PageComponent

        plugged.append(Plugged(PageComponent(host, component.sources)))
    return plugged
