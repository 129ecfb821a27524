"""noctule(1), made from the command line's own parsers, so that it cannot grow old."""

from __future__ import annotations

import argparse
import importlib
import re
from collections.abc import Iterator

from noctule.cli import VERBS

_INTRO = """\
Noctule is a service that hears its wake word, looks through cameras and displays when asked, and turns requests into
actions with a small language model. Everything runs on the board. This command talks to the service; the verbs
.BR config ,
.BR doctor ,
.BR extract ,
.BR transcribe ,
.B say
and
.B bench
work without it."""

_FILES = (
    (
        "/etc/noctule/noctule.toml",
        "Every key with its default. Files in conf.d beside it are read after it.",
    ),
    ("/var/lib/noctule", "Timers, pictures, and models of your own (in models)."),
    ("/usr/share/noctule/models", "The models that come with it."),
    ("/run/noctule/control.sock", "The control socket, for root and the members of the group noctule."),
    ("/usr/share/doc/noctule", "More about the brain, the eyes, wake words, speech, and the ways in for programs."),
)
_EXIT = (("0", "It worked."), ("64", "The command line has a mistake."), ("78", "The configuration has a mistake."),
         ("77", "You may not do that."), ("other", "It did not work; standard error says why."))  # fmt: skip


def page(version: str, date: str) -> str:
    """The page in roff's man macros."""
    lines = [
        f'.TH NOCTULE 1 "{date}" "noctule {version}" "User Commands"',
        ".SH NAME", r"noctule \- ears, eyes and a small language brain for a board",
        ".SH SYNOPSIS", ".B noctule", r".I verb", "[options]",
        ".SH DESCRIPTION", _INTRO,
        ".SH VERBS",
    ]  # fmt: skip
    for name, module in VERBS.items():
        found = importlib.import_module(module)
        parser = argparse.ArgumentParser(prog=f"noctule {name}", add_help=False)
        found.arguments(parser)
        lines += list(_verb(name, found.HELP, parser))
    lines += [".SH FILES", *_table(_FILES), ".SH EXIT STATUS", *_table(_EXIT)]
    lines += [".SH SEE ALSO", ".BR systemctl (1),", ".BR journalctl (1)"]
    return "\n".join(lines) + "\n"


def _verb(name: str, text: str, parser: argparse.ArgumentParser) -> Iterator[str]:
    yield from (f".SS noctule {_roff(_synopsis(name, parser))}", _roff(_sentence(text)))
    for action in parser._actions:
        if action.help == argparse.SUPPRESS:
            continue
        label = ", ".join(action.option_strings) or str(action.metavar or action.dest)
        if isinstance(action, argparse._SubParsersAction):
            for word, sub in action.choices.items():
                about = (
                    next((c.help for c in action._choices_actions if c.dest == word), None) or sub.description or ""
                )
                yield from (".TP", f".B {_roff(word)}", _roff(_sentence(about)))
        elif action.help:
            value = f" {_value(action)}" if action.option_strings and action.nargs != 0 else ""
            yield from (".TP", f".B {_roff(label + value)}", _roff(_sentence(action.help % _facts(action))))


def _synopsis(name: str, parser: argparse.ArgumentParser) -> str:
    usage = " ".join(parser.format_usage().split())
    return re.sub(r"^usage: noctule ", "", usage)


def _value(action: argparse.Action) -> str:
    if action.choices is not None:
        return "|".join(map(str, action.choices))
    return str(action.metavar or action.dest.upper())


def _facts(action: argparse.Action) -> dict[str, object]:
    """What argparse fills into a help text, such as %(default)s."""
    return {**vars(action), "prog": "noctule"}


def _sentence(text: str) -> str:
    text = " ".join(text.split())
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".") if text else "."


def _table(rows: tuple[tuple[str, str], ...]) -> list[str]:
    return [line for label, text in rows for line in (".TP", f".B {_roff(label)}", _roff(text))]


def _roff(text: str) -> str:
    text = text.replace("\\", r"\e").replace("-", r"\-").replace("'", r"\(aq")
    return r"\&" + text if text.startswith((".", "'")) else text
