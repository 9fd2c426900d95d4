"""One HTTP request as nearly all are: answered by the code that it came to, in a response that comes to its end.

It costs next to nothing. As soon as there is something to see to (an event stream, a session that was used, a body in
parts, a client that is to come back to another process), `hotsession.asgi.carried_exchange` takes over.
"""

from __future__ import annotations

from asyncio import current_task
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, ClassVar

from starlette.types import Message, Receive, Scope, Send

from hotsession.asgi.carried_exchange import CarriedExchange, Leaving
from hotsession.asgi.event_stream import says_length
from hotsession.asgi.standing import Standing, new_connection
from hotsession.snapshot.touches import NOTHING, Touches

if TYPE_CHECKING:
    from hotsession.snapshot.carrier import Carrier


class Exchange:
    """One HTTP request and its response.

    Args:
        scope: the ASGI scope.
        receive: the server's.
        send: the server's.
        close: whether the client is asked to close its connection after the response.

    Attributes:
        carried: what its sessions are.
        carrier: writes what it changes; None if nothing is to be written.
        close: as given.
        connection: its id.
        leaving: whether it was asked to leave for newer code.
        resumed: whether it has begun with another app.
        scope: as given.
        special: what has taken over; None while there is nothing to see to.
        standing: what the app is told of the connection, and says about it.
        start: what the response began with; None if it has not.
        state: of the app's own.
        task: what the app runs in.
        touched: what it was given, and may have changed.
    """

    resumed: ClassVar[bool] = False

    __slots__ = (
        "_receive",
        "_send",
        "carried",
        "carrier",
        "close",
        "connection",
        "leaving",
        "scope",
        "special",
        "standing",
        "start",
        "state",
        "task",
        "touched",
    )

    def __init__(self, scope: Scope, receive: Receive, send: Send, close: bool = False) -> None:
        self.scope = scope
        self._receive = receive
        self._send = send
        self.close = close
        self.task = current_task()
        self.connection = new_connection()
        self.carried: dict[str, Any] = {}
        self.state: dict[str, Any] = {}
        self.carrier: Carrier | None = None
        self.touched: Touches = NOTHING
        self.standing: Standing | None = None
        self.start: Message | None = None
        self.special: CarriedExchange | None = None
        self.leaving = False

    def __repr__(self) -> str:
        return f"<Exchange {self.describe()}>" if self.special is None else repr(self.special)

    def describe(self) -> str:
        """Method and path."""
        return f"{self.scope['method']} {self.scope['path']}"

    # what the app calls

    def receive(self) -> Awaitable[Message]:
        """What the app awaits for the next message from the client."""
        return self._seen_to().receive()

    def send(self, message: Message) -> Awaitable[None]:
        """What the app calls with its next message to the client."""
        if self.special is not None or self.touched or self.close or message.get("more_body", False):
            return self._seen_to().send(message)
        if message["type"] == "http.response.start":
            if not says_length(message.get("headers", ())):
                return self._seen_to().send(message)
            self.start = message
        return self._send(message)

    def _seen_to(self) -> CarriedExchange:
        """What sees to everything from now on."""
        special = self.special
        if special is None:
            special = self.special = CarriedExchange(self.scope, self._receive, self._send, self)
            special.carrier, special.touched, special.standing = self.carrier, self.touched, self.standing
            special.task, special.start, special.leaving = self.task, self.start, self.leaving
        return special

    # what the host calls

    @property
    def endless(self) -> bool:
        """Whether it turned out to be an event stream."""
        return self.special is not None and self.special.endless

    @property
    def cancelled_by_others(self) -> bool:
        """Whether a cancellation that leaves the app is not, or not only, ours."""
        return self.special is None or self.special.cancelled_by_others

    def leave(self, drain: float) -> Leaving:
        """Let an event stream move on to newer code; what is none stays.

        Args:
            drain: seconds; not used.

        Returns:
            What it does now.
        """
        self.leaving = True
        return "stays" if self.special is None else self.special.leave(drain)

    def drain(self) -> None:
        """Ask the client to connect anew: another process is about to take over."""
        self.close = True
        if self.special is not None:
            self.special.drain()

    def finish(self) -> None:
        """End an event stream in an orderly way."""
        if self.special is not None:
            self.special.finish()

    def cancel(self) -> None:
        """Cancel the task that runs the app."""
        self._seen_to().cancel()

    def end(self, error: Exception | None) -> bool:
        """Note that the app is done; return False if its error is to reach the server.

        Args:
            error: what the app raised; None if it did not.
        """
        return error is None if self.special is None else self.special.end(error)
