"""The middleware over storages that want bytes: what a request changed is stored before its client can know."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import anyio
import pytest
from starlette.requests import HTTPConnection
from starlette.types import Message, Receive, Scope, Send

import hotsession
from hotsession.asgi.middleware import HotSessionMiddleware
from hotsession.errors import DataNotStorable
from hotsession.lifecycle.manager import SessionManager
from hotsession.storages.sqlite import SQLiteStorage
from tests.deadlines import DEADLINE
from tests.lifecycle.byte_storage import ByteStorage

pytestmark = pytest.mark.anyio

Endpoint = Callable[[HTTPConnection[Any], Send], Coroutine[Any, Any, None]]
START: Message = {"type": "http.response.start", "status": 200, "headers": []}


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Both of anyio's backends."""
    return str(request.param)


@pytest.fixture(params=["bytes", "sqlite"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Storages that want bytes."""
    return ByteStorage() if request.param == "bytes" else SQLiteStorage(tmp_path / "sessions.db")


class Client:
    """A browser with its cookie, and a look at the storage whenever it is told something."""

    def __init__(self, manager: SessionManager) -> None:
        self.manager = manager
        self.cookie: bytes | None = None
        self.stored: list[tuple[str, list[Any]]] = []

    async def ask(self, endpoint: Endpoint, kind: str = "http") -> list[Message]:
        """One request or connection; the messages of its answer."""
        sent: list[Message] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await endpoint(HTTPConnection(scope), send)

        async def receive() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Message) -> None:
            records = await self.manager.storage.list(self.manager.name, 0)
            self.stored.append((message["type"], [record.payload for record in records]))
            sent.append(message)
            for name, value in message.get("headers", ()):
                if name == b"set-cookie":
                    self.cookie = value.split(b";")[0]

        headers = [] if self.cookie is None else [(b"cookie", self.cookie)]
        middleware = HotSessionMiddleware(app, storage=self.manager.storage)
        await middleware({"type": kind, "method": "GET", "path": "/", "headers": headers}, receive, send)
        return sent


@pytest.fixture
async def client(storage: Any) -> Any:
    """A browser of the manager of browsers' sessions."""
    yield Client(hotsession.sessions(storage=storage))
    await storage.aclose()


async def answer(send: Send) -> None:
    """A short answer."""
    await send(START)
    await send({"type": "http.response.body", "body": b"ok"})


async def begin(connection: HTTPConnection[Any], send: Send) -> None:
    """Write something for the first time."""
    connection.session["messages"] = []
    await answer(send)


async def test_what_a_request_wrote_is_stored_before_its_answer(client: Client) -> None:
    """At the top and deep inside; the next request reads it."""

    async def go_on(connection: HTTPConnection[Any], send: Send) -> None:
        connection.session["messages"].append("hello")
        await answer(send)

    async def read(connection: HTTPConnection[Any], send: Send) -> None:
        assert connection.session == {"messages": ["hello"]}
        await answer(send)

    await client.ask(begin)
    assert client.stored[0] == ("http.response.start", [b'{"messages":[]}'])
    await client.ask(go_on)
    assert client.stored[2] == ("http.response.start", [b'{"messages":["hello"]}'])
    await client.ask(read)
    [session] = await client.manager.list()
    assert session.version == 2


async def test_what_is_changed_while_the_answer_goes_out_is_stored_before_its_last_message(client: Client) -> None:
    """A streamed answer appends as it goes."""

    async def stream(connection: HTTPConnection[Any], send: Send) -> None:
        await send(START)
        for part in (b"one", b"two"):
            connection.session["messages"].append(part.decode())
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    await client.ask(begin)
    client.stored.clear()
    await client.ask(stream)
    assert client.stored[-1] == ("http.response.body", [b'{"messages":["one","two"]}'])


async def test_a_named_session_is_stored_before_the_answer(client: Client) -> None:
    """Nobody saves by hand, and code below gets the same session."""
    chats = hotsession.sessions("chats", storage=client.manager.storage)
    told: list[Any] = []

    async def chat(connection: HTTPConnection[Any], send: Send) -> None:
        session = await chats.get_or_create("ada", data={"messages": []})
        session.data["messages"].append("hello")
        below = await chats.get_or_create()
        assert below.data is session.data

        async def look_and_send(message: Message) -> None:
            await send(message)
            told.append([each.data for each in await chats.list()])

        await answer(look_and_send)

    await client.ask(chat)
    assert told[0] == [{"messages": ["hello"]}]


async def test_a_request_that_raises_has_saved(client: Client) -> None:
    """What it did before is not lost."""
    chats = hotsession.sessions("chats", storage=client.manager.storage)

    async def fail(connection: HTTPConnection[Any], send: Send) -> None:
        connection.session["messages"].append("before")
        (await chats.get_or_create("ada")).data["step"] = 1
        raise ValueError("later")

    await client.ask(begin)
    with pytest.raises(ValueError, match="later"):
        await client.ask(fail)
    assert [session.data for session in await client.manager.list()] == [{"messages": ["before"]}]
    assert [session.data for session in await chats.list()] == [{"step": 1}]


async def test_each_message_of_a_socket_tells_what_is_stored(client: Client) -> None:
    """A connection may go on for hours."""
    chats = hotsession.sessions("chats", storage=client.manager.storage)
    told: list[Any] = []

    async def serve(connection: HTTPConnection[Any], send: Send) -> None:
        await send({"type": "websocket.accept"})
        session = await chats.get_or_create("ada", data={"messages": []})
        for text in ("one", "two"):
            session.data["messages"].append(text)
            await send({"type": "websocket.send", "text": text})
            told.append([each.data["messages"] for each in await chats.list()])

    await client.ask(serve, "websocket")
    assert told == [[["one"]], [["one", "two"]]]


async def test_two_requests_of_one_browser_lose_nothing(client: Client) -> None:
    """Each writes its own key into its own copy."""
    await client.ask(begin)
    both = [anyio.Event(), anyio.Event()]

    def write(name: str, mine: anyio.Event, other: anyio.Event) -> Endpoint:
        async def endpoint(connection: HTTPConnection[Any], send: Send) -> None:
            connection.session[name] = True
            mine.set()
            await other.wait()
            await answer(send)

        return endpoint

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(client.ask, write("left", both[0], both[1]))
        tasks.start_soon(client.ask, write("right", both[1], both[0]))
    assert [session.data for session in await client.manager.list()] == [{"messages": [], "left": True, "right": True}]


async def test_what_cannot_be_stored_is_no_success(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    """The app's send raises before anything is sent, and a page about that can be sent."""

    async def write(connection: HTTPConnection[Any], send: Send) -> None:
        connection.session["client"] = object()
        try:
            await answer(send)
        except DataNotStorable as error:
            await send({**START, "status": 500})
            await send({"type": "http.response.body", "body": str(error).encode()})

    await client.ask(begin)
    with caplog.at_level(logging.ERROR, logger="hotsession"):
        sent = await client.ask(write)
    assert sent[0]["status"] == 500
    assert b'data["client"]' in sent[1]["body"]
    assert [session.data for session in await client.manager.list()] == [{"messages": []}]


async def test_clearing_ends_the_session_and_a_new_token_keeps_it(client: Client) -> None:
    """As in memory."""

    async def log_in(connection: HTTPConnection[Any], send: Send) -> None:
        connection.session["user"] = "ada"
        session = hotsession.current_session()
        assert session is not None
        session.regenerate_token()
        await answer(send)

    async def log_out(connection: HTTPConnection[Any], send: Send) -> None:
        assert connection.session["user"] == "ada"
        connection.session.clear()
        await answer(send)

    await client.ask(begin)
    before = client.cookie
    await client.ask(log_in)
    assert client.cookie != before
    await client.ask(log_out)
    assert [session.status for session in await client.manager.list()] == ["ended"]


async def test_a_task_that_outlives_its_request_saves_the_browsers_session_at_its_own_end(client: Client) -> None:
    """Through the dict of the request, and through the session that the task asks for."""
    over = anyio.Event()

    async def later(connection: HTTPConnection[Any]) -> None:
        await over.wait()
        connection.session["later"] = 1
        session = hotsession.current_session()
        assert session is not None
        session.data["too"] = 2

    async def start(connection: HTTPConnection[Any], send: Send) -> None:
        tasks.start_soon(later, connection)
        await answer(send)

    async def stored() -> list[Any]:
        return [session.data for session in await client.manager.list()]

    await client.ask(begin)
    async with anyio.create_task_group() as tasks:
        await client.ask(start)
        over.set()
    with anyio.fail_after(DEADLINE):
        while await stored() != [{"messages": [], "later": 1, "too": 2}]:
            await anyio.lowlevel.checkpoint()
