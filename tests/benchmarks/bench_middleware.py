"""The middleware: microseconds per request over the bare app, for a request that reads and one that writes.

    python -m tests.benchmarks.bench_middleware [--quick] [--markdown] [--rounds 30] [--only hotsession]

The app is asked in this process, without a server: the headers of a browser, no body, a response of 2 bytes. A session
holds 2 KB. Contenders take turns, 500 requests each per round; the figures are medians of the rounds. No reloader
runs, and the storages are in memory.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
from collections.abc import Callable, Coroutine
from http.cookies import SimpleCookie
from time import perf_counter
from typing import Any

from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hotsession.asgi.middleware import HotSessionMiddleware
from tests.benchmarks.figures import Table, Target, middle, number, parser, ratio, show

BARE = "bare app"
OURS = "hotsession"
DATA = {"user": "ada", "messages": [{"role": "user", "text": f"message {turn} " + "x" * 60} for turn in range(20)]}
HEADERS = [
    (b"host", b"127.0.0.1:8000"),
    (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    (b"accept", b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    (b"accept-language", b"en-US,en;q=0.5"),
    (b"accept-encoding", b"gzip, deflate, br, zstd"),
    (b"connection", b"keep-alive"),
]
START: Message = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]}
BODY: Message = {"type": "http.response.body", "body": b"ok"}

Endpoint = Callable[[HTTPConnection[Any]], None]


def fill(connection: HTTPConnection[Any]) -> None:
    """Begin the session."""
    connection.session.update(json.loads(json.dumps(DATA)))


def read(connection: HTTPConnection[Any]) -> None:
    """Read one value."""
    if len(connection.session["messages"]) != len(DATA["messages"]):
        raise AssertionError("the session is lost")


def write(connection: HTTPConnection[Any]) -> None:
    """Write one value."""
    connection.session["count"] = 1


ENDPOINTS: dict[str, Endpoint] = {"/fill": fill, "/read": read, "/write": write}


async def app_with_session(scope: Scope, receive: Receive, send: Send) -> None:
    """An ASGI app that uses the session."""
    ENDPOINTS[scope["path"]](HTTPConnection(scope))
    await send({**START, "headers": [*START["headers"]]})
    await send(BODY)


async def bare_app(scope: Scope, receive: Receive, send: Send) -> None:
    """The same without a session."""
    HTTPConnection(scope)
    await send({**START, "headers": [*START["headers"]]})
    await send(BODY)


class DictByCookie:
    """The least that a server-side session can be: a dict per cookie value, and no rules."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.sessions: dict[bytes, dict[str, Any]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Find the session by the last pair of the cookie header."""
        cookie = next((value for name, value in scope["headers"] if name == b"cookie"), b"; session=first")
        scope["session"] = self.sessions.setdefault(cookie.rpartition(b"; session=")[2], {})

        async def send_with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start" and scope["path"] == "/fill":
                message["headers"].append((b"set-cookie", b"session=first; path=/; httponly"))
            await send(message)

        await self.app(scope, receive, send_with_cookie)


def starsessions_app(app: ASGIApp) -> ASGIApp:
    """Starsessions with its storage in memory."""
    import starsessions  # type: ignore[import-not-found, unused-ignore]

    loading = starsessions.SessionAutoloadMiddleware(app)
    made: ASGIApp = starsessions.SessionMiddleware(
        loading, starsessions.InMemoryStore(), lifetime=1209600, rolling=True
    )
    return made


CONTENDERS: dict[str, Callable[[], ASGIApp]] = {
    BARE: lambda: bare_app,
    "dict by cookie": lambda: DictByCookie(app_with_session),
    OURS: lambda: HotSessionMiddleware(app_with_session),
    "hotsession, signed": lambda: HotSessionMiddleware(app_with_session, secret_key="secret"),
    "starlette": lambda: SessionMiddleware(app_with_session, "secret"),
    "starsessions": lambda: starsessions_app(app_with_session),
}


