"""What the host adds to a request and to a message of a WebSocket, without any server: microseconds in one process.

    python -m tests.benchmarks.bench_host [--quick] [--markdown]

An app that does nearly nothing is called by itself and through the host, in turns, with and without a snapshot; the
lowest of many short turns count, as other processes only ever add. A server's own work leaves colder caches, so the
same costs more there: see `bench_carried`.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import uvloop
from starlette.types import ASGIApp, Message, Scope

from hotsession.asgi.host import Host, HostOptions
from hotsession.snapshot.carrier import Carrier
from hotsession.snapshot.opening import install
from hotsession.snapshot.store import open_store
from hotsession.target import find_target
from tests.benchmarks.figures import Table, number, parser, percentile, show

APP = """\
HEADERS = [(b"content-type", b"text/plain"), (b"content-length", b"5")]
START = {"type": "http.response.start", "status": 200, "headers": HEADERS}
BODY = {"type": "http.response.body", "body": b"hello"}


async def app(scope, receive, send):
    if scope["type"] == "http":
        await send(START)
        await send(BODY)
    elif scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"]})
    else:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
"""
HEADERS = [(b"host", b"127.0.0.1"), (b"user-agent", b"bench"), (b"accept", b"*/*")]
SCOPE: Scope = {  # as uvicorn's
    "type": "http",
    "asgi": {"version": "3.0", "spec_version": "2.3"},
    "http_version": "1.1",
    "server": ("127.0.0.1", 8000),
    "client": ("127.0.0.1", 40000),
    "scheme": "http",
    "root_path": "",
    "headers": HEADERS,
    "state": {},
    "method": "GET",
    "path": "/",
    "raw_path": b"/",
    "query_string": b"",
}
LOW = 0.02  # share of the turns that may be disturbed for the better
REQUEST = {"type": "http.request", "body": b"", "more_body": False}


async def requests(app: ASGIApp, times: int) -> float:
    """Microseconds for each of so many requests."""

    async def receive() -> Message:
        return REQUEST

    async def send(message: Message) -> None:
        pass

    started = perf_counter()
    for _ in range(times):
        await app({**SCOPE}, receive, send)
    return (perf_counter() - started) / times * 1e6


async def messages(app: ASGIApp, times: int) -> float:
    """Microseconds for each of so many messages of one WebSocket, which wait in turns of ten."""
    incoming: asyncio.Queue[Message] = asyncio.Queue()
    done = asyncio.Event()
    sent = 0

    async def receive() -> Message:
        return await incoming.get()

    async def send(message: Message) -> None:
        nonlocal sent
        sent += 1
        if sent % 10 == 1:
            done.set()

    incoming.put_nowait({"type": "websocket.connect"})
    task = asyncio.ensure_future(app({**SCOPE, "type": "websocket"}, receive, send))
    await done.wait()
    started = perf_counter()
    for _ in range(times // 10):
        done.clear()
        for _ in range(10):
            incoming.put_nowait({"type": "websocket.receive", "text": "hello"})
        await done.wait()
    took = (perf_counter() - started) / (times // 10 * 10) * 1e6
    incoming.put_nowait({"type": "websocket.disconnect", "code": 1000})
    await task
    return took


KINDS: dict[str, Callable[[ASGIApp, int], Awaitable[float]]] = {"request": requests, "WebSocket message": messages}


async def added(app: ASGIApp, host: Host, rounds: int, times: int) -> dict[str, tuple[float, float]]:
    """For each kind what it costs without us, and what the host adds."""
    found = {}
    for name, measure in KINDS.items():
        await measure(host, times)
        pairs = [(await measure(app, times), await measure(host, times)) for _ in range(rounds)]
        bare, ours = (percentile(taken, LOW) or 0 for taken in zip(*pairs, strict=True))
        found[name] = bare, ours - bare
    return found


async def measure(carrier: Carrier, rounds: int, times: int) -> list[list[str]]:
    """The rows of the table."""
    rows = []
    for title, installed in (("without snapshot", None), ("with snapshot", carrier)):
        install(installed)
        host = Host(find_target("project:app"), HostOptions(watch=False))
        await host.load()
        await host._start()
        app: Any = __import__("project").app
        for name, (bare, more) in (await added(app, host, rounds, times)).items():
            rows.append([f"{name}, {title}", number(bare), number(more)])
        await host._stop()
    return rows


def main() -> None:
    """Measure and print."""
    chosen = parser(__doc__).parse_args()
    rounds, times = 40 if chosen.quick else 400, 400
    with tempfile.TemporaryDirectory(prefix="hotsession-bench-") as place:
        os.chdir(place)
        sys.path.insert(0, place)
        Path("project.py").write_text(APP)
        carrier = Carrier(open_store(Path(place)))
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            rows = runner.run(measure(carrier, rounds, times))
        carrier.close()
        os.chdir("/")
    show([Table(["µs", "bare app", "added by the host"], rows)], [], markdown=chosen.markdown)


if __name__ == "__main__":
    main()
