"""`noctule run`: be the daemon, until SIGTERM. What systemd starts; on a terminal it logs plain lines."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys

from noctule.app import Service, assembled, build_components, build_engine
from noctule.cli.common import config_arguments
from noctule.cli.rules import load_checked
from noctule.core.errors import ConfigError, NoctuleError
from noctule.core.events import Bus
from noctule.service.journal import Journal, notify

HELP = "be the daemon (systemd does this)"


def arguments(parser: argparse.ArgumentParser) -> None:
    config_arguments(parser)


def run(options: argparse.Namespace) -> int:
    journal = Journal()
    bus = Bus()
    bus.add_sink(journal)
    try:
        loaded = load_checked(options)
        journal.configure(loaded.config.service.verbosity, loaded.config.service.log_words)
        put_together = assembled(build_engine, build_components)
        service = Service(loaded, lambda: load_checked(options), bus, journal, put_together)
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