async def receive() -> Message:
    """The empty body of a GET."""
    return {"type": "http.request", "body": b"", "more_body": False}


async def ask(app: ASGIApp, path: str, headers: list[tuple[bytes, bytes]]) -> list[Message]:
    """One request; the messages of its answer."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    await app({"type": "http", "method": "GET", "path": path, "headers": headers}, receive, send)
    return sent


async def begin(app: ASGIApp) -> list[tuple[bytes, bytes]]:
    """Begin a session; the headers that a browser sends from then on."""
    start = (await ask(app, "/fill", HEADERS))[0]
    given = [value for name, value in start["headers"] if name.lower() == b"set-cookie"]
    if not given:
        return [*HEADERS, (b"cookie", b"theme=dark; session=none")]
    cookie = SimpleCookie(given[0].decode("latin-1"))["session"].value
    return [*HEADERS, (b"cookie", b"theme=dark; session=" + cookie.encode("latin-1"))]


async def time_requests(app: ASGIApp, path: str, headers: list[tuple[bytes, bytes]], count: int) -> float:
    """Microseconds per request."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    started = perf_counter()
    for _ in range(count):
        sent.clear()
        await app({"type": "http", "method": "GET", "path": path, "headers": headers}, receive, send)
    return (perf_counter() - started) / count * 1e6


async def measure(names: list[str], rounds: int, count: int) -> dict[tuple[str, str], float | None]:
    """The median of each contender and kind of request; they take turns."""
    apps = {name: CONTENDERS[name]() for name in names}
    headers = {name: await begin(app) for name, app in apps.items()}
    kinds = ["/read", "/write"]
    figures: dict[tuple[str, str], list[float]] = {(name, kind): [] for name in names for kind in kinds}
    gc.collect()
    for _ in range(rounds):
        for (name, kind), values in figures.items():
            values.append(await time_requests(apps[name], kind, headers[name], count))
    return {which: middle(values[1:] or values) for which, values in figures.items()}


def report(results: dict[tuple[str, str], float | None], names: list[str]) -> tuple[Table, list[Target]]:
    """The table of microseconds over the bare app, and what was to be reached."""

    def over(name: str, kind: str) -> float | None:
        mine, bare = results.get((name, kind)), results.get((BARE, kind))
        return None if mine is None or bare is None else mine - bare

    rows = []
    for name in names:
        cells = [name]
        for kind in ("/read", "/write"):
            compared = None if name == BARE else ratio(over(name, kind), over(OURS, kind))
            cells += [number(results[name, kind]), number(over(name, kind)), number(compared)]
        rows.append(cells)
    heads = ["2 KB session, µs", "read", "over bare", "× ours", "write", "over bare", "× ours"]
    targets = [Target(f"{kind[1:]}, over the bare app", 8, over(OURS, kind), unit="µs") for kind in ("/read", "/write")]
    return Table(heads, rows), targets


def available(only: list[str] | None) -> list[str]:
    """The contenders that can run here; the bare app always is one."""
    names = [name for name in CONTENDERS if not only or name in only or name == BARE]
    try:
        import starsessions  # type: ignore[import-not-found, unused-ignore]  # noqa: F401
    except ImportError:
        names = [name for name in names if name != "starsessions"]
    return names


def main() -> None:
    """Measure and print."""
    options = parser(__doc__)
    options.add_argument("--rounds", type=int, default=30, help="how often the contenders take turns")
    chosen = options.parse_args()
    logging.getLogger("hotsession").setLevel(logging.WARNING)
    names = available(chosen.only)
    run: Coroutine[Any, Any, dict[tuple[str, str], float | None]]
    run = measure(names, 3, 100) if chosen.quick else measure(names, chosen.rounds, 500)
    results = asyncio.run(run)
    table, targets = report(results, names)
    show([table], targets, markdown=chosen.markdown)


if __name__ == "__main__":
    main()
