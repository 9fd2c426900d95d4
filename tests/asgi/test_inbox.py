"""A client's messages behave as the server's own `receive`, until the connection is ended."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

import anyio
import pytest

from hotsession.asgi.direct_inbox import DirectInbox
from hotsession.asgi.inbox import Inbox

pytestmark = pytest.mark.anyio

GONE = {"type": "gone"}


class Server:
    """The server's side of one connection."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.asked = 0

    def say(self, *numbers: int) -> None:
        """Let the client send these."""
        for number in numbers:
            self.messages.put_nowait({"n": number})

    async def receive(self) -> dict[str, Any]:
        """What the server gives to apps."""
        self.asked += 1
        return await self.messages.get()


@pytest.fixture
async def server() -> Server:
    """A server whose client has said nothing yet."""
    return Server()


@pytest.fixture
async def inbox(server: Server) -> Inbox:
    """What the app gets."""
    return Inbox(server.receive, GONE)


async def test_messages_come_in_order(server: Server, inbox: Inbox) -> None:
    """Those that wait, and those that are waited for."""
    server.say(1, 2)
    assert [await inbox.next(), await inbox.next()] == [{"n": 1}, {"n": 2}]
    waiting = asyncio.create_task(inbox.next())
    await asyncio.sleep(0)
    assert not waiting.done()
    server.say(3)
    assert await waiting == {"n": 3}


async def test_a_message_that_is_there_is_given_at_once(server: Server, inbox: Inbox) -> None:
    """Within a cancelled scope too: so Starlette's `is_disconnected` looks for the client."""
    found = []
    for _ in range(3):
        with anyio.CancelScope() as scope:
            scope.cancel()
            found.append(await inbox.next())
    assert found == []
    server.say(1)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    with anyio.CancelScope() as scope:
        scope.cancel()
        found.append(await inbox.next())
    assert found == [{"n": 1}]
    server.say(2)
    with anyio.CancelScope() as scope:
        scope.cancel()
        found.append(await inbox.next())
    assert found == [{"n": 1}, {"n": 2}]


async def test_no_message_is_lost_when_the_app_gives_up(server: Server, inbox: Inbox) -> None:
    """Whenever it gives up: before the message comes, and in the very moment."""
    for number, steps in enumerate(range(6)):
        waiting = asyncio.create_task(inbox.next())
        await asyncio.sleep(0)
        server.say(number)
        for _ in range(steps):
            await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        got = await inbox.next() if waiting.cancelled() else waiting.result()
        assert got == {"n": number}


async def test_the_end_wakes_who_waits(server: Server, inbox: Inbox) -> None:
    """The app sees the client leave, now and ever after."""
    waiting = asyncio.create_task(inbox.next())
    await asyncio.sleep(0)
    inbox.end()
    assert await waiting == GONE
    server.say(1)
    assert await inbox.next() == GONE
    inbox.end()
    assert inbox.ended


async def test_two_who_wait_get_a_message_each(server: Server, inbox: Inbox) -> None:
    """No message is given twice."""
    waiting = [asyncio.create_task(inbox.next()) for _ in range(2)]
    await asyncio.sleep(0)
    server.say(1, 2)
    assert sorted([(await each)["n"] for each in waiting]) == [1, 2]


async def test_errors_of_the_server_are_raised(server: Server) -> None:
    """At once or later; the next call asks the server again."""

    async def receive() -> dict[str, Any]:
        server.asked += 1
        if server.asked > 1:
            await asyncio.sleep(0)
        raise OSError(server.asked)

    inbox = Inbox(receive, GONE)
    for number in (1, 2):
        with pytest.raises(OSError, match=str(number)):
            await inbox.next()


async def test_a_server_that_gives_futures(server: Server) -> None:
    """Some servers are not written in Python: their `receive` returns no coroutine."""

    def receive() -> Awaitable[dict[str, Any]]:
        return asyncio.ensure_future(server.messages.get())

    inbox = Inbox(receive, GONE)
    server.say(1)
    assert await inbox.next() == {"n": 1}
    inbox.close()


async def test_a_closed_inbox_asks_nobody(server: Server, inbox: Inbox) -> None:
    """Nothing waits for the client any more when the app is done."""
    waiting = asyncio.create_task(inbox.next())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    inbox.close()
    inbox.close()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    server.say(1)
    assert server.messages.get_nowait() == {"n": 1}


# before the end, and in the task of the app


