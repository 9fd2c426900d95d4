"""Saves that no client notices, with each kind of app and server: sockets talk and streams are read meanwhile."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from tests.deadlines import DEADLINE
from tests.e2e.carried_apps import APPS, STARLETTE
from tests.e2e.crowd import Crowd
from tests.e2e.versioned import VersionedServer, serve, write_certificate
from tests.effort import times

pytestmark = pytest.mark.e2e

MODULES = ("leaf", "base")
MEGABYTE = bytes(range(256)) * 4096

SERVERS = {
    "websockets": ("--ws", "websockets"),
    "websockets-sansio": ("--ws", "websockets-sansio"),
    "wsproto": ("--ws", "wsproto"),
    "h11": ("--http", "h11"),
    "httptools": ("--http", "httptools"),
    "asyncio": ("--loop", "asyncio"),
    "uncompressed": ("--ws-per-message-deflate", "false"),
    "wsproto uncompressed": ("--ws", "wsproto", "--ws-per-message-deflate", "false"),
    "sansio uncompressed": ("--ws", "websockets-sansio", "--ws-per-message-deflate", "false"),
    "stop-first": ("--handover", "stop-first"),
    "all modules": ("--reload-scope", "all"),
}
TLS = {name: (*SERVERS[name], "TLS") for name in ("websockets", "websockets-sansio", "wsproto", "h11", "httptools")}


def start(tmp_path: Path, main: str, *options: str) -> VersionedServer:
    """A server of this app, over TLS if one of the options is ``TLS``."""
    certificate = None
    if "TLS" in options:
        if shutil.which("openssl") is None:
            pytest.skip("openssl, which makes the certificate, is not installed")
        certificate = write_certificate(tmp_path / "certificate")
    return serve(tmp_path, main, *(each for each in options if each != "TLS"), certificate=certificate)


@pytest.mark.parametrize("kind", APPS)
def test_no_client_notices_many_saves(tmp_path: Path, kind: str) -> None:
    """Of 40 clients each is answered once and in order over one connection, and each hears the code of each save."""
    with start(tmp_path, APPS[kind]) as server:
        process = server.tell()["pid"]
        with Crowd(server) as crowd:
            for number in range(times(15, 50)):
                crowd.wait_for(server.save(MODULES[number % 2]))
        server.wait_until_alive(server.version)
        assert server.tell()["pid"] == process
        assert not {"ERROR", "WARNING"} & {*server.log.split(":")}, server.log
        assert "Traceback" not in server.log


@pytest.mark.parametrize("options", [*SERVERS.values(), *TLS.values()], ids=" ".join)
def test_no_client_notices_whatever_the_server_is_made_of(tmp_path: Path, options: tuple[str, ...]) -> None:
    """Implementations of both protocols that uvicorn has, TLS, compression and our own options make no difference."""
    with start(tmp_path, STARLETTE, *options) as server:
        with Crowd(server, sockets=4, streams=4) as crowd:
            for number in range(times(4, 12)):
                crowd.wait_for(server.save(MODULES[number % 2]))
        assert "Traceback" not in server.log


@pytest.mark.parametrize("compression", ["deflate", None])
@pytest.mark.parametrize("options", [("--ws", name) for name in ("websockets", "websockets-sansio", "wsproto")])
def test_large_frames_and_the_subprotocol_stay(
    tmp_path: Path, options: tuple[str, ...], compression: str | None
) -> None:
    """A megabyte in one frame is answered before and after a save; what the handshake settled is what it was."""
    with (
        start(tmp_path, STARLETTE, *options) as server,
        connect(f"{server.ws_url}/echo", proxy=None, max_size=None, compression=compression) as echo,
        connect(f"{server.ws_url}/talk", proxy=None, subprotocols=[Subprotocol("chat"), Subprotocol("none")]) as talk,
    ):
        assert talk.subprotocol == "chat"
        assert bool(echo.protocol.extensions) == (compression is not None)
        for number in range(4):
            version = server.version if number == 0 else server.save(MODULES[number % 2])
            echo.send(MEGABYTE)
            answer = echo.recv(DEADLINE, decode=False)
            assert answer[: len(MEGABYTE)] == MEGABYTE
            assert answer[len(MEGABYTE) :].decode() == version
            talk.send("1")
            assert talk.recv(DEADLINE) == f"1 {version}"


@pytest.mark.parametrize("name", ["websockets", "websockets-sansio", "wsproto"])
def test_frames_that_arrive_during_the_swap_are_answered(tmp_path: Path, name: str) -> None:
    """Twenty that are sent without a pause around three saves come back complete and in order.

    All of them together have room in the buffers of the system: this client takes nothing while it can't send.
    """

    def send_all(frames: list[bytes]) -> None:
        for frame in frames:
            echo.send(frame)

    with (
        start(tmp_path, STARLETTE, "--ws", name) as server,
        ThreadPoolExecutor(1) as pool,
        connect(f"{server.ws_url}/echo", proxy=None, max_size=None, compression=None) as echo,
    ):
        frames = [bytes([number]) * (1 << 14) for number in range(20)]
        sending = pool.submit(send_all, frames)
        answers = []
        for number in range(len(frames)):
            if number in (3, 8, 13):
                server.save()
            answers.append(echo.recv(DEADLINE, decode=False))
        sending.result(DEADLINE)
        assert [answer[0] for answer in answers] == list(range(20))
        assert [answer[: 1 << 14] for answer in answers] == frames
        versions = [answer[1 << 14 :].decode() for answer in answers]
        assert versions == sorted(versions)
