"""Who is at the other end of a Unix socket, as the kernel tells it.

SO_PEERCRED gives the peer's uid and primary gid, SO_PEERGROUPS (Linux 4.13) its other groups: none of them can be
forged. Both are as of connect(2), so a privileged program that drops its rights later keeps what it had.
"""

from __future__ import annotations

import array
import contextlib
import grp
import os
import socket
import struct
from dataclasses import dataclass

#: <asm-generic/socket.h>; the socket module does not name it.
SO_PEERGROUPS = 59


@dataclass(frozen=True)
class Peer:
    """The process that connected."""

    pid: int
    uid: int
    groups: frozenset[int]


def peer_of(sock: socket.socket) -> Peer:
    """Credentials of the peer of a connected Unix socket."""
    pid, uid, gid = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    groups = array.array("I")
    with contextlib.suppress(OSError):  # a kernel without it: the primary group alone counts
        groups.frombytes(sock.getsockopt(socket.SOL_SOCKET, SO_PEERGROUPS, 4 * 1024))
    return Peer(pid, uid, frozenset([gid, *groups]))


def group_id(name: str) -> int | None:
    """The id of a group, or None when this system has no such group."""
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        return None


def allowed(peer: Peer, group: str) -> bool:
    """Root, the service's own user and the members of `group` may use the control socket."""
    gid = group_id(group) if group else None
    return peer.uid in (0, os.geteuid()) or (gid is not None and gid in peer.groups)
