"""A process of its own in which apps are asked without a server, told over a pipe what to measure, one thing at a time.

    python -m tests.benchmarks.inprocess CONTENDER

Whether there is a snapshot is decided once per process, so contenders that differ in that are children of the
benchmark. A child reads lines `KIND COUNT` from its standard input and answers each with one figure.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from itertools import count
from pathlib import Path
from secrets import token_hex
from time import perf_counter, time
from types import TracebackType
from typing import Any, Self

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import hotsession
from hotsession.lifecycle.data import SessionData
from hotsession.lifecycle.record import new_record
from hotsession.snapshot.opening import carrier
from tests.benchmarks import bench_middleware as plain
from tests.benchmarks.contenders import clean_environment

ROOT = Path(__file__).parents[2]
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 as mkdtemp makes it, it is this user's alone
OFF, ON, KEPT, MANY, STARLETTE = "hotsession, no snapshot", "hotsession", "hotsession, kept value", "many", "starlette"
MANY_SESSIONS = 100_000
STREAM = "stream"  # what a child is asked for in the place of a path: the share of the time that writing takes
BIG = 1 << 20  # bytes of the session of a stream, and of a kept value
WORK = 3000  # rounds of a loop that stand for what an app does between two parts: about 100 microseconds

numbers = count()


def change(connection: HTTPConnection[Any]) -> None:
    """Write one value, another one each time."""
    connection.session["count"] = next(numbers)


def change_inside(connection: HTTPConnection[Any]) -> None:
    """Change something inside of a value, which no session can notice by itself."""
    connection.session["messages"][3]["seen"] = next(numbers)


def change_both(connection: HTTPConnection[Any]) -> None:
    """Write one value of the session and one of what is kept."""
    connection.session["count"] = next(numbers)
    kept_value()["messages"][3]["seen"] = next(numbers)


@cache
def kept_value() -> dict[str, Any]:
    """A value of 2 KB that is kept."""
    return hotsession.keep("benchmark", lambda: pickle.loads(pickle.dumps(plain.DATA)))  # noqa: S301


@cache  # as apps do, which keep a value once, in a module
def big_value() -> dict[str, Any]:
    """A value of 1 MB that is kept."""
    return hotsession.keep("big benchmark", big_data)


def big_data() -> dict[str, Any]:
    """A dict of 1 MB."""
    return {"rows": [f"row {number} {'x' * 240}" for number in range(BIG // 256)], "count": 0}


def work() -> int:
    """What an app does between two parts of a stream."""
    total = 0
    for number in range(WORK):
        total = (total * 31 + number) % 65521
    return total


async def streaming_app(scope: Scope, receive: Receive, send: Send) -> None:
    """An ASGI app with a long answer, which changes a big session with each part; or many short ones, and a value."""
    connection: HTTPConnection[Any] = HTTPConnection(scope)
    if scope["path"] == "/big":
        connection.session.update(big_data())
    await send({**plain.START, "headers": []})
    for _ in range(scope.get("parts", 1)):
        work()
        if scope["path"] == "/session":
            connection.session["rows"][0] = f"row {next(numbers)}"
        elif scope["path"] == "/value":
            big_value()["rows"][0] = f"row {next(numbers)}"
        await send({"type": "http.response.body", "body": b"data: x\n\n", "more_body": True})
    await send(plain.BODY)


class Served:
    """What a child measures: the bare app, and that of its contender, with a session that it has begun.

    Args:
        name: of the contender.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.app: ASGIApp = plain.CONTENDERS["starlette" if name == STARLETTE else plain.OURS]()
        self.stream: ASGIApp = hotsession.HotSessionMiddleware(streaming_app)
        self.headers: list[tuple[bytes, bytes]] = []
        self.big_headers: list[tuple[bytes, bytes]] = []
        self.seconds_writing: float | None = None

    def __repr__(self) -> str:
        return f"<Served {self.name}>"

    async def begin(self) -> None:
        """Begin the session, and make what else is to be there."""
        plain.ENDPOINTS.update({"/change": change_both if self.name == KEPT else change, "/inside": change_inside})
        if self.name == MANY:
            fill(MANY_SESSIONS)
        self.headers = await plain.begin(self.app)
        gc.collect()

    async def measure(self, kind: str, times: int) -> float:
        """Microseconds for each of so many requests; for a stream, per cent of its time."""
        if kind.startswith(STREAM):
            return await self._stream(kind.removeprefix(STREAM), times)
        if kind == "/pickle":
            value = plain.DATA
            started = perf_counter()
            for _ in range(times):
                pickle.dumps(value, 5)
            return (perf_counter() - started) / times * 1e6
        app = plain.bare_app if kind == "/bare" else self.app
        return await plain.time_requests(app, kind, self.headers, times)

    async def _stream(self, path: str, parts: int) -> float:
        if path == "/session" and not self.big_headers:
            start = (await plain.ask(self.stream, "/big", plain.HEADERS))[0]
            cookie = next(value for name, value in start["headers"] if name == b"set-cookie").partition(b";")[0]
            self.big_headers = [*plain.HEADERS, (b"cookie", cookie)]
        if self.seconds_writing is None:
            self._look_at_the_clock()

        async def send(message: Message) -> None:
            await asyncio.sleep(0)

        headers = self.big_headers if path == "/session" else plain.HEADERS
        # A session is written in the midst of a long answer, a value after each of many short ones.
        each, answers = (parts, 1) if path == "/session" else (1, parts)
        self.seconds_writing, started = 0.0, perf_counter()
        for _ in range(answers):
            scope: Scope = {"type": "http", "method": "GET", "path": path, "headers": headers, "parts": each}
            await self.stream(scope, plain.receive, send)
        return self.seconds_writing / (perf_counter() - started) * 100

    def _look_at_the_clock(self) -> None:
        """From now on count the time that goes into looking for changes and writing them."""
        carried = carrier()
        assert carried is not None
        for written, name in ((carried.records, "write_touched"), (carried.values, "write")):
            setattr(written, name, self._timed(getattr(written, name)))

    def _timed(self, write: Callable[..., int]) -> Callable[..., int]:
        def timed(*arguments: Any, **options: Any) -> int:
            started = perf_counter()
            try:
                return write(*arguments, **options)
            finally:
                self.seconds_writing = (self.seconds_writing or 0.0) + perf_counter() - started

        return timed


