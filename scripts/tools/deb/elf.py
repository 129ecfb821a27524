"""What a shared library asks of the system it is loaded on, read from its headers (ELF-64, little endian).

Format: the System V ABI, chapter 4; symbol versions: the Linux Standard Base, "Symbol Versioning".
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

#: uname -m -> e_machine
MACHINE = {"x86_64": 62, "aarch64": 183}
_DYNAMIC, _VERNEED = 6, 0x6FFFFFFE  # section types
_NEEDED, _SONAME = 1, 14  # dynamic tags


@dataclass(frozen=True)
class Needs:
    """machine: e_machine. needed: library names. versions: (library, symbol version): (libc.so.6, GLIBC_2.34)."""

    machine: int
    soname: str
    needed: frozenset[str]
    versions: frozenset[tuple[str, str]]


def read(path: Path) -> Needs | None:
    """None for a file that is no ELF. Raises ValueError for one of another class or byte order, or a broken one."""
    data = path.read_bytes()
    if data[:4] != b"\x7fELF":
        return None
    if data[4:6] != b"\x02\x01":
        raise ValueError(f"{path}: neither 64-bit nor little endian")
    try:
        return _read(data)
    except (struct.error, IndexError) as error:
        raise ValueError(f"{path}: broken ELF headers: {error}") from None


def _read(data: bytes) -> Needs:
    machine: int = struct.unpack_from("<H", data, 18)[0]
    offset, size, count = (struct.unpack_from(form, data, at)[0] for form, at in (("<Q", 40), ("<H", 58), ("<H", 60)))
    # type, flags, address, offset, size, link: the first words of each section header
    sections = [struct.unpack_from("<4xI16xQQI", data, offset + size * number) for number in range(count)]
    needed: set[str] = set()
    versions: set[tuple[str, str]] = set()
    soname = ""
    for kind, start, length, link in sections:
        if kind not in (_DYNAMIC, _VERNEED):
            continue
        strings = sections[link][1]
        if kind == _DYNAMIC:
            for at in range(start, start + length, 16):
                tag, value = struct.unpack_from("<qQ", data, at)
                if tag == _NEEDED:
                    needed.add(_text(data, strings + value))
                elif tag == _SONAME:
                    soname = _text(data, strings + value)
        else:
            versions |= _version_needs(data, start, strings)
    return Needs(machine, soname, frozenset(needed), frozenset(versions))


def _version_needs(data: bytes, at: int, strings: int) -> set[tuple[str, str]]:
    """Walk the chain of Verneed entries (one a library), each with its chain of Vernaux (one a version)."""
    found = set()
    while True:
        _, count, name, first, following = struct.unpack_from("<HHIII", data, at)
        inner = at + first
        for _ in range(count):
            _, _, _, version, onward = struct.unpack_from("<IHHII", data, inner)
            found.add((_text(data, strings + name), _text(data, strings + version)))
            inner += onward
        if following == 0:
            return found
        at += following


def _text(data: bytes, at: int) -> str:
    return data[at : data.index(b"\0", at)].decode("ascii", "replace")
