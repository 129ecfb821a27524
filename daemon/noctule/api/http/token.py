"""The bearer token of the TCP port: a systemd credential, or a file that is made once."""

from __future__ import annotations

import contextlib
import hmac
import os
import secrets
import stat
from pathlib import Path

from aiohttp import web

from noctule.core.errors import DeviceError, NoctuleError
from noctule.service.journal import credential

#: the credential's name in the unit: LoadCredential=noctule-token:/path
CREDENTIAL = "noctule-token"
#: the shortest token that is believed to be a secret, and the longest that fits a header.
SHORTEST, LONGEST = 16, 512


class TokenError(NoctuleError):
    """The request has no token, or the wrong one."""

    http_status = 401
    exit_code = 77
    code = "token"


def load_token(state_dir: Path) -> str:
    """The credential, else the file `token` in the state folder, made with a random one. Raises NoctuleError."""
    given = credential(CREDENTIAL)
    if given is not None:
        return _checked(given, f"the credential {CREDENTIAL}")
    path = state_dir / "token"
    if not os.path.lexists(path):
        _create(path)
    return _checked(_read(path), str(path))


def _create(path: Path) -> None:
    """Whole or not at all: written under another name first, then linked, which never replaces anything."""
    fresh = path.with_name(f".token.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(32) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(fresh, path)
    except OSError as error:
        raise DeviceError(f"The token {path} cannot be made: {error.strerror}.", "see service.state_dir") from None
    finally:
        with contextlib.suppress(OSError):
            fresh.unlink()


def _read(path: Path) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise DeviceError(f"The token {path} cannot be read: {error.strerror}.", "it must be a plain file") from None
    try:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            raise DeviceError(f"The token {path} is no plain file.", "remove it; a new one is made")
        if about.st_mode & 0o077:
            raise DeviceError(f"The token {path} can be read by others.", f"chmod 600 {path}")
        return os.read(descriptor, LONGEST + 2)
    finally:
        os.close(descriptor)


def _checked(data: bytes, where: str) -> str:
    token = data.decode("ascii", "replace").strip()
    if not SHORTEST <= len(token) <= LONGEST or not all("!" <= char <= "~" for char in token):
        raise DeviceError(
            f"{where} holds no token: {SHORTEST} to {LONGEST} printable characters are needed.",
            "openssl rand -hex 32",
        )
    return token


def check_bearer(request: web.Request, token: str) -> None:
    """Raise TokenError unless the request carries `token`; takes the same time wherever the two differ."""
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if (
        scheme.lower() == "bearer"
        and given.strip()
        and not hmac.compare_digest(given.strip().encode("utf-8", "replace"), token.encode())
    ):
        raise TokenError(
            "The token is wrong.", "it is in the file token of service.state_dir, or a credential: docs/api.md"
        )
    if scheme.lower() != "bearer" or not given.strip():
        raise TokenError("This port needs its token.", "send the header: Authorization: Bearer TOKEN")
