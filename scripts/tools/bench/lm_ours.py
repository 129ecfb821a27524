"""A Noctule text-lm package as an engine of lm_child: the daemon's own graph, opened and verified as the daemon does.

Usage: lm_ours.py PACKAGE '{"threads": 1, "parts": ["decode"], "tokens": 48, "budget": 20, "cache": "FOLDER"}'
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

_SCRIPTS = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(_SCRIPTS), str(_SCRIPTS.parent / "daemon")]

from noctule.lm.text.package import open_text_package  # noqa: E402
from tools.bench import lm_child  # noqa: E402


class Ours:
    """One sequence in a `TextGraph`."""

    def __init__(self, package: Path, threads: int, cache: Path) -> None:
        cache.mkdir(parents=True, exist_ok=True)
        self._graph = open_text_package(package, threads=threads, cache_dir=cache).graph
        self._position = 0

    def prefill(self, tokens: Sequence[int]) -> None:
        done, start = 0, self._position
        self._graph.reserve(start + len(tokens), start)
        while done < len(tokens):
            done += self._graph.prefill(tokens[done:], start + done)
        self._position += done

    def decode(self, token: int) -> np.ndarray:
        self._graph.reserve(self._position + 1, self._position)
        logits = self._graph.decode(token, self._position)
        self._position += 1
        return logits

    def reset(self) -> None:
        self._position = 0


if __name__ == "__main__":
    plan = json.loads(sys.argv[2])
    lm_child.run(plan, lambda: Ours(Path(sys.argv[1]), plan["threads"], Path(plan["cache"])))
