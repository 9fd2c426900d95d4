"""A client's messages, for an app whose connection may be ended by us: it then sees the client leave.

It behaves as the server's own `receive` does: a message that is there is returned without giving way (by that
Starlette's `is_disconnected` looks), and none is lost when the app gives up waiting (`wait_for`).
"""

from __future__ import annotations

import asyncio
import inspect
import types
from collections.abc import Coroutine, Generator
from typing import Any

from starlette.types import Message, Receive


class Inbox:
    """The messages of one connection.

    Args:
        receive: the server's.
        gone: the message that tells the app that the client has left.

    Attributes:
        told: whether the app was given that message.
    """

    __slots__ = ("_end", "_gone", "_pending", "_receive", "_stopped", "told")

    def __init__(self, receive: Receive, gone: Message) -> None:
        self.told = False
        self._stopped = False
        self._receive = receive
        self._gone = gone
        self._pending: asyncio.Future[Message] | None = None  # asked of the server, and given to nobody yet
        self._end: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def __repr__(self) -> str:
        return f"<Inbox waiting={self._pending is not None} ended={self.ended}>"

    @property
    def ended(self) -> bool:
        """Whether it was ended."""
        return self._end.done()

    async def next(self) -> Message:
        """The next message, or that the client is gone when the connection is ended first."""
        while not self.ended:
            if self._stopped:
                await asyncio.wait([self._end])
                continue
            pending = self._pending
            if pending is None:
                receiving = self._receive()
                if not inspect.iscoroutine(receiving):
                    pending = self._pending = asyncio.ensure_future(receiving)
                else:
                    try:
                        waits_for = receiving.send(None)
                    except StopIteration as stop:
                        return stop.value  # type: ignore[no-any-return]
                    pending = self._pending = asyncio.ensure_future(_go_on(receiving, waits_for))
            if not pending.done():
                either: list[asyncio.Future[Any]] = [pending, self._end]
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if pending.done() and pending is self._pending:
                self._pending = None
                return pending.result()
        self.told = True
        return self._gone

    def stop(self) -> None:
        """Ask the server for nothing more, and let the app wait for the end, which is about to come."""
        self._stopped = True
        self.close()

    def end(self) -> None:
        """Tell the app from now on that its client is gone."""
        if not self._end.done():
            self._end.set_result(None)

    def close(self) -> None:
        """Stop asking the server: the app is done."""
        if self._pending is not None:
            self._pending.cancel()
            self._pending = None


@types.coroutine
def _go_on(coroutine: Coroutine[Any, Any, Message], waits_for: Any) -> Generator[Any, Any, Message]:
    """Run the rest of a coroutine that has begun and waits for something."""
    try:
        while True:
            try:
                value = yield waits_for
            except BaseException as error:  # noqa: BLE001  it is the coroutine's to handle
                waits_for = coroutine.throw(error)
            else:
                waits_for = coroutine.send(value)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
