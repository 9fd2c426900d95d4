"""WebSockets that move on to new code, seen from the server that the host runs behind."""

from __future__ import annotations

import asyncio
import logging
import sys
import weakref
from typing import Any

import pytest

import hotsession
from hotsession.asgi.host import HostOptions
from tests.projects import Exchange, Project, barrier, lines, trace, until

pytestmark = pytest.mark.anyio

APP = """
import asyncio, contextlib
import hotsession
from starlette.requests import HTTPConnection
from tests.projects import answering, barrier, trace
app = answering(globals())
VERSION = 1

async def echo(scope, receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    told = scope["hotsession"]
    await send({"type": "websocket.send", "told": (VERSION, told["generation"], told["resumed"], told["connection"])})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": f"{VERSION} {message['text']}"})
    trace.append((VERSION, message.get("code"), message.get("reason")))
    await send({"type": "websocket.close"})
async def busy(scope, receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": f"{VERSION} begins {message['text']}"})
        if message["text"] == "slow":
            await barrier.wait_async()
        await send({"type": "websocket.send", "text": f"{VERSION} ends {message['text']}"})
async def deaf(scope, receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": VERSION})
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        trace.append((VERSION, "cancelled"))
        raise
async def pushes(scope, receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    try:
        while True:
            await send({"type": "websocket.send", "text": VERSION})
            await asyncio.sleep(0.001)
    except OSError as error:
        trace.append((VERSION, str(error)))
async def ignores(scope, receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    with contextlib.suppress(asyncio.CancelledError):
        while True:
            message = await receive()
            await send({"type": "websocket.send", "text": f"{VERSION} {message['type']}"})
            await asyncio.sleep(0.001)
async def stop_button(scope, receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    async def answer():
        await send({"type": "websocket.send", "text": f"{VERSION} begins"})
        await barrier.wait_async()
        await send({"type": "websocket.send", "text": f"{VERSION} ends"})
    answers = []
    while (message := await receive())["type"] == "websocket.receive":
        answers.append(asyncio.create_task(answer()))
    for each in answers:
        each.cancel()
async def joins(scope, receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    state = scope["hotsession"]["state"]
    if "room" not in state:
        state["room"] = (await receive())["text"]
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": f"{VERSION} {state['room']} {message['text']}"})
async def wants_token(scope, receive, send):
    await receive()
    await send({"type": "websocket.accept", "subprotocol": "graphql-ws" if "graphql" in scope["headers"] else None})
    token = (await receive()).get("text")
    if token != "open sesame":
        await send({"type": "websocket.close", "code": 1008, "reason": "bad token"})
        return
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": f"{VERSION} {message['text']}"})
async def lingers(scope, receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    await receive()
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        trace.append((VERSION, "cancelled"))
        raise
async def opts_out(scope, receive, send):
    hotsession.close_on_reload(HTTPConnection(scope))
    await echo(scope, receive, send)
async def refuses(scope, receive, send):
    await receive()
    if VERSION == 1:
        await send({"type": "websocket.accept"})
        await receive()
    elif VERSION == 2:
        await send({"type": "websocket.close", "code": 1008})
    elif VERSION == 3:
        raise LookupError("no such room")
    elif VERSION == 4:
        await send({"type": "websocket.http.response.start", "status": 404, "headers": []})
        await send({"type": "websocket.http.response.body"})
async def fails(scope, receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        raise LookupError(f"{VERSION}")
    raise ZeroDivisionError("in the clean-up")
"""


def version(number: int) -> dict[str, str]:
    """The app at this version."""
    return {"main.py": APP.replace("VERSION = 1", f"VERSION = {number}")}


async def connect(project: Project, path: str = "/echo") -> Exchange:
    """A WebSocket that is open."""
    socket = project.open(path, kind="websocket")
    assert (await socket.next())["type"] == "websocket.accept"
    return socket


def say(socket: Exchange, text: str) -> None:
    """Let the client say something."""
    socket.say({"type": "websocket.receive", "text": text})


async def hear(socket: Exchange) -> Any:
    """What the app says next."""
    return (await socket.next())["text"]


