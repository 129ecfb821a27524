"""Run by `scripts/checks/check_arm64` with the installed package's Python, on the emulated machine: does all of it
import, and do the shipped models load (hashes, golden logits) and answer?"""

from __future__ import annotations

import importlib
import pkgutil
import platform
import sys
import time
from pathlib import Path

import noctule

#: what only some systems have
SYSTEM = {"picamera2", "libcamera", "gi"}
MODELS = Path("/usr/share/noctule/models")


def imports() -> None:
    wrong, count = [], 0
    for module in pkgutil.walk_packages(noctule.__path__, "noctule."):
        if module.name.endswith("__main__"):
            continue
        try:
            importlib.import_module(module.name)
            count += 1
        except ImportError as error:
            if (error.name or "").partition(".")[0] not in SYSTEM:
                wrong.append(f"{module.name}: {error}")
    for name in (
        "pyaudio",
        "av",
        "PIL.Image",
        "numpy",
        "sentencepiece",
        "aiohttp",
        "ai_edge_litert",
        "wyoming",
        "paho.mqtt",
    ):
        importlib.import_module(name)
        count += 1
    print(f"{platform.machine()}, Python {platform.python_version()}: {count} modules imported")
    if wrong:
        raise SystemExit("\n".join(wrong))


def picture() -> None:
    """FFmpeg's and libjpeg-turbo's own code."""
    import io

    import av
    import numpy as np
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(out, "JPEG")
    av.CodecContext.create("h264", "r")
    print(f"a JPEG of {len(out.getvalue())} bytes; {av.__version__} decodes H.264")


def front_end() -> None:
    """The wake words' features: the same as on the machine that the models were trained on, but for rounding."""
    import numpy as np

    from noctule.wake import features

    kept = np.frombuffer(features.KEPT_ANSWER.read_bytes(), np.int8).reshape(-1, features.CHANNELS)
    apart = np.abs(features.extract(features.reference_signal()).astype(int) - kept)
    print(f"front end: {np.count_nonzero(apart)} of {apart.size} values differ, by {apart.max()} at most")
    if not features.agrees(features.extract(features.reference_signal()), kept):
        raise SystemExit("the shipped wake word would be refused here")


def runtime() -> None:
    from noctule.inference.probe import probe_runtime

    probe = probe_runtime(timeout=300)
    print(probe.sentence)
    if not probe.ok:
        raise SystemExit("the runtime does not run")


def models() -> None:
    """Loading compares the golden logits with what this machine computes."""
    from noctule.lm.text.model import TextLM

    lm = TextLM.load(MODELS / "noctule-tiny")
    print(f"noctule-tiny on {lm.runtime}: golden logits agree; {lm.canary() * 1000:.1f} ms for a token")
    lm.close()


def main() -> int:
    began = time.monotonic()
    imports()
    picture()
    front_end()
    runtime()
    models()
    print(f"{time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
