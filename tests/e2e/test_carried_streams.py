"""Event streams with ids across saves under `hotsession run`: one response, whose later events come from new code."""

from __future__ import annotations

import ast
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.e2e.carried_feeds import FEEDS
from tests.e2e.event_reader import Event, EventReader
from tests.e2e.servers import wait_until
from tests.e2e.versioned import VersionedServer, serve

pytestmark = pytest.mark.e2e

RETRY = b"retry: 250\n\n"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[VersionedServer]:
    """A server of the app with the usual options; its log has no error at the end."""
    with serve(tmp_path, FEEDS) as server:
        yield server
        assert "Traceback" not in server.log
        assert "ERROR" not in server.log


@pytest.mark.parametrize("path", ["/count", "/around/count", "/clean", "/in_thread", "/around/in_thread"])
def test_events_go_on_where_they_were(server: VersionedServer, path: str) -> None:
    """Across saves each number comes once, the later ones from new code; a `BaseHTTPMiddleware` makes no difference."""
    with EventReader(server, path) as events:
        versions = ["0.0", *(server.save(module) for module in ("leaf", "base", "leaf"))]
        newest = versions[-1]
        data = events.wait_for(lambda data: data[-1:] and data[-1].endswith(newest))
        assert [event.id for event in events.events[: len(data)]] == [str(number + 1) for number in range(len(data))]
        assert [text.split()[0] for text in data] == [str(number + 1) for number in range(len(data))]
        heard = [text.split()[1] for text in data]
        assert heard == sorted(heard, key=versions.index)
        server.wait_until_alive(newest)
        assert not events.ended


def test_the_response_begins_once(server: VersionedServer) -> None:
    """Its headers are those that the first handler sent; what the new one sends in their place is swallowed."""
    with EventReader(server, "/count") as events:
        new = server.save()
        events.wait_for(lambda data: data[-1:] and data[-1].endswith(new))
        assert events.response.status_code == 200
        assert events.response.headers["x-made-by"] == "0.0"
        assert b"HTTP/1.1" not in events.raw
        assert b"x-made-by" not in events.raw


def test_a_stream_that_waits_is_moved_at_once(server: VersionedServer) -> None:
    """Its new handler is told the last id, as a browser that comes back tells it, and its first event comes at once."""
    with EventReader(server, "/silent") as events:
        assert events.wait_for("None 0.0") == ["None 0.0"]
        began = time.monotonic()
        new = server.save()
        events.wait_for(f"0.0 {new}")
        assert time.monotonic() - began < 5
        newer = server.save()
        assert events.wait_for(f"{new} {newer}") == ["None 0.0", f"0.0 {new}", f"{new} {newer}"]
        server.wait_until_alive(newer)


def test_the_new_handler_gets_the_same_request(server: VersionedServer) -> None:
    """Method, query, headers and cookies; one `Last-Event-ID`, whatever the client had sent; and who it is."""
    headers = {"x-word": "word", "cookie": "biscuit=42", "last-event-id": "from before"}
    with EventReader(server, "/asking?a=1&b=%20", headers=headers) as events:
        events.wait_for(lambda data: len(data) == 1)
        new = server.save()
        first, then = (text.split("\n") for text in events.wait_for(lambda data: len(data) == 2))
    same = ["GET", "a=1&b=%20", "word", "42"]
    assert ast.literal_eval(first[0]) == ["0.0", *same, ["from before"]]
    assert ast.literal_eval(then[0]) == [new, *same, ["at 0.0"]]
    assert first[1] == "False 1"
    assert re.fullmatch("True [23]", then[1])
    assert first[2] == then[2]


@pytest.mark.parametrize("end", ["lf", "crlf", "cr"])
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_every_form_of_event_is_understood(server: VersionedServer, end: str, size: int) -> None:
    """Line ends of each kind, data of several lines, comments, ids that come in parts: no event is lost or torn."""
    with EventReader(server, f"/shaped?end={end}&size={size}") as events:
        events.wait_for(lambda data: len(data) > 1)
        versions = ["0.0", server.save(), server.save("base")]
        events.wait_for(lambda data: data[-1].endswith(versions[-1]))
        heard = events.events
        assert [event.id for event in heard] == [str(number + 1) for number in range(len(heard))]
        for event in heard:
            number, empty, version = event.data.split("\n")
            assert (number, empty) == (event.id, "")
            assert version in versions


def test_an_event_that_has_begun_is_completed(server: VersionedServer) -> None:
    """The stream moves at the end of an event: none is torn, and whole ones that come in the same part are heard."""
    with EventReader(server, "/half") as events:
        server.wait_for_mark("in the middle")
        new = server.save()
        server.mark("complete it")
        events.wait_for(f"second {new}")
        assert events.events[:5] == [
            Event("1", "first 0.0"),
            Event("2", "second 0.0"),
            Event("3", "third 0.0"),
            Event("4", f"first {new}"),
            Event("5", f"second {new}"),
        ]


