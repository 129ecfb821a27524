"""Settings that are right one by one but contradict each other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from noctule.config.address import parse, wyoming_address
from noctule.config.schema import Config
from noctule.core.errors import ConfigError
from noctule.core.secrets import hide_address

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
    return [*found, *_listening(config), *_broker(config)]


def _listening(config: Config) -> list[Contradiction]:
    """Addresses that servers are given. As they are bound; see address.py."""
    found: list[Contradiction] = []
    api, wyoming = config.api, config.wyoming
    reads: list[tuple[str, Callable[[], object]]] = []
    if api.tcp:
        reads.append(("api", lambda: parse(api.tcp, "api.tcp", api.lan, "api.lan")))
    if wyoming.listen:
        reads.append(("wyoming", lambda: wyoming_address(wyoming.listen, wyoming.lan)))
    for section, read in reads:
        key = f"{section}.{'tcp' if section == 'api' else 'listen'}"
        try:
            read()
        except ConfigError as error:
            found += [Contradiction(key, key, problem.removeprefix(f"{key}: ")) for problem in error.problems]
    return found


def _broker(config: Config) -> list[Contradiction]:
    mqtt, found = config.mqtt, []
    host = mqtt.host
    if host and ("/" in host or "@" in host or any(char.isspace() for char in host) or host.count(":") == 1):
        text = f'must be a name or an address alone, such as "broker.lan", not "{hide_address(host)[:60]}"'
        found.append(Contradiction("mqtt.host", "mqtt.host", f"{text}; the port is mqtt.port, the user mqtt.user"))
    for key, value in (("prefix", mqtt.prefix), ("discovery", mqtt.discovery)):
        if any(char in "+#\0 " for char in value) or value.startswith(("/", "$")) or value.endswith("/"):
            text = f'"{value[:60]}" is no beginning of a topic; docs/api.md'
            found.append(Contradiction(f"mqtt.{key}", f"mqtt.{key}", text))
    return found


def check_agreement(config: Config) -> None:
    """Raises ConfigError that names all contradictions; for a configuration that did not come from files."""
    found = contradictions(config)
    if found:
        raise ConfigError([f"{item.key}: {item.text}" for item in found])
