"""Layers: built-in defaults, the main file, conf.d/*.toml, NOCTULE_SECTION__KEY, flags. All mistakes at once."""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from noctule.config.agree import contradictions
from noctule.config.keys import check, key_of, keys_of
from noctule.config.lists import LISTS
from noctule.config.scan import dotted_name, key_lines, odd_name, split_name
from noctule.config.schema import SECTIONS, TABLES, Config
from noctule.core.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:  # JetPack 6 has Python 3.10
    import tomli as tomllib

DEFAULT_PATH = Path("/etc/noctule/noctule.toml")
ENV_PREFIX = "NOCTULE_"
#: environment variables with our prefix that are not settings.
ENV_OTHER = frozenset({"NOCTULE_CONFIG", "NOCTULE_SOCKET"})
MAX_FILE = 1 << 20


@dataclass(frozen=True)
class SettingOrigin:
    """Where a value was set: a file (with a line), "environment", "flag" or "default"."""

    source: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.source}:{self.line}" if self.line else self.source


DEFAULT = SettingOrigin("default")
_MQTT_PASSWORD = "a password does not stand here but in the credential noctule-mqtt: docs/api.md"
#: keys that people look for here -> where the thing is.
_ELSEWHERE = {
    "mqtt.password": _MQTT_PASSWORD,
    "mqtt.pass": _MQTT_PASSWORD,
    "mqtt.username": "unknown key (did you mean user?)",
    "api.token": "the token is made by the service and kept in its state folder: docs/api.md",
}


@dataclass
class LoadedConfig:
    """The merged configuration, the origin of every value that is not a default, and the files read."""

    config: Config
    origins: dict[str, SettingOrigin] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)

    def origin(self, dotted: str) -> SettingOrigin:
        return self.origins.get(dotted, DEFAULT)


def load_config(
    path: Path | None = None, env: Mapping[str, str] | None = None, flags: Sequence[str] = ()
) -> LoadedConfig:
    """Read every layer.

    path: the main file; its conf.d folder beside it is read too. None reads the default path if it exists; a path
    that was named must exist. env: the environment. flags: "section.key=value" texts.
    Raises ConfigError with every mistake of every layer.
    """
    merge = _Merge()
    main = path if path is not None else DEFAULT_PATH
    if path is not None or main.exists():
        merge.file(main)
    for extra in sorted((main.parent / "conf.d").glob("*.toml")):
        merge.file(extra)
    for name, value in sorted((env or {}).items()):
        if name.startswith(ENV_PREFIX) and name not in ENV_OTHER and "__" in name:
            dotted = name[len(ENV_PREFIX) :].lower().replace("__", ".")
            merge.text(SettingOrigin(f"environment {name}"), dotted, value)
    for flag in flags:
        dotted, equals, value = flag.partition("=")
        if equals:
            merge.text(SettingOrigin("flag --set"), dotted.strip(), value.strip())
        else:
            merge.problems.append(f"flag --set: {flag}: must be section.key=value")
    merge.required()
    if not merge.problems:
        merge.agreement()
    if merge.problems:
        raise ConfigError(merge.problems)
    return LoadedConfig(merge.config, merge.origins, merge.files)


