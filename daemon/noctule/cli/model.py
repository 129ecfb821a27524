"""`noctule model`: which language model serves; `noctule model use NAME` exchanges it without a restart."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from noctule.assistant.engine_slot import LOAD_LIMIT
from noctule.cli.common import client, say, size, socket_argument
from noctule.core.errors import InputError
from noctule.core.file_kind import kind_of

HELP = "show the language model in service, or exchange it (use NAME)"


def arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="what", metavar="show | use")
    use = verbs.add_parser("use", help="serve with another one, once it is loaded and verified")
    use.add_argument("package", help="a name in the model folders, or a path; `configured` for lm.model")
    show = verbs.add_parser("show", help="which one serves")
    for verb in (use, show):
        socket_argument(verb)
    parser.set_defaults(socket=None)


def run(options: argparse.Namespace) -> int:
    if options.what != "use":
        say(_words(client(options).get("/model")["lm"]))
        return 0
    package = "" if options.package == "configured" else _found(options.package)
    lm = client(options, LOAD_LIMIT).post("/model", {"use": package})["lm"]
    say(f"{_words(lm)}; loaded and verified in {lm['load_s']:.1f} s")
    if package:
        say(f'Until the next start. To keep it: lm.model = "{package}" in the configuration.')
    return 0


def _found(name: str) -> str:
    """A path that is there as the daemon finds it, else the name. InputError, which says what it is, for a path to
    something that is no package."""
    here = Path(name)
    if (here / "manifest.json").is_file():
        return str(here.absolute())
    if here.is_dir() and "/" in name:
        raise InputError(
            f"{name}: this folder is no model package: it has no manifest.json.",
            "scripts/export_lm.py makes one of a checkpoint",
        )
    if here.is_file():
        kind = kind_of(here)
        what = kind.what if kind is not None else "a file of a kind that is not known"
        hint = (
            kind.hint if kind is not None else ""
        ) or "a package is a folder with a manifest.json: docs/export-lm.md"
        raise InputError(f"{name}: is {what}, not a model package.", hint)
    if name.startswith((".", "/")) or name.count("/"):
        raise InputError(f"{name}: there is no such folder.", "a package is a folder with a manifest.json")
    return name


def _words(lm: Mapping[str, Any]) -> str:
    if not lm.get("model"):
        return (
            "No language model is in service." if lm.get("enabled", True) else "The language model is switched off."
        )
    facts = [f"{lm['model']} {lm.get('version', '')}".strip()]
    if lm.get("bytes"):
        facts.append(size(lm["bytes"]))
    if lm.get("threads"):
        facts.append(f"{lm['threads']} thread{'' if lm['threads'] == 1 else 's'}")
    if lm.get("context"):
        facts.append(f"context {lm['context']}")
    if lm.get("loaded") is False:
        facts.append("not in memory until the next request")
    return ", ".join(facts)
