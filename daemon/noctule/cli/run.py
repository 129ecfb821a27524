"""`noctule run`: be the daemon, until SIGTERM. What systemd starts; on a terminal it logs plain lines."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys

from noctule.app import Service
from noctule.assistant.model_manager import Needs
from noctule.assistant.worker import Engine
from noctule.cli.common import config_arguments, load
from noctule.core.errors import ConfigError, NoctuleError
from noctule.core.events import Bus
from noctule.service.component import Component, Host, close_all
from noctule.service.journal import Journal, notify

HELP = "be the daemon (systemd does this)"


def arguments(parser: argparse.ArgumentParser) -> None:
    config_arguments(parser)


def build(needs: Needs) -> Engine:
    """Load the language engine. Its libraries are imported in the worker's thread, while the socket answers."""
    from noctule.assistant.engine import build_engine

    return build_engine(needs)


def grow(host: Host) -> list[Component]:
    """What the configuration switches on. Raises NoctuleError for settings that contradict each other; what was
    plugged in before is then closed again."""
    organs: list[Component] = []
    try:
        _grow_into(organs, host)
    except NoctuleError:
        close_all(organs, 0.5)
        raise
    return organs


def _grow_into(organs: list[Component], host: Host) -> None:
    config = host.config()
    if config.wake.enabled and config.audio.source != "none":
        from noctule.voice.pipeline import VoicePipeline

        organs.append(VoicePipeline(host))
    if config.capture.enabled:
        from noctule.capture.component import CaptureComponent

        organs.append(CaptureComponent(host))
    if config.api.tcp:
        from noctule.api.tcp import TcpApi

        organs.append(TcpApi(host))
    if config.wyoming.listen:
        from noctule.api.wyoming.server import WyomingServer

        organs.append(WyomingServer(host))
    if config.mqtt.host:
        from noctule.api.mqtt.link import MqttLink

        organs.append(MqttLink(host))


def run(options: argparse.Namespace) -> int:
    journal = Journal()
    bus = Bus()
    bus.add_sink(journal)
    try:
        loaded = load(options)
        journal.configure(loaded.config.service.verbosity, loaded.config.service.log_words)
        service = Service(loaded, lambda: load(options), build, bus, journal, grow=grow)
        asyncio.run(service.run())
    except NoctuleError as error:
        return _refused(error, bus, journal)
    # Everything is stopped and closed. What is left are threads that did not stop in time, for which Python would
    # wait, and the runtime's own destructors, which print to the log: leave without either.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _refused(error: NoctuleError, bus: Bus, journal: Journal) -> int:
    """The service cannot start: say why where its reader looks."""
    problems = error.problems if isinstance(error, ConfigError) else [error.explain()]
    notify(STATUS=f"Refused to start: {problems[0]}")
    if not journal.structured:
        raise error  # a terminal gets the command's usual two lines
    kind = "config.rejected" if isinstance(error, ConfigError) else "service.stopped"
    for problem in problems:
        bus.publish(kind, "service", problem, level=3)
    return error.exit_code
