"""What this machine has to look with, what each can do, and why one cannot be used; and which one `display` and
`camera` mean."""

from __future__ import annotations

import dataclasses
import fcntl
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from noctule.capture.process.process import SYSTEM_PYTHON
from noctule.capture.protocols import v4l2 as v4l2info
from noctule.capture.protocols import wayland as wlwire
from noctule.capture.protocols import x11 as x11probe
from noctule.capture.sources.wlcopy import offered
from noctule.capture.spec import SourceSpec
from noctule.core.errors import DeviceError

_CAP_SYS_ADMIN = 21
_SET_MASTER = ord("d") << 8 | 0x1E  # DRM_IOCTL_SET_MASTER, include/uapi/drm/drm.h


@dataclass(frozen=True)
class FoundSource:
    """One thing found. about: what it is, in words; problem: why it cannot be used, "" when it can."""

    address: str
    about: str
    problem: str = ""
    hint: str = ""


def everything() -> list[FoundSource]:
    """All displays and cameras of this machine, the usable and the others."""
    looks: tuple[Callable[[], Iterator[FoundSource]], ...] = (wayland, x11, kms, v4l2, picamera2, jetson)
    return [finding for look in looks for finding in look()]


def x11() -> Iterator[FoundSource]:
    for address in x11probe.displays():
        try:
            about = x11probe.probe(address)
            yield FoundSource(f"x11:{address}", f"X11 display, {about.width}x{about.height}, depth {about.depth}")
        except DeviceError as error:
            yield FoundSource(f"x11:{address}", "X11 display", error.message, error.hint)


def wayland() -> Iterator[FoundSource]:
    for path in wlwire.sockets():
        try:
            connection = wlwire.WaylandConnection(path)
        except DeviceError as error:
            yield FoundSource(f"wayland:{path}", "Wayland display", error.message, error.hint)
            continue
        problem = "" if offered(connection) else "its compositor lets no program take pictures of it"
        connection.close()
        yield FoundSource(f"wayland:{path}", "Wayland display", problem)


def kms() -> Iterator[FoundSource]:
    for path in sorted(Path("/dev/dri").glob("card*")):
        outputs = [
            p for p in sorted(Path("/sys/class/drm").glob(f"{path.name}-*")) if _text(p / "status") == "connected"
        ]
        shown = ", ".join(p.name.partition("-")[2] for p in outputs)
        about = f"screen {shown}" if shown else "graphics card"
        if not os.access(path, os.R_OK | os.W_OK):
            yield FoundSource(
                f"kms:{path}", about, f"{path} may not be used by this user", "the user must be in the group video"
            )
        elif not shown:
            yield FoundSource(f"kms:{path}", about, "no screen is connected to it")
        elif not _has_capability(_CAP_SYS_ADMIN) and not _free(path):
            yield FoundSource(
                f"kms:{path}",
                about,
                "a desktop holds the screen, and reading it then needs CAP_SYS_ADMIN",
                "use the display source; or run as root",
            )
        else:
            yield FoundSource(f"kms:{path}", about)


def v4l2() -> Iterator[FoundSource]:
    for path in sorted(Path("/dev").glob("video*"), key=lambda p: (len(p.name), p.name)):
        try:
            found = v4l2info.camera(path)
        except DeviceError as error:
            yield FoundSource(f"v4l2:{path}", "camera", error.message)
            continue
        if found is None or found.driver in ("unicam", "rp1-cfe"):
            continue  # codecs and scalers; and sensors that only libcamera can drive
        modes = []
        for mode in found.modes:
            if mode.sizes and mode.format:
                width, height, rate = max(mode.sizes)
                modes.append(f"{mode.format} up to {width}x{height}" + (f" at {rate:g}/s" if rate else ""))
        others = [mode.fourcc.strip() for mode in found.modes if not mode.format]
        if others:
            modes.append(f"{', '.join(others[:4])}{' and more' if len(others) > 4 else ''}, not read by Noctule")
        problem = "" if any(m.format for m in found.modes) else "it offers no format that Noctule reads"
        yield FoundSource(f"v4l2:{path}", f"camera {found.card}: {'; '.join(modes) or 'no formats'}", problem)


def picamera2() -> Iterator[FoundSource]:
    """Raspberry Pi cameras, asked of the system's Python, which alone has libcamera."""
    if not Path("/dev/media0").exists() or not SYSTEM_PYTHON.exists():
        return
    code = (
        "from picamera2 import Picamera2\n"
        "for i, c in enumerate(Picamera2.global_camera_info()): print('FOUND', i, c.get('Model', 'camera'))"
    )
    try:
        done = subprocess.run(
            [str(SYSTEM_PYTHON), "-c", code],
            capture_output=True,
            text=True,
            timeout=15,
            env={**os.environ, "LIBCAMERA_LOG_LEVELS": "*:ERROR"},
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return
    if done.returncode and "No module named" in done.stderr:
        if "raspberry" in _text(Path("/proc/device-tree/model")).lower():
            yield FoundSource(
                "picamera2:0",
                "Raspberry Pi camera",
                "the system's Python has no picamera2",
                "sudo apt install python3-picamera2",
            )
        return
    for line in done.stdout.splitlines():
        if line.startswith("FOUND "):
            _, number, model = line.split(" ", 2)
            yield FoundSource(f"picamera2:{number}", f"Raspberry Pi camera {model}")


def jetson() -> Iterator[FoundSource]:
    if "tegra" not in _text(Path("/proc/device-tree/compatible")):
        return
    for number, path in enumerate(sorted(Path("/dev").glob("video*"))):
        try:
            found = v4l2info.camera(path)
        except DeviceError:
            continue
        if found is not None and "tegra" in found.driver.lower():
            yield FoundSource(f"jetson:{number}", f"CSI camera {found.card}")


_GROUPS: dict[str, tuple[Callable[[], Iterator[FoundSource]], ...]] = {
    "display": (wayland, x11, kms),
    "camera": (picamera2, jetson, v4l2),
}


def resolve(spec: SourceSpec) -> SourceSpec:
    """The concrete source that `display` or `camera` means now; any other as it is, with an address where it had
    none. DeviceError that says why there is none."""
    if spec.kind == "x11" and not spec.address:
        return dataclasses.replace(spec, address=os.environ.get("DISPLAY") or ":0")
    if spec.kind not in _GROUPS:
        return spec
    problems = []
    for look in _GROUPS[spec.kind]:
        for finding in look():
            if not finding.problem:
                kind, _, address = finding.address.partition(":")
                return dataclasses.replace(spec, kind=kind, address=address)
            problems.append(f"{finding.address}: {finding.problem}")
    if not problems:
        raise DeviceError(f"this machine has no {spec.kind}", "`noctule sources` lists what there is")
    raise DeviceError(f"no {spec.kind} works: {'; '.join(problems[:4])}", "`noctule sources` says more")


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip("\0\n ")
    except OSError:
        return ""


def _free(card: Path) -> bool:
    """Whether no desktop holds this graphics card. Who opens a card that nobody holds becomes its master and may read
    its screen; asking for that again then succeeds (drivers/gpu/drm/drm_auth.c), and closing gives it back."""
    try:
        fd = os.open(card, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.ioctl(fd, _SET_MASTER)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def _has_capability(number: int) -> bool:
    for line in _text(Path("/proc/self/status")).splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> number & 1)
    return False
