"""The configuration as text: the shipped file, and `noctule config show`."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

from noctule.config.keys import Key, default_of, key_of, keys_of, plain
from noctule.config.lists import LISTS
from noctule.config.load import LoadedConfig, walk
from noctule.config.scan import dotted_name, split_name
from noctule.config.schema import SECTIONS, TABLES

HEAD = """\
# Noctule's configuration. Each line below shows a default: remove the # to change it.
# `noctule config check` names every mistake; `systemctl reload noctule` applies what can change while running
# (marked "live") and says what needs a restart. Files in conf.d/ beside this one are read after it, in order.
"""


def toml(value: Any) -> str:
    """A value as TOML writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Path):
        return json.dumps("" if value == Path() else str(value))
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list):
        return "[" + ", ".join(toml(item) for item in value) + "]"
    return repr(value)


def _comment(about: Key) -> str:
    extra = [" | ".join(about.choices)] if about.choices else []
    if about.minimum is not None and about.maximum is not None and not about.choices:
        extra.append(f"{plain(about.minimum)} to {plain(about.maximum)}")
    if about.live:
        extra.append("live")
    text = about.comment + (f" [{'; '.join(extra)}]" if extra else "")
    return textwrap.fill(text, 110, initial_indent="# ", subsequent_indent="# ")


def shipped_file() -> str:
    """config/noctule.toml: every key with its default and one comment."""
    out = [HEAD]
    for name, cls in [*SECTIONS.items(), *((f"{n}.NAME", c) for n, c in TABLES.items())]:
        template = "#" if name.endswith(".NAME") else ""
        out += [f"# {cls.__doc__}", f"{template}[{name}]"]
        for item, (_, declared) in keys_of(cls).items():
            out += [_comment(key_of(declared)), f"#{item} = {toml(default_of(declared))}"]
        out.append("")
    for name, about in LISTS.items():
        out += [_comment(about), f"#[{name}]", f"#station = {toml(['jazz', 'WDR 3 | w d r three'])}", ""]
    return "\n".join(out).rstrip() + "\n"


def show(loaded: LoadedConfig, origin: bool = False) -> str:
    """The merged configuration as TOML, with where each value was set when `origin`."""
    out: list[str] = []
    section = ""
    for dotted, value, _ in walk(loaded.config):
        *place, item = split_name(dotted)
        head = dotted_name(*place)
        if head != section:
            out += ["", f"[{head}]"] if out else [f"[{head}]"]
            section = head
        line = f"{item} = {toml(value)}"
        out.append(f"{line:<56}  # {loaded.origin(dotted)}" if origin else line)
    return "\n".join(out) + "\n"
