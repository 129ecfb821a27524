"""The build, stage by stage; each keeps its result in the work folder, so that an interrupted build goes on."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Protocol

import torch

from builders.speech.hearing.dataset import ClipStore
from builders.speech.hearing.evaluation import validation_shards
from builders.speech.hearing.examples import arranged
from builders.speech.hearing.recognise import transcribe
from builders.speech.hearing.recordings import recorded
from builders.speech.hearing.train import Plan, SpeechModel, Trainer
from builders.speech.hearing.unpack import unpacked
from builders.speech.pool import MIXED, PLAIN, Shard, make_pool
from builders.speech.scoring import word_error
from builders.speech.shape import LmShape
from builders.speech.tokenizer import Pieces, adopt, train_tokenizer
from noctule.core.errors import InputError, NoctuleError

Say = Callable[[str], None]


@dataclass(frozen=True)
class Build:
    """What to build and where. shards: of 400 clips, for each of the two engines; start: a folder with packages whose
    weights the training begins with, instead of with nothing."""

    work: Path
    seed: int
    plan: Plan
    shape: LmShape
    shards: int = 30
    clips: int = 400
    recordings: Path | None = None
    start: Path | None = None

    @property
    def pool(self) -> Path:
        return self.work / "pool"

    @property
    def tokenizer(self) -> Path:
        return self.work / "tokenizer.model"


def check_engines(say: Say) -> list[str]:
    """The engines to train on. espeak-ng is needed; flite is said to be missing and left out; RHVoice, which Debian
    keeps in non-free, joins where it is installed."""
    from builders.sound.engines import espeak, rhvoice

    if espeak.library() is None or shutil.which("espeak-ng") is None:
        raise InputError("espeak-ng is not installed, and the training speech comes from it", "apt install espeak-ng")
    engines = ["espeak"]
    if shutil.which("flite"):
        engines.append("flite")
    else:
        say("flite is not installed: training on espeak-ng alone, which gives a poorer model (apt install flite)")
    if rhvoice.voices():
        engines.append("rhvoice")
    return engines


def speak(build: Build, engines: list[str], say: Say) -> None:
    """Stage 1: the clips."""
    shards = [Shard(engine, "train", i, build.clips) for i in range(build.shards) for engine in engines]
    # the plainest requests, which everybody will say first, are spoken more often
    plain = max(1, build.shards // 7)
    shards += [Shard(f"{engine}{PLAIN}", "train", i, build.clips) for i in range(plain) for engine in engines]
    # half again as much is words out of order, because sentences are learned by heart before words are known
    mixed = build.shards + build.shards // 2
    shards += [Shard(f"{engine}{MIXED}", "train", i, build.clips) for i in range(mixed) for engine in engines]
    checks = [s for s in validation_shards(min(120, build.clips)) if s.engine.split("_")[0] in engines]
    make_pool(build.pool, shards + checks, build.seed, say)


def learn(build: Build, say: Say) -> Path:
    """Stages 2 and 3: the tokenizer and the training. Returns the last checkpoint."""
    done = build.work / "listen.pt"
    if done.exists():
        return done
    if not build.tokenizer.exists() and build.start is not None:
        adopt(build.start / "noctule-stt", build.tokenizer)
    if not build.tokenizer.exists():
        say("tokenizer")
        train_tokenizer(build.tokenizer, build.seed, build.shape)
    store = ClipStore()
    store.load(build.pool, "train-*.npz")
    say(f"{store.seconds() / 3600:.1f} hours of speech from {', '.join(store.groups())}")
    checkpoint = build.work / "checkpoint.pt"
    labels = torch.load(checkpoint, weights_only=False)["labels"] if checkpoint.exists() else store.phone_labels()
    trainer = Trainer(build.work, store, Pieces(build.tokenizer), build.plan, build.shape, build.seed, labels)
    if checkpoint.exists():
        trainer.load(checkpoint)
        say(f"going on at step {trainer.step} of stage {trainer.stage}")
    elif build.start is not None:
        trainer.warm(*unpacked(build.start, build.shape))
        say(f"going on from the packages in {build.start}")
    if build.recordings is not None:
        joined = store.join("recordings", recorded(build.recordings, trainer, say))
        say(f"{joined} recordings join")
    if trainer.stage == "joint":
        trainer.run(say)
        write_encoder(trainer, build.work / "encoder_frozen.pt")
        trainer.begin("listen")
    trainer.run(say)
    return done


def write_encoder(trainer: Trainer, path: Path) -> None:
    """The encoder as it stays from now on: what the decoder and the voice are trained on."""
    parts = {
        name: {
            key.removeprefix(f"{name}."): value for key, value in trainer.mean.items() if key.startswith(f"{name}.")
        }
        for name in ("encoder", "heads")
    }
    temporary = path.with_suffix(".part")
    torch.save({**parts, "phones": trainer.labels, "step": trainer.step}, temporary)
    temporary.replace(path)


def load_model(path: Path) -> SpeechModel:
    """The running mean of a checkpoint's weights."""
    if not path.exists():
        raise NoctuleError(f"{path}: there is no trained model yet", "run the script without --export first")
    content = torch.load(path, weights_only=False)
    model = SpeechModel(
        LmShape(**content["shape"]), {name: len(found) + 1 for name, found in content["labels"].items()}
    )
    model.load_state_dict(content["mean"])
    return model.eval()


class Folders(Protocol):
    """Where clips and tokenizer are."""

    pool: Path
    tokenizer: Path


def quick_look(build: Folders | Build, path: Path, say: Say, count: int = 60) -> dict[str, tuple[float, float]]:
    """Word error of validation clips by engine, clean: through the first codebook alone, and through all."""
    model, pieces, store = load_model(path), Pieces(build.tokenizer), ClipStore()
    store.load(build.pool, "validation-*.npz")
    found = {}
    for group in store.groups():
        rng = Random(1)
        clips = [store.clip(group, i) for i in range(min(count, store.count(group)))]
        audio = [arranged(clip, rng, [])[0] for clip in clips]
        texts = [clip.text for clip in clips]
        one, every = (word_error(texts, [h.text for h in transcribe(model, pieces, audio, n)]) for n in (1, 8))
        found[group] = (one, every)
        say(f"{group}: word error {every:.1%}, through the first codebook alone {one:.1%}")
    return found
