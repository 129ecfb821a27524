"""piper voices that the user names (`--piper VOICE.onnx`): one call of the `piper` command per utterance."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from builders.sound.engines import Audio, Word
from builders.sound.signal import resample


class Piper:
    """The `piper` command. Its voices are paths of .onnx files with their .onnx.json beside them."""

    name = "piper"

    def say(self, voice: str, words: Sequence[Word], rng: np.random.Generator) -> Audio | None:
        described = json.loads(Path(voice + ".json").read_text(encoding="utf-8"))
        speakers = int(described.get("num_speakers", 1))
        command = ["piper", "--model", voice, "--output-raw"]
        command += ["--length-scale", f"{rng.uniform(0.75, 1.35):.3f}"]
        command += ["--noise-scale", f"{rng.uniform(0.3, 0.9):.3f}", "--noise-w", f"{rng.uniform(0.4, 1.0):.3f}"]
        if speakers > 1:
            command += ["--speaker", str(int(rng.integers(speakers)))]
        text = " ".join(word.text for word in words) + "\n"
        done = subprocess.run(command, input=text.encode(), capture_output=True, check=False, timeout=120)
        if done.returncode != 0:
            raise RuntimeError(f"piper fails with {voice}: {done.stderr.decode(errors='replace').strip()[-200:]}")
        samples = np.frombuffer(done.stdout[: len(done.stdout) // 2 * 2], "<i2").astype(np.float32) / 32768.0
        return resample(samples, int(described["audio"]["sample_rate"]) / 16_000) if len(samples) else None
