"""The user's own commands: a phrase said, a program run.

Phrases are compared word by word after the same reading that every request gets; nothing of the request reaches the
program, so there is nothing to quote or escape. They come before the language model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from noctule.assistant.actions.process import run_program
from noctule.assistant.actions.registry import Result
from noctule.assistant.phrases.request import Request, read
from noctule.core.errors import UnavailableError

#: Characters of a program's own words that an error answer quotes.
_QUOTE = 200
#: What may stand before or after a phrase without changing it.
_COURTESY = frozenset({"please", "hey", "noctule", "thanks", "now"})


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

    def match(self, request: Request) -> str | None:
        """The name of the command whose phrase was said, or None."""
        said = _trim(request.texts)
        for name, command in self._commands().items():
            for phrase in command.phrases:
                words = normal_form(phrase)
                if words and words == said:
                    return name
        return None

    def phrases(self) -> list[str]:
        """The first phrase of each, for help."""
        return [command.phrases[0] for command in self._commands().values() if command.phrases]

    def run(self, name: str, going_on: Callable[[], bool] = lambda: True) -> tuple[str, Result]:
        """Run the command; its configured reply and the facts. UnavailableError with the reason when it failed."""
        command = self._commands().get(name)
        if command is None:
            raise UnavailableError(f"The command {name} is no longer configured.")
        output = run_program(command.run, command.timeout, going_on)
        if output.code != 0:
            how = f"ended with {output.code}" if output.code > 0 else f"was ended by signal {-output.code}"
            said = " ".join(output.text.split())[:_QUOTE]
            raise UnavailableError(f"The command {name} {how}{': ' + said if said else '.'}")
        return command.reply, Result({}, {"command": name, "exit": output.code, "output": output.text})


def normal_form(phrase: str) -> tuple[str, ...]:
    """The words by which phrases are compared; empty for one that cannot be said."""
    return _trim(read(phrase).texts)


def _trim(words: Sequence[str]) -> tuple[str, ...]:
    """Without courtesies at either end."""
    start, end = 0, len(words)
    while start < end and words[start] in _COURTESY:
        start += 1
    while end > start and words[end - 1] in _COURTESY:
        end -= 1
    return tuple(words[start:end])
