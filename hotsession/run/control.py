"""How another terminal reaches a running `hotsession run`: a Unix socket per dev server, in the private directory.

One JSON object per line: ``{"do": "who"}`` is answered with a `DevServer`'s fields, ``{"do": "reset", "name": null}``
with ``{"ok": true, "text": "..."}``. There is no HTTP in it. What the parent does about a request it knows not.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hotsession import private_dir
from hotsession.errors import ControlError

WHO_TIMEOUT = 2.0  # seconds; the parent answers this by itself, at once
RESET_TIMEOUT = 60.0  # seconds; the worker imports all own modules anew

logger = logging.getLogger("hotsession")


@dataclass(frozen=True, slots=True)
class DevServer:
    """A running `hotsession run`.

    Args:
        pid: the parent's process id.
        cwd: where it was started.
        target: what it serves, as typed.
        url: where it listens.
    """

    pid: int
    cwd: str
    target: str
    url: str

    def __str__(self) -> str:
        return f"{self.target} in {self.cwd} on {self.url} (--pid {self.pid})"


Reset = Callable[[str | None], Awaitable[tuple[bool, str]]]


@contextlib.asynccontextmanager
async def serve_control(me: DevServer, reset: Reset) -> AsyncIterator[None]:
    """Answer other terminals while the block runs; where no socket can be had, say so and go on without.

    Args:
        me: what to answer when asked who this is.
        reset: drops kept state (all, or one name) and returns whether it could and a line to show.
    """

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError), contextlib.closing(writer):
            writer.write(json.dumps(await _answer(await reader.readline(), me, reset)).encode() + b"\n")
            await writer.drain()

    try:
        path = private_dir.open_private_dir() / f"{me.pid}.sock"
        sock = _bound(path)
    except OSError as error:
        logger.warning("`hotsession reset` can't reach this server: %s", error)
        yield
        return
    _remove_stale(path.parent)
    server = await asyncio.start_unix_server(answer, sock=sock)
    try:
        yield
    finally:
        server.close()
        path.unlink(missing_ok=True)


def _bound(path: Path) -> socket.socket:
    """A socket that appears under `path` only when it listens: one that refuses is taken for a dead server's."""
    hidden = path.with_suffix(".new")
    hidden.unlink(missing_ok=True)
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.bind(str(hidden))
        sock.listen()
        hidden.rename(path)
    except OSError:
        sock.close()
        raise
    return sock


async def _answer(line: bytes, me: DevServer, reset: Reset) -> dict[str, Any]:
    try:
        request = json.loads(line)
        what = request["do"]
    except (ValueError, KeyError, TypeError):
        return {"ok": False, "text": "that is no request of hotsession's"}
    if what == "who":
        return {"ok": True, **asdict(me)}
    if what == "reset":
        ok, text = await reset(request.get("name"))
        return {"ok": ok, "text": text}
    return {"ok": False, "text": f"this server can't {what!r}: it runs another version of hotsession, restart it"}


# the other terminal's side


def running() -> list[DevServer]:
    """The dev servers of this user that answer now; what dead ones left is removed."""
    found = []
    for directory in private_dir.trusted_dirs():
        _remove_stale(directory)
        for path in sorted(directory.glob("*.sock")):
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                who = _ask(path, {"do": "who"}, WHO_TIMEOUT)
                found.append(DevServer(who["pid"], who["cwd"], who["target"], who["url"]))
    return found


def choose(servers: Sequence[DevServer], cwd: Path, pid: int | None = None) -> DevServer:
    """The dev server of the project in `cwd`: the one started there, or in the nearest directory above.

    Raises:
        ControlError: there is none, or more than one.
    """
    if pid is not None:
        chosen = [each for each in servers if each.pid == pid]
    else:
        here = [each for each in servers if cwd == Path(each.cwd) or Path(each.cwd) in cwd.parents]
        nearest = max((len(Path(each.cwd).parts) for each in here), default=0)
        chosen = [each for each in here if len(Path(each.cwd).parts) == nearest]
    if len(chosen) == 1:
        return chosen[0]
    if chosen:
        listed = "".join(f"\n  {each}" for each in chosen)
        raise ControlError(f"several dev servers run in {chosen[0].cwd}, say which with --pid:{listed}")
    wanted = f"with process id {pid}" if pid is not None else f"for {cwd}"
    if servers:
        listed = "".join(f"\n  {each}" for each in servers)
        raise ControlError(f"no dev server runs {wanted}; go to the directory of one that does, or use --pid:{listed}")
    raise ControlError(f"no dev server runs {wanted}: start one with `hotsession run`")


def ask_reset(server: DevServer, name: str | None) -> str:
    """Let `server` drop kept state, all or what goes by `name`, and return the line it answers with.

    Raises:
        ControlError: it refused, or did not answer.
    """
    for directory in private_dir.trusted_dirs():
        path = directory / f"{server.pid}.sock"
        if path.exists():
            try:
                answer = _ask(path, {"do": "reset", "name": name}, RESET_TIMEOUT)
            except TimeoutError:
                raise ControlError(
                    f"{server.target} did not answer within {RESET_TIMEOUT:.0f} s: does it wait at a breakpoint()?"
                ) from None
            except (OSError, ValueError) as error:
                raise ControlError(f"{server.target} ended before it answered ({error}): start it again") from error
            if not answer.get("ok"):
                raise ControlError(str(answer.get("text")))
            return str(answer["text"])
    raise ControlError(f"{server.target} is gone: start it again with `hotsession run`")


def _ask(path: Path, request: dict[str, Any], timeout: float) -> dict[str, Any]:
    with _connected(path, timeout) as sock, sock.makefile("rb") as lines:
        sock.sendall(json.dumps(request).encode() + b"\n")
        answer: dict[str, Any] = json.loads(lines.readline())
        return answer


@contextlib.contextmanager
def _connected(path: Path, timeout: float) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(timeout)
        sock.connect(str(path))
        yield sock


def _remove_stale(directory: Path) -> None:
    """Remove the sockets that nobody listens on any more."""
    for path in directory.glob("*.sock"):
        try:
            with _connected(path, WHO_TIMEOUT):
                pass
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
        except OSError as error:
            if os.path.lexists(path):
                logger.debug("%s could not be looked at: %s", path, error)
