"""One wake model as a stream of scores: int8 frames in, a probability every `stride` frames out.

The state (past activations) lives in resource variables inside the graph. `reset_all_variables()` leaves them as
they are in the runtimes we know (FACTS §5), so a reset loads the graph again; it takes a few milliseconds.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from noctule.core.errors import ModelError
from noctule.inference.runtime import Model, Runner, load_model
from noctule.wake.features import CHANNELS


class WakeModel:
    """A loaded microWakeWord v2 graph: input int8 [1, stride, 40], output uint8 [1, 1] (score * 256)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._model: Model | None = None
        self._open()

    def _open(self) -> None:
        model = load_model(self.path, threads=1)
        try:
            self._runner = self._checked_runner(model)
        except ModelError:
            model.close()
            raise
        self._model = model

    def _checked_runner(self, model: Model) -> Runner:
        if len(model.signatures) != 1:
            raise ModelError(f"{self.path}: a wake model has one signature, this one has {len(model.signatures)}")
        name, signature = next(iter(model.signatures.items()))
        if len(signature.inputs) != 1 or len(signature.outputs) != 1:
            raise ModelError(f"{self.path}: a wake model has one input and one output")
        (self._input, fed), (self._output, told) = *signature.inputs.items(), *signature.outputs.items()
        if fed.dtype != np.int8 or len(fed.shape) != 3 or fed.shape[0] != 1 or fed.shape[2] != CHANNELS:
            raise ModelError(f"{self.path}: takes {fed}; a microWakeWord v2 model takes int8[1, frames, 40]")
        if told.dtype != np.uint8 or told.size != 1:
            raise ModelError(f"{self.path}: answers {told}; a microWakeWord v2 model answers uint8[1, 1]")
        #: frames that one inference takes.
        self.stride = fed.shape[1]
        return model.runner(name)

    def reset(self) -> None:
        """Back to the state of a fresh load."""
        self.close()
        self._open()

    def close(self) -> None:
        """Free the graph; `reset` opens it again."""
        if self._model is not None:
            self._model.close()
            self._model = None

    def score(self, frames: NDArray[np.int8]) -> float:
        """Feed the next `stride` frames, int8 [stride, 40]; the score, 0 … 255/256."""
        self._runner.write(self._input, frames[np.newaxis])
        self._runner.run()
        return int(self._runner.read(self._output).flat[0]) / 256.0
