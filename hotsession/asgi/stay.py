"""A WebSocket's time on one generation: what the handler there has in place of the server's `receive` and `send`.

It begins with ``websocket.connect``, whether the client has connected just now or long ago, and ends with a disconnect,
whether the client has left or the connection moves on. When that is, `hotsession.asgi.leaving` decides.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Literal

from starlette.types import Message

from hotsession.asgi.connections import WebSocketConnection
from hotsession.asgi.handshakes import begins_with_handshake
from hotsession.asgi.inbox import Inbox
from hotsession.asgi.leaving import PATIENCE, PAUSE, Handler, next_step
from hotsession.asgi.open_socket import Socket
from hotsession.asgi.standing import Standing
from hotsession.asgi.work import StreamEnded
from hotsession.snapshot.touches import NOTHING, Touches

if TYPE_CHECKING:
    from hotsession.snapshot.carrier import Carrier

# Stands for the stay that the running code belongs to: that of its handler, and of the tasks that this has started. Not
# the stay itself: a server's timers keep the context that they were set in, and with it they would keep old code.
_current: ContextVar[object] = ContextVar("hotsession_stay", default=None)


class Stay(WebSocketConnection):
    """A WebSocket's time on one generation.

    Args:
        socket: the connection.
        resumed: whether it had a stay before.

    Attributes:
        accepted: whether the handler has accepted it.
        carried: what the connection's sessions are.
        carrier: writes what the handler changes; None if nothing is to be written.
        connection: its id.
        refusal: in words, how the handler has refused a connection that is open; None if it has not.
        resumed: as given.
        standing: what the handler is told of the connection, and says about it.
        state: of the app's own.
        touched: what the handler was given, and may have changed.
    """

    accepted: bool = False
    carrier: Carrier | None = None
    refusal: str | None = None
    standing: Standing | None = None
    touched: Touches = NOTHING
    _asked_at: float | None = None
    _connected: bool = False
    _drain: float = 0.0
    _inbox: Inbox
    _listens: bool = False
    _overlaps: bool = False
    _sent_after: int = -1  # so many messages
    _sent_at: float = 0.0
    _timer: asyncio.TimerHandle | None = None
    _told_at: float | None = None

    def __init__(self, socket: Socket, *, resumed: bool) -> None:
        super().__init__(socket.scope, socket.receive, socket.forward)
        self.carried, self.connection, self.state = socket.carried, socket.connection, socket.state
        self.resumed = resumed
        self._inbox = Inbox(socket.receive, {**self.gone}, self._note_told)
        self._loop = asyncio.get_running_loop()
        self._mark = object()
        self._socket = socket

    def enter(self) -> None:
        """Make the running task, and those that it starts, the handler's."""
        _current.set(self._mark)

    @property
    def has_left(self) -> bool:
        """Whether the handler has got, or is not to get any more than, our disconnect."""
        return self.finished or self._inbox.told

    @property
    def closes_on_reload(self) -> bool:
        """Whether the handler wants the connection closed instead of carried over."""
        return self.standing is not None and self.standing["close_on_reload"]

    @property
    def leaving(self) -> bool:
        """Whether it was asked to leave."""
        return self._asked_at is not None

    # what the handler calls

    def receive(self) -> Awaitable[Message]:
        """What the app awaits for the next message from the client: what the last one led to is done."""
        inbox = self._inbox
        if self.touched:
            self._write()
        if inbox.last != "websocket.receive" or inbox.told:
            return self._receive_rarely()
        return inbox.next()

    async def _receive_rarely(self) -> Message:
        """The message that opens the connection, the first one after that, and none after the last one."""
        if not self._connected:
            return await self._connect()
        if self._inbox.told or self._has_lost_client():
            await self._wait_in_vain()
        self._listens = True
        return await self._inbox.next()

    def send(self, message: Message) -> Awaitable[None]:  # type: ignore[override]  # an app awaits either
        """What the app calls with its next message to the client."""
        if self.touched:
            self._write()
        if message["type"] != "websocket.send" or self.finished or self._released:
            return self._send_rarely(message)
        if _current.get() is self._mark:
            inbox, now = self._inbox, self._loop.time()
            if inbox.waiting:
                self._overlaps = True
            if self._sent_after != inbox.heard or now - self._sent_at <= PAUSE:
                self._sent_after, self._sent_at = inbox.heard, now
        return self._send(message)

    def _write(self) -> None:
        """Write what was changed: the client is about to know that it is done."""
        if self.carrier is not None:
            self.carrier.acknowledge(self.touched)

    def _has_lost_client(self) -> bool:
        """Whether the client has left, as far as a handler has seen."""
        if self._inbox.last == "websocket.disconnect":
            self._socket.gone = True
        return self._socket.gone

    def _note_told(self) -> None:
        """Note that the handler is being given our disconnect."""
        if self._told_at is None and self.leaving:
            self._told_at = self._loop.time()
            if self._timer is None or self._timer.when() > self._told_at + PATIENCE:
                self._look()

    async def _wait_in_vain(self) -> None:
        """Let who asks for more than a disconnect wait, as servers do; but not up to the end of the server."""
        await asyncio.sleep(PATIENCE)
        self.cancel()
        await asyncio.Event().wait()

    async def _connect(self) -> Message:
        self._connected = True
        message: Message = {"type": "websocket.connect"}
        if not self._socket.opened:
            self._socket.opened = True
            message = await self._inbox.next()
            if message["type"] == "websocket.disconnect":
                self._socket.gone = True
            self._inbox.heard, self._inbox.heard_at = 0, None
        if self.leaving:
            self._look()
        return message

    async def _send_rarely(self, message: Message) -> None:
        """Pass on what opens or closes the connection, unless that has been done."""
        kind, socket = message["type"], self._socket
        if self._released:
            raise StreamEnded("this WebSocket has moved on to newer code")
        if self.finished:
            return await self._refuse_to_send()
        if kind == "websocket.accept":
            self.accepted = True
            if socket.accepted:
                return None
            socket.accepted = True
            if begins_with_handshake(self.scope, message) and self.standing is not None:
                self.standing["close_on_reload"] = True
        elif self._inbox.told:
            return None
        elif socket.accepted and (not self.accepted or self._is_taken_by_surprise(message)):
            return self._refused_by(message)
        else:
            socket.closed = self._closed = True
        return await self._send(message)

    def _refused_by(self, message: Message) -> None:
        """Note that the handler does not want a connection that is open, and let its client connect anew."""
        if self.refusal is None:
            if message["type"] == "websocket.close":
                when = "at its first message, maybe for want of a token: see close_on_reload()"
                when = when if self.accepted else "before it accepted it"
                self.refusal = f"it closed it with {message.get('code', 1000)} {when}"
            else:
                self.refusal = f"it answered with status {message.get('status')}"
            self.finish()

    def _is_taken_by_surprise(self, message: Message) -> bool:
        """Whether the handler may have taken what a client said in the middle of a talk for its first words.

        It then says what no client should hear that did nothing wrong: that its token is no good, say.
        """
        is_first = self._inbox.heard == 1 and not self._has_lost_client()
        return self.resumed and is_first and message.get("code", 1000) not in (1000, 1001)

    def _is_someone_else(self) -> bool:
        return _current.get() is not self._mark

    # what the host calls

    def leave(self, drain: float) -> Literal["moves", "ends", "later"]:
        """Let the handler finish what it is in the middle of, and tell it then that its client has left.

        Args:
            drain: seconds that this may take at most.

        Returns:
            Whether the connection moves on now, or ends, or does so later; it does in time, whatever the handler does.
        """
        if not self.leaving:
            self._asked_at, self._drain = self._loop.time(), drain
            self._look()
        if not (self._inbox.waiting and self._inbox.ended):
            return "later"
        return "ends" if self.closes_on_reload else "moves"

    def finish(self) -> None:
        """Close the connection as a restarting server does, which waits for the handler, but not without end."""
        if not self.finished:
            super().finish()
            self._socket.closed = True
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_later(PATIENCE, self._insist)

    def release(self) -> None:
        """Let go of the connection: the handler is done."""
        self._released = True
        self._has_lost_client()
        self._inbox.on_told = None  # the circle would take long to be collected
        if self._timer is not None:
            self._timer.cancel()
        if not self._inbox.ended:
            self._inbox.end()

    def _insist(self) -> None:
        """Cancel a handler that was told the end, and goes on."""
        if not self._released:
            self.cancel()

    def _look(self) -> None:
        """Do what is to be done now with a handler that was asked to leave."""
        if self._timer is not None:
            self._timer.cancel()
        if self.finished or self._released or self._asked_at is None:
            return
        handler = Handler(
            asked_at=self._asked_at,
            told_at=self._told_at,
            listens=self._listens,
            waits=bool(self._inbox.waiting),
            heard_at=self._inbox.heard_at,
            sent_at=self._sent_at if self._sent_after == self._inbox.heard else None,
            overlaps=self._overlaps,
        )
        step, until = next_step(handler, self._loop.time(), self._drain)
        if step == "cut":
            self._cut()
            return
        if step == "tell" and self._connected:
            self._inbox.end()
        self._timer = self._loop.call_at(until, self._look)

    def _cut(self) -> None:
        """Let the connection move on while the handler still runs: it can send nothing more, and is cancelled."""
        self._has_lost_client()
        if self._inbox.told:
            self.finished = True
            self.cancel()
        else:
            self._end_with(None)
        self._socket.move()
