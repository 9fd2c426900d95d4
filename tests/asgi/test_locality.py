"""Who may see code, state or control."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hotsession.asgi.locality import is_local


def scope(client: Any = ("127.0.0.1", 5000), host: str | None = "localhost:8000", origin: str | None = None) -> Any:
    """The scope of a request."""
    named = ((b"host", host), (b"origin", origin))
    return {"client": client, "headers": [(name, value.encode()) for name, value in named if value is not None]}


@pytest.mark.parametrize("address", ["127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"])
def test_loopback_clients(address: str) -> None:
    """Every loopback address is this machine."""
    assert is_local(scope(client=(address, 5000)))


@pytest.mark.parametrize("client", [None, ("", 0)])
@pytest.mark.parametrize(("mode", "local"), [(0o700, True), (0o755, False)])
def test_unix_sockets(client: Any, mode: int, local: bool, tmp_path: Path) -> None:
    """Who comes over a Unix socket is this user if nobody else can enter its directory."""
    tmp_path.chmod(mode)
    assert is_local({**scope(client), "server": (str(tmp_path / "app.sock"), None)}) is local
    assert not is_local({**scope(client), "server": ("127.0.0.1", 8000)})


@pytest.mark.parametrize(
    ("name", "value", "local"),
    [
        (b"x-forwarded-for", b"127.0.0.1", True),
        (b"x-forwarded-for", b"203.0.113.7", False),
        (b"x-forwarded-for", b"127.0.0.1, 203.0.113.7", False),
        (b"x-forwarded-for", b"unknown", False),
        (b"forwarded", b"for=203.0.113.7", False),
    ],
)
def test_proxies_on_this_machine(name: bytes, value: bytes, local: bool) -> None:
    """A proxy that asks for a client elsewhere is not taken for the developer."""
    asked = scope()
    asked["headers"].append((name, value))
    assert is_local(asked) is local


@pytest.mark.parametrize("address", ["192.168.1.7", "10.0.0.1", "2001:db8::1", "testclient", "localhost.evil.example"])
def test_other_clients(address: str) -> None:
    """Everybody else is not, nor is what is no address."""
    assert not is_local(scope(client=(address, 5000)))


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:1", "127.0.0.1:8000", "[::1]:8000", "app.localhost", "localhost."]
)
def test_local_names(host: str) -> None:
    """Names that can only mean this machine."""
    assert is_local(scope(host=host))


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "[::1", "", None])
def test_other_names(host: str | None) -> None:
    """A page of another site can give its name this machine's address: the `Host` shows it."""
    assert not is_local(scope(host=host))


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost.evil.example:8000", "http://[x"])
def test_other_origins(origin: str) -> None:
    """A page of another site that asks a local name is shown by its `Origin`."""
    assert not is_local(scope(origin=origin))


def test_a_local_origin() -> None:
    """A page from this machine may ask, whatever port it came from."""
    assert is_local(scope(origin="http://localhost:3000"))
