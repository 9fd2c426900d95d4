"""Who may see code, state or control: clients on this machine that know they speak to this machine. Pure."""

from __future__ import annotations

import ipaddress
import os
import stat
from pathlib import Path
from urllib.parse import urlsplit

from starlette.types import Scope

_HEADERS = frozenset({b"host", b"origin", b"forwarded", b"x-forwarded-for"})
_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


def is_local(scope: Scope) -> bool:
    """Whether a request comes from this machine and was meant for it.

    The client's address alone is not enough: a page of another site can let a browser on this machine ask (DNS
    rebinding), so the ``Host`` has to be a local name as well, and an ``Origin``, where there is one, too. A proxy on
    this machine that asks for somebody else says so in its headers, and a Unix socket counts only in a directory that
    nobody but this user can enter.

    Args:
        scope: an ASGI HTTP or WebSocket scope.
    """
    headers = {name: value.decode("latin-1") for name, value in scope["headers"] if name in _HEADERS}
    client = scope.get("client")
    if client is None or not client[0]:
        if not _is_private_socket(scope.get("server")):
            return False
    elif not _is_loopback(client[0]):
        return False
    forwarded_for = headers.get(b"x-forwarded-for", "127.0.0.1").split(",")
    if b"forwarded" in headers or not all(_is_loopback(address.strip()) for address in forwarded_for):
        return False
    origin = headers.get(b"origin")
    return _is_local_name(f"//{headers.get(b'host', '')}") and (origin is None or _is_local_name(origin))


def _is_private_socket(server: tuple[str, int | None] | None) -> bool:
    """Whether this names a Unix socket in a directory of mode 0700 that is this user's."""
    if server is None or server[1] is not None:
        return False
    try:
        status = Path(server[0]).parent.stat()
    except OSError:
        return False
    return status.st_uid == os.getuid() and not stat.S_IMODE(status.st_mode) & 0o077


def _is_loopback(address: str) -> bool:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    # Where IPv6 sockets take IPv4 clients too; Python itself looks through such addresses from 3.13 on.
    return (getattr(found, "ipv4_mapped", None) or found).is_loopback


def _is_local_name(url: str) -> bool:
    try:
        name = (urlsplit(url).hostname or "").rstrip(".")
    except ValueError:
        return False
    return name in _LOCAL_NAMES or name.endswith(".localhost")
