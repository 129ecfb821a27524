"""A Piper voice: phoneme numbers in, sound out piece by piece. Used by one thread.

Model: VITS (arXiv 2106.06103) as Piper trains it. Graphs: `encode_N` gives N phonemes the mean and deviation of their
sound and their length, `flow_N` turns N frames drawn from those into the decoder's, keeping state between them, and
`decode_N` makes sound of N frames (`inner_N` of those far from a clause's ends). The noise is drawn here, from the
seed and the phonemes alone: the same text gives the same samples wherever it stands in an answer.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from noctule.core.errors import ModelError
from noctule.inference.manifest import Manifest, check_signatures, load_manifest
from noctule.inference.runtime import Model, Runner
from noctule.lm.speech.graph_file import open_graph_file
from noctule.lm.speech.piper.pieces import cut
from noctule.lm.speech.piper.settings import KIND, VoiceSettings

Floats = NDArray[np.float32]

#: frames of one phoneme beyond which its length is a mistake of the model; 4 s
_LONGEST = 350


@dataclass(frozen=True)
class Manner:
    """How a clause is said. speed: 1 as the voice was trained, 2 twice as fast; speaker: its number; seed: of the
    noise; still: no noise at all."""

    speed: float = 1.0
    speaker: int = 0
    seed: int = 0
    still: bool = False


@dataclass(frozen=True)
class Prior:
    """What the encoder makes of n phonemes: mean and log_deviation float32 [n, channels], frames int64 [n]."""

    mean: Floats
    log_deviation: Floats
    frames: NDArray[np.int64]


class PiperModel:
    """A loaded voice. Make with `open`."""

    def __init__(self, manifest: Manifest, model: Model) -> None:
        self.manifest, self.settings = manifest, VoiceSettings.of(manifest)
        self._model = model
        self._runners: dict[str, Runner] = {}
        check_signatures(manifest, model.signatures)
        flow = self._runner(f"flow_{self.settings.flow[-1]}")
        for size in self.settings.flow[:-1]:
            self._runners[f"flow_{size}"] = model.runner(
                f"flow_{size}", alias={"state": "new_state"}, share=flow.state
            )
        self._check()

    @classmethod
    def open(cls, folder: Path, *, threads: int = 1, cache_dir: Path | None = None) -> PiperModel:
        """Load and verify a package. Raises ModelError, one sentence."""
        manifest = load_manifest(folder, KIND)
        return open_graph_file(manifest, threads, cache_dir, lambda model: cls(manifest, model))

    @property
    def name(self) -> str:
        """The package's."""
        return self.manifest.name

    @property
    def longest(self) -> int:
        """Phoneme numbers of the longest clause that can be said at once."""
        return self.settings.encode[-1]

    def close(self) -> None:
        """Free the graphs."""
        self._runners.clear()
        self._model.close()

    def _runner(self, name: str) -> Runner:
        if name not in self._runners:
            alias = {"state": "new_state"} if name.startswith("flow") else {}
            self._runners[name] = self._model.runner(name, alias=alias)
        return self._runners[name]

    # -- the three steps -----------------------------------------------------------------------------------------

    def prior(self, ids: Sequence[int], noise: Floats, manner: Manner) -> Prior:
        """ids: phoneme numbers, at most `longest`; noise float32 [n, 2], already scaled."""
        count = len(ids)
        size = next((n for n in self.settings.encode if n >= count), 0)
        if not count or not size:
            raise ModelError(f"{self.name}: a clause of {count} phonemes is beyond its {self.longest}.")
        runner = self._runner(f"encode_{size}")
        phonemes = np.zeros(size, np.int32)
        phonemes[:count] = ids
        runner.write("phonemes", phonemes)
        runner.write("mask", _padded(np.ones(count, np.float32), size))
        runner.write("duration_noise", _padded(noise, size))
        self._speak_as(runner, manner.speaker)
        runner.run()
        scale = self.settings.length_scale / manner.speed
        frames = np.ceil(np.exp(runner.read("log_duration")[:count].astype(np.float64)) * scale)
        if not np.isfinite(frames).all():
            raise ModelError(f"{self.name}: the lengths of the phonemes are no numbers.")
        whole = np.clip(frames, 1, _LONGEST).astype(np.int64)
        return Prior(runner.read("mean")[:count], runner.read("log_deviation")[:count], whole)

    def say(self, ids: Sequence[int], manner: Manner) -> Iterator[Floats]:
        """The sound of one clause, float32 in [-1, 1], in pieces that join without a seam; the first is short."""
        rng = np.random.default_rng([manner.seed, zlib.crc32(np.asarray(ids, np.int64).tobytes())])
        loud = np.float32(0 if manner.still else 1)
        noise = rng.standard_normal((len(ids), 2), np.float32) * np.float32(self.settings.noise_w) * loud
        prior = self.prior(ids, noise, manner)
        total = int(prior.frames.sum())
        drawn = rng.standard_normal((total, self.settings.channels), np.float32)
        drawn *= np.float32(self.settings.noise_scale) * loud
        yield from self.sound(prior, drawn, manner.speaker)

    def sound(self, prior: Prior, noise: Floats, speaker: int = 0) -> Iterator[Floats]:
        """noise float32 [frames, channels], already scaled; the same pieces for the same input."""
        drawn = np.repeat(prior.mean, prior.frames, 0) + noise * np.exp(
            np.repeat(prior.log_deviation, prior.frames, 0)
        )
        yield from self.vocode(drawn.astype(np.float32, copy=False), speaker)

    def vocode(self, drawn: Floats, speaker: int = 0) -> Iterator[Floats]:
        """Frames drawn from the prior [frames, channels] → sound."""
        total, margin = len(drawn), self.settings.margin
        latents = _Latents(self, drawn, speaker)
        at = 0
        for size in cut(total, self.settings.decode):
            window = np.zeros((size + 2 * margin, self.settings.channels), np.float32)
            first, last = max(0, at - margin), min(total, at + size + margin)
            window[first - at + margin : last - at + margin] = latents.upto(last)[first:last]
            sound = self.decode(window, at, total, size, speaker)
            yield sound[: (total - at) * self.settings.hop]
            at += size

    def decode(self, window: Floats, at: int, total: int, size: int, speaker: int) -> Floats:
        margin = self.settings.margin
        inner = at >= margin and at + size + margin <= total and f"inner_{size}" in self._model.signatures
        runner = self._runner(f"inner_{size}" if inner else f"decode_{size}")
        runner.write("latent", window)
        if not inner:
            runner.write("mask", _inside(at, size, margin, total))
            for number, stage in enumerate(self.settings.stages):
                mask = _inside(at * stage.scale, size * stage.scale, stage.margin, total * stage.scale)
                runner.write(f"mask_{number}", mask)
        self._speak_as(runner, speaker)
        runner.run()
        sound: Floats = runner.read("sound")
        return sound

    def _speak_as(self, runner: Runner, speaker: int) -> None:
        if self.settings.speaker_count > 1:
            runner.write("speaker", np.asarray([speaker], np.int32))

    # -- is it what it was? --------------------------------------------------------------------------------------

    def golden(self, ids: Sequence[int], frames: int) -> dict[str, list[float]]:
        """What the graphs give for these phonemes and `frames` frames of a known signal: what the package keeps."""
        prior = self.prior(ids, np.zeros((len(ids), 2), np.float32), Manner())
        steps = np.arange(frames * self.settings.channels, dtype=np.float64)
        drawn = np.sin(steps * 0.37).reshape(frames, -1).astype(np.float32)
        sound = np.concatenate(list(self.vocode(drawn)))
        return {
            "mean": [float(x) for x in prior.mean[:, 0]],
            "frames": [float(x) for x in prior.frames],
            "sound": [float(x) for x in sound[:: max(1, len(sound) // 64)]],
        }

    def _check(self) -> None:
        golden = self.settings.golden
        try:
            ids, frames, rtol = [int(n) for n in golden["ids"]], int(golden["decoded"]), float(golden["rtol"])
            wanted = {key: np.asarray(golden[key], np.float64) for key in ("mean", "frames", "sound")}
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"{self._model.path}: the golden answers cannot be read ({error}).") from None
        if not wanted["mean"].any():
            return  # being made
        for key, found in self.golden(ids, frames).items():
            values = np.asarray(found)
            if values.shape != wanted[key].shape or not np.isfinite(values).all():
                raise ModelError(f"{self._model.path}: its golden {key} is not what it gives here.", _HINT)
            off = float(np.abs(values - wanted[key]).mean() / max(float(np.abs(wanted[key]).max()), 1e-9))
            if off > rtol:
                raise ModelError(f"{self._model.path}: its {key} is off by {off:.1%}, {rtol:.1%} is allowed.", _HINT)


_HINT = "the file is damaged or the runtime does not fit it: run `noctule doctor`"


class _Latents:
    """The decoder's frames of one clause, made as far as they are needed."""

    def __init__(self, model: PiperModel, drawn: Floats, speaker: int) -> None:
        settings = model.settings
        self._model, self._speaker, self._delay = model, speaker, settings.delay
        self._sizes = settings.flow
        self._total = len(drawn)
        reserve = self._total + self._delay + settings.flow[-1]
        self._drawn = np.zeros((reserve, settings.channels), np.float32)
        self._drawn[: self._total] = drawn
        self._out = np.zeros((reserve + settings.flow[-1], settings.channels), np.float32)
        #: frames read
        self._at = 0

    def upto(self, frames: int) -> Floats:
        """[total, channels], of which at least the first `frames` are made."""
        if self._at == 0:
            self._model._runner(f"flow_{self._sizes[-1]}").zero_state()
        while self._at - self._delay < frames:
            # never further than the clause reaches: what comes after it is work for nothing
            left = self._total + self._delay - self._at
            self._step(next((n for n in reversed(self._sizes) if n <= left), self._sizes[0]))
        return self._out[self._delay : self._delay + self._total]

    def _step(self, size: int) -> None:
        runner = self._model._runner(f"flow_{size}")
        at = self._at
        runner.write("prior", self._drawn[at : at + size])
        known = np.arange(at - self._delay, at + size)
        runner.write("mask", ((known >= 0) & (known < self._total)).astype(np.float32))
        self._model._speak_as(runner, self._speaker)
        runner.run()
        self._out[at : at + size] = runner.read("latent")
        self._at += size


def _inside(start: int, size: int, margin: int, total: int) -> Floats:
    """1 for the steps start - margin … start + size + margin that lie in [0, total)."""
    steps = np.arange(start - margin, start + size + margin)
    return ((steps >= 0) & (steps < total)).astype(np.float32)


def _padded(values: Floats, size: int) -> Floats:
    out = np.zeros((size, *values.shape[1:]), np.float32)
    out[: len(values)] = values
    return out
