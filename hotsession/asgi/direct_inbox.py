"""An inbox for asyncio and trio, and for a `receive` that may be another middleware's.

Who waits is interrupted by a cancel scope, which nests with the task group that Starlette's `BaseHTTPMiddleware` opens
in its `receive`. For each message that costs more than `hotsession.asgi.inbox.Inbox`, which is for the host, on asyncio
and right before the server. A message that is there is returned without giving way all the same.
"""

from __future__ import annotations

import anyio
from starlette.types import Message, Receive


class DirectInbox:
    """The messages of one connection.

    Args:
        receive: the server's.
        gone: the message that tells the app that the client has left.

    Attributes:
        told: whether the app was given that message.
    """

    __slots__ = ("_end", "_gone", "_receive", "_stopped", "_waiting", "told")

    def __init__(self, receive: Receive, gone: Message) -> None:
        self.told = False
        self._stopped = False
        self._receive = receive
        self._gone = gone
        self._waiting: set[anyio.CancelScope] = set()
        self._end = anyio.Event()

    def __repr__(self) -> str:
        return f"<DirectInbox waiting={bool(self._waiting)} ended={self.ended}>"

    @property
    def ended(self) -> bool:
        """Whether it was ended."""
        return self._end.is_set()

    async def next(self) -> Message:
        """The next message, or that the client is gone when the connection is ended first."""
        if not self._stopped:
            with anyio.CancelScope() as waiting:
                self._waiting.add(waiting)
                try:
                    return await self._receive()
                finally:
                    self._waiting.discard(waiting)
        if not self.ended:
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
