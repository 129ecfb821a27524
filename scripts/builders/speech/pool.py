"""The pool of spoken clips: shards that are made once, each by a process of its own from its own seed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Protocol

from builders.sound.engines import rhvoice
from builders.speech.clips import Clip, write_shard
from builders.speech.sentences import Sentence, Sentences
from builders.speech.speaker_rhvoice import RhvoiceSpeaker
from builders.speech.speakers import (
    FESTIVAL_HELD,
    FLITE_HELD,
    FLITE_TRAIN,
    EspeakSpeaker,
    FestivalSpeaker,
    FliteSpeaker,
    espeak_voices,
)
from builders.speech.vocoder import revoiced
from builders.text.split import Part
from noctule.core.errors import NoctuleError

SHARD = 400
#: an engine's name with this at its end speaks only the plainest requests
PLAIN = "_plain"
#: and with this one words out of order, by voices that are half of the time nobody's (`vocoder`)
MIXED = "_mixed"
#: how often such a clip is in nobody's voice: espeak-ng has many voices, the others three each
OTHER_VOICES = {"espeak": 0.4, "flite": 0.7, "rhvoice": 0.6}
_ATTEMPTS = 8


class Speaker(Protocol):
    """An engine that speaks a sentence."""

    def say(self, text: str, voice: str, rng: Random) -> Clip | None: ...


@dataclass(frozen=True)
class Shard:
    """What one shard holds. name is its file's stem; engine one of `voices`' keys."""

    engine: str
    part: Part
    index: int
    clips: int = SHARD

    @property
    def name(self) -> str:
        return f"{self.part}-{self.engine}-{self.index:03d}"


def voices(engine: str) -> list[str]:
    """The voices of an engine group."""
    groups: dict[str, Callable[[], list[str]]] = {
        "espeak": lambda: espeak_voices(held=False),
        "espeak_unseen": lambda: espeak_voices(held=True),
        "flite": lambda: list(FLITE_TRAIN),
        "rhvoice": rhvoice.voices,
        "flite_kal": lambda: list(FLITE_HELD),
        "festival_ked": lambda: [FESTIVAL_HELD[0]],
        "festival_slt_hts": lambda: [FESTIVAL_HELD[1]],
    }
    return groups[engine.removesuffix(PLAIN).removesuffix(MIXED)]()


def _speaker(engine: str) -> Speaker:
    if engine.startswith("espeak"):
        return EspeakSpeaker()
    if engine.startswith("rhvoice"):
        return RhvoiceSpeaker()
    return FliteSpeaker() if engine.startswith("flite") else FestivalSpeaker()


def kind_of(sentence: Sentence) -> str:
    """What a clip remembers of its sentence: "outside", "words", or "action timer.set|duration=five minutes"."""
    if sentence.kind != "action":
        return sentence.kind
    return "|".join([f"action {sentence.action}", *(f"{name}={value}" for name, value in sentence.arguments)])


def wanted_call(kind: str) -> tuple[str, dict[str, str]]:
    """The other way: the action ("none" for everything else) and its arguments."""
    head, *arguments = kind.split("|")
    action = head.removeprefix("action ") if head.startswith("action ") else "none"
    return action, dict(item.split("=", 1) for item in arguments)


def make_shard(folder: Path, shard: Shard, seed: int, attempt: int = 0) -> None:
    """Speak one shard. The same shard, seed and attempt give the same bytes."""
    rng = Random(f"{shard.name}/{seed}/{attempt}")
    mixed = shard.engine.endswith(MIXED)
    sentences = Sentences(shard.part, rng.randrange(2**31)).stream(plain=shard.engine.endswith(PLAIN), mixed=mixed)
    speaker, offered = _speaker(shard.engine), voices(shard.engine)
    clips: list[Clip] = []
    refused = 0
    while len(clips) < shard.clips:
        sentence = next(sentences)
        clip = speaker.say(sentence.text, rng.choice(offered), rng)
        if clip is not None and mixed and rng.random() < OTHER_VOICES[shard.engine.removesuffix(MIXED)]:
            clip = revoiced(clip, rng)
        if clip is None or not 0.25 <= clip.seconds <= 7.0:
            refused += 1
            if refused > 20 + 2 * shard.clips:
                raise NoctuleError(f"{shard.engine}: {refused} of {refused + len(clips)} utterances failed")
            continue
        clips.append(replace(clip, kind=kind_of(sentence)))
    write_shard(folder / f"{shard.name}.npz", clips)


def make_pool(folder: Path, shards: list[Shard], seed: int, say: Callable[[str], None]) -> None:
    """Make what is missing, one process after the other (an engine's state must not reach the next shard)."""
    folder.mkdir(parents=True, exist_ok=True)
    missing = [shard for shard in shards if not (folder / f"{shard.name}.npz").exists()]
    begin = time.monotonic()
    for done, shard in enumerate(missing):
        code = (
            "import sys; from pathlib import Path; from builders.speech.pool import Shard, make_shard;"
            f" make_shard(Path(sys.argv[1]), Shard({shard.engine!r}, {shard.part!r}, {shard.index}, {shard.clips}),"
            f" {seed}, int(sys.argv[2]))"
        )
        # espeak-ng crashes on a few texts in a few of its voices: other sentences are drawn then
        for attempt in range(_ATTEMPTS):
            result = subprocess.run(
                [sys.executable, "-c", code, str(folder), str(attempt)],
                check=False,
                # The builder found its modules by a path of its own, which a new process does not have.
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
            if result.returncode >= 0:
                break
        if result.returncode != 0:
            raise NoctuleError(f"the clips of {shard.name} could not be made (exit {result.returncode})")
        spent = time.monotonic() - begin
        left = spent / (done + 1) * (len(missing) - done - 1)
        say(f"clips: {shard.name} made, {done + 1}/{len(missing)}, about {left / 60:.0f} min left")
