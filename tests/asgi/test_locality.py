"""Who may see code, state or control."""

from __future__ import annotations

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
def test_unix_sockets(client: Any) -> None:
    """A client on a Unix socket has no address, and is on this machine."""
    assert is_local(scope(client=client))


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