async def leave(socket: Exchange) -> None:
    """Let the client leave."""
    socket.say({"type": "websocket.disconnect", "code": 1000})
    await socket.end()


async def test_it_moves(project: Project) -> None:
    """The old handler sees a disconnect, the new one a connection that is resumed; the client sees nothing of it."""
    await project.start(version(1))
    socket = await connect(project)
    _, generation, resumed, connection = (await socket.next())["told"]
    assert (generation, resumed) == (1, False)
    old = []
    for number in (2, 3):
        old.append(weakref.ref(sys.modules["main"].app))
        await project.reload(version(number))
        assert (await socket.next())["told"] == (number, number, True, connection)
        say(socket, "hello")
        assert await hear(socket) == f"{number} hello"
    assert trace == [(1, 1012, hotsession.RELOADED), (2, 1012, hotsession.RELOADED)]
    assert await project.collect(old) == []
    await leave(socket)
    assert trace[2] == (3, 1000, None)
    await project.drained()


async def test_a_room_that_was_joined(project: Project) -> None:
    """What the first message settled is in the state that moves with the connection."""
    await project.start(version(1))
    socket = await connect(project, "/joins")
    say(socket, "kitchen")
    say(socket, "a")
    assert await hear(socket) == "1 kitchen a"
    await project.reload(version(2))
    say(socket, "b")
    assert await hear(socket) == "2 kitchen b"
    await leave(socket)


async def test_a_handler_that_takes_a_message_for_the_first(project: Project, caplog: pytest.LogCaptureFixture) -> None:
    """Its client is not told that its token is no good, which is final, but to connect anew; the log says why."""
    await project.start(version(1))
    socket = await connect(project, "/wants_token")
    say(socket, "open sesame")
    say(socket, "a")
    assert await hear(socket) == "1 a"
    await project.reload(version(2))
    say(socket, "b")
    await socket.end()
    assert socket.sent[-1]["code"] == 1012
    assert "it closed it with 1008 at its first message, maybe for want of a token" in caplog.text


async def test_a_protocol_with_a_handshake(project: Project) -> None:
    """It is closed at the reload, so that its client says its first messages again."""
    await project.start(version(1))
    socket = project.open("/wants_token", kind="websocket", headers=("graphql",))
    assert (await socket.next())["subprotocol"] == "graphql-ws"
    outcome = await project.reload(version(2))
    assert (outcome.carried, outcome.closed) == (0, 1)
    await socket.end()
    assert socket.sent[-1]["code"] == 1012


async def test_messages_that_come_meanwhile(project: Project, caplog: pytest.LogCaptureFixture) -> None:
    """What the old handler is in the middle of it finishes; what comes meanwhile the new one gets, in order."""
    caplog.set_level(logging.INFO)
    await project.start(version(1))
    socket = await connect(project, "/busy")
    barrier.close()
    for text in ("slow", "a", "b"):
        say(socket, text)
    assert await hear(socket) == "1 begins slow"
    await barrier.reached()
    await project.reload(version(2))
    assert lines(caplog)[-1].endswith("old code still has work: WebSocket /busy.")
    say(socket, "c")
    barrier.open()
    assert await hear(socket) == "1 ends slow"
    for text in "abc":
        assert [await hear(socket), await hear(socket)] == [f"2 begins {text}", f"2 ends {text}"]
    await leave(socket)


