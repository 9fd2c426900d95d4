"""Who may see code, state or control: clients on this machine that know they speak to this machine. Pure."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from starlette.types import Scope

_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


def is_local(scope: Scope) -> bool:
    """Whether a request comes from this machine and was meant for it.

    The client's address alone is not enough: a page of another site can let a browser on this machine ask (DNS
    rebinding), so the ``Host`` has to be a local name as well, and an ``Origin``, where there is one, too. A proxy on
    this machine that names another client in its headers has been taken into account by the server.

    Args:
        scope: an ASGI HTTP or WebSocket scope.
    """
    headers = {name: value.decode("latin-1") for name, value in scope["headers"] if name in (b"host", b"origin")}
    client = scope.get("client")
    if client is not None and not _is_loopback(client[0]):
        return False
    origin = headers.get(b"origin")
    return _is_local_name(f"//{headers.get(b'host', '')}") and (origin is None or _is_local_name(origin))


def _is_loopback(address: str) -> bool:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address == ""  # a Unix socket has no address
    # Where IPv6 sockets take IPv4 clients too; Python itself looks through such addresses from 3.13 on.
    return (getattr(found, "ipv4_mapped", None) or found).is_loopback


def _is_local_name(url: str) -> bool:
    try:
        name = (urlsplit(url).hostname or "").rstrip(".")
    except ValueError:
        return False
    return name in _LOCAL_NAMES or name.endswith(".localhost")
