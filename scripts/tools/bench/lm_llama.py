"""llama.cpp as an engine of lm_child, through llama-cpp-python's C interface (no Python layer in the step).

Usage: lm_llama.py FILE.gguf '{"threads": 1, "parts": ["decode"], "tokens": 48, "budget": 20}'
"""

from __future__ import annotations

import ctypes
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import llama_cpp as api
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.bench import lm_child

_CONTEXT = 512


@api.llama_log_callback
def _silent(*_: object) -> None:
    """llama.cpp prints pages about the model; errors come back as null pointers and codes."""


class LlamaCpp:
    def __init__(self, path: str, threads: int) -> None:
        api.llama_log_set(_silent, ctypes.c_void_p(0))
        api.llama_backend_init()
        self._model = api.llama_model_load_from_file(path.encode(), api.llama_model_default_params())
        if not self._model:
            raise SystemExit(f"llama.cpp cannot load {path}")
        options = api.llama_context_default_params()
        options.n_ctx = _CONTEXT
        options.n_threads = options.n_threads_batch = threads
        options.n_batch = options.n_ubatch = _CONTEXT
        self._context = api.llama_init_from_model(self._model, options)
        self._vocab = api.llama_vocab_n_tokens(api.llama_model_get_vocab(self._model))
        self._batch = api.llama_batch_init(_CONTEXT, 0, 1)
        self._position = 0

    def prefill(self, tokens: Sequence[int]) -> None:
        if tokens:
            self._run(tokens, logits=False)

    def decode(self, token: int) -> np.ndarray:
        self._run([token], logits=True)
        return np.ctypeslib.as_array(api.llama_get_logits(self._context), (self._vocab,))

    def reset(self) -> None:
        api.llama_memory_clear(api.llama_get_memory(self._context), True)
        self._position = 0

    def _run(self, tokens: Sequence[int], *, logits: bool) -> None:
        batch = self._batch
        batch.n_tokens = len(tokens)
        for i, token in enumerate(tokens):
            batch.token[i], batch.pos[i] = token, self._position + i
            batch.n_seq_id[i], batch.seq_id[i][0] = 1, 0
            batch.logits[i] = int(logits and i == len(tokens) - 1)
        if code := api.llama_decode(self._context, batch):
            raise SystemExit(f"llama_decode failed with {code}")
        self._position += len(tokens)


if __name__ == "__main__":
    plan = json.loads(sys.argv[2])
    lm_child.run(plan, lambda: LlamaCpp(sys.argv[1], plan["threads"]))
