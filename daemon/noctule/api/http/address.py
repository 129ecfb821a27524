"""Binding the addresses of the configuration, which config/address.py reads."""

from __future__ import annotations

import socket

from noctule.config.address import Address
from noctule.core.errors import DeviceError

#: what `status` and `doctor` say of an address that others can reach.
LAN_WARNING = "other machines can reach it, unencrypted"


def bind(address: Address, key: str) -> socket.socket:
    """A listening TCP socket. Raises DeviceError, with what to do about it."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    hint = f"change {key}; see `ss -ltnp`"
    try:
        sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    except OSError as error:  # RestrictAddressFamilies= of the unit
        hint = "the unit keeps Noctule off the network: docs/api.md has the drop-in that allows it"
        raise DeviceError(f"{key}: {address} cannot be used: {error.strerror}.", hint) from None
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address.host, address.port))
        sock.listen(64)
    except OSError as error:
        sock.close()
        raise DeviceError(f"{key}: {address} cannot be used: {error.strerror}.", hint) from None
    return sock
