"""What a constraint on a language model's output looks like to the loop that obeys it. The protocol only.

A constraint narrows the next token: before each step the loop asks `mask()`, gives the answer to the sampler,
and tells the constraint which token came out. Grammars, word lists and action formats implement this; the
loop (`text_lm.TextLM.generate`) knows nothing of what they mean.
"""

from __future__ import annotations

from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

#: Which tokens may come next: a boolean array over the vocabulary (True = allowed), or an integer array of
#: the allowed ids (cheaper when few are allowed: the sampler then never looks at the rest).
Mask: TypeAlias = NDArray[np.bool_] | NDArray[np.int32] | NDArray[np.int64]


@runtime_checkable
class Constraint(Protocol):
    """One constraint for one generation; it is spent when the generation ends.

    The loop calls, for each token: `done()`; if false `mask()`, sample, `advance(token)`. The first call
    comes before the first generated token, never for prompt tokens.
    """

    def mask(self) -> Mask | None:
        """Tokens allowed next, or None for all. The array is read before the next call and may be reused.

        A mask that allows nothing is the constraint's error and is reported as one (`ModelError`); a
        constraint that is complete says so through `done()` or allows only a stop token.
        """

    def advance(self, token: int) -> None:
        """`token` was generated; the last mask allowed it. Stop tokens are announced too."""

    def done(self) -> bool:
        """True when the output is complete: nothing more is generated; the finish reason is "stop"."""
