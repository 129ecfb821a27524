"""A loaded pocket-tts package: text to speech by a flow language model and a codec of continuous latents."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from noctule.audio.wavefile import WavReader
from noctule.core.errors import InputError, ModelError
from noctule.inference.manifest import Manifest, check_signatures, load_manifest
from noctule.inference.runtime import Model
from noctule.lm.speech.graph_file import open_graph_file
from noctule.lm.speech.pocket.backbone import Backbone, VoiceState
from noctule.lm.speech.pocket.latents import LatentDecoder, VoiceEncoder
from noctule.lm.speech.pocket.sampler import SamplerHead
from noctule.lm.speech.pocket.settings import KIND, PocketSettings
from noctule.lm.speech.pocket.voice_state import LONGEST_SECONDS, ending_on_pause, in_frames, read_state
from noctule.lm.speech.realtime import FrameCost, Verdict, judge, median_ms
from noctule.lm.tokenizer import Tokenizer

Floats = NDArray[np.float32]
_HINT = "the file is damaged or the runtime does not fit it: run `noctule doctor`"
#: steps already read where a frame is measured: a voice of a few seconds and a sentence
_PROBE_STEPS = 200


class PocketModel:
    """One package. Its parts keep the state of one text at a time, and belong to one thread."""

    def __init__(self, manifest: Manifest, model: Model) -> None:
        if manifest.tokenizer is None:
            raise ModelError(f"{manifest.folder}: the package has no tokenizer")
        self.manifest, self.model = manifest, model
        self.settings = PocketSettings.of(manifest)
        check_signatures(manifest, model.signatures)
        self.tokenizer = Tokenizer.load(manifest.path(manifest.tokenizer.file), manifest.tokenizer)
        self.backbone, self.sampler = Backbone(model), SamplerHead(model, self.settings)
        self.decoder = LatentDecoder(model)

    @classmethod
    def load(cls, folder: Path | str, *, threads: int = 1, cache_dir: Path | None = None) -> PocketModel:
        """Verify and load a package, and compare its golden frames. ModelError, one sentence, when it is unfit."""
        manifest = load_manifest(folder, KIND)

        def build(model: Model) -> PocketModel:
            loaded = cls(manifest, model)
            loaded.check_golden()
            return loaded

        return open_graph_file(manifest, threads, cache_dir, build)

    @property
    def name(self) -> str:
        return self.manifest.name

    def close(self) -> None:
        self.model.close()

    # -- voices -----------------------------------------------------------------------------------------------

    def voice(self, wanted: str = "") -> VoiceState | None:
        """The state after reading a voice: one of the package's by name, a .safetensors state or a .wav recording by
        path; "" for the package's first, None where it has none. Raises InputError."""
        own = self.settings.voices
        if not wanted:
            return self._state(self.manifest.path(next(iter(own.values())))) if own else None
        if wanted in own:
            return self._state(self.manifest.path(own[wanted]))
        path = Path(wanted)
        if path.suffix.lower() == ".wav":
            return self._recorded(path)
        if path.suffix.lower() != ".safetensors":
            known = ", ".join(own) or "none"
            raise InputError(
                f"{self.name} has no voice {wanted!r} (it has: {known})",
                "name one of them, or a .safetensors or .wav",
            )
        return self._state(path)

    def _state(self, path: Path) -> VoiceState:
        return read_state(path, self.backbone.layers, self.backbone.shape)

    def _recorded(self, path: Path) -> VoiceState:
        if "encode" not in self.model.signatures:
            raise InputError(
                f"{self.name} cannot read a voice from a recording: its checkpoint had no encoder",
                "give a .safetensors voice made for this model",
            )
        s = self.settings
        with WavReader(path) as wav:
            blocks, length = [], 0
            same = wav.format.sample_rate == s.sample_rate
            for block in wav.blocks(s.frame_samples) if same else wav.at_rate(s.sample_rate, s.frame_samples):
                blocks.append(block)
                length += len(block)
                if length >= LONGEST_SECONDS * s.sample_rate:
                    break
        if length < s.frame_samples:
            raise InputError(f"{path} is too short to be a voice: a second of clear speech is the least")
        return self.clone(np.concatenate(blocks)[: int(LONGEST_SECONDS * s.sample_rate)])

    def clone(self, pcm: Floats) -> VoiceState:
        """The state after reading a recording, float32 [samples] at the model's rate."""
        encoder = VoiceEncoder(self.model)
        frames = in_frames(ending_on_pause(pcm, self.settings.sample_rate), self.settings.frame_samples)
        rows = [encoder.step(frame) for frame in frames]
        if self.settings.voice_start is not None:
            rows.insert(0, self.settings.voice_start)
        self.backbone.begin()
        self.backbone.prompt(np.stack(rows))
        return self.backbone.state()

    # -- checks -----------------------------------------------------------------------------------------------

    def check_golden(self) -> None:
        """Run the package's own tokens and noise; ModelError when they come out otherwise than where it was made."""
        golden, where = self.settings.golden, self.model.path
        if not golden:
            raise ModelError(f"{where}: the package has no golden frames, so it cannot be told whether it works here")
        try:
            rtol, tokens = float(golden["rtol"]), [int(t) for t in golden["tokens"]]
            wanted = {part: np.asarray(golden[part], np.float32) for part in ("hidden", "latent", "pcm")}
            peaks = {part: float(golden["peak"][part]) for part in wanted}
            seed, frames = int(golden["seed"]), len(wanted["hidden"])
        except (KeyError, TypeError, ValueError) as e:
            raise ModelError(f"{where}: the golden frames cannot be read ({type(e).__name__}: {e})") from None
        found = self.golden_frames(tokens, seed, frames)
        for part, values in wanted.items():
            head = found[part][:, : values.shape[1]]
            off = float(np.abs(head - values).max()) / peaks[part] if np.isfinite(found[part]).all() else np.inf
            if not off <= rtol or not found[part].any():
                raise ModelError(
                    f"{where}: the golden frames give another {part} on this machine (off by {off:.1%} of its peak,"
                    f" {rtol:.1%} is allowed)",
                    _HINT,
                )

    def golden_frames(self, tokens: list[int], seed: int, frames: int) -> dict[str, Floats]:
        """`hidden`, `latent` and `pcm` of the first frames after a prompt, with seeded noise, [frames, …] each. The
        latents that are fed back are noise too, so that one frame's error does not become the next one's."""
        rng = np.random.default_rng(seed)
        backbone, decoder = self.backbone, self.decoder
        backbone.begin()
        backbone.prompt(backbone.text(tokens))
        decoder.reset()
        latent = self.settings.bos
        found: dict[str, list[Floats]] = {"hidden": [], "latent": [], "pcm": []}
        for _ in range(frames):
            hidden, _ = backbone.step(latent)
            noise = rng.standard_normal(len(latent)).astype(np.float32)
            found["hidden"].append(hidden.reshape(-1))
            found["latent"].append(self.sampler.sample(hidden, noise))
            latent = rng.standard_normal(len(latent)).astype(np.float32)
            found["pcm"].append(decoder.step(latent))
        return {part: np.stack(values) for part, values in found.items()}

    def probe(self, policy: str, frames: int = 9) -> Verdict:
        """Measure a frame here and now, and judge it. Raises UnavailableError where the policy refuses."""
        backbone, latent = self.backbone, self.settings.bos
        backbone.begin(room=min(_PROBE_STEPS, backbone.context))
        noise = np.zeros_like(latent)

        def speak() -> None:
            hidden, _ = backbone.step(latent)
            self.sampler.sample(hidden, noise)

        self.decoder.reset()
        spoken, decoded = median_ms(speak, frames), median_ms(lambda: self.decoder.step(latent), frames)
        cost = FrameCost(spoken, 0.0, decoded)
        return judge(cost, 0, 1000.0 / self.settings.frame_rate, policy=policy)
