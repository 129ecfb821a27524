"""A clip: speech without silence around it, and when its words and phones are said; shards of clips on disk."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

RATE = 16_000
Audio = NDArray[np.float32]


@dataclass(frozen=True)
class Span:
    """A word or a phone: its label, start and end in seconds."""

    label: str
    start: float
    end: float


@dataclass(frozen=True)
class Clip:
    """audio: float32 mono 16 kHz in [-1, 1]; voice: "engine:voice"; phones are empty where an engine tells none."""

    audio: Audio
    text: str
    voice: str
    words: tuple[Span, ...] = ()
    phones: tuple[Span, ...] = ()
    kind: str = ""

    @property
    def seconds(self) -> float:
        return len(self.audio) / RATE


def scaled(spans: Sequence[Span], factor: float, shift: float = 0.0) -> tuple[Span, ...]:
    """Times multiplied by `factor`, then moved by `shift` seconds."""
    return tuple(Span(s.label, s.start * factor + shift, s.end * factor + shift) for s in spans)


def write_shard(path: Path, clips: Sequence[Clip]) -> None:
    """One uncompressed .npz: int16 samples end to end, a JSON line for every clip; written whole or not at all."""
    lines = [
        json.dumps(
            {
                "text": c.text, "voice": c.voice, "kind": c.kind,
                "words": [[s.label, round(s.start, 4), round(s.end, 4)] for s in c.words],
                "phones": [[s.label, round(s.start, 4), round(s.end, 4)] for s in c.phones],
            }
        )
        for c in clips
    ]  # fmt: skip
    audio = [np.clip(np.rint(c.audio * 32767), -32768, 32767).astype(np.int16) for c in clips]
    ends = np.cumsum([len(a) for a in audio])
    temporary = path.with_suffix(".part.npz")
    np.savez(
        temporary,
        audio=np.concatenate(audio),
        ends=ends,
        lines=np.frombuffer("\n".join(lines).encode(), np.uint8),
    )
    temporary.replace(path)


def read_shard(path: Path) -> Iterator[Clip]:
    """The clips of one shard, in their order."""
    with np.load(path) as file:
        audio, ends = file["audio"], file["ends"]
        lines = file["lines"].tobytes().decode().split("\n")
    start = 0
    for end, line in zip(ends.tolist(), lines, strict=True):
        raw = json.loads(line)
        yield Clip(
            audio[start:end].astype(np.float32) / 32768.0,
            raw["text"],
            raw["voice"],
            tuple(Span(*item) for item in raw["words"]),
            tuple(Span(*item) for item in raw["phones"]),
            raw["kind"],
        )
        start = end
