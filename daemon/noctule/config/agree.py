"""Settings that are right one by one but contradict each other."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from noctule.config.schema import Config
from noctule.core.errors import ConfigError

#: how audio.output begins when answers go into files.
FILE = "file:"


class Contradiction(NamedTuple):
    """key: what to correct; because: the setting that makes it wrong; text: what is wrong."""

    key: str
    because: str
    text: str


def contradictions(config: Config) -> list[Contradiction]:
    """All of them."""
    speech, output = config.speech, config.audio.output
    found = []
    for side, key, address in (("stt", "wyoming", speech.wyoming), ("tts", "wyoming_tts", speech.wyoming_tts)):
        wanted = getattr(speech, side)
        if wanted == "wyoming" and not address.startswith(("tcp://", "unix://")):
            given = f'not "{address[:100]}"' if address else "and it is empty"
            text = f'must be tcp://HOST:PORT or unix://PATH when speech.{side} is "wyoming", {given}'
            found.append(Contradiction(f"speech.{key}", f"speech.{side}", text))
        if wanted == "model" and not speech.model:
            text = f'must name a package when speech.{side} is "model"'
            found.append(Contradiction("speech.model", f"speech.{side}", text))
    if output.startswith(FILE):
        if not Path(output[len(FILE) :]).is_absolute():
            text = f'must name a folder by its whole path, such as "file:/var/tmp", not "{output[:100]}"'
            found.append(Contradiction("audio.output", "audio.output", text))
    elif output not in ("off", "speaker"):
        text = f'must be "speaker", "off" or "file:FOLDER", not "{output[:100]}"'
        found.append(Contradiction("audio.output", "audio.output", text))
    return found


def check_agreement(config: Config) -> None:
    """Raises ConfigError that names all contradictions; for a configuration that did not come from files."""
    found = contradictions(config)
    if found:
        raise ConfigError([f"{item.key}: {item.text}" for item in found])
