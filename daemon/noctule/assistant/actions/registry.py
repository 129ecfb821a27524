"""What an action is, and the registry that knows which ones this board offers.

A `Spec` declares an action: its name, its arguments with their kinds and bounds, and the replies it may be answered
with. A handler carries it out. The grammar (see brain.py) is made of the specs that have a handler and are allowed,
so an action that is not declared here, not bound by the service, or switched off in the configuration cannot even
be written by the language model.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from noctule.assistant.phrases.request import Request
from noctule.core.errors import InputError, NoctuleError, UnavailableError

#: choice: one of `choices`. duration, percent: words of the request which mean a number within the bounds.
#: words: any one to `most_words` neighbouring words of the request.
ArgumentKind = Literal["choice", "duration", "percent", "words"]

_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")


@dataclass(frozen=True)
class Argument:
    """One argument of an action. minimum, maximum: bounds of a duration (seconds) or percentage."""

    name: str
    kind: ArgumentKind
    required: bool = False
    choices: tuple[str, ...] = ()
    minimum: float = 0.0
    maximum: float = 0.0
    most_words: int = 4


@dataclass(frozen=True)
class Spec:
    """A declared action.

    replies: sentences the model may answer with; a {placeholder} is an argument, or a field of the result.
    fields: the placeholders that the handler's result fills. by_rule: read by rules over words (brain/rules.py), not
    by the model, which was trained without it.
    """

    name: str
    summary: str
    arguments: tuple[Argument, ...] = ()
    replies: tuple[str, ...] = ("Done.",)
    fields: tuple[str, ...] = ()
    by_rule: bool = False

    @property
    def family(self) -> str:
        """What `actions.allow` in the configuration names: "timer" for "timer.set"."""
        return self.name.partition(".")[0]

    def argument(self, name: str) -> Argument:
        """The argument of that name; KeyError when there is none."""
        for argument in self.arguments:
            if argument.name == name:
                return argument
        raise KeyError(name)


@dataclass(frozen=True)
class Value:
    """An argument's value. text: as the person said it (or the choice); number: seconds or percent, if it is one."""

    text: str
    number: float | None = None


@dataclass(frozen=True)
class Call:
    """An action with its arguments, as the model wrote it."""

    action: str
    arguments: Mapping[str, Value] = field(default_factory=dict)

    def render(self) -> str:
        """One line for people and logs: timer.set duration="five minutes" name="pasta"."""
        return " ".join([self.action, *(f'{name}="{value.text}"' for name, value in self.arguments.items())])

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form for the API."""
        return {
            "action": self.action,
            "arguments": {
                name: value.text if value.number is None else value.number for name, value in self.arguments.items()
            },
        }


@dataclass(frozen=True)
class Result:
    """What an action did. fields: texts for the reply's placeholders; data: JSON-able facts for programs."""

    fields: Mapping[str, str] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    #: a sentence after the reply: what to do next, where that is not plain.
    then: str = ""


#: Carries an action out. Raises a NoctuleError, whose sentence is then the reply, when it cannot.
Handler = Callable[[Call, Request], Result]


def placeholders(reply: str) -> tuple[str, ...]:
    """The names in braces of a reply, in order."""
    return tuple(_PLACEHOLDER.findall(reply))


def fill(reply: str, fields: Mapping[str, str]) -> str:
    """`reply` with each {name} replaced by fields[name]; KeyError for a name that is not there."""
    return _PLACEHOLDER.sub(lambda match: fields[match.group(1)], reply)


#: family -> the family that it undoes.
_PAIRS = {"unmute": "mute"}


