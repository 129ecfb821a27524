"""Work for helper processes in tests; importable, because helpers are spawned."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass

import numpy as np

from builders.common.pool import Arrays


@dataclass(frozen=True)
class Spec:
    seed: int


def crash_then_answer(spec: Spec) -> Arrays:
    """Die as a C library would with small seeds, answer with others."""
    if spec.seed < 1000:
        os.kill(os.getpid(), signal.SIGSEGV)
    return {"seed": np.array(spec.seed)}


def fail(_spec: Spec) -> Arrays:
    raise ValueError("cannot say")
