"""How far a package is from `pocket_tts`: the same voice, text and noise through both."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from builders.export.pocket.checkpoint import PocketCheckpoint
from builders.export.pocket.config import FLOW_TYPES, read_config
from builders.export.pocket.package import Options, export_pocket
from builders.export.pocket.reference import Reference, Run
from noctule.lm.speech.pocket.backbone import VoiceState
from noctule.lm.speech.pocket.model import PocketModel
from noctule.lm.speech.pocket.speech import PocketSpeech

Floats = npt.NDArray[np.float32]
TEXT = "hello there. This is what it says, and it costs 3.50 or so; then it ends! does it"


@dataclass(frozen=True)
class Gap:
    """Largest distances over all frames: hidden, latent and voice relative to the largest value, sound absolute
    (its peak beside it). ends: decisions that differ; samples: of a whole text, spoken by both; chunks: cut alike."""

    hidden: float
    latent: float
    pcm: float
    peak: float
    voice: float
    ends: int
    frames: int
    samples: tuple[int, int]
    spoken: float
    chunks: bool

    @property
    def fits(self) -> bool:
        """Within what float32 is held to."""
        return (
            max(self.hidden, self.latent) <= 1e-4
            and max(self.pcm, self.spoken) <= 1e-3
            and self.ends == 0
            and self.samples[0] == self.samples[1]
            and self.chunks
        )

    def __str__(self) -> str:
        return (
            f"conditioning {self.hidden:.1e}, latents {self.latent:.1e}, voice {self.voice:.1e} (relative); "
            f"sound {self.pcm:.1e} of a peak of {self.peak:.2g}; {self.ends} of {self.frames} ends differ; "
            f"a whole text: {self.samples[0]} and {self.samples[1]} samples, {self.spoken:.1e} apart; "
            f"chunks {'equal' if self.chunks else 'DIFFER'}"
        )


def compare(
    config: Path,
    options: Options,
    frames: int = 100,
    seed: int = 3,
    *,
    forced: bool = False,
    voice_file: Path | None = None,
) -> Gap:
    """Export the checkpoint beside `config` and run both. voice_file: a saved voice; by default both read one from
    noise, or speak without one where the checkpoint has no encoder. forced: each frame of ours follows the
    reference's latent, which tells int8's own error from what it leads to."""
    c = read_config(config)
    steps = options.steps or FLOW_TYPES[c.flow][1]
    rng = np.random.default_rng(seed)
    noise = (rng.standard_normal((frames, c.mimi.latent)) * np.sqrt(c.temperature)).astype(np.float32)
    clones = PocketCheckpoint(config.parent / c.weights, c).clones
    pcm = (0.3 * rng.standard_normal(2 * c.mimi.sample_rate // 3)).astype(np.float32)
    tokens = [int(t) for t in rng.integers(1, c.bins, 21)]
    theirs = Reference(config, steps)
    state = theirs.saved(voice_file) if voice_file else theirs.state(pcm if clones else None)
    wanted = theirs.run(state, tokens, noise)
    threshold = float(np.median(wanted.end))
    said = theirs.say(state, TEXT, noise[0], threshold)
    with tempfile.TemporaryDirectory() as scratch:
        export_pocket(config.parent, Path(scratch) / "package", options, lambda _: None)
        model = PocketModel.load(Path(scratch) / "package")
        voice = model.voice(str(voice_file)) if voice_file else model.clone(pcm) if clones else None
        apart = 0.0
        if voice is not None:
            their = state["transformer.layers.0.self_attn"]["cache"][1, 0, : voice.length].float().numpy()
            apart = _relative(voice.values[0][0].transpose(2, 0, 1), their)
        found = run(model, voice, tokens, noise, wanted.latent if forced else None)
        speech = PocketSpeech(model, voice, noise=lambda: noise[0], threshold=threshold)
        speech.add(TEXT)
        spoken = []
        while not speech.done:
            frame = speech.step()
            if frame is not None:
                spoken.append(frame)
        ours = np.concatenate(spoken)
        own = PocketSpeech(model, voice)
        own.add(TEXT)
        chunks = [(c.text, c.tokens, c.frames_after_end) for c in own._waiting]
        model.close()
    shared = min(len(ours), len(said))
    return Gap(
        hidden=_relative(found.hidden, wanted.hidden),
        latent=_relative(found.latent, wanted.latent),
        pcm=float(np.abs(found.pcm - wanted.pcm).max()),
        peak=float(np.abs(wanted.pcm).max()),
        voice=apart,
        ends=int(((found.end > threshold) != (wanted.end > threshold)).sum()),
        frames=frames,
        samples=(len(ours), len(said)),
        spoken=float(np.abs(ours[:shared] - np.clip(said[:shared], -1, 1)).max()),
        chunks=chunks == theirs.chunks(TEXT),
    )


def run(
    model: PocketModel, voice: VoiceState | None, tokens: list[int], noise: Floats, follow: Floats | None = None
) -> Run:
    """As `Reference.run`; follow: latents to feed back instead of our own."""
    backbone, decoder = model.backbone, model.decoder
    backbone.begin(voice)
    backbone.prompt(backbone.text(tokens))
    decoder.reset()
    latent = model.settings.bos
    found: list[tuple[Floats, float, Floats, Floats]] = []
    for i, row in enumerate(noise):
        hidden, end = backbone.step(latent)
        own = model.sampler.sample(hidden, row)
        latent = own if follow is None else follow[i]
        found.append((hidden.reshape(-1), end, own, decoder.step(latent)))
    hiddens, ends, latents, sounds = zip(*found, strict=True)
    return Run(np.stack(hiddens), np.asarray(ends, np.float32), np.stack(latents), np.stack(sounds))


def _relative(found: Floats, wanted: Floats) -> float:
    return float(np.abs(found - wanted).max() / np.abs(wanted).max())
