"""An `Inbox` on trio: to give up waiting loses no message there, so the server's `receive` is awaited as it is."""

from __future__ import annotations

import trio
from starlette.types import Message, Receive


class TrioInbox:
    """The messages of one connection; see `hotsession.asgi.inbox.Inbox`.

    Args:
        receive: the server's.
        gone: the message that tells the app that the client has left.
    """

    __slots__ = ("_gone", "_receive", "_waiting", "ended", "told")

    def __init__(self, receive: Receive, gone: Message) -> None:
        self.ended = False
        self.told = False
        self._receive = receive
        self._gone = gone
        self._waiting: set[trio.CancelScope] = set()

    def __repr__(self) -> str:
        return f"<TrioInbox waiting={bool(self._waiting)} ended={self.ended}>"

    async def next(self) -> Message:
        """The next message, or that the client is gone when the connection is ended first."""
        if not self.ended:
            with trio.CancelScope() as waiting:
                self._waiting.add(waiting)
                try:
                    return await self._receive()
                finally:
                    self._waiting.discard(waiting)
        self.told = True
        return self._gone

    def end(self) -> None:
        """Tell the app from now on that its client is gone."""
        self.ended = True
        for waiting in self._waiting:
            waiting.cancel()

    def close(self) -> None:
        """Nothing is asked of the server once nobody waits."""