@pytest.mark.parametrize("kind", [Inbox, DirectInbox])
async def test_a_stopped_inbox_waits_for_the_end(server: Server, kind: type[Inbox | DirectInbox]) -> None:
    """The server is asked for nothing more, who waits goes on to wait, and who comes now waits as well."""
    inbox = kind(server.receive, GONE)
    waiting = [asyncio.create_task(inbox.next())]
    await asyncio.sleep(0)
    inbox.stop()
    await asyncio.sleep(0)
    waiting.append(asyncio.create_task(inbox.next()))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not any(each.done() for each in waiting)
    assert (server.asked, inbox.told) == (1, False)
    inbox.end()
    assert [await each for each in waiting] == [GONE, GONE]
    assert (server.asked, inbox.told, inbox.ended) == (1, True, True)
    server.say(1)
    assert server.messages.get_nowait() == {"n": 1}


async def test_a_direct_inbox_gives_what_is_there_at_once(server: Server) -> None:
    """A message within a cancelled scope, then the end; what nobody has said is not waited for."""
    inbox = DirectInbox(server.receive, GONE)
    server.say(1)
    found = []
    for end in (False, False, True):
        if end:
            inbox.end()
        with anyio.CancelScope() as scope:
            scope.cancel()
            found.append(await inbox.next())
    assert found == [{"n": 1}, GONE]
    assert repr(inbox) == "<DirectInbox waiting=False ended=True>"


async def test_a_direct_inbox_waits_in_the_task_of_the_app(server: Server) -> None:
    """Starlette's `BaseHTTPMiddleware` leaves a task group there that it has entered there."""
    tasks = []

    async def receive() -> dict[str, Any]:
        async with anyio.create_task_group():
            tasks.append(asyncio.current_task())
            message = await server.receive()
            tasks.append(asyncio.current_task())
        return message

    waiting = asyncio.create_task(DirectInbox(receive, GONE).next())
    await asyncio.sleep(0)
    server.say(1)
    assert await waiting == {"n": 1}
    assert tasks == [waiting, waiting]


async def test_no_message_is_lost_to_the_end(server: Server, inbox: Inbox) -> None:
    """One that arrives in the moment of the end is there for who asks next."""
    waiting = asyncio.create_task(inbox.next())
    await asyncio.sleep(0)
    server.say(1)
    inbox.end()
    assert await waiting == GONE
    assert await Inbox(server.receive, GONE).next() == {"n": 1}


async def test_the_end_leaves_no_trace_in_the_task(server: Server, inbox: Inbox) -> None:
    """It goes on as one that was never cancelled, also within a timeout or a task group."""
    seen = []

    async def app() -> None:
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            seen.append(await inbox.next())
            group.create_task(asyncio.sleep(0))
        with anyio.move_on_after(60):
            await asyncio.sleep(0)
        task = asyncio.current_task()
        assert task is not None
        seen.append(task.cancelling())

    running = asyncio.create_task(app())
    await asyncio.sleep(0)
    inbox.end()
    await running
    assert seen == [GONE, 0]


@pytest.mark.parametrize("first", ["app", "end"])
async def test_an_app_that_gives_up_in_the_same_moment(server: Server, inbox: Inbox, first: str) -> None:
    """Its own cancellation is not taken for ours, whichever came first."""
    waiting = asyncio.create_task(inbox.next())
    await asyncio.sleep(0)
    steps = [waiting.cancel, inbox.end]
    for step in steps if first == "app" else steps[::-1]:
        step()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await inbox.next() == GONE


@pytest.mark.parametrize("first", ["scope", "end"])
async def test_a_scope_that_is_cancelled_in_the_same_moment(server: Server, inbox: Inbox, first: str) -> None:
    """The block is left as its owner wanted, and nothing of ours remains."""
    scope = anyio.CancelScope()
    left = []

    async def app() -> None:
        with scope:
            left.append(await inbox.next())
        left.append("on")
        await asyncio.sleep(0)

    running = asyncio.create_task(app())
    await asyncio.sleep(0)
    steps = [scope.cancel, inbox.end]
    for step in steps if first == "scope" else steps[::-1]:
        step()
    await running
    assert left[-1] == "on"
    assert running.cancelling() == 0


async def test_a_server_that_takes_no_notice_of_the_end() -> None:
    """Its message is given to the app all the same, whose task stays as it was."""
    held = asyncio.Event()

    async def receive() -> dict[str, Any]:
        try:
            await held.wait()
        except asyncio.CancelledError:
            return {"n": 1}
        return {}

    inbox = Inbox(receive, GONE)
    waiting = asyncio.create_task(inbox.next())
    await asyncio.sleep(0)
    inbox.end()
    assert await waiting == {"n": 1}
    assert waiting.cancelling() == 0
    assert await inbox.next() == GONE
