"""Where requests and connections come in: the generation that serves answers each, and some move on to the next.

This is what every request of an app pays for, so it notes no more than what a save or a restart needs to know.
"""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextvars import ContextVar
from typing import TYPE_CHECKING

from starlette.types import Receive, Scope, Send

from hotsession.asgi.carried_exchange import CarriedExchange
from hotsession.asgi.carried_socket import CarriedSocket
from hotsession.asgi.connections import refuse
from hotsession.asgi.error_page import answer_with_failure
from hotsession.asgi.exchange import Exchange
from hotsession.asgi.standing import CARRIED, KEY
from hotsession.asgi.stay import Stay
from hotsession.background.around import end_endless
from hotsession.ownership import Ownership
from hotsession.registry import registry
from hotsession.reload.apply import Reloader
from hotsession.reload.generation import Generation
from hotsession.snapshot.touches import Touches, current

if TYPE_CHECKING:
    from hotsession.snapshot.carrier import Carrier

AnyExchange = Exchange | CarriedExchange


class Reception(ABC):
    """Lets the generation that serves answer, and knows what is being answered.

    Args:
        ownership: tells the user's own files from others.
        carry: whether connections move on to new code.
    """

    def __init__(self, ownership: Ownership, *, carry: bool) -> None:
        self._ownership = ownership
        self._carry = carry
        self._reloader: Reloader | None = None
        self._carrier: Carrier | None = None
        self._has_started = False
        self._draining = False
        self._open: set[AnyExchange | CarriedSocket] = set()
        self._gate: asyncio.Event | None = None  # while requests wait
        self._idle: asyncio.Event | None = None  # set when nothing is open, once somebody waits for that
        self._scope: ContextVar[int] = registry.scope_variable

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, connection or lifespan with the generation that serves when it comes in."""
        kind = scope["type"]
        if kind == "lifespan":
            return await self._live(receive, send)
        if not self._has_started:
            await self._start_late()
        if self._gate is not None:
            await self._gate.wait()
        reloader = self._reloader
        # Not kept in a name of its own: what moves on must not hold the generation that it has left.
        if reloader is None or reloader.current is None:
            failure = reloader.failure if reloader else None
            return await answer_with_failure(scope, receive, send, failure, self._ownership.owns)
        if kind == "websocket":
            return await self._connect(scope, receive, send)
        exchange = Exchange(scope, receive, send, self._draining)
        await self._answer(reloader.current, exchange)
        if exchange.special is not None and exchange.special.moves:
            await self._go_on(exchange.special)
        return None

    @abstractmethod
    async def _live(self, receive: Receive, send: Send) -> None:
        """Live through the server's lifespan."""

    @abstractmethod
    async def _start_late(self) -> None:
        """Start when the first request comes: the server sends no lifespan."""

    async def _answer(self, generation: Generation, exchange: AnyExchange) -> None:
        """Answer a request; its event stream may move on from there."""
        error: Exception | None = None
        carrier = self._carrier
        self._open.add(exchange)
        generation.begin(exchange)
        number = self._scope.set(generation.number)
        if carrier is not None:
            exchange.carrier, exchange.touched = carrier, Touches()
            given = current.set(exchange.touched)
        own = self._scope_of(exchange, generation)
        try:
            await generation.app(own, exchange.receive, exchange.send)
        except asyncio.CancelledError:
            if exchange.cancelled_by_others:
                raise
        except Exception as failure:  # noqa: BLE001  whether it is raised is decided below
            error = failure
        finally:
            if carrier is not None:
                current.reset(given)
                carrier.after_request(exchange.touched)
            self._scope.reset(number)
            generation.end(exchange)
            if exchange.special is not None:
                exchange.special.release()
            self._open.discard(exchange)
            if self._idle is not None:
                self._look_whether_idle()
        if (error is not None or exchange.resumed) and not exchange.end(error) and error is not None:
            raise error

    async def _go_on(self, exchange: CarriedExchange) -> None:
        """Let an event stream go on with newer code, for as often as it moves."""
        while exchange.moves:
            following = None if self._draining else await self.serving()
            if following is None:
                await exchange.stay()
                continue
            exchange = exchange.onward()
            await self._answer(following, exchange)
            if exchange.refusal is not None:
                await exchange.said()  # the server takes nothing more once this has returned

    async def _connect(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a WebSocket, on one generation after the other."""
        if self._draining:
            return await refuse(receive, send, "another process is taking over")
        socket = CarriedSocket(scope, receive, send, self)
        self._open.add(socket)
        try:
            await socket.run()
        finally:
            self._open.discard(socket)
            self._look_whether_idle()
        return None

    async def run(self, generation: Generation, stay: Stay) -> None:
        """Run the app of a generation for a connection that stays on it.

        Raises:
            BaseException: what the app raised.
        """
        carrier = self._carrier
        generation.begin(stay)
        self._scope.set(generation.number)  # in a context of its own, where nothing else runs
        if carrier is not None:
            stay.carrier, stay.touched = carrier, Touches()
            current.set(stay.touched)
        try:
            await generation.app(self._scope_of(stay, generation), stay.receive, stay.send)
        finally:
            if carrier is not None:
                carrier.after_request(stay.touched)
            generation.end(stay)

    def _scope_of(self, work: AnyExchange | Stay, generation: Generation) -> Scope:
        """The scope that the app of a generation gets."""
        # A copy: frameworks write their routes into it, and the server may hold it until the next request comes.
        scope: Scope = dict(work.scope)
        scope["state"] = generation.lifespan.state.copy()
        scope[CARRIED] = work.carried
        scope[KEY] = work.standing = {  # not by a function: see above
            "resumed": work.resumed,
            "generation": generation.number,
            "connection": work.connection,
            "close_on_reload": not self._carry,
            "state": work.state,
        }
        return scope

    def _look_whether_idle(self) -> None:
        if not self._open and self._idle is not None:
            self._idle.set()

    async def serving(self) -> Generation | None:
        """The generation that serves, waited for while none does because the next is to take over; None at the end."""
        if self._gate is not None:
            await self._gate.wait()
        return self._reloader.current if self._reloader else None

    @contextlib.asynccontextmanager
    async def hold(self) -> AsyncIterator[None]:
        """Let new requests wait during the block."""
        self._gate = gate = asyncio.Event()
        try:
            yield
        finally:
            self._gate = None
            gate.set()

    def begin_drain(self) -> None:
        """End what never ends by itself, and ask clients to connect anew: another process is about to take over."""
        self._draining = True
        end_endless()
        for work in tuple(self._open):
            work.drain()

    async def drained(self, seconds: float | None) -> bool:
        """Wait at most so many seconds (None: for ever) until no request runs; whether that is so."""
        if not self._open:  # `wait_for` would not look when no time is given
            return True
        self._idle = asyncio.Event()
        try:
            await asyncio.wait_for(self._idle.wait(), seconds)
        except TimeoutError:
            return False
        return True
