"""Whether the owner's phrases can be read: every mistake at once, each where it stands in the configuration."""

from __future__ import annotations

import re

from noctule.assistant.actions.commands import slot_names
from noctule.assistant.grammar.files import entry, rules_and_lists
from noctule.assistant.grammar.grammar import Grammar
from noctule.assistant.grammar.template import TemplateError
from noctule.assistant.phrases.request import read
from noctule.config.load import LoadedConfig
from noctule.core.errors import ConfigError


def check_phrases(loaded: LoadedConfig) -> None:
    """Raises ConfigError with a line for each phrase, list and argument that is wrong."""
    config, problems = loaded.config, list[str]()
    lists = {name: [entry(value) for value in values] for name, values in config.slots.items()}

    def wrong(key: str, what: str) -> None:
        problems.append(f"{loaded.origin(key)}: {key}: {what}")

    for name, entries in lists.items():
        for value, ways in entries:
            if not value or not all(read(way).texts for way in ways):
                wrong(f"slots.{name}", f'"{value}": has no word that can be said')
    base = rules_and_lists()
    for name, command in config.commands.items():
        key = f"commands.{name}.phrases"
        for phrase in command.phrases:
            try:
                Grammar(base, (), {name: [phrase]}, lists)
            except TemplateError as error:
                wrong(
                    key, error.message.partition(": ")[2] if error.message.startswith("commands.") else error.message
                )
        known = slot_names(command.phrases)
        for text in command.run if known else ():
            for place in re.findall(r"\{([a-z][a-z0-9_]*)\}", text):
                if place not in known:
                    wrong(f"commands.{name}.run", f"{{{place}}} is a slot of none of its phrases")
    if problems:
        raise ConfigError(problems, "the configuration was not applied")
