"""The one set of rules for a configuration: `config check`, `run`, a reload and `doctor` hold it against them.

`load_config` has the rules of settings by themselves; here are those that need to know what the settings mean.
`refusals` are what the service does not start with; `absences` are things that are named and not there, with which it
starts and does without.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from noctule.cli.common import load
from noctule.config import LoadedConfig
from noctule.config.scan import dotted_name
from noctule.core.errors import ConfigError, NoctuleError


def load_checked(options: argparse.Namespace) -> LoadedConfig:
    """The configuration that this command line asks for, fit to run. Raises ConfigError with every mistake."""
    loaded = load(options)
    problems = refusals(loaded)
    if problems:
        raise ConfigError(problems)
    return loaded


def refusals(loaded: LoadedConfig) -> list[str]:
    """Why the service would not start, as "file:line: key: what is wrong"."""
    found, audio = [], loaded.config.audio
    if audio.source == "path" and audio.path == Path() and loaded.config.wake.enabled:
        found.append(_placed(loaded, "audio.source", 'is "path", and audio.path is empty'))
    if not loaded.config.capture.enabled:
        return found
    from noctule.capture.all_sources import spec_of

    for name, source in loaded.config.sources.items():
        try:
            spec_of(name, source)
        except NoctuleError as error:
            found.append(_placed(loaded, dotted_name("sources", name), error.explain()))
    return found


def absences(loaded: LoadedConfig) -> list[str]:
    """What is named where somebody set it, and is not there. Defaults are nobody's mistake."""
    return [*_packages(loaded), *_commands(loaded)]


def _packages(loaded: LoadedConfig) -> Iterator[str]:
    from noctule.inference.find import find_model
    from noctule.inference.manifest import load_manifest
    from noctule.voice.engines import examine
    from noctule.voice.wakewords.in_service import find_wake_word

    config, wake, folders = loaded.config, loaded.config.wake, loaded.config.service.models
    checks: list[tuple[str, bool, Callable[[], object]]] = [
        ("lm.model", config.lm.enabled, lambda: load_manifest(find_model(config.lm.model, folders), "text-lm")),
        ("wake.words", wake.enabled, lambda: [find_wake_word(w, folders) for w in wake.words]),
        (
            "wake.stop_words",
            config.wake.enabled,
            lambda: [find_wake_word(w, folders) for w in wake.stop_words],
        ),
        ("speech.stt", True, lambda: examine(config, "stt")),
        ("speech.tts", True, lambda: examine(config, "tts")),
    ]
    for key, wanted, check in checks:
        if wanted and key in loaded.origins:
            try:
                check()
            except NoctuleError as error:
                yield _placed(loaded, key, error.explain())
    audio = config.audio
    if audio.source == "path" and "audio.path" in loaded.origins and not audio.path.exists():
        yield _placed(loaded, "audio.path", f"there is no {audio.path}")
    for name, source in config.sources.items():
        if source.kind == "file" and source.address and not Path(source.address).exists():
            yield _placed(loaded, dotted_name("sources", name, "address"), f"there is no file {source.address}")


def _commands(loaded: LoadedConfig) -> Iterator[str]:
    """Programs that are not there, and phrases that are said for something else already."""
    from noctule.assistant.actions.reserved import REQUESTS
    from noctule.assistant.phrases.same import normal_form

    taken = {normal_form(request): f'the built-in request "{request}"' for request in REQUESTS}
    for name, command in loaded.config.commands.items():
        if command.run and shutil.which(command.run[0]) is None:
            yield _placed(loaded, dotted_name("commands", name, "run"), f"there is no program {command.run[0]}")
        for phrase in command.phrases:
            words, key = normal_form(phrase), dotted_name("commands", name, "phrases")
            if not words:
                yield _placed(loaded, key, f'"{phrase}" is no phrase that can be said')
            elif words in taken:
                yield _placed(loaded, key, f'"{phrase}" takes the place of {taken[words]}')
            else:
                taken[words] = f"the command {name}"


def _placed(loaded: LoadedConfig, key: str, text: str) -> str:
    origin = loaded.origins.get(key) or next((o for k, o in loaded.origins.items() if k.startswith(f"{key}.")), None)
    return f"{origin}: {key}: {text}" if origin is not None else f"{key}: {text}"
