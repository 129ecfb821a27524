"""Addresses that servers listen on, and the rule that nobody outside this machine is let in by accident.

Read here, where `config check` and the service that binds them do it alike.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from noctule.core.errors import ConfigError

_HINT = "docs/api.md"


@dataclass(frozen=True)
class Address:
    """A TCP address. host: a numeric IPv4 or IPv6 address; port: 0 lets the system choose (tests)."""

    host: str
    port: int

    @property
    def loopback(self) -> bool:
        return ipaddress.ip_address(self.host).is_loopback

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse(text: str, key: str, lan: bool, lan_key: str) -> Address:
    """Read "127.0.0.1:8642" or "[::1]:8642". key, lan_key: the settings' names, for the sentence.

    Raises ConfigError for what is no such address, or leads outside this machine without `lan`.
    """
    host, colon, port = text.rpartition(":")
    host = "127.0.0.1" if host == "localhost" else host.removeprefix("[").removesuffix("]")
    try:
        # `%` would name an interface, and lead anywhere
        numeric = str(ipaddress.ip_address(host)) if "%" not in host else ""
    except ValueError:
        numeric = ""
    if not colon or not numeric or not (port.isascii() and port.isdigit() and int(port) < 65536):
        raise ConfigError([f'{key}: must be ADDRESS:PORT such as "127.0.0.1:8642", not "{text[:60]}"'], _HINT)
    address = Address(numeric, int(port))
    if not lan and not address.loopback:
        raise ConfigError(
            [f"{key}: {address} can be reached by other machines; {lan_key} = true allows that, knowingly"], _HINT
        )
    return address


def wyoming_address(text: str, lan: bool, section: str = "wyoming") -> Address | str:
    """Read `wyoming.listen`: "tcp://127.0.0.1:10400", or "unix:///path", which gives the path. Raises ConfigError."""
    kind, _, rest = text.partition("://")
    if kind == "unix" and rest.startswith("/") and len(rest) < 100:  # sun_path has 108 bytes
        return rest
    if kind == "tcp":
        return parse(rest, f"{section}.listen", lan, f"{section}.lan")
    raise ConfigError([f'{section}.listen: must be tcp://ADDRESS:PORT or unix:///PATH, not "{text[:60]}"'], _HINT)