def test_the_cleanup_of_an_old_stream_runs(server: VersionedServer) -> None:
    """Once for each generation, as when its client leaves."""
    with EventReader(server, "/clean") as events:
        events.wait_for(lambda data: len(data) > 1)
        for old in ("0.0", "0.1"):
            server.wait_until_alive(server.save())  # which collects garbage: Starlette leaves generators to that
            server.wait_for_mark(f"{old} cleaned")
    wait_until(lambda: server.alive() and "0.2 cleaned" in server.marks)
    assert server.marks == ["0.0 cleaned", "0.1 cleaned", "0.2 cleaned"]


def test_a_page_that_leaves_during_the_swap(server: VersionedServer) -> None:
    """Nothing is logged, and nothing of old code stays."""
    paths = ("/count", "/silent", "/clean", "/around/count", "/in_thread")
    readers = [EventReader(server, paths[number % 5]) for number in range(20)]
    for reader in readers:
        reader.__enter__()
    with ThreadPoolExecutor(1) as pool:
        saving = pool.submit(server.save)
        for reader in readers:
            reader.__exit__()
        new = saving.result()
    server.wait_until_alive(new)


@pytest.mark.parametrize("path", ["/finite", "/endings/empty"])
def test_new_code_that_ends_the_stream(server: VersionedServer, path: str) -> None:
    """The response is complete when the new handler is done, as it would be for a page that had come back."""
    with EventReader(server, path) as events:
        events.wait_for(lambda data: len(data) > 1)
        new = server.save()
        events.wait_for_end()
        heard = events.events
        assert [event.id for event in heard] == [str(number + 1) for number in range(len(heard))]
        assert [text for text in events.data if text.endswith(new)] == ([events.data[-1]] if path == "/finite" else [])


def test_new_code_that_fails_later(tmp_path: Path) -> None:
    """After it has gone on, its exception is logged, and the response breaks off or ends as without hotsession."""
    with serve(tmp_path, FEEDS) as server, EventReader(server, "/fails_later") as events:
        events.wait_for(lambda data: len(data) > 1)
        new = server.save()
        server.wait_for_line("RuntimeError: not any more")
        assert events.data[-1].endswith(new)
        server.wait_until_alive(new)


def test_a_stream_can_opt_out(server: VersionedServer) -> None:
    """It ends cleanly at a save, so that the page comes back to new code; its neighbour goes on."""
    with EventReader(server, "/out") as out, EventReader(server, "/count") as count:
        out.wait_for(lambda data: len(data) > 1)
        new = server.save()
        assert out.wait_for_end().endswith(RETRY)
        assert all(text.endswith("0.0") for text in out.data)
        count.wait_for(lambda data: data[-1].endswith(new))
        server.wait_until_alive(new)


def test_stopping_ends_what_was_carried_over(server: VersionedServer) -> None:
    """Ctrl+C ends it cleanly, at once."""
    with EventReader(server, "/count") as count, EventReader(server, "/silent") as silent:
        server.save()
        silent.wait_for("0.0 0.1")
        began = time.monotonic()
        server.interrupt()
        for each in (count, silent):
            assert each.wait_for_end().endswith(RETRY)
        assert time.monotonic() - began < 5


SSE_STARLETTE = """
    import asyncio
    from sse_starlette import EventSourceResponse
    from starlette.applications import Starlette
    from starlette.routing import Mount, Route
    from leaf import version
    from tell import tell

    async def count(request):
        async def each():
            number = int(request.headers.get("last-event-id", 0))
            while True:
                number += 1
                yield {"id": str(number), "event": "count", "data": f"{number} {version()}"}
                await asyncio.sleep(0.02)
        return EventSourceResponse(each(), ping=1)

    app = Starlette(routes=[Mount("/tell", tell), Route("/count", count)])
"""

FASTAPI = """
    import asyncio
    from collections.abc import AsyncIterable
    from typing import Annotated
    from fastapi import FastAPI, Header
    from fastapi.sse import EventSourceResponse, ServerSentEvent
    from leaf import version
    from tell import tell

    app = FastAPI()
    app.mount("/tell", tell)

    @app.get("/count", response_class=EventSourceResponse)
    async def count(last_event_id: Annotated[int, Header()] = 0) -> AsyncIterable[ServerSentEvent]:
        number = last_event_id
        while True:
            number += 1
            yield ServerSentEvent(id=str(number), raw_data=f"{number} {version()}")
            await asyncio.sleep(0.02)
"""


@pytest.mark.parametrize(("library", "main"), [("sse_starlette", SSE_STARLETTE), ("fastapi.sse", FASTAPI)])
def test_streams_of_libraries_go_on(tmp_path: Path, library: str, main: str) -> None:
    """What sse-starlette and FastAPI make of events is carried over as if it had been written by hand."""
    pytest.importorskip(library)
    with serve(tmp_path, main) as server:
        with EventReader(server, "/count") as events:
            for module in ("leaf", "base", "leaf"):
                new = server.save(module)
                events.wait_for(lambda data, new=new: data[-1:] and data[-1].endswith(new))  # type: ignore[misc]
            heard = events.events
            assert [event.id for event in heard] == [str(number + 1) for number in range(len(heard))]
            assert [event.data.split()[0] for event in heard] == [event.id for event in heard]
        server.wait_until_alive(new)
        assert "Traceback" not in server.log
