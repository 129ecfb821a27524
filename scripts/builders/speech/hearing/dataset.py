"""The clips of a pool in memory, and batches of examples drawn from them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from builders.speech.clips import Clip, Span
from builders.speech.hearing.examples import IGNORED, Example, example
from builders.speech.shape import FRAME, PHONE_STEPS, RATE, LmShape
from builders.speech.tokenizer import Pieces

#: share of other speech in whose place a second draw is made
OTHER = 0.5


@dataclass(frozen=True)
class Batch:
    """audio [B, T * 1280]; text, turn [B, T + 1]; phones by engine [B, T * 4]; speech [B, 2] in samples;
    frames [B]."""

    audio: Tensor
    text: Tensor
    turn: Tensor
    phones: dict[str, Tensor]
    speech: Tensor
    frames: Tensor


@dataclass(frozen=True)
class _Stored:
    audio: NDArray[np.int16]
    line: str


class ClipStore:
    """Clips by engine, their samples as int16."""

    def __init__(self) -> None:
        self._read: set[str] = set()
        self._clips: dict[str, list[_Stored]] = {}

    def load(self, folder: Path, pattern: str) -> int:
        """Read the shards that are new; how many there were."""
        fresh = [
            path for path in sorted(folder.glob(pattern)) if path.name not in self._read and ".part" not in path.name
        ]
        for path in fresh:
            with np.load(path) as file:
                audio, ends, lines = (
                    file["audio"],
                    file["ends"].tolist(),
                    file["lines"].tobytes().decode().split("\n"),
                )
            group = path.stem.split("-")[1]
            start = 0
            for end, line in zip(ends, lines, strict=True):
                self._clips.setdefault(group, []).append(_Stored(audio[start:end], line))
                start = end
            self._read.add(path.name)
        return len(fresh)

    def join(self, group: str, clips: Sequence[Clip]) -> int:
        """Add clips that are not in a shard; how many."""
        for clip in clips:
            line = {"text": clip.text, "voice": clip.voice, "kind": clip.kind, "phones": []}
            line["words"] = [[s.label, s.start, s.end] for s in clip.words]
            audio = np.clip(np.rint(clip.audio * 32767), -32768, 32767).astype(np.int16)
            self._clips.setdefault(group, []).append(_Stored(audio, json.dumps(line)))
        return len(clips)

    def groups(self) -> list[str]:
        return sorted(self._clips)

    def count(self, group: str) -> int:
        return len(self._clips.get(group, []))

    def hours(self, group: str) -> float:
        return sum(len(c.audio) for c in self._clips.get(group, [])) / RATE / 3600

    def seconds(self) -> float:
        return sum(len(c.audio) for clips in self._clips.values() for c in clips) / RATE

    def clip(self, group: str, index: int) -> Clip:
        stored = self._clips[group][index]
        raw = json.loads(stored.line)
        return Clip(
            stored.audio.astype(np.float32) / 32768.0,
            raw["text"],
            raw["voice"],
            tuple(Span(*item) for item in raw["words"]),
            tuple(Span(*item) for item in raw["phones"]),
            raw["kind"],
        )

    def phone_labels(self) -> dict[str, dict[str, int]]:
        """Labels of each engine's phones, from 1; 0 is silence."""
        found: dict[str, set[str]] = {}
        for clips in self._clips.values():
            for stored in clips:
                raw = json.loads(stored.line)
                found.setdefault(raw["voice"].partition(":")[0], set()).update(p[0] for p in raw["phones"])
        return {
            engine: {label: i + 1 for i, label in enumerate(sorted(names))}
            for engine, names in found.items()
            if names
        }


def collate(examples: Sequence[Example], shape: LmShape, engines: Sequence[str]) -> Batch:
    """Examples padded to the longest."""
    rows, frames = len(examples), max(e.frames for e in examples)
    audio = np.zeros((rows, frames * FRAME), np.float32)
    text = np.full((rows, frames + 1), shape.padding, np.int64)
    turn = np.full((rows, frames + 1), IGNORED, np.int64)
    phones = {name: np.full((rows, frames * PHONE_STEPS), IGNORED, np.int64) for name in engines}
    for row, e in enumerate(examples):
        audio[row, : len(e.audio)] = e.audio
        text[row, : len(e.text)] = e.text
        turn[row, : len(e.turn)] = e.turn
        if e.engine in phones:
            phones[e.engine][row, : len(e.phones)] = e.phones
    return Batch(
        torch.from_numpy(audio),
        torch.from_numpy(text),
        torch.from_numpy(turn),
        {name: torch.from_numpy(value) for name, value in phones.items()},
        torch.tensor([[e.speech[0] * RATE, e.speech[1] * RATE] for e in examples]),
        torch.tensor([e.frames for e in examples]),
    )


def batches(
    store: ClipStore,
    shares: dict[str, float],
    size: int,
    rng: Random,
    pieces: Pieces,
    shape: LmShape,
    labels: dict[str, dict[str, int]],
) -> Iterator[Batch]:
    """Batches of clips of like length, engines drawn by their shares (among those that are there), without end."""
    while True:
        present = [g for g in store.groups() if shares.get(g)]
        weights = [shares[g] for g in present]
        drawn: list[Clip] = []
        for group in rng.choices(present, weights, k=size * 8):
            clip = store.clip(group, rng.randrange(store.count(group)))
            if clip.kind in ("outside", "words") and rng.random() < OTHER:  # commands are what must be understood
                clip = store.clip(group, rng.randrange(store.count(group)))
            drawn.append(clip)
        made = [example(clip, rng, pieces, shape, labels, drawn) for clip in drawn]
        made.sort(key=lambda e: e.frames)
        groups = [made[i : i + size] for i in range(0, len(made), size)]
        rng.shuffle(groups)
        for group_ in groups:
            yield collate(group_, shape, sorted(labels))
