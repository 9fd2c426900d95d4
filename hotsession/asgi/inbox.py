"""A client's messages, for an app whose connection may be ended by us, or handed on to another app: it then sees the
client leave.

It behaves as the server's own `receive` does: a message that is there is returned without giving way (by that
Starlette's `is_disconnected` looks), and none is lost when the app gives up waiting (`wait_for`).
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from starlette.types import Message, Receive


class Source:
    """The server's side of one connection, asked for one message at a time, by one inbox after the other.

    Who waits in an inbox must be free to go without a message, and without one being lost. So the server's coroutine is
    run here, by hand, and goes on where it stood when the next one asks. (A task for it would do the same, and cost a
    WebSocket that only echoes a fifth of its throughput.)

    Args:
        receive: the server's.

    Attributes:
        receive: the same.
        wake: of the inbox that reads now: called when it is worth asking again.
    """

    __slots__ = ("_blocked_on", "_coroutine", "_held", "receive", "wake")

    def __init__(self, receive: Receive) -> None:
        self.receive = receive
        self._coroutine: Coroutine[Any, Any, Message] | None = None  # the server's; it has begun, and waits
        self._blocked_on: asyncio.Future[Any] | None = None
        self._held: Message | None = None  # taken out to be looked at
        self.wake: Callable[[], None] | None = None

    def __repr__(self) -> str:
        return f"<Source waiting={self._coroutine is not None}>"

    def take(self) -> Message | None:
        """The next message; None if there is none yet, and then `wake` is called in time."""
        if self._held is not None:
            message, self._held = self._held, None
            return message
        if self._blocked_on is not None:
            if not self._blocked_on.done():
                return None
            self._blocked_on = None
        coroutine = self._coroutine
        if coroutine is None:
            receiving = self.receive()
            coroutine = receiving if inspect.iscoroutine(receiving) else _result_of(receiving)
        self._coroutine = None
        try:
            waits_for = coroutine.send(None)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        self._coroutine = coroutine
        self._blocked_on = future = _as_future(waits_for)
        future.add_done_callback(self._go_on)
        return None

    def peek(self) -> Message | None:
        """The next message, which stays where it is; None if there is none yet."""
        self._held = self.take()
        return self._held

    def close(self) -> None:
        """Ask the server for nothing more."""
        coroutine, self._coroutine, self.wake = self._coroutine, None, None
        if coroutine is not None:
            with suppress(RuntimeError):  # it goes on waiting in its clean-up: that is its own affair
                coroutine.close()
        if self._blocked_on is not None:
            self._blocked_on.remove_done_callback(self._go_on)
            self._blocked_on = None

    def _go_on(self, _: asyncio.Future[Any]) -> None:
        if self.wake is not None:
            self.wake()


async def _result_of(awaitable: Any) -> Message:
    """A coroutine for what a server gives that is none."""
    message: Message = await awaitable
    return message


def _as_future(waits_for: Any) -> asyncio.Future[Any]:
    """The future that a coroutine waits for, as asyncio's tasks would take it over."""
    if waits_for is None:  # it just gives way
        future = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(future.set_result, None)
        return future
    waits_for._asyncio_future_blocking = False
    return waits_for  # type: ignore[no-any-return]


class Inbox:
    """The messages of one connection.

    Args:
        receive: the server's, or what another inbox of the same connection has read from.
        gone: the message that tells the app that the client has left.

    Attributes:
        told: whether the app was given that message.
        ended: whether it was ended.
    """

    __slots__ = ("_gone", "_source", "_stopped", "_waiters", "ended", "told")

    def __init__(self, receive: Receive | Source, gone: Message) -> None:
        self.told = self.ended = self._stopped = False
        self._gone = gone
        self._waiters: list[asyncio.Future[None]] = []
        self._source = receive if isinstance(receive, Source) else Source(receive)
        self._source.wake = self._wake

    def __repr__(self) -> str:
        return f"<Inbox waiting={self.waiting} ended={self.ended}>"

    @property
    def waiting(self) -> bool:
        """Whether the app waits for a message."""
        return bool(self._waiters)

    async def next(self) -> Message:
        """The next message, or that the client is gone when the connection is ended first."""
        while not self.ended:
            if not self._stopped and (message := self._source.take()) is not None:
                return message
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            finally:
                self._waiters.remove(waiter)
        self.told = True
        return self._gone

    def stop(self) -> None:
        """Ask the server for nothing more, and let the app wait for the end, which is about to come."""
        self._stopped = True
        self._source.close()

    def end(self) -> None:
        """Tell the app from now on that its client is gone."""
        self.ended = True
        self._wake()

    def close(self) -> None:
        """Stop asking the server: the app is done."""
        self._source.close()

    def _wake(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
