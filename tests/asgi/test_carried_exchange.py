"""Event streams that go on with new code, and what does not, seen from the server that the host runs behind."""

from __future__ import annotations

import asyncio
import logging
import sys
import weakref
from typing import Any

import pytest

from tests.projects import Exchange, Project, barrier, lines, trace, until

pytestmark = pytest.mark.anyio

APP = """
import asyncio
import hotsession
from starlette.requests import HTTPConnection
from tests.projects import answering, barrier, trace
app = answering(globals())
VERSION = 1
EVENTS = ([(b"content-type", b"text/event-stream; charset=utf-8")])

async def start(send, status=200, headers=EVENTS):
    await send({"type": "http.response.start", "status": status, "headers": headers})
async def part(send, text, more=True):
    await send({"type": "http.response.body", "body": text.encode(), "more_body": more})
def last_id(scope):
    return int(dict(scope["headers"]).get(b"last-event-id", b"0"))
async def gone(receive):
    while (await receive())["type"] != "http.disconnect":
        trace.append((VERSION, "request"))
    trace.append((VERSION, "gone"))

async def feed(scope, receive, send):
    await start(send)
    told = scope["hotsession"]
    await part(send, f"id: {last_id(scope) + 1}\\ndata: {VERSION} {told['generation']} {told['resumed']}\\n\\n")
    await gone(receive)
async def pushes(scope, receive, send):
    await start(send)
    number = last_id(scope)
    try:
        while True:
            number += 1
            await part(send, f"id: {number}\\ndata: {VERSION}\\n")
            await part(send, "\\n")
            await asyncio.sleep(0.001)
    except OSError:
        trace.append((VERSION, "gone"))
async def late_id(scope, receive, send):
    await start(send)
    await part(send, f"data: {VERSION}\\n\\n")
    if VERSION == 1:
        await barrier.wait_async()
    await part(send, f"id: 1\\ndata: {VERSION}\\n\\n")
    await gone(receive)
async def half(scope, receive, send):
    await start(send)
    await part(send, f"id: 1\\ndata: {VERSION}\\n\\nid: 2\\ndata: {VERSION}")
    if VERSION == 1:
        await barrier.wait_async()
    await part(send, f" whole\\n\\nid: 3\\ndata: {VERSION} never")
    await gone(receive)
async def changes(scope, receive, send):
    if VERSION == 1:
        await feed(scope, receive, send)
    elif VERSION == 2:
        await start(send, 404, [])
        await part(send, "not found", more=False)
    elif VERSION == 3:
        await start(send, 200, [(b"content-type", b"application/json")])
        await part(send, "{}", more=False)
    elif VERSION == 4:
        raise LookupError("no such feed")
    elif VERSION == 5:
        await start(send, 200, [*EVENTS, (b"content-encoding", b"gzip")])
        await part(send, "xx", more=False)
    elif VERSION == 7:
        await feed(scope, receive, send)
        raise LookupError("later")
async def opts_out(scope, receive, send):
    hotsession.close_on_reload(HTTPConnection(scope))
    await feed(scope, receive, send)
async def compressed(scope, receive, send):
    await start(send, 200, [*EVENTS, (b"content-encoding", b"gzip")])
    await part(send, "id: 1\\n\\n")
    await barrier.wait_async()
    await part(send, f"{VERSION}", more=False)
async def answer(scope, receive, send):
    await start(send)
    await part(send, "id: 1\\ndata: a\\n\\n")
    await barrier.wait_async()
    await part(send, f"id: 2\\ndata: {VERSION}\\n\\n", more=False)
    trace.append("answered")
async def stubborn(scope, receive, send):
    await start(send)
    await part(send, f"id: 1\\ndata: {VERSION}\\n\\n")
    await gone(receive)
    if VERSION == 1:
        await asyncio.Event().wait()
async def clings(scope, receive, send):
    await start(send)
    await part(send, "id: 1\\n\\n")
    await gone(receive)
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        await barrier.wait_async()
async def ends(scope, receive, send):
    await start(send)
    await part(send, f"id: 1\\ndata: {VERSION}\\n\\n")
    if VERSION == 1:
        await gone(receive)
    await part(send, "", more=False)
"""


def version(number: int) -> dict[str, str]:
    """The app at this version."""
    return {"main.py": APP.replace("VERSION = 1", f"VERSION = {number}")}