class ActionRegistry:
    """Declared actions, the handlers bound to them, and the families allowed by the configuration."""

    def __init__(self, specs: Iterable[Spec], allow: Iterable[str] | None = None) -> None:
        self._specs: dict[str, Spec] = {}
        self._handlers: dict[str, Handler] = {}
        self._states: dict[str, Callable[[], str]] = {}
        self._allow = None if allow is None else frozenset(allow)
        for spec in specs:
            self._declare(spec)

    def _declare(self, spec: Spec) -> None:
        if spec.name in self._specs:
            raise ValueError(f"action {spec.name} is declared twice")
        known = {argument.name for argument in spec.arguments} | set(spec.fields)
        for reply in spec.replies:
            unknown = set(placeholders(reply)) - known
            if unknown:
                raise ValueError(f"action {spec.name}: reply {reply!r} uses undeclared {sorted(unknown)}")
        self._specs[spec.name] = spec

    def bind(self, name: str, handler: Handler) -> None:
        """Give the declared action `name` the function that carries it out."""
        if name not in self._specs:
            raise ValueError(f"no action {name} is declared")
        self._handlers[name] = handler

    def allow(self, families: Iterable[str] | None) -> None:
        """Change which families are allowed (a reload); None allows all. "none" is always allowed."""
        self._allow = None if families is None else frozenset(families)

    def permitted(self, spec: Spec) -> bool:
        """True when the configuration allows the action's family."""
        return spec.family == "none" or self.family_allowed(spec.family)

    def tell(self, family: str, state: Callable[[], str]) -> None:
        """Let a question about what a family changes be answered. state: a sentence; may raise NoctuleError."""
        self._states[family] = state

    def state(self, action: str) -> str:
        """What is true of what an action would change, in a sentence; "" when nobody tells."""
        state = self._states.get(self.spec(action).family)
        if state is None:
            return ""
        try:
            return state()
        except NoctuleError as error:
            return error.message

    def family_allowed(self, family: str) -> bool:
        """True when the configuration allows a family; the user's own commands are the family "command".

        What undoes an action is allowed where the action is: who may close the microphone may open it again.
        """
        return self._allow is None or family in self._allow or _PAIRS.get(family, family) in self._allow

    def offered(self) -> list[Spec]:
        """Specs that are bound and read by the model, in order of declaration.

        A family which the configuration forbids stays offered: the model should understand the request, and `run`
        then says that it is switched off, which is more honest than taking it for something else.
        """
        return [spec for spec in self.bound() if not spec.by_rule]

    def bound(self) -> list[Spec]:
        """Specs that this board can carry out, those that rules read too, in order of declaration."""
        return [spec for name, spec in self._specs.items() if name in self._handlers]

    def spec(self, name: str) -> Spec:
        """The declaration; InputError for an unknown name."""
        if name not in self._specs:
            raise InputError(f"there is no action named {name!r}", "type: noctule ask help")
        return self._specs[name]

    def run(self, call: Call, request: Request) -> Result:
        """Carry `call` out. Raises NoctuleError with the sentence to answer with."""
        spec = self.spec(call.action)
        if not self.permitted(spec):
            raise UnavailableError(
                f"The action {spec.family} is switched off.",
                f"add {spec.family!r} to actions.allow in the configuration",
            )
        handler = self._handlers.get(call.action)
        if handler is None:
            raise UnavailableError(f"The action {call.action} is not available here.")
        self._check(spec, call)
        try:
            result = handler(call, request)
        except OSError as error:
            raise NoctuleError(f"{call.action} failed: {error.strerror or error}.") from error
        missing = set(spec.fields) - set(result.fields)
        if missing:
            raise NoctuleError(f"{call.action} did not say its {', '.join(sorted(missing))}.")
        return result

    @staticmethod
    def _check(spec: Spec, call: Call) -> None:
        """Calls may also come from programs: hold them to the declaration, as the grammar does for the model."""
        for name, value in call.arguments.items():
            try:
                argument = spec.argument(name)
            except KeyError:
                raise InputError(f"{spec.name} has no argument {name!r}") from None
            if argument.kind == "choice" and value.text not in argument.choices:
                raise InputError(f"{spec.name}: {name} must be one of {', '.join(argument.choices)}")
            if argument.kind in ("duration", "percent") and (
                value.number is None or not argument.minimum <= value.number <= argument.maximum
            ):
                raise InputError(f"{spec.name}: {name} must be from {argument.minimum:g} to {argument.maximum:g}")
        for argument in spec.arguments:
            if argument.required and argument.name not in call.arguments:
                raise InputError(f"{spec.name} needs its {argument.name}")