class _Merge:
    def __init__(self) -> None:
        self.config = Config()
        self.origins: dict[str, SettingOrigin] = {}
        self.files: list[Path] = []
        self.problems: list[str] = []

    def file(self, path: Path) -> None:
        try:
            if path.stat().st_size > MAX_FILE:
                self.problems.append(f"{path}: larger than {MAX_FILE} bytes, so not a configuration file")
                return
            data_bytes = path.read_bytes()
            text = data_bytes.decode("utf-8-sig")  # a byte order mark, as some editors write it, is read past
            data = tomllib.loads(text)
        except UnicodeDecodeError:
            wide = " (it is UTF-16: save it as UTF-8)" if data_bytes[:2] in (b"\xff\xfe", b"\xfe\xff") else ""
            self.problems.append(f"{path}: is not a UTF-8 text file{wide}")
            return
        except OSError as error:
            self.problems.append(f"{path}: cannot be read: {error.strerror}")
            return
        except (ValueError, RecursionError) as error:  # ValueError: also Python's own bound on digits
            found = re.search(r"\(at line (\d+), column \d+\)", str(error))
            where = f"{path}:{found[1]}" if found else f"{path}"
            deep = isinstance(error, RecursionError)
            what = "too deeply nested" if deep else re.sub(r" *[(]at .*[)]", "", str(error))
            self.problems.append(f"{where}: not valid TOML: {what}")
            return
        self.files.append(path)
        lines = key_lines(text)

        def at(*name: str) -> SettingOrigin:
            known = next((lines[name[:n]] for n in range(len(name), 0, -1) if name[:n] in lines), 0)
            return SettingOrigin(str(path), known)

        for section, body in data.items():
            if not isinstance(body, dict):
                hint = f" (put it below a section header such as [{_section_with(section) or 'service'}])"
                self.problems.append(f"{at(section)}: {section}: stands outside any section{hint}")
            elif section in TABLES:
                for name, entries in body.items():
                    if odd_name(name):
                        self.problems.append(f"{at(section, name)}: {section}: {name[:60]!r} cannot be a name")
                    elif isinstance(entries, dict):
                        for item, value in entries.items():
                            self.put(at(section, name, item), dotted_name(section, name, item), value, path.parent)
                    else:
                        self.problems.append(
                            f"{at(section, name)}: {dotted_name(section, name)}: must be a section of its own,"
                            f" [{section}.NAME]"
                        )
            elif section in SECTIONS or section in LISTS:
                for item, value in body.items():
                    self.put(at(section, item), dotted_name(section, item), value, path.parent)
            else:
                guess = _guess(section, [*SECTIONS, *TABLES, *LISTS])
                self.problems.append(f"{at(section)}: [{section}]: unknown section{guess}")

    def text(self, origin: SettingOrigin, dotted: str, value: str) -> None:
        """A value given as text: TOML if it reads as TOML, else the text itself."""
        try:
            parsed = tomllib.loads(f"v = {value}")["v"]
        except (ValueError, RecursionError):
            parsed = value
        found = self.find(dotted)
        if found is not None and found[0] in (str, Path) and not isinstance(parsed, str):
            parsed = value  # NOCTULE_LM__MODEL=7 is the name "7"
        self.put(origin, dotted, parsed, Path.cwd())

    def find(self, dotted: str) -> tuple[Any, Any] | None:
        parts = split_name(dotted)
        if len(parts) == 3 and parts[0] in TABLES:
            return keys_of(TABLES[parts[0]]).get(parts[2])
        if len(parts) == 2 and parts[0] in SECTIONS:
            return keys_of(SECTIONS[parts[0]]).get(parts[1])
        return None

    def put(self, origin: SettingOrigin, dotted: str, value: Any, base: Path) -> None:
        parts = split_name(dotted)
        if len(parts) == 2 and parts[0] in LISTS:
            self.put_list(origin, parts, value, base)
            return
        found = self.find(dotted)
        if found is None:
            elsewhere = _ELSEWHERE.get(dotted, "")
            self.problems.append(f"{origin}: {dotted}: {elsewhere or f'unknown key{_guess_key(dotted)}'}")
            return
        kind, item = found
        typed, wrong = check(kind, key_of(item), value, base)
        if wrong:
            self.problems.append(f"{origin}: {dotted}: {wrong}")
            return
        target = getattr(self.config, parts[0])
        if parts[0] in TABLES:
            target = target.setdefault(parts[1], TABLES[parts[0]]())
        setattr(target, parts[-1], typed)
        self.origins[dotted] = origin

    def put_list(self, origin: SettingOrigin, parts: tuple[str, ...], value: Any, base: Path) -> None:
        """A key of a section whose keys the owner chooses."""
        section, name = parts
        typed, wrong = check(list[str], LISTS[section], value, base)
        if not wrong and not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            wrong = "must be called by lower-case letters, digits and _, as in {room}"
        if wrong:
            self.problems.append(f"{origin}: {section}.{name}: {wrong}")
            return
        getattr(self.config, section)[name] = typed
        self.origins[f"{section}.{name}"] = origin

    def agreement(self) -> None:
        """Settings that contradict each other, each where the one or the other was set."""
        for item in contradictions(self.config):
            where = self.origins.get(item.key) or self.origins.get(item.because)
            self.problems.append(f"{where}: {item.key}: {item.text}" if where else f"{item.key}: {item.text}")

    def required(self) -> None:
        """In a named section a list with a minimum has no usable default: say what is missing."""
        for section, cls in TABLES.items():
            for name, body in getattr(self.config, section).items():
                for item, (_, declared) in keys_of(cls).items():
                    about, value = key_of(declared), getattr(body, item)
                    if isinstance(value, list) and about.minimum and not value:
                        head = dotted_name(section, name)
                        near = (o for k, o in self.origins.items() if k.startswith(f"{head}."))
                        self.problems.append(f"{next(near, section)}: {head}.{item}: is missing")


def _guess(word: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f" (did you mean {close[0]}?)" if close else ""


def _section_with(item: str) -> str:
    return next((name for name, cls in SECTIONS.items() if item in keys_of(cls)), "")


def _guess_key(dotted: str) -> str:
    parts = split_name(dotted)
    if not parts:
        return ""
    section, item = parts[0], parts[-1]
    cls = SECTIONS.get(section) or TABLES.get(section)
    if cls is None:
        return _guess(section, [*SECTIONS, *TABLES])
    near = _guess(item, list(keys_of(cls)))
    elsewhere = _section_with(item)
    return near or (f" (did you mean {elsewhere}.{item}?)" if elsewhere else "")


def walk(config: Config) -> list[tuple[str, Any, bool]]:
    """Every setting as (dotted name, value, live), sections in order."""
    found: list[tuple[str, Any, bool]] = []
    for section, cls in SECTIONS.items():
        body = getattr(config, section)
        found += [(f"{section}.{n}", getattr(body, n), key_of(f).live) for n, (_, f) in keys_of(cls).items()]
    for section, cls in TABLES.items():
        for name, body in getattr(config, section).items():
            for item, (_, declared) in keys_of(cls).items():
                found.append((dotted_name(section, name, item), getattr(body, item), key_of(declared).live))
    for section, about in LISTS.items():
        found += [(dotted_name(section, name), value, about.live) for name, value in getattr(config, section).items()]
    return found


def changes(old: Config, new: Config) -> list[tuple[str, bool]]:
    """The dotted names whose values differ, each with whether a reload applies it without a restart."""
    before = {name: value for name, value, _ in walk(old)}
    after = {name: (value, live) for name, value, live in walk(new)}
    changed = [(name, live) for name, (value, live) in after.items() if name not in before or before[name] != value]
    gone = [(name, live) for name, _, live in walk(old) if name not in after]
    return changed + gone
