"""The graphs of one length of sound, made ready when the first sound of that length comes. One thread at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from noctule.inference.runtime import Buffers, Model, Runner
from noctule.lm.speech.moonshine.rows import FloatArray, RowDecoder
from noctule.lm.speech.moonshine.shape import BucketShape, frames_of


class Bucket:
    """Encoder and decoders for one length. whole: slots of the cache, with those that padding may write to."""

    def __init__(self, model: Model, shape: BucketShape, rows: Sequence[int], layers: int) -> None:
        self._model, self.shape, self.rows = model, shape, tuple(rows)
        self._crossed = [f"cross_{kind}_{i}" for i in range(layers) for kind in "kv"]
        kept = [f"{kind}_{i}" for i in range(layers) for kind in "kv"]
        self._alias: dict[str, str | None] = {name: name for name in kept}
        self._alias.update(dict.fromkeys([*self._crossed, "valid"]))
        self._encoder: Runner | None = None
        self._decoders: dict[int, Runner] = {}
        self._state: Buffers | None = None
        self._holds: object = None
        #: the decoding that the cache belongs to
        self.tenant: RowDecoder | None = None
        self.whole = shape.slots + self.rows[-1]

    def encode(self, pcm: FloatArray) -> dict[str, NDArray[np.float32]]:
        """Keys and values of the sound, float32 [samples] that fit, with `valid`; by the decoder's input names."""
        if self._encoder is None:
            self._encoder = self._model.runner(self.shape.encoder)
        first, _, last = frames_of(len(pcm))
        valid = np.array([[first, last]], np.float32)
        audio = np.zeros((1, self.shape.samples), np.float32)
        audio[0, : len(pcm)] = pcm
        self._encoder.write("audio", audio)
        self._encoder.write("valid", valid)
        self._encoder.run()
        return {"valid": valid, **{name: self._encoder.read(name) for name in self._crossed}}

    def begin(self, heard: Mapping[str, NDArray[np.float32]]) -> RowDecoder:
        """A fresh decoding over what `encode` gave."""
        if self._holds is not heard:
            runner = self._decoder(1)
            for name, value in heard.items():
                runner.write(name, value)
            self._holds = heard
        self.tenant = RowDecoder(self)
        return self.tenant

    def run(
        self, tokens: Sequence[int], positions: Sequence[int], mask: FloatArray, slot: int, count: int
    ) -> tuple[FloatArray, FloatArray]:
        """One step of as many rows as tokens; the first `count` rows of logits and of attention."""
        runner = self._decoder(len(tokens))
        runner.write("tokens", np.asarray(tokens, np.int32))
        runner.write("positions", np.asarray(positions, np.float32))
        runner.write("mask", mask[None, None])
        runner.write("slot", np.array([slot], np.int32))
        runner.run()
        return runner.read("logits")[:count], runner.read("heard")[:count]

    def _decoder(self, rows: int) -> Runner:
        if rows not in self._decoders:
            runner = self._model.runner(self.shape.decoder(rows), alias=self._alias, share=self._state)
            self._state = runner.state
            self._decoders[rows] = runner
        return self._decoders[rows]
