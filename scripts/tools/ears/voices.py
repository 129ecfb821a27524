"""Speech synthesisers that say a sentence, for recordings with a known text. None of this is on the device."""

from __future__ import annotations

import subprocess
import tempfile
import wave
from pathlib import Path

import numpy as np

from noctule.audio.resample import Resampler
from tools.ears.conditions import RATE, Audio

#: voices that thresholds are chosen with, and those that only judge
CHOOSING = ("flite/slt", "flite/kal16", "espeak/en-us", "festival/kal_diphone")
JUDGING = (
    "piper/joe", "flite/rms", "flite/awb", "festival/ked_diphone", "festival/cmu_us_slt_arctic_hts",
    "espeak/en-gb+f3",
)  # fmt: skip


def say(voice: str, text: str, piper: Path | None = None) -> Audio:
    """float32 at 16 kHz. piper: the voice's .onnx, for piper/...; its command must be on the PATH.

    Raises RuntimeError with the engine's own words when it fails.
    """
    engine, _, name = voice.partition("/")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "said.wav"
        if engine == "flite":
            command, given = ["flite", "-voice", name, "-t", text, "-o", str(out)], ""
        elif engine == "espeak":
            command, given = ["espeak-ng", "-v", name, "-s", "150", "-w", str(out), text], ""
        elif engine == "festival":
            command = ["text2wave", "-eval", f"(voice_{name})", "-o", str(out)]
            given = text
        elif engine == "piper":
            command, given = ["piper", "--model", str(piper), "--output_file", str(out)], text + "\n"
        else:
            raise RuntimeError(f"there is no speech engine {engine}")
        done = subprocess.run(command, input=given.encode(), capture_output=True, check=False, timeout=120)
        if done.returncode != 0 or not out.exists():
            raise RuntimeError(f"{voice} fails: {done.stderr.decode(errors='replace').strip()[-200:]}")
        return load(out)


def load(path: Path) -> Audio:
    """A 16-bit WAV file as float32 at 16 kHz, its channels mixed."""
    with wave.open(str(path)) as file:
        rate, channels = file.getframerate(), file.getnchannels()
        samples = np.frombuffer(file.readframes(file.getnframes()), np.int16)
    sound = samples.reshape(-1, channels).mean(axis=1).astype(np.float32) / np.float32(32768)
    if rate == RATE:
        return sound
    resampler = Resampler(rate, RATE)
    return np.concatenate([resampler.push(sound), resampler.finish()])


def save(path: Path, sound: Audio) -> None:
    """As 16-bit WAV at 16 kHz."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((np.clip(sound, -1, 1) * 32767).astype("<i2").tobytes())
