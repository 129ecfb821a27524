"""The streaming audio codec: 80 ms of sound to one token per codebook, and back. Package contract in docs/.

Encoder and decoder each keep their own state inside the runtime; a step moves only one frame of samples and one
frame of tokens. Model: Mimi (Défossez et al., arXiv 2410.00037, section 3.3).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noctule.core.checked_json import JsonNode
from noctule.core.errors import InputError, ModelError
from noctule.inference.manifest import Manifest, check_signatures, load_manifest
from noctule.inference.runtime import Model, Runner
from noctule.lm.speech.graph_file import open_graph_file
from noctule.lm.speech.streams import Tokens

Samples = NDArray[np.float32]


#: the largest number a package may give.
MOST = 1 << 24


@dataclass(frozen=True)
class CodecShape:
    """sample_rate in Hz; frame_samples in a frame; n_q codebooks of `card` entries; frame_rate in frames a second."""

    sample_rate: int
    frame_samples: int
    n_q: int
    card: int
    frame_rate: float

    @classmethod
    def of(cls, manifest: Manifest) -> CodecShape:
        where = manifest.folder / "manifest.json"
        table = JsonNode(str(where), "", manifest.raw).get("codec")
        shape = cls(
            table.get("sample_rate").integer(1, MOST),
            table.get("frame_samples").integer(1, MOST),
            table.get("n_q").integer(1, MOST),
            table.get("card").integer(1, MOST),
            table.get("frame_rate").positive(),
        )
        if abs(shape.sample_rate / shape.frame_samples - shape.frame_rate) > 1e-6 * shape.frame_rate:
            raise ModelError(
                f"{where}: codec: {shape.sample_rate} Hz in frames of {shape.frame_samples} samples is not"
                f" {shape.frame_rate:g} frames a second"
            )
        return shape


class _Stream:
    """One direction of one conversation: a signature, its states, and the frame count."""

    def __init__(self, model: Model, signature: str, shape: CodecShape) -> None:
        found = model.signature(signature)
        self._states = [name for name in found.inputs if name in found.outputs]
        self._runner: Runner = model.runner(signature, alias={name: name for name in self._states})
        self._shape = shape
        self._position = 0

    @property
    def n_q(self) -> int:
        return self._shape.n_q

    @property
    def sample_rate(self) -> int:
        return self._shape.sample_rate

    @property
    def frame_samples(self) -> int:
        return self._shape.frame_samples

    @property
    def frames(self) -> int:
        """Frames since the last reset."""
        return self._position

    def reset(self) -> None:
        """Back to silence."""
        self._runner.zero_state()
        self._position = 0

    def _run(self) -> Runner:
        self._runner.write("input_pos", np.asarray([self._position], np.int32))
        self._runner.run()
        self._position += 1
        return self._runner


class Encoder(_Stream):
    """Sound to tokens."""

    def __init__(self, model: Model, shape: CodecShape) -> None:
        super().__init__(model, "encode", shape)

    def step(self, pcm: Samples) -> Tokens:
        """One frame, float32 [frame_samples] in [-1, 1] → codes int32 [n_q]."""
        if pcm.shape != (self._shape.frame_samples,):
            raise InputError(f"a frame is {self._shape.frame_samples} samples, got an array of {list(pcm.shape)}")
        self._runner.write("pcm", np.ascontiguousarray(pcm, dtype=np.float32)[None, None])
        codes: Tokens = self._run().read("codes").reshape(-1)
        return codes


class Decoder(_Stream):
    """Tokens to sound."""

    def __init__(self, model: Model, shape: CodecShape) -> None:
        super().__init__(model, "decode", shape)

    def step(self, codes: Tokens) -> Samples:
        """One frame, int32 [n_q] → float32 [frame_samples]; may swing a little beyond [-1, 1].

        The code `card` means that this codebook is not given.
        """
        shape = self._shape
        if codes.shape != (shape.n_q,):
            raise InputError(f"a frame is {shape.n_q} codes, got an array of {list(codes.shape)}")
        if int(codes.min()) < 0 or int(codes.max()) > shape.card:
            raise InputError(f"codes run from {codes.min()} to {codes.max()}, but the codec has {shape.card}")
        self._runner.write("codes", codes.astype(np.int32)[None])
        pcm: Samples = self._run().read("pcm").reshape(-1)
        return pcm


class Codec:
    """A loaded codec package. `encoder()` and `decoder()` make independent streams over one set of weights."""

    def __init__(self, manifest: Manifest, model: Model) -> None:
        self.manifest, self.model = manifest, model
        self.shape = CodecShape.of(manifest)
        check_signatures(manifest, model.signatures)
        for name in ("encode", "decode"):
            if name in model.signatures and "input_pos" not in model.signature(name).inputs:
                raise ModelError(f"{model.path}: {name!r} takes no input_pos, so it cannot stream")

    @classmethod
    def load(cls, folder: Path | str, *, threads: int = 1, cache_dir: Path | None = None) -> Codec:
        """Verify and load a package, and compare its golden frames. ModelError, one sentence, when it is unfit."""
        manifest = load_manifest(folder, "codec")

        def build(model: Model) -> Codec:
            codec = cls(manifest, model)
            codec.check_golden()
            return codec

        return open_graph_file(manifest, threads, cache_dir, build)

    def encoder(self) -> Encoder:
        return Encoder(self.model, self.shape)

    def decoder(self) -> Decoder:
        return Decoder(self.model, self.shape)

    def close(self) -> None:
        self.model.close()

    def check_golden(self) -> None:
        """Run the package's own seeded frames through both directions; ModelError when they come out otherwise."""
        golden: dict[str, Any] | None = self.manifest.raw["codec"].get("golden")
        where = self.model.path
        if not golden:
            raise ModelError(f"{where}: the package has no golden frames, so it cannot be told whether it works here")
        try:
            wanted = np.asarray(golden["codes"], np.int32)
            heads = np.asarray(golden["pcm"], np.float32)
            peak = np.asarray(golden["peak"], np.float32)
            rtol, seed = float(golden["rtol"]), int(golden["seed"])
        except (KeyError, TypeError, ValueError) as e:
            raise ModelError(f"{where}: the golden frames cannot be read ({type(e).__name__}: {e})") from None
        encoder, decoder = self.encoder(), self.decoder()
        noise = golden_pcm(seed, len(wanted), self.shape.frame_samples)
        codes = np.stack([encoder.step(frame) for frame in noise])
        agree = float((codes == wanted).mean())
        if agree < _GOLDEN_CODES:
            raise ModelError(
                f"{where}: only {agree:.0%} of the golden codes come out right on this machine",
                "the runtime does not fit the file: run `noctule doctor`",
            )
        pcm = np.stack([decoder.step(frame) for frame in wanted])
        worst = float((np.abs(pcm[:, : heads.shape[1]] - heads).max(axis=1) / peak).max())
        if not np.isfinite(pcm).all() or worst > rtol or not pcm.any():
            raise ModelError(
                f"{where}: the golden frames decode to other sound on this machine (off by {worst:.1%} of its peak,"
                f" {rtol:.1%} is allowed)",
                "the runtime does not fit the file: run `noctule doctor`",
            )


#: share of golden codes that must agree: a residual quantiser's last codebooks turn on the last bit of a float.
_GOLDEN_CODES = 0.75


def golden_pcm(seed: int, frames: int, samples: int) -> Samples:
    """The seeded noise golden frames are made of, float32 [frames, samples]."""
    noise = np.random.default_rng(seed)
    return np.stack([noise.uniform(-0.5, 0.5, samples).astype(np.float32) for _ in range(frames)])
