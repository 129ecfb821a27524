"""The real PortAudio over the real ALSA library, with ALSA's own file device in the place of a sound card.

Only finding and naming: PortAudio aborts when it streams from ALSA's null device, which has no clock.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CONF = """\
pcm.samples { type file; slave.pcm { type null }; file "/dev/null"; infile "%s"; format "raw" }
pcm.testmic { type plug; slave.pcm "samples" }
ctl.testmic { type hw; card 0 }
"""
PROGRAM = """
from noctule.audio import portaudio
from noctule.audio.microphone import Microphone
from noctule.errors import DeviceError
with portaudio.session() as audio:
    print("devices:", [d.name for d in portaudio.devices(audio)])
try:
    Microphone("absent").open()
except DeviceError as error:
    print("error:", error)
"""


def test_devices_are_found_and_named_through_the_real_libraries(tmp_path: Path) -> None:
    if subprocess.run([sys.executable, "-c", "import pyaudio"], capture_output=True).returncode != 0:
        pytest.skip("PyAudio is not installed in this environment (apt-get install python3-pyaudio)")
    sound, conf = tmp_path / "in.raw", tmp_path / "asound.conf"
    sound.write_bytes(bytes(64000))
    conf.write_text(CONF % sound)
    daemon = Path(__file__).resolve().parents[2] / "daemon"
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=dict(os.environ, ALSA_CONFIG_PATH=str(conf), PYTHONPATH=os.pathsep.join([str(daemon), *sys.path])),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "devices: ['samples', 'testmic']" in done.stdout
    assert 'error: There is no microphone named "absent"; there is "samples", "testmic".' in done.stdout
    assert done.stderr == "", "ALSA's chatter reached the journal"
