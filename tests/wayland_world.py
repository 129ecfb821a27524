"""A real Wayland compositor without a screen: sway on wlroots' headless backend.

NOCTULE_SWAY names another sway, or a program that starts one with its arguments and environment (as root, it sees to
being another user itself): ext-image-copy-capture needs sway 1.11, which Debian 12 and 13 do not have.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

from waiting import until

_NOBODY = 65534


class Sway:
    """A compositor showing one colour, 640x360. `socket`: where it listens; settings: more lines of its
    configuration."""

    def __init__(self, folder: Path, colour: str = "#204060", settings: str = "") -> None:
        self.folder = folder / "session"
        self.folder.mkdir(mode=0o700)
        config = self.folder / "config"
        config.write_text(
            "output HEADLESS-1 resolution 640x360@60Hz position 0 0\n"
            f"output * bg {colour} solid_color\n"
            f"xwayland disable\nseat * hide_cursor 1\n{settings}\n"
        )
        self.log = self.folder / "log"
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "XDG_RUNTIME_DIR": str(self.folder),
            "WLR_BACKENDS": "headless",
            "WLR_RENDERER": "pixman",
            "WLR_LIBINPUT_NO_DEVICES": "1",
            "WLR_HEADLESS_OUTPUTS": "1",
        }
        another = os.environ.get("NOCTULE_SWAY", "")
        command = [another or "sway", "-d", "-c", str(config)]
        if os.geteuid() == 0:  # sway will not run as root
            for path in (self.folder, config):
                os.chown(path, _NOBODY, _NOBODY)
            for parent in self.folder.parents[:4]:
                if parent.owner() == "root" and parent.name.startswith(("pytest", "test_")):
                    parent.chmod(0o755)
            if not another:
                command = ["setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups", *command]
        self._out = self.log.open("wb")
        self.process = subprocess.Popen(
            command, env=env, stdout=self._out, stderr=self._out, stdin=subprocess.DEVNULL, start_new_session=True
        )
        self.socket = Path()
        until(self._listens, "sway's start")

    def _listens(self) -> bool:
        assert self.process.poll() is None, self.log.read_text(errors="replace")[-2000:]
        found = [p for p in self.folder.glob("wayland-*") if p.is_socket()]
        self.socket = found[0] if found else Path()
        return bool(found) and "HEADLESS-1" in self.log.read_text(errors="replace")

    def xwayland(self) -> tuple[subprocess.Popen[bytes], str]:
        """Xwayland as a client of it: (process, display)."""
        ours, theirs = os.pipe()
        env = {**os.environ, "XDG_RUNTIME_DIR": str(self.folder), "WAYLAND_DISPLAY": str(self.socket)}
        process = subprocess.Popen(
            ["Xwayland", "-displayfd", str(theirs), "-noreset"],
            pass_fds=[theirs],
            env=env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs)
        with os.fdopen(ours) as answer:
            return process, f":{answer.readline().strip()}"

    def close(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(5)
        self._out.close()

    def __enter__(self) -> Sway:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def available() -> bool:
    return shutil.which(os.environ.get("NOCTULE_SWAY") or "sway") is not None
