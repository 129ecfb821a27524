"""A Moonshine package, verified and loaded: sound in, an utterance over which decodings can be begun out.

Silence is put behind the sound before it is encoded: the model was trained on whole utterances, and one that stops
with its last word makes the decoder loop. What is not sound takes no part in the encoder's statistics.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from noctule.core.errors import InputError, ModelError
from noctule.inference.manifest import Manifest, check_signatures, load_manifest
from noctule.inference.page_cache import give_back
from noctule.inference.runtime import Model
from noctule.lm.speech.graph_file import open_graph_file
from noctule.lm.speech.moonshine.buckets import Bucket
from noctule.lm.speech.moonshine.golden import check_golden
from noctule.lm.speech.moonshine.rows import FloatArray, RowDecoder
from noctule.lm.speech.moonshine.shape import RATE, RecogniserShape
from noctule.lm.speech.moonshine.tokenizer import MoonshineTokenizer

KIND = "speech-to-text"
#: seconds of silence behind the sound: at least, and at most where the bucket has room
_SILENCE = (0.5, 1.0)


class EncodedUtterance:
    """What the encoder heard. seconds: of the sound, without the silence put behind it."""

    def __init__(
        self, bucket: Bucket, heard: Mapping[str, NDArray[np.float32]], seconds: float, tokenizer: MoonshineTokenizer
    ) -> None:
        self._bucket, self._heard = bucket, heard
        self.seconds, self.tokenizer = seconds, tokenizer

    def decoder(self) -> RowDecoder:
        """A fresh decoding state over this utterance; the one begun before it, over sound of about this length, is
        over."""
        return self._bucket.begin(self._heard)


class MoonshineModel:
    """See the module. One per process, used by one thread at a time."""

    def __init__(self, manifest: Manifest, model: Model, tokenizer: MoonshineTokenizer) -> None:
        self.manifest, self.model, self.tokenizer = manifest, model, tokenizer
        self.shape = RecogniserShape.of(str(manifest.folder / "manifest.json"), manifest.raw)
        check_signatures(manifest, model.signatures)
        shape = self.shape
        self._buckets = [Bucket(model, bucket, shape.rows, shape.layers) for bucket in shape.buckets]
        check_golden(self._buckets[0], shape.golden, str(model.path))

    @classmethod
    def load(cls, folder: Path | str, *, threads: int = 1, cache_dir: Path | None = None) -> MoonshineModel:
        """Verify and load a package; ModelError, one sentence, when it is unfit.

        cache_dir: an existing folder for XNNPACK's repacked weights, which all graphs share; without one a temporary
        file takes its place, because every graph would otherwise hold its own copy.
        """
        manifest = load_manifest(folder, KIND)
        info = manifest.tokenizer
        if info is None or info.bos is None or len(info.eos) != 1:
            raise ModelError(f"{manifest.folder}: the package has no tokenizer with a beginning and an end")
        path = manifest.path(info.file)
        special = frozenset(info.control.values())
        tokenizer = MoonshineTokenizer.load(path, bos=info.bos, eos=info.eos[0], special=special)
        if tokenizer.vocab_size != info.vocab_size:
            raise ModelError(f"{path}: holds {tokenizer.vocab_size} pieces, the manifest says {info.vocab_size}")

        def build(model: Model) -> MoonshineModel:
            built = cls(manifest, model, tokenizer)
            give_back(model.path)
            return built

        if cache_dir is not None:
            return open_graph_file(manifest, threads, cache_dir, build)
        with tempfile.TemporaryDirectory(prefix="noctule-") as passing:  # mapped once loaded: it may go
            return open_graph_file(manifest, threads, Path(passing), build)

    @property
    def longest(self) -> float:
        """Seconds of sound that fit one utterance, with the silence behind them."""
        return self.shape.longest - _SILENCE[0]

    def encode(self, pcm: FloatArray) -> EncodedUtterance:
        """float32 [samples], 16 kHz mono in [-1, 1]. Raises InputError when it is longer than the longest bucket or
        holds values that are not numbers."""
        samples = len(pcm)
        least = samples + round(_SILENCE[0] * RATE)
        bucket = next((b for b in self._buckets if b.shape.samples >= least), self._buckets[-1])
        if samples > bucket.shape.samples:
            raise InputError(
                f"{samples / RATE:.1f} s of sound are more than the {self.shape.longest:g} s that fit one utterance"
            )
        if not np.isfinite(pcm).all():
            raise InputError("the sound holds values that are not numbers")
        silent = min(bucket.shape.samples, samples + round(_SILENCE[1] * RATE)) - samples
        sound = np.concatenate([pcm.astype(np.float32, copy=False), np.zeros(silent, np.float32)])
        return EncodedUtterance(bucket, bucket.encode(sound), samples / RATE, self.tokenizer)

    def close(self) -> None:
        """Free the graphs; utterances and decoders must not be used any more."""
        self._buckets = []
        self.model.close()
