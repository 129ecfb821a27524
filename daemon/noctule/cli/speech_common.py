"""What the speech verbs share: options, packages by name or path, and where unpacked weights go."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from noctule.cli.common import config_arguments, load
from noctule.cli.common import warn as warn
from noctule.config import Config
from noctule.core.errors import InputError
from noctule.inference.find import find_model
from noctule.lm.speech.pair import SpeechPair, load_pair
from noctule.voice.engines import package_of


def speech_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", metavar="PACKAGE", help="the speech model, a folder or a name (speech.stt, .tts)")
    parser.add_argument("--codec", metavar="PACKAGE", help="its codec, if not the one beside it")
    parser.add_argument("--threads", type=int, metavar="N", help="processor cores to use (speech.threads)")
    config_arguments(parser)


def open_pair(options: argparse.Namespace, side: str = "stt") -> tuple[SpeechPair, Config]:
    """The pair the command line or the configuration's speech.stt or speech.tts (side) names, loaded and measured.

    Says on stderr if it will lag.
    """
    config = load(options).config
    name = options.model or package_of(config.speech, side)
    if not name:
        raise InputError("no speech model is named", f"give --model PACKAGE, or set speech.{side}")
    named = name == config.speech.model
    codec = options.codec or (config.speech.codec if named else "")
    pair = load_pair(
        package(name, config, f"speech.{side}"),
        package(codec, config, "speech.codec") if codec else None,
        threads=options.threads or config.speech.threads,
        cache_dir=cache_dir(config),
        policy=config.speech.realtime,
        readings=config.speech.readings,
    )
    if not pair.verdict.keeps_up or pair.verdict.codebooks != pair.model.layout.dep_q:
        warn(pair.verdict.sentence)
    return pair, config


def package(name: str, config: Config, key: str) -> Path:
    """A path, as given on a command line, or a name in the model folders; key: the setting that may name it."""
    here = Path(name)
    return here if (here / "manifest.json").is_file() else find_model(name, config.service.models, key)


def cache_dir(config: Config) -> Path | None:
    """Where the runtime keeps unpacked weights: the service's folder if we may write there, else the user's cache."""
    if not config.lm.weight_cache:
        return None
    own = config.service.state_dir / "cache"
    if own.is_dir() and os.access(own, os.W_OK):
        return own
    users = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "noctule"
    try:
        users.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        warn(f"no weight cache: {users} cannot be made ({e.strerror}); more memory is used")
        return None
    return users
