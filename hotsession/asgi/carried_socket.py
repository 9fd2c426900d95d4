"""A WebSocket that outlives the code that serves it: one handler after the other, each of the newest generation."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Protocol

from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from hotsession.asgi.connections import SERVICE_RESTART
from hotsession.asgi.standing import new_connection
from hotsession.asgi.stay import Stay
from hotsession.asgi.work import RELOADED

logger = logging.getLogger("hotsession")


class Generations(Protocol):
    """What a connection needs of the host: the code to run on."""

    async def serving(self) -> Any:
        """The generation that serves; None when none will any more."""
        ...

    async def run(self, generation: Any, stay: Stay) -> None:
        """Run the app of a generation for one stay."""
        ...


class CarriedSocket:
    """A WebSocket, from its opening to its end.

    Args:
        scope: the ASGI scope.
        receive: the server's.
        send: the server's.
        generations: what it runs on.

    Attributes:
        scope: as given.
        receive: as given.
        forward: the server's `send`.
        connection: its id.
        carried: what its sessions are.
        opened: whether a handler was given the server's ``websocket.connect``.
        accepted: whether a handler has accepted it.
        closed: whether it was closed or refused, from our side.
        gone: whether a handler has seen the client leave.
        state: of the app's own.
    """

    __slots__ = (
        "_done",
        "_ending",
        "_generations",
        "_stay",
        "accepted",
        "carried",
        "closed",
        "connection",
        "forward",
        "gone",
        "opened",
        "receive",
        "scope",
        "state",
    )

    def __init__(self, scope: Scope, receive: Receive, send: Send, generations: Generations) -> None:
        self.scope = scope
        self.receive = receive
        self.forward = send
        self.connection = new_connection()
        self.carried: dict[str, Any] = {}
        self.state: dict[str, Any] = {}
        self.opened = self.accepted = self.closed = self.gone = False
        self._generations = generations
        self._ending = False
        self._done: asyncio.Future[None] | None = None  # set when the stay is over, or no longer waited for
        self._stay: Stay | None = None

    def __repr__(self) -> str:
        return f"<CarriedSocket {self.connection} {self.scope['path']} {self._stay!r}>"

    async def run(self) -> None:
        """Serve it to its end.

        Raises:
            BaseException: what the handler raised by itself.
        """
        resumed = False
        try:
            while (generation := await self._generations.serving()) is not None and not self._is_over():
                await self._stay_on(generation, resumed=resumed)
                resumed = True
            await self._close()
        finally:
            self._stay = None

    def drain(self) -> None:
        """Close it as a restarting server does: another process is about to take over."""
        self._ending = True
        if self._stay is not None:
            self._stay.finish()

    def move(self) -> None:
        """Let the next stay begin, though the last one goes on."""
        if self._done is not None and not self._done.done():
            self._done.set_result(None)

    def _is_over(self) -> bool:
        """Whether no handler is to have it any more."""
        return self._ending or self.closed or self.gone

    async def _stay_on(self, generation: Any, *, resumed: bool) -> None:
        """Let the handler of a generation have it, until that is done or was asked to leave for too long."""
        stay = self._stay = Stay(self, resumed=resumed)
        loop = asyncio.get_running_loop()
        done = self._done = loop.create_future()
        task = stay.task = loop.create_task(self._serve(stay, generation))

        def note(task: asyncio.Task[None]) -> None:
            _report(stay, task)
            if not done.done():
                done.set_result(None)

        task.add_done_callback(note)
        try:
            await done  # not `asyncio.wait`: a thousand connections that move at once feel the difference
        except asyncio.CancelledError:  # by the server
            task.cancel()
            await asyncio.wait([task])
            raise
        if stay.has_left and stay.refusal is None:
            self._ending = self._ending or stay.closes_on_reload
            return
        self._ending = True
        if stay.refusal is not None or (resumed and not stay.accepted and not self.gone):
            _log_refusal(stay, task)
            await stay.said()  # the server takes nothing more once this has returned
        else:
            self.closed = True  # an app that just returns leaves the rest to the server
            task.result()

    async def _serve(self, stay: Stay, generation: Any) -> None:
        stay.enter()
        try:
            await self._generations.run(generation, stay)
        finally:
            stay.release()

    async def _close(self) -> None:
        """Let the client know that it may come back at once, unless it has left or knows more."""
        if self.closed or self.gone:
            return
        message: Message = {"type": "websocket.close", "code": SERVICE_RESTART, "reason": RELOADED}
        self.closed = True
        try:
            await self.forward(message)
        except Exception as error:  # noqa: BLE001  servers differ in what they raise
            logger.debug("%r had gone before it could be closed: %r", self, error)


def _report(stay: Stay, task: asyncio.Task[None]) -> None:
    """Log what went wrong in a handler that was told to leave; others let it reach the server."""
    error = None if task.cancelled() else task.exception()
    if error is None or not stay.has_left or stay.refusal is not None:
        return
    if _is_about_leaving(error):
        logger.debug("%s, which moved on to newer code, ended with %r", stay.describe(), error)
    else:
        logger.error("%s failed when it was told that it moves on to newer code", stay.describe(), exc_info=error)


def _is_about_leaving(error: BaseException) -> bool:
    """Whether an error only says that the client has left."""
    if isinstance(error, BaseExceptionGroup):
        return all(map(_is_about_leaving, error.exceptions))
    return isinstance(error, (WebSocketDisconnect, OSError))


def _log_refusal(stay: Stay, task: asyncio.Task[None]) -> None:
    """Say why a connection ends here that was to go on."""
    error = task.exception() if task.done() and not task.cancelled() else None
    if stay.refusal is None:
        why = f"it raised {error!r} before it accepted it" if error is not None else "it ended without accepting it"
    else:
        why, error = stay.refusal, None
    logger.error(
        "The new code did not take up %s: %s. Its client got %d and may connect anew.",
        stay.describe(),
        why,
        SERVICE_RESTART,
        exc_info=error,
    )
