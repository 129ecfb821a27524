"""`noctule display`: show this desktop session's display to the service. Started by noctule-display.service."""

from __future__ import annotations

import argparse
import select
import socket
import subprocess
import threading
from pathlib import Path

from noctule.capture.process.door import KINDS
from noctule.capture.process.process import child_environment, helper_command
from noctule.cli.common import say, socket_argument
from noctule.config.schema import Api

HELP = "show this desktop session's display to the service"
#: seconds between attempts to reach the service.
_RETRY = 2.0


def arguments(parser: argparse.ArgumentParser) -> None:
    socket_argument(parser)
    parser.add_argument("--once", action="store_true", help="end when the service has looked once")


def run(options: argparse.Namespace) -> int:
    path = (options.socket or Api().socket).with_name("display.sock")
    pause = threading.Event()
    told = ""
    while True:
        problem = attend(path)
        if problem != told and problem:
            say(f"waiting for the service: {problem}")
        told = problem
        if options.once and not problem:
            return 0
        if problem:
            pause.wait(_RETRY)


def attend(path: Path) -> str:
    """Wait at the service's door until it wants to look, and run a capture process for it. "" when it was served,
    else why the service cannot be reached."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        try:
            sock.connect(str(path))
        except OSError as error:
            return f"{path}: {error.strerror}"
        select.select([sock], [], [])
        try:
            if not sock.recv(1, socket.MSG_PEEK):
                return "it has ended"
        except OSError as error:
            return str(error.strerror)
        process = subprocess.Popen(
            helper_command(sock.fileno(), KINDS), pass_fds=[sock.fileno()], env=child_environment()
        )
    # The capture process has the connection now; it ends when the service hangs up.
    process.wait()
    return ""