def fill(sessions: int) -> None:
    """Make so many sessions of 2 KB, one by one, which are in the snapshot and not in memory, as after a restart."""
    carried, limits, now = carrier(), hotsession.sessions().ledger.limits, time()
    assert carried is not None
    for number in range(sessions):
        made = new_record(token_hex(16), "default", f"user {number}", SessionData(plain.DATA), now, limits)
        carried.records.write(made._replace(version=1))


async def serve(name: str, read: Callable[[], str] = sys.stdin.readline) -> None:
    """Answer until there are no more questions."""
    logging.getLogger("hotsession").setLevel(logging.WARNING)
    served = Served(name)
    await served.begin()
    print("ready", flush=True)
    while line := read():
        kind, times = line.split()
        print(await served.measure(kind, int(times)), flush=True)


class Child:
    """A child process of the benchmark: a context manager that starts it, and ends it.

    Args:
        name: of its contender.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"<Child {self.name}>"

    def __enter__(self) -> Self:
        place = SHARED_MEMORY if SHARED_MEMORY.is_dir() else None
        self._place = tempfile.TemporaryDirectory(prefix="hotsession-bench-", dir=place)
        # A directory for each: they have one parent, and would share the snapshot of that as workers that overlap do.
        switches = {
            "HOTSESSION": "off" if self.name in (OFF, STARLETTE) else "on",
            "HOTSESSION_STATE": self._place.name,
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.inprocess", self.name],
            cwd=ROOT,
            env={**clean_environment(), **switches},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        if self._answer() != "ready":
            raise RuntimeError(f"{self.name} does not run")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._place.cleanup()

    def ask(self, kind: str, times: int) -> float:
        """Microseconds for each of so many requests of a kind."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{kind} {times}\n")
        self._process.stdin.flush()
        return float(self._answer())

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
    os._exit(0)  # there is nothing to write, and nobody to take over
