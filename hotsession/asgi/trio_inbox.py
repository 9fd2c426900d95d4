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

    __slots__ = ("_end", "_gone", "_receive", "_stopped", "_waiting", "told")

    def __init__(self, receive: Receive, gone: Message) -> None:
        self.told = False
        self._stopped = False
        self._receive = receive
        self._gone = gone
        self._waiting: set[trio.CancelScope] = set()
        self._end = trio.Event()

    def __repr__(self) -> str:
        return f"<TrioInbox waiting={bool(self._waiting)} ended={self.ended}>"

    @property
    def ended(self) -> bool:
        """Whether it was ended."""
        return self._end.is_set()

    async def next(self) -> Message:
        """The next message, or that the client is gone when the connection is ended first."""
        if not self._stopped:
            with trio.CancelScope() as waiting:
                self._waiting.add(waiting)
                try:
                    return await self._receive()
                finally:
                    self._waiting.discard(waiting)
        await self._end.wait()
        self.told = True
        return self._gone

    def stop(self) -> None:
        """Ask the server for nothing more, and let the app wait for the end, which is about to come."""
        self._stopped = True
        for waiting in self._waiting:
            waiting.cancel()

    def end(self) -> None:
        """Tell the app from now on that its client is gone."""
        self._end.set()
        self.stop()

    def close(self) -> None:
        """Nothing is asked of the server once nobody waits."""