async def opened(project: Project, path: str, **options: Any) -> Exchange:
    """A stream that has sent its first part."""
    stream = project.open(path, **options)
    assert (await stream.next())["type"] == "http.response.start"
    await stream.next()
    return stream


async def leave(stream: Exchange) -> None:
    """Let the client leave."""
    stream.say({"type": "http.disconnect"})
    await stream.end()


def starts(stream: Exchange) -> int:
    """How often a response was begun."""
    return sum(each["type"] == "http.response.start" for each in stream.sent)


async def test_it_goes_on(project: Project) -> None:
    """New code is asked for what comes after the last event, and its events follow in the same response."""
    await project.start(version(1))
    stream = await opened(project, "/feed", headers=((b"last-event-id", b"6"), (b"accept", b"text/event-stream")))
    assert stream.text == "id: 7\ndata: 1 1 False\n\n"
    old = []
    for number in (2, 3):
        old.append(weakref.ref(sys.modules["main"].app))
        outcome = await project.reload(version(number))
        assert outcome.carried == 1
        assert (await stream.next())["body"].decode() == f"id: {number + 6}\ndata: {number} {number} True\n\n"
    assert starts(stream) == 1
    assert [each for each in trace if each[1] == "gone"] == [(1, "gone"), (2, "gone")]
    assert await project.collect(old) == []
    await leave(stream)
    await project.drained()
    assert not project.host._open


async def test_the_request_is_heard_again(project: Project) -> None:
    """Each handler gets the request, without a body, and then that its client is gone."""
    await project.start(version(1))
    stream = await opened(project, "/feed")
    await project.reload(version(2))
    await stream.next()
    await leave(stream)
    assert trace == [(1, "request"), (1, "gone"), (2, "request"), (2, "gone")]


async def test_one_that_pushes(project: Project) -> None:
    """It is left between two events; none is missing, none comes twice."""
    await project.start(version(1))
    stream = await opened(project, "/pushes")
    for number in range(2, 6):
        await project.reload(version(number))
        await until(lambda number=number: f"data: {number}\n" in stream.text)  # type: ignore[misc]
    await leave_by_end(project, stream)
    lines = [line for line in stream.text.split("\n\n") if line.startswith("id")]
    assert [line.split("\n")[0] for line in lines] == [f"id: {number}" for number in range(1, len(lines) + 1)]
    assert [each[0] for each in trace] == [1, 2, 3, 4, 5]


async def leave_by_end(project: Project, stream: Exchange) -> None:
    """End a stream whose handler listens to nobody."""
    project.host.begin_drain()
    await stream.end()


async def test_an_id_that_comes_after_the_swap(project: Project) -> None:
    """A stream that has no id yet moves on as soon as it has one."""
    await project.start(version(1))
    barrier.close()
    stream = await opened(project, "/late_id")
    await barrier.reached()
    outcome = await project.reload(version(2))
    assert (outcome.carried, project.host.generation) == (0, 2)
    barrier.open()
    await until(lambda: "id: 1\ndata: 2\n" in stream.text)
    assert stream.text == "data: 1\n\nid: 1\ndata: 1\n\ndata: 2\n\nid: 1\ndata: 2\n\n"
    await leave(stream)


async def test_an_event_that_has_begun(project: Project) -> None:
    """It is completed by old code; what that begins after it is left to new code."""
    await project.start(version(1))
    barrier.close()
    stream = await opened(project, "/half")
    await barrier.reached()
    await project.reload(version(2))
    barrier.open()
    await until(lambda: "id: 3\ndata: 2 never" in stream.text)
    first = "id: 1\ndata: 1\n\nid: 2\ndata: 1 whole\n\n"
    assert stream.text == first + "id: 1\ndata: 2\n\nid: 2\ndata: 2 whole\n\nid: 3\ndata: 2 never"
    await leave(stream)


@pytest.mark.parametrize(
    ("number", "why"),
    [
        (2, "it answered with status 404"),
        (3, "it answered with application/json, and not with a plain event stream"),
        (4, "it raised LookupError('no such feed') before it answered"),
        (5, "it answered with text/event-stream; charset=utf-8 as gzip, and not with a plain event stream"),
        (6, "it ended without an answer"),
    ],
)
async def test_new_code_that_does_not_go_on(
    project: Project, caplog: pytest.LogCaptureFixture, number: int, why: str
) -> None:
    """The response is completed, so that the page asks again and sees the answer; the log says why."""
    await project.start(version(1))
    stream = await opened(project, "/changes")
    await project.reload(version(number))
    await stream.end()
    assert stream.sent[-1] == {"type": "http.response.body", "body": b"retry: 250\n\n", "more_body": False}
    assert starts(stream) == 1
    assert f"The new code did not go on with GET /changes: {why}." in caplog.text
    assert ("LookupError: no such feed" in caplog.text) == (number == 4)


