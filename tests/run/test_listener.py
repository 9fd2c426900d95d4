from __future__ import annotations

import socket
from pathlib import Path

import pytest
import uvicorn

from hotsession.errors import ConfigurationError
from hotsession.run.listener import address, listen


def config(**options: object) -> uvicorn.Config:
    """A configuration that configures no logging."""
    return uvicorn.Config("main:app", log_config=None, **options)  # type: ignore[arg-type]


def test_a_client_that_comes_too_early_waits() -> None:
    """Once bound the socket listens: a connection is in its queue before any worker is there."""
    with listen(config(port=0)) as sock, socket.create_connection(sock.getsockname(), timeout=5) as client:
        client.sendall(b"hello")
        accepted, _ = sock.accept()
        with accepted:
            assert accepted.recv(5) == b"hello"


def test_the_address_shows_the_real_port() -> None:
    """Port 0 is shown as the port that was got, and a certificate as https."""
    settings = config(port=0)
    with listen(settings) as sock:
        assert address(settings, sock) == f"http://127.0.0.1:{sock.getsockname()[1]}"
        secure = config(ssl_keyfile="key.pem", ssl_certfile="cert.pem")
        assert address(secure, sock).startswith("https://127.0.0.1:")


def test_an_abandoned_unix_socket_is_replaced_and_a_live_one_is_not(tmp_path: Path) -> None:
    """A socket on which nobody listens is removed; one that answers is an error, a file that is none too."""
    path = tmp_path / "app.sock"
    settings = config(uds=str(path))
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with listen(settings) as sock:
        assert address(settings, sock) == f"unix:{path}"
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))


def test_a_descriptor_that_is_no_socket_is_an_error() -> None:
    """--fd with a closed descriptor says what to give."""
    with pytest.raises(
        ConfigurationError, match=r"file descriptor 987 is no socket that can listen .*: give the number"
    ):
        listen(config(fd=987))
