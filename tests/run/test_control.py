from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path

import anyio
import pytest

from hotsession.errors import ControlError
from hotsession.private_dir import open_private_dir
from hotsession.run.control import DevServer, ask_reset, choose, running, serve_control

pytestmark = pytest.mark.anyio

SHOP = DevServer(11, "/home/me/shop", "main:app", "http://127.0.0.1:8000")
BLOG = DevServer(12, "/home/me/blog", "main:app", "http://127.0.0.1:8001")
ADMIN = DevServer(13, "/home/me/shop/admin", "main:app", "http://127.0.0.1:8002")


@pytest.fixture(autouse=True)
def runtime_dir(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A private directory for each test; its path is short, as that of a socket has to be."""
    directory = tmp_path_factory.mktemp("run")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(directory))
    monkeypatch.setattr("tempfile.tempdir", str(directory))


async def reset(name: str | None) -> tuple[bool, str]:
    """A parent whose worker knows one name."""
    return name in (None, "chats"), f"reset {name}"


async def test_another_terminal_finds_the_server_and_resets(tmp_path: Path) -> None:
    """The socket answers who the server is, passes on what to reset, and gives back the line."""
    async with serve_control(SHOP, reset):
        found = await anyio.to_thread.run_sync(running)
        assert found == [SHOP]
        assert await anyio.to_thread.run_sync(ask_reset, SHOP, "chats") == "reset chats"
        assert await anyio.to_thread.run_sync(ask_reset, SHOP, None) == "reset None"
    assert running() == []


async def test_a_refusal_is_an_error(tmp_path: Path) -> None:
    """When the server can't reset, the caller gets its sentence as an error."""
    async with serve_control(SHOP, reset):
        with pytest.raises(ControlError, match="reset nosuch"):
            await anyio.to_thread.run_sync(ask_reset, SHOP, "nosuch")


@pytest.mark.parametrize("line", [b"", b"\n", b"[]\n", b"GET / HTTP/1.1\n", b'{"do": "dance"}\n'])
async def test_nonsense_is_answered_and_harms_nothing(line: bytes) -> None:
    """What is no request gets an answer that says so, and the next one is served."""
    async with serve_control(SHOP, reset):
        reader, writer = await asyncio.open_unix_connection(open_private_dir() / f"{SHOP.pid}.sock")
        writer.write(line)
        writer.write_eof()
        assert json.loads(await reader.readline())["ok"] is False
        writer.close()
        await writer.wait_closed()
        assert await anyio.to_thread.run_sync(running) == [SHOP]


def test_what_a_killed_server_left_is_removed() -> None:
    """A socket on which nobody listens is no server, and is gone after a look."""
    path = open_private_dir() / "99.sock"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
    assert running() == []
    assert not path.exists()


async def test_without_a_private_directory_the_server_runs_on(caplog: pytest.LogCaptureFixture) -> None:
    """A directory that can't be trusted costs the remote reset, says so, and nothing else."""
    open_private_dir().chmod(0o777)
    async with serve_control(SHOP, reset):
        assert "`hotsession reset` can't reach this server" in caplog.text
        assert "can't be trusted" in caplog.text
    assert running() == []


def test_the_server_of_this_directory_is_chosen() -> None:
    """The one started here or in the nearest directory above; one further down is another project's."""
    servers = [SHOP, BLOG, ADMIN]
    assert choose(servers, Path("/home/me/shop")) is SHOP
    assert choose(servers, Path("/home/me/shop/src/deep")) is SHOP
    assert choose(servers, Path("/home/me/shop/admin/src")) is ADMIN
    assert choose(servers, Path("/elsewhere"), pid=12) is BLOG


def test_several_of_one_directory_are_listed() -> None:
    """Which of two is meant has to be said, and the message shows how."""
    twin = DevServer(14, SHOP.cwd, "admin:app", "http://127.0.0.1:8003")
    with pytest.raises(ControlError, match=r"say which with --pid:\n.*\(--pid 11\)\n.*\(--pid 14\)"):
        choose([SHOP, BLOG, twin], Path(SHOP.cwd))


def test_a_directory_without_a_server_lists_the_others() -> None:
    """A server of another project is never reset by mistake: it is listed."""
    with pytest.raises(ControlError, match=r"no dev server runs for /elsewhere; go to .*\n  main:app in /home/me/shop"):
        choose([SHOP], Path("/elsewhere"))
    with pytest.raises(ControlError, match=r"no dev server runs with process id 99; "):
        choose([SHOP], Path(SHOP.cwd), pid=99)
    with pytest.raises(ControlError, match="no dev server runs for /home/me/shop: start one with `hotsession run`"):
        choose([], Path(SHOP.cwd))


def test_a_server_that_ended_meanwhile_is_an_error() -> None:
    """Between finding and asking it may be gone."""
    with pytest.raises(ControlError, match="is gone: start it again"):
        ask_reset(SHOP, None)