async def test_new_code_that_fails_later(project: Project) -> None:
    """Its error reaches the server, as without us."""
    await project.start(version(1))
    stream = await opened(project, "/changes")
    await project.reload(version(7))
    await stream.next()
    stream.say({"type": "http.disconnect"})
    with pytest.raises(LookupError, match="later"):
        await stream.end()


async def test_new_code_that_ends_the_stream(project: Project) -> None:
    """Then it is complete."""
    await project.start(version(1))
    stream = await opened(project, "/ends")
    await project.reload(version(2))
    await stream.end()
    assert stream.text == "id: 1\ndata: 1\n\nid: 1\ndata: 2\n\n"
    assert stream.sent[-1]["more_body"] is False


@pytest.mark.parametrize("how", ["handler", "option"])
async def test_opting_out(project: Project, how: str) -> None:
    """Who does not want to be carried over gets a clean end at the reload."""
    await project.start(version(1), carry=how != "option")
    stream = await opened(project, "/opts_out" if how == "handler" else "/feed")
    outcome = await project.reload(version(2))
    assert (outcome.carried, outcome.closed) == (0, 1)
    await stream.end()
    assert stream.sent[-1] == {"type": "http.response.body", "body": b"retry: 250\n\n", "more_body": False}
    assert (1, "gone") in trace


@pytest.mark.parametrize(
    ("path", "options"),
    [
        ("/answer", {"method": "POST"}),
        ("/answer", {"headers": ((b"content-length", b"3"),)}),
        ("/answer", {"headers": ((b"transfer-encoding", b"chunked"),)}),
        ("/compressed", {}),
    ],
    ids=["POST", "a body", "a body of unknown length", "compressed"],
)
async def test_what_can_not_be_asked_again(
    project: Project, caplog: pytest.LogCaptureFixture, path: str, options: dict[str, Any]
) -> None:
    """It finishes on old code, is asked once, and is named in the log."""
    caplog.set_level(logging.INFO)
    await project.start(version(1))
    barrier.close()
    stream = await opened(project, path, **options)
    await barrier.reached()
    outcome = await project.reload(version(2))
    assert outcome.carried == 0
    assert lines(caplog)[-1].endswith(f"old code still has work: {options.get('method', 'GET')} {path}.")
    barrier.open()
    await stream.end()
    assert stream.text.removesuffix("\n\n").endswith("1")
    await project.drained()


async def test_an_answer_to_a_post_is_never_cut(project: Project) -> None:
    """However long it takes: not by the drain timeout, and not for another process."""
    await project.start(version(1), drain_timeout=0.01)
    barrier.close()
    stream = await opened(project, "/answer", method="POST")
    await barrier.reached()
    await project.reload(version(2))
    project.host.begin_drain()
    barrier.open()
    await stream.end()
    assert stream.text.endswith("id: 2\ndata: 1\n\n")
    assert trace == ["answered"]


async def test_old_code_that_does_not_end(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was told, and goes on: it is cancelled, and the stream moves on."""
    monkeypatch.setattr("hotsession.asgi.carried_exchange.PATIENCE", 0.01)
    await project.start(version(1))
    stream = await opened(project, "/stubborn")
    await project.reload(version(2))
    await until(lambda: stream.text.endswith("data: 2\n\n"))
    await leave(stream)
    await project.drained()


async def test_old_code_that_can_not_be_cancelled(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the stream ends, so that the page comes back, to new code."""
    monkeypatch.setattr("hotsession.asgi.carried_exchange.PATIENCE", 0.01)
    monkeypatch.setattr("hotsession.asgi.carried_exchange._GRACE", 0.01)
    barrier.close()
    await project.start(version(1))
    stream = project.open("/clings")
    await stream.next()
    await stream.next()
    await project.reload(version(2))
    await until(lambda: stream.sent[-1].get("more_body") is False)
    assert stream.text.endswith("retry: 250\n\n")
    barrier.open()
    await asyncio.wait([stream.task])
    await project.drained()
