"""Beam search over the text stream of a speech-to-text model: several readings of the same sound side by side.

A model that reads back what it has written goes on wrongly after one wrong word. So the likeliest few readings are
kept, each with a KV cache of its own; those that say the same words are one, the likelier of them (recombination, as
in A. Graves, *Sequence transduction with recurrent neural networks*, arXiv 1211.3711, section 2.5). What all of them
agree on is certain, and what is older than `LAG_SECONDS` in the likeliest is made so: the others are dropped.

    beam.step(codes)            # a frame
    beam.take_certain()         # what is written for good
    beam.readings()             # what is open: the rest of each reading, with its share
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from noctule.core.errors import ModelError
from noctule.lm.speech.graph import Temporal
from noctule.lm.speech.streams import Rows, StreamLayout, Tokens

#: continuations of a reading that are looked at in a frame.
BRANCHES = 4
#: natural logarithms by which a reading may be less likely than the likeliest before it is dropped.
MARGIN = 8.0
#: seconds after which the likeliest reading's words are final.
LAG_SECONDS = 4.0


@dataclass(frozen=True)
class Written:
    """A token of the text stream that is not padding. frame: how many frames of the audio had been read."""

    token: int
    frame: int
    probability: float


@dataclass(frozen=True)
class Path:
    """One reading. written: what is not certain yet; words: its tokens, without marks before words, which tell two
    readings apart; reads: the token to be read next; last: the frame at which a token was written last; total: word
    tokens ever written."""

    written: tuple[Written, ...] = ()
    words: tuple[int, ...] = ()
    score: float = 0.0
    reads: int = 0
    last: int = -1
    total: int = 0


@dataclass
class _Lane:
    path: Path
    temporal: Temporal


@dataclass(frozen=True)
class _Choice:
    """A lane continued by a token."""

    score: float
    lane: int
    token: int
    probability: float


class BeamSearch:
    """The readings of one conversation; used by one thread at a time.

    temporal: makes one more temporal transformer; width: readings that are kept at most. Raises ModelError for a
    model that writes audio or delays its streams: its text is not all that it writes.
    """

    def __init__(self, layout: StreamLayout, rows: Rows, temporal: Callable[[], Temporal], width: int) -> None:
        if layout.dep_q or layout.max_delay:
            raise ModelError("only a model that writes nothing but text, without delay, can be searched")
        if width < 1:
            raise ModelError(f"a search keeps at least one reading, not {width}")
        self.layout, self._rows, self._make, self._width = layout, rows, temporal, width
        self._lag = round(LAG_SECONDS * layout.frame_rate)
        self._free: list[Temporal] = []
        self._lanes = [_Lane(Path(), temporal())]
        self.frames = 0

    def reset(self) -> None:
        """Forget the conversation."""
        self._free += [lane.temporal for lane in self._lanes]
        first = self._free.pop()
        first.reset()
        self._lanes, self.frames = [_Lane(Path(), first)], 0

    @property
    def best(self) -> Path:
        """The likeliest reading."""
        return self._lanes[0].path

    @property
    def size(self) -> int:
        """How many readings there are at the moment."""
        return len(self._lanes)

    def extra_heads(self) -> list[NDArray[np.float32]]:
        """Probabilities of each extra head for the frame just read, by the likeliest reading; float32 [classes]."""
        return [np.exp(_log_softmax(logits)).astype(np.float32) for logits in self._lanes[0].temporal.extra()]

    def step(self, codes: Tokens) -> None:
        """One frame: int32 [n_q] codes. The first step reads the initial tokens, and what it writes is not kept."""
        self.layout.check_audio(codes, "a frame")
        found: dict[tuple[int, ...], _Choice] = {}
        for index, lane in enumerate(self._lanes):
            frame = np.concatenate([[lane.path.reads], codes]).astype(np.int32)
            _, logits = lane.temporal.step(self._rows.temporal(frame if self.frames else self.layout.initial()))
            if not np.isfinite(logits).all():
                raise ModelError("the model's text logits are not numbers: it or this machine is broken")
            chances = _log_softmax(logits)
            for token in _likeliest(chances):
                chance = float(chances[token])
                choice = _Choice(lane.path.score + chance, index, token, float(np.exp(chance)))
                key = (*lane.path.words, token) if self.frames and self._says(token) else lane.path.words
                if key not in found or found[key].score < choice.score:
                    found[key] = choice
        kept = sorted(found.values(), key=lambda choice: -choice.score)[: self._width]
        kept = [choice for choice in kept if choice.score > kept[0].score - MARGIN]
        self._spread(kept)
        self.frames += 1
        self._drop_old()

    def _says(self, token: int) -> bool:
        return token not in (self.layout.text_padding, self.layout.end_of_text_padding)

    def _spread(self, kept: Sequence[_Choice]) -> None:
        """Give each kept reading a temporal transformer: its parent's, or a copy where a better child has that."""
        old, taken = self._lanes, set[int]()
        used = {choice.lane for choice in kept}
        self._free += [lane.temporal for index, lane in enumerate(old) if index not in used]
        self._lanes = []
        for choice in kept:
            parent = old[choice.lane]
            temporal = parent.temporal
            if choice.lane in taken:
                temporal = self._free.pop() if self._free else self._make()
                temporal.follow(parent.temporal)
            taken.add(choice.lane)
            self._lanes.append(_Lane(self._continued(parent.path, choice), temporal))

    def _continued(self, path: Path, choice: _Choice) -> Path:
        path = replace(path, score=choice.score, reads=choice.token)
        if choice.token == self.layout.text_padding or not self.frames:
            return path
        written = (*path.written, Written(choice.token, self.frames, choice.probability))
        if not self._says(choice.token):
            return replace(path, written=written)
        words = (*path.words, choice.token)
        return replace(path, written=written, words=words, last=self.frames, total=path.total + 1)

    def _drop_old(self) -> None:
        """Readings that differ from the likeliest in what it wrote long ago, or that it never wrote."""
        horizon = self.frames - 1 - self._lag
        count = self._count(self.best, horizon)
        settled = self.best.words[:count]
        kept = []
        for lane in self._lanes:
            same = lane.path.words[:count] == settled
            if same and self._count(lane.path, horizon - self._lag) <= count:
                kept.append(lane)
            else:
                self._free.append(lane.temporal)
        self._lanes = kept

    def _count(self, path: Path, horizon: int) -> int:
        """Word tokens of a path's open part that were written at frame `horizon` or before."""
        return sum(item.frame <= horizon and self._says(item.token) for item in path.written)

    def take_certain(self) -> tuple[list[Written], int]:
        """What all readings agree on, taken out of them; and the frame up to which nothing more will be written."""
        best = self.best
        count = len(best.words)
        for lane in self._lanes[1:]:
            same = (a == b for a, b in zip(best.words[:count], lane.path.words, strict=False))
            count = next((at for at, equal in enumerate(same) if not equal), min(count, len(lane.path.words)))
        alone = len(self._lanes) == 1
        certain: list[Written] = []
        for index, lane in enumerate(self._lanes):
            taken, rest = self._split(lane.path, count, whole=alone)
            certain = taken if index == 0 else certain
            lane.path = replace(lane.path, written=rest, words=lane.path.words[count:])
        now = self.frames - 1
        until = now if alone else min([now - self._lag, *(item.frame - 1 for item in self.best.written[:1])])
        return certain, until

    def _split(self, path: Path, count: int, whole: bool) -> tuple[list[Written], tuple[Written, ...]]:
        """The first `count` word tokens of a path with marks before them, and the rest; with `whole`, all."""
        at, seen = 0, 0
        while at < len(path.written) and (whole or seen < count):
            seen += self._says(path.written[at].token)
            at += 1
        return list(path.written[:at]), path.written[at:]

    def readings(self) -> list[tuple[tuple[Written, ...], float]]:
        """What each reading wrote that is not certain yet, the likeliest first, with its share; shares sum to 1."""
        scores = np.array([lane.path.score for lane in self._lanes])
        shares = np.exp(_log_softmax(scores))
        return [(lane.path.written, float(share)) for lane, share in zip(self._lanes, shares, strict=True)]


def _log_softmax(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    wide = logits.astype(np.float64).reshape(-1)
    wide -= wide.max()
    out: NDArray[np.float64] = wide - np.log(np.exp(wide).sum())
    return out


def _likeliest(chances: NDArray[np.float64]) -> list[int]:
    """The most probable tokens, in no order."""
    count = min(BRANCHES, chances.size)
    return [int(token) for token in np.argpartition(-chances, count - 1)[:count]]
