"""An ordinary request passes with nothing done about it, and is seen to as soon as something is to be done."""

from __future__ import annotations

from typing import Any

import pytest

from hotsession.asgi.exchange import Exchange
from hotsession.snapshot.touches import Touches

pytestmark = pytest.mark.anyio

SIZED = [(b"content-length", b"5")]
EVENTS = [(b"content-type", b"text/event-stream")]


class Log:
    """A server and a carrier that note in which order they were asked."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    async def receive(self) -> dict[str, Any]:
        """The end of the client's body."""
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(self, message: Any) -> None:
        """What the server sends."""
        self.seen.append(message.get("body", message.get("status")))

    def acknowledge(self, touched: Touches) -> None:
        """Write, if there is something to write."""
        if touched:
            self.seen.append("written")

    def keep_up(self, touched: Touches) -> None:
        """Write in the midst of an answer, for which it is never time here."""


def exchange(log: Log, method: str = "GET", *, close: bool = False) -> Exchange:
    """A request whose changes the log hears of."""
    scope = {"type": "http", "method": method, "path": "/", "headers": []}
    made = Exchange(scope, log.receive, log.send, close)
    made.carrier, made.touched = log, Touches()  # type: ignore[assignment]
    return made


def start(headers: list[tuple[bytes, bytes]], status: int = 200) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": headers}


def body(text: bytes, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": text, "more_body": more}


async def test_an_ordinary_answer_is_passed_on_as_it_is() -> None:
    """The server gets the very messages, and nothing sees to them."""
    log = Log()
    found = exchange(log)
    await found.send(start(SIZED))
    await found.send(body(b"hello"))
    assert (log.seen, found.special, found.endless) == ([200, b"hello"], None, False)
    assert repr(found) == "<Exchange GET />"
    assert found.end(None)
    assert not found.end(ValueError())


@pytest.mark.parametrize("touched_at", ["before", "after the start"])
async def test_what_was_changed_is_written_before_the_end(touched_at: str) -> None:
    """Whenever the session was given to the request: before the message that completes its answer."""
    log = Log()
    found = exchange(log)
    if touched_at == "before":
        found.touched.add("one")
    await found.send(start(SIZED))
    found.touched.add("one")
    await found.send(body(b"hello"))
    assert log.seen == [200, "written", b"hello"]


@pytest.mark.parametrize(("method", "headers", "status"), [("HEAD", SIZED, 200), ("GET", [], 204), ("GET", [], 304)])
async def test_an_answer_without_a_body_is_complete_with_its_headers(
    method: str, headers: list[tuple[bytes, bytes]], status: int
) -> None:
    """So what was changed is written before these."""
    log = Log()
    found = exchange(log, method)
    found.touched.add("one")
    await found.send(start(headers, status))
    assert log.seen[:2] == ["written", status]


async def test_parts_that_add_up_to_the_length_are_the_end() -> None:
    """Though the app says that more is to come, and was given the session between two of them."""
    log = Log()
    found = exchange(log)
    await found.send(start(SIZED))
    await found.send(body(b"hel", more=True))
    found.touched.add("one")
    await found.send(body(b"lo", more=True))
    assert log.seen == [200, b"hel", "written", b"lo"]


async def test_a_stream_that_was_asked_to_leave_before_it_began() -> None:
    """It moves on after its first event with an id, and old code can send nothing more."""
    log = Log()
    found = exchange(log)
    assert found.leave(60) == "stays"
    await found.send(start(EVENTS))
    assert found.endless
    await found.send(body(b"id: 1\ndata: a\n\n", more=True))
    assert found.special is not None
    assert found.special.moves
    assert (found.special.connection, found.special.state) == (found.connection, found.state)
    with pytest.raises(OSError, match="reloaded"):
        await found.send(body(b"id: 2\n\n", more=True))
    assert log.seen == [200, b"id: 1\ndata: a\n\n"]


@pytest.mark.parametrize("when", ["at once", "while it is answered"])
async def test_its_client_is_asked_to_connect_anew(when: str) -> None:
    """An ordinary answer ends the connection where another process is about to take over."""
    log = Log()
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    log.send = send  # type: ignore[method-assign]
    found = exchange(log, close=when == "at once")
    if when != "at once":
        found.drain()
    await found.send(start(SIZED))
    await found.send(body(b"hello"))
    assert sent[0]["headers"] == [*SIZED, (b"connection", b"close")]
    assert sent[1] == body(b"hello")


async def test_ids_are_those_of_one_connection() -> None:
    """No two requests have the same."""
    log = Log()
    assert len({exchange(log).connection for _ in range(100)}) == 100