@pytest.mark.e2e
async def test_an_answer_beside_the_wait_for_messages(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """A handler with a stop button is not told in the midst of its answer."""
    for module in ("leaving", "stay"):
        monkeypatch.setattr(f"hotsession.asgi.{module}.PAUSE", 2.0)  # more than a slow machine needs for a reload
    await project.start(version(1))
    socket = await connect(project, "/stop_button")
    barrier.close()
    say(socket, "ask")
    assert await hear(socket) == "1 begins"
    await barrier.reached()
    await project.reload(version(2))
    barrier.open()
    assert await hear(socket) == "1 ends"
    await until(lambda: project.host.generation == 2)
    await project.drained()
    say(socket, "ask")
    assert [await hear(socket), await hear(socket)] == ["2 begins", "2 ends"]
    await leave(socket)


async def test_a_handler_that_never_listens(project: Project) -> None:
    """It is moved at the end of the patience with it, and cancelled when it does not notice."""
    await project.start(version(1), drain_timeout=0.01)
    socket = await connect(project, "/deaf")
    assert await hear(socket) == 1
    await project.reload(version(2))
    assert await hear(socket) == 2
    await until(lambda: trace == [(1, "cancelled")])
    await leave_by_reset(project, socket)


async def leave_by_reset(project: Project, socket: Exchange) -> None:
    """End a WebSocket whose handler listens to nobody."""
    project.host.begin_drain()
    await socket.end()
    assert socket.sent[-1]["code"] == 1012


async def test_a_handler_that_only_pushes(project: Project) -> None:
    """It is moved between two messages: it sees that its client is gone, and sends nothing more."""
    await project.start(version(1), drain_timeout=0.02)
    socket = await connect(project, "/pushes")
    await project.reload(version(2))
    await until(lambda: bool(trace))
    assert trace == [(1, hotsession.RELOADED)]
    await until(lambda: socket.sent[-1].get("text") == 2)
    texts = [each["text"] for each in socket.sent[1:]]
    assert texts == sorted(texts)
    await leave_by_reset(project, socket)


async def test_a_handler_that_ignores_the_disconnect(project: Project) -> None:
    """It is cancelled when it goes on for too long, and the connection moves on."""
    await project.start(version(1), drain_timeout=0.05)
    socket = await connect(project, "/ignores")
    say(socket, "x")
    assert await hear(socket) == "1 websocket.receive"
    await project.reload(version(2))
    await until(lambda: socket.sent[-1].get("text") == "1 websocket.disconnect")
    await project.drained()
    say(socket, "x")
    await until(lambda: socket.sent[-1].get("text") == "2 websocket.receive")
    await leave_by_reset(project, socket)


@pytest.mark.parametrize("how", ["handler", "option"])
async def test_opting_out(project: Project, how: str) -> None:
    """Who does not want to be carried over is closed with 1012 at the reload."""
    await project.start(version(1), carry=how != "option")
    socket = await connect(project, "/opts_out" if how == "handler" else "/echo")
    outcome = await project.reload(version(2))
    assert (outcome.carried, outcome.closed) == (0, 1)
    await socket.end()
    assert (socket.sent[-1]["type"], socket.sent[-1]["code"]) == ("websocket.close", 1012)
    assert trace == [(1, 1012, hotsession.RELOADED)]


@pytest.mark.parametrize(
    ("number", "why"),
    [
        (2, "it closed it with 1008 before it accepted it"),
        (3, "it raised LookupError('no such room') before it accepted it"),
        (4, "it answered with status 404"),
        (5, "it ended without accepting it"),
    ],
)
async def test_new_code_that_refuses(project: Project, caplog: pytest.LogCaptureFixture, number: int, why: str) -> None:
    """The client gets 1012, as it may find something at another time or place, and the log says why."""
    await project.start(version(1))
    socket = await connect(project, "/refuses")
    await project.reload(version(number))
    await socket.end()
    assert [each["type"] for each in socket.sent] == ["websocket.accept", "websocket.close"]
    assert socket.sent[-1]["code"] == 1012
    assert f"The new code did not take up WebSocket /refuses: {why}. Its client got 1012" in caplog.text
    assert ("LookupError: no such room" in caplog.text) == (number == 3)


async def test_new_code_that_fails_later(project: Project) -> None:
    """Its error reaches the server, as without us."""
    await project.start(version(1))
    socket = await connect(project, "/fails")
    await project.reload(version(2))
    say(socket, "x")
    with pytest.raises(LookupError, match="2"):
        await socket.end()


async def test_a_clean_up_that_fails(project: Project, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged with its traceback, and the connection moves on."""
    caplog.set_level(logging.ERROR)
    await project.start(version(1))
    socket = await connect(project, "/fails")
    await project.reload(version(2))
    say(socket, "x")
    with pytest.raises(LookupError, match="2"):
        await socket.end()
    assert "WebSocket /fails failed when it was told that it moves on to newer code" in caplog.text
    assert "ZeroDivisionError: in the clean-up" in caplog.text


async def test_a_client_that_leaves_meanwhile(project: Project) -> None:
    """It leaves whoever has the connection then, and nothing is left behind."""
    await project.start(version(1))
    socket = await connect(project)
    await socket.next()
    saving = asyncio.ensure_future(project.reload(version(2)))
    socket.say({"type": "websocket.disconnect", "code": 1001})
    await socket.end()
    await saving
    await project.drained()
    assert {each[1] for each in trace} <= {1001, 1012}
    assert trace[-1][1] == 1001
    assert not project.host._open


async def test_a_server_that_cancels(project: Project) -> None:
    """The handler is cancelled with it."""
    await project.start(version(1))
    socket = await connect(project, "/deaf")
    await hear(socket)
    socket.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await socket.end()
    assert trace == [(1, "cancelled")]


async def test_the_handshake_is_open_at_the_swap(project: Project) -> None:
    """A handler that has not accepted yet does so, and then it moves on."""
    text = APP.replace(
        "async def echo(scope, receive, send):\n    await receive()",
        "async def echo(scope, receive, send):\n    await barrier.wait_async()\n    await receive()",
    )
    await project.start({"main.py": text})
    barrier.close()
    socket = project.open("/echo", kind="websocket")
    await barrier.reached()
    await project.reload(version(2))
    barrier.open()
    assert (await socket.next())["type"] == "websocket.accept"
    assert (await socket.next())["told"][:3] == (1, 1, False)
    assert (await socket.next())["told"][:3] == (2, 2, True)
    await leave(socket)


async def test_the_new_app_starts_only_when_the_old_one_has_ended(project: Project) -> None:
    """Stop-first: connections wait for it, and go on."""
    await project.start(version(1), handover="stop-first")
    socket = await connect(project)
    await socket.next()
    await project.reload(version(2))
    assert (await socket.next())["told"][:3] == (2, 2, True)
    say(socket, "x")
    assert await hear(socket) == "2 x"
    await leave(socket)


async def test_a_bad_save(project: Project) -> None:
    """Nothing moves; the fix moves it."""
    await project.start(version(1))
    socket = await connect(project)
    await socket.next()
    await project.fail({"main.py": "1/0"})
    say(socket, "x")
    assert await hear(socket) == "1 x"
    await project.reload(version(2))
    assert (await socket.next())["told"][:3] == (2, 3, True)
    await leave(socket)


async def test_the_server_ends(project: Project) -> None:
    """Also a connection that has moved gets 1012 then."""
    await project.start(version(1))
    socket = await connect(project)
    await project.reload(version(2))
    await until(lambda: len(socket.sent) == 3)
    await project.stop()
    assert socket.sent[-1]["code"] == 1012


async def test_the_end_of_a_handler_that_cleans_up_for_ever(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not hold up the end of the server."""
    monkeypatch.setattr("hotsession.asgi.stay.PATIENCE", 0.01)
    await project.start(version(1))
    socket = await connect(project, "/lingers")
    project.host.begin_drain()
    await socket.end()
    assert socket.sent[-1]["code"] == 1012
    assert trace == [(1, "cancelled")]


async def test_saves_in_a_row(project: Project) -> None:
    """Ten sockets through twenty saves: each message is answered once and in order, and no generation is left."""
    await project.start(version(1))
    sockets = [await connect(project, "/busy") for _ in range(10)]
    for number in range(2, 22):
        for socket in sockets:
            say(socket, f"{number}a")
        await project.reload(version(number))
        for socket in sockets:
            say(socket, f"{number}b")
    for socket in sockets:
        await until(lambda socket=socket: len(socket.sent) == 81)  # type: ignore[misc]
        words = [each["text"].split() for each in socket.sent[1:]]
        asked = [f"{number}{letter}" for number in range(2, 22) for letter in "ab"]
        assert [word[2] for word in words] == [each for each in asked for _ in range(2)]
        versions = [int(word[0]) for word in words]
        assert versions == sorted(versions)
        await leave(socket)
    await project.drained()
    assert not project.host._open


def test_it_is_on_by_default() -> None:
    """Carrying over is what people come for."""
    assert HostOptions().carry
