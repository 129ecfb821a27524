"""The streams of a Kyutai-style speech model and the ring that applies their delays. Knows nothing of weights.

A frame is one time step (80 ms): stream 0 is text, streams 1 … n_q are audio codebooks. The model writes the text
stream and the first `dep_q` codebooks; the other codebooks come from outside (what the user says). Each stream k
runs `delays[k]` frames behind, so that a codebook can be predicted from what comes before it in time.

Source of the scheme: Défossez et al., *Moshi: a speech-text foundation model* (arXiv 2410.00037), section 3.4.3,
and the public streaming generator `LMGen` in kyutai-labs/moshi (`moshi/models/lm.py`), whose order of reads and
writes this follows exactly.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from noctule.core.errors import InputError, ModelError

Tokens = NDArray[np.int32]

#: no input here: the embedding is exactly zero.
ZERO = -1
#: to be predicted and sampled by the model.
UNGENERATED = -2


@dataclass(frozen=True)
class StreamLayout:
    """Which streams a model has.

    n_q: audio codebooks it reads; dep_q: how many of them it also writes; delays: frames, text first [1 + n_q];
    text_card, card: sizes of the text and audio vocabularies; initial_text, initial_audio: what stands before the
    first frame; text_padding: "no word here"; end_of_text_padding: "a word begins"; frame_rate: frames a second.
    """

    n_q: int
    dep_q: int
    delays: tuple[int, ...]
    text_card: int
    card: int
    initial_text: int
    initial_audio: int
    text_padding: int
    end_of_text_padding: int
    frame_rate: float = 12.5

    def __post_init__(self) -> None:
        if self.n_q < 0 or not 0 <= self.dep_q <= self.n_q:
            raise ModelError(f"the model writes {self.dep_q} codebooks but reads {self.n_q}")
        if len(self.delays) != 1 + self.n_q:
            raise ModelError(f"the model has {1 + self.n_q} streams but delays for {len(self.delays)}")
        if min(self.delays) < 0 or max(self.delays) > 4096:
            raise ModelError(f"the model's delays run from {min(self.delays)} to {max(self.delays)} frames")
        if self.text_card < 1 or (self.n_q and self.card < 1) or self.frame_rate <= 0:
            raise ModelError("the model has an empty vocabulary or no frame rate")

    @property
    def streams(self) -> int:
        """Text and audio streams together: 1 + n_q."""
        return 1 + self.n_q

    @property
    def written(self) -> int:
        """Streams the model writes: 1 + dep_q."""
        return 1 + self.dep_q

    @property
    def outside(self) -> int:
        """Codebooks that must be given at every step: n_q - dep_q."""
        return self.n_q - self.dep_q

    @property
    def max_delay(self) -> int:
        return max(self.delays)

    def initial(self) -> Tokens:
        """What every stream holds before its first frame, int32 [1 + n_q]."""
        frame = np.full(self.streams, self.initial_audio, np.int32)
        frame[0] = self.initial_text
        return frame

    def check_audio(self, tokens: Tokens, what: str) -> None:
        """Raises InputError unless every token is ZERO … initial_audio."""
        if tokens.size and (int(tokens.min()) < ZERO or int(tokens.max()) > self.initial_audio):
            raise InputError(
                f"{what} has audio tokens from {tokens.min()} to {tokens.max()}, but the model's codebooks have"
                f" {self.card} entries",
                "the codec package belongs to another model",
            )


@dataclass(frozen=True)
class Rows:
    """From tokens to rows of the embedding tables (docs/speech-package.md).

    offsets: where each stream's rows begin, then the zero row, [S + 1]; demux: text_card + 1 when the text stream
    carries two tokens in one, (second + 1) * demux + first, else 0; depth_zero: the zero row of each dep_{q} table;
    depth_offsets: where each of dep_0's text tokens begins.
    """

    offsets: tuple[int, ...]
    demux: int = 0
    depth_zero: tuple[int, ...] = ()
    depth_offsets: tuple[int, ...] = (0,)

    def check(self, layout: StreamLayout) -> None:
        """Raises ModelError unless this fits the layout."""
        streams = layout.streams + (1 if self.demux else 0)
        if len(self.offsets) != streams + 1 or list(self.offsets) != sorted(self.offsets) or self.offsets[0] < 0:
            raise ModelError(f"the model has {streams} embedded streams but row offsets {list(self.offsets)}")
        if len(self.depth_zero) != layout.dep_q or len(self.depth_offsets) != (2 if self.demux else 1):
            raise ModelError("the depformer's rows do not fit its codebooks")

    def temporal(self, frame: Tokens) -> Tokens:
        """Frame int32 [1 + n_q] → rows int32 [1, S]."""
        tokens = np.concatenate([self._split(int(frame[0])), frame[1:]]) if self.demux else frame
        rows = np.where(tokens < 0, self.offsets[-1], tokens + np.asarray(self.offsets[:-1], np.int32))
        return rows.astype(np.int32)[None]

    def depth(self, q: int, token: int) -> Tokens:
        """What dep_{q} reads: the text token for q = 0, else the code of codebook q - 1. int32 [1, 1] or [1, 2]."""
        zero = self.depth_zero[q]
        tokens = self._split(token) if q == 0 and self.demux else np.asarray([token], np.int32)
        begin = np.asarray(self.depth_offsets if q == 0 else (0,), np.int32)
        return np.where(tokens < 0, zero, tokens + begin).astype(np.int32)[None]

    def _split(self, token: int) -> Tokens:
        """The two text tokens in one; ZERO stands for none."""
        pair = (token, ZERO) if token < 0 else (token % self.demux, token // self.demux - 1)
        return np.asarray(pair, np.int32)


class DelayRing:
    """The tokens of the last `max_delay + 2` frames of every stream, and where time stands.

    One step: `give(outside)` → `frame()` → the model → `commit(written)` → `aligned()`.
    """

    def __init__(self, layout: StreamLayout) -> None:
        self.layout = layout
        self._size = layout.max_delay + 2
        self._delays = np.asarray(layout.delays, np.int64)
        self._initial = layout.initial()
        self._streams = np.arange(layout.streams)
        self._cache = np.full((layout.streams, self._size), UNGENERATED, np.int32)
        #: steps taken since the last reset.
        self.offset = 0

    def reset(self) -> None:
        self._cache.fill(UNGENERATED)
        self.offset = 0

    def give(self, outside: Sequence[int] | Tokens) -> None:
        """This frame's tokens of the codebooks the model does not write, [outside]; ZERO where there is none."""
        layout = self.layout
        tokens = np.asarray(outside, np.int32).reshape(-1)
        if len(tokens) != layout.outside:
            raise InputError(
                f"a frame brings {len(tokens)} audio tokens, but the model wants {layout.outside} from outside"
            )
        layout.check_audio(tokens, "a frame")
        rows = self._streams[layout.written :]
        self._cache[rows, (self.offset + self._delays[layout.written :]) % self._size] = tokens

    def frame(self) -> Tokens:
        """What the model reads now, int32 [1 + n_q]: the initial token while a stream's delay has not passed."""
        tokens = self._cache[:, self.offset % self._size]
        frame: Tokens = np.where(self.offset <= self._delays, self._initial, tokens).astype(np.int32)
        if (frame == UNGENERATED).any():
            stream = int(np.flatnonzero(frame == UNGENERATED)[0])
            raise InputError(f"stream {stream} has no token for step {self.offset}")
        return frame

    def commit(self, written: Sequence[int] | Tokens) -> None:
        """What the model has just written, [1 + dep_q], text first. Time moves on by one frame."""
        tokens = np.asarray(written, np.int32).reshape(-1)
        if len(tokens) != self.layout.written:
            raise InputError(f"{len(tokens)} tokens were written, but the model writes {self.layout.written}")
        self.offset += 1
        self._cache[: self.layout.written, self.offset % self._size] = tokens

    def aligned(self) -> Tokens | None:
        """The newest frame whose streams are all written, undelayed, int32 [1 + dep_q]; None until delays fill."""
        if self.offset <= self.layout.max_delay:
            return None
        index = (self.offset - self.layout.max_delay + self._delays[: self.layout.written]) % self._size
        frame: Tokens = self._cache[self._streams[: self.layout.written], index]
        return frame


def delayed(frames: Tokens, delays: Iterable[int], fill: int = UNGENERATED) -> Tokens:
    """Aligned frames [streams, T] as the model meets them, [streams, T + max delay]: stream k starts late.

    Used to force a prompt: give the columns one after the other as `force`.
    """
    shifts = list(delays)
    if len(shifts) != frames.shape[0]:
        raise InputError(f"{frames.shape[0]} streams have {len(shifts)} delays")
    out = np.full((frames.shape[0], frames.shape[1] + max(shifts, default=0)), fill, np.int32)
    for row, (line, shift) in enumerate(zip(frames, shifts, strict=True)):
        out[row, shift : shift + len(line)] = line
    return out
