"""The decoder over one utterance: a tree of tokens in one cache, several of its leaves a step.

A node is a token that was fed; its id is the slot its key and value lie in. Each row of a step sees the nodes on its
own way back to the root and nothing else, by a mask, so that following another reading moves no memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from noctule.core.errors import InputError, ModelError
from noctule.lm.speech.moonshine.shape import HIDDEN, BucketShape

FloatArray = NDArray[np.float32]


class Steps(Protocol):
    """The graphs that decode over one length of sound. rows: how many at once, ascending; whole: slots of the cache,
    with those that padding may write to; tenant: the decoding that the cache belongs to."""

    shape: BucketShape
    rows: tuple[int, ...]
    whole: int
    tenant: RowDecoder | None

    def run(
        self, tokens: Sequence[int], positions: Sequence[int], mask: FloatArray, slot: int, count: int
    ) -> tuple[FloatArray, FloatArray]:
        """One step of as many rows as tokens; the first `count` rows of logits and of attention."""


class RowDecoder:
    """See the module. Belongs to the thread that uses the model; a later `EncodedUtterance.decoder` over the same
    length of sound ends it, and a step of it is then a ModelError."""

    def __init__(self, bucket: Steps) -> None:
        self._bucket = bucket
        self.max_rows = bucket.rows[-1]
        self.slots = bucket.shape.slots
        self._used = 0
        whole = bucket.whole
        #: [node, slot]: 0 where the node may look, HIDDEN elsewhere
        self._sight: FloatArray = np.full((whole, whole), HIDDEN, np.float32)
        #: [row, frame] of the last step: how much each row attended to each frame of the sound
        self.heard: FloatArray = np.zeros((0, bucket.shape.frames), np.float32)

    @property
    def fed(self) -> int:
        """Tokens fed so far, and the number of the next node."""
        return self._used

    @property
    def room(self) -> int:
        """Tokens that can still be fed."""
        return self.slots - self._used

    def step(
        self, tokens: Sequence[int], parents: Sequence[int], positions: Sequence[int]
    ) -> tuple[FloatArray, list[int]]:
        """Feed tokens[i] as a child of node parents[i] (-1 for the root) at positions[i].

        Nodes are numbered in the order they are fed, from `fed` on, so that a parent may stand in the same step
        before its child: words that are known go in at once. Returns the log-softmax over what may follow, float32
        [len(tokens), vocab], and the new nodes. Raises InputError when there are no tokens or more than `max_rows`,
        or when the slots are used up.
        """
        count = len(tokens)
        if not 1 <= count <= self.max_rows or not count == len(parents) == len(positions):
            raise InputError(f"a step takes 1 to {self.max_rows} tokens with as many parents, not {count}")
        if count > self.room:
            raise InputError(f"the {self.slots} tokens that fit beside this sound are used up")
        if self._bucket.tenant is not self:
            raise ModelError("another decoding over this length of sound has begun: this one is over")
        rows = next(n for n in self._bucket.rows if n >= count)
        nodes = list(range(self._used, self._used + count))
        for node, parent in zip(nodes, parents, strict=True):
            if parent >= node:
                raise InputError(f"node {parent} does not exist yet")
            self._sight[node] = self._sight[parent] if parent >= 0 else HIDDEN
            self._sight[node, node] = 0.0
        mask = np.full((rows, self._sight.shape[1]), HIDDEN, np.float32)
        mask[:count] = self._sight[nodes]
        logits, self.heard = self._bucket.run(
            _filled(tokens, rows), _filled(positions, rows), mask, self._used, count
        )
        self._used += count
        return log_softmax(logits), nodes


def _filled(values: Sequence[int], rows: int) -> list[int]:
    return [*values, *[0] * (rows - len(values))]


def log_softmax(logits: FloatArray) -> FloatArray:
    """Natural logarithm of the softmax over the last axis, float32."""
    shifted: FloatArray = logits - logits.max(axis=-1, keepdims=True)
    total = np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return np.asarray(shifted - total, np.float32)
