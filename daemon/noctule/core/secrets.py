"""Addresses as they may be shown: without user, password, token or anything that could be one.

From the raw text outwards, not by taking an URL apart: a password with "/", "#", "?" or "@" in it moves the parts of
an URL, and then a parser shows half of the password as the host or the path. So everything up to the last "@" goes;
of the path only the words that cameras share are shown, for a path may be a secret as a whole (UniFi, XMEye).
"""

from __future__ import annotations

import re

#: written in a password, these end the host's part of an URL.
MUST_BE_ENCODED = {"#": "%23", "/": "%2F", "?": "%3F"}
ENCODE_HINT = "in a user's name or password write # as %23, / as %2F, ? as %3F and @ as %40"

_SCHEME = r"[A-Za-z][A-Za-z0-9+.-]*:[/\\\\]{1,3}"
_UP_TO_AT = re.compile(rf"({_SCHEME})(.*)@(\S*)")
#: what is a host for certain, and not the end of a password with an "@" in it.
_NUMERIC = re.compile(r"(?:\d{1,3}(?:\.\d{1,3}){3}|\[[0-9A-Fa-f:.]+\])(?=[:/?#;,.)]|$)")
_URL = re.compile(rf"({_SCHEME})(.*)")
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9_.-]+)(?::\d{1,5}(?=[/?#;&]|$))?")
_BARE = re.compile(r"[^\s\"'@]*:[^\s\"']*@")
_KEY = re.compile(
    r"((?:pass(?:word|wd|phrase)?|pwd|pw|token|secret|key|auth|sig(?:nature)?|credentials?)\s*=)\s*\S+", re.IGNORECASE
)
#: what cameras and servers call their streams.
_COMMON = re.compile(
    r"(?:live|streams?|streaming|channels?|ch|main|sub|h26[45]|hevc|av|video|cam|camera|media|mjpe?g|"
    r"cgi-bin|axis-cgi|onvif|profile|unicast|index|playlist|screen|picture|snapshot|test)"
    r"[_-]?\d{0,3}(?:[_-](?:main|sub|live|stream)\d{0,2})?"
    r"(?:\.(?:cgi|mjpe?g|jpe?g|png|m3u8|sdp|mp4|mkv|ts|flv|amp))?|\d{1,3}",
    re.IGNORECASE,
)


def hide_secrets(text: str) -> str:
    """A sentence as it may be shown and logged: no user and password of an address, nothing after a key's name."""
    # keys first: what stands behind one may have an "@" of its own, which is not an address's
    text = _KEY.sub(r"\1…", text) if "=" in text else text
    if "@" in text:
        text = _UP_TO_AT.sub(_without_user, text) if _UP_TO_AT.search(text) else _BARE.sub("", text)
    return text


def _without_user(found: re.Match[str]) -> str:
    """Where a path, query or fragment may have begun before the last "@", what follows it may be no host at all."""
    sure = not re.search(r"[/?#;]", found[2]) or _NUMERIC.match(found[3])
    return found[1] + (found[3] if sure else "…")


def hide_address(address: str) -> str:
    """An address as it may be shown, logged and stored: scheme, host, port, and the path's common words."""
    shown = hide_secrets(" ".join(address.splitlines()))
    return _URL.sub(lambda found: found[1] + _place(found[2]), shown)


def _place(rest: str) -> str:
    """Host and port, and of the path what is common to all cameras."""
    host = _HOST.match(rest)
    if host is None:
        return rest and "…"
    after = rest[host.end() :]
    if not after.startswith("/"):
        return host[0] + ("/…" if after else "")
    path = re.split(r"[?#;&]", after[1:], maxsplit=1)[0]
    shown = [word if not word or _COMMON.fullmatch(word) else "…" for word in path.split("/")]
    return host[0] + "/" + "/".join(shown)


def misplaced(address: str) -> str:
    """The character of a password that must be written in another way ("/", "#" or "?"), or ""."""
    found = re.match(rf"{_SCHEME}([^/?#]*)([/?#])(.*)@", address, re.S)
    if found is None:
        return ""
    if "@" in found[1]:
        return "" if _HOST.fullmatch(found[1].rpartition("@")[2]) else found[2]
    _, colon, port = found[1].rpartition(":")
    return found[2] if colon and not port.isdigit() and not found[1].startswith("[") else ""
