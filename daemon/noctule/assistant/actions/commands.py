"""The user's own commands: a phrase said, a program run.

Phrases are templates (see docs/templates.md); what fills their slots goes to the program as arguments and in its
environment, bounded, and no shell reads it, so there is nothing to quote or escape. They come before the language
model.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from noctule.assistant.actions.process import run_program
from noctule.assistant.actions.registry import Result, Value
from noctule.core.errors import UnavailableError

#: Characters of a program's own words that an error answer quotes.
_QUOTE = 200
#: Characters of a slot's value that a program gets.
_LONGEST = 200
#: what a slot's value is called in the program's environment: degrees -> NOCTULE_SLOT_DEGREES
_VARIABLE = "NOCTULE_SLOT_"
_PLACE = re.compile(r"\{([a-z][a-z0-9_]*)\}")


class CommandSettings(Protocol):
    """One [commands.NAME] section."""

    phrases: list[str]
    run: list[str]
    timeout: float
    reply: str


class UserCommands:
    """The commands in force. commands: asked anew for each request, so that a reload counts."""

    def __init__(self, commands: Callable[[], Mapping[str, CommandSettings]]) -> None:
        self._commands = commands

    def phrases(self) -> list[str]:
        """The first phrase of each, for help."""
        return [command.phrases[0] for command in self._commands().values() if command.phrases]

    def run(
        self, name: str, going_on: Callable[[], bool] = lambda: True, values: Mapping[str, Value] | None = None
    ) -> tuple[str, Result]:
        """Run the command; its configured reply and the facts. UnavailableError with the reason when it failed.

        values: of the slots that were said. {degrees} in an argument and in the reply stands for the value, nothing
        where it was not said.
        """
        command = self._commands().get(name)
        if command is None:
            raise UnavailableError(f"The command {name} is no longer configured.")
        said = {slot: _bounded(value.text) for slot, value in (values or {}).items()}
        environment = {f"{_VARIABLE}{slot.upper()}": text for slot, text in said.items()}
        argv = [_filled(argument, command.phrases, said) for argument in command.run]
        output = run_program(argv, command.timeout, going_on, environment=environment)
        if output.code != 0:
            how = f"ended with {output.code}" if output.code > 0 else f"was ended by signal {-output.code}"
            words = " ".join(output.text.split())[:_QUOTE]
            raise UnavailableError(f"The command {name} {how}{': ' + words if words else '.'}")
        facts: dict[str, Any] = {"command": name, "exit": output.code, "output": output.text}
        if said:
            facts["values"] = said
        return _filled(command.reply, command.phrases, said), Result({}, facts)


def _bounded(text: str) -> str:
    """A value as a program gets it: one line, not too long."""
    return " ".join(text.split())[:_LONGEST]


def _filled(text: str, phrases: Sequence[str], said: Mapping[str, str]) -> str:
    """The text with {slot} replaced. Only the slots of the command's own phrases are: other braces are the user's."""
    known = slot_names(phrases)
    return _PLACE.sub(lambda match: said.get(match[1], "") if match[1] in known else match[0], text)


def slot_names(phrases: Sequence[str]) -> frozenset[str]:
    """The names of all slots of some phrases."""
    return frozenset(name for phrase in phrases for name in re.findall(r"\{([a-z][a-z0-9_]*)[:}]", phrase))
