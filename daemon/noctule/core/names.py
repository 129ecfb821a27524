"""Ids out of names that people give: the name itself where it can be, else what is readable of it and a hash.

A name in another script must not become the same id as every other such name: two boards with one MQTT id throw each
other out for ever, two sources with one folder share their pictures.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata

#: hexadecimal digits of the hash: two of a million names share an id with a chance of one in 2000 for all of them.
_DIGITS = 8


def id_of(name: str, *, also: str = "-_", most: int = 60, plain: bool = True) -> str:
    """An id of at most `most` ASCII letters, figures and characters of `also`; the same for the same name, ever.

    plain: in lower case; names that differ only in case are then one (as host names are). Letters with accents are
    written without in the readable part. Two different names never give the same id but by chance of the hash.
    """
    whole = unicodedata.normalize("NFC", name.lower() if plain else name)
    allowed = rf"[A-Za-z0-9{re.escape(also)}]"
    joint = "-" if "-" in also else "_"
    ours = re.search(rf"(?:^x|{joint})[0-9a-f]{{{_DIGITS}}}$", whole)
    if re.fullmatch(rf"(?!\.){allowed}{{1,{most}}}", whole) and not ours:
        return whole
    bare = "".join(char for char in unicodedata.normalize("NFKD", whole) if not unicodedata.combining(char))
    readable = re.sub(rf"(?!{allowed}).", joint, bare, flags=re.DOTALL)
    readable = re.sub(rf"{joint}+", joint, readable)[: most - _DIGITS - 1].strip("-_.")
    digest = hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGITS]
    return f"{readable}{joint}{digest}" if readable else f"x{digest}"
