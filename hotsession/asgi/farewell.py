"""Open streams must not hold up a restart: when this process is told to end, they end, and the rest may finish.

Under a process reloader the next worker is started when this one has ended, and servers wait for their connections:
uvicorn without end for one open event stream. The middleware lets each request and connection pass through here.
"""

from __future__ import annotations

import _thread
import asyncio
import logging
import sys
import time

import anyio
from starlette.types import ASGIApp, Receive, Scope, Send

from hotsession.asgi.connections import HTTPExchange, WebSocketConnection, refuse
from hotsession.asgi.direct_inbox import DirectInbox
from hotsession.loops import Home
from hotsession.surroundings.signals import before_the_end

logger = logging.getLogger("hotsession")

Exchange = HTTPExchange | WebSocketConnection

PATIENCE_SECONDS = 10.0  # after which the log says what the restart still waits for
_WHY = "the server is about to restart"


class Farewell:
    """The open requests and connections of this process, which ends them when it is told to end.

    Event streams get a last ``retry:`` line and a clean end, WebSockets 1012 "Service Restart", other requests finish.
    One per process; requests may come on any number of event loops, asyncio's and trio's.
    """

    def __init__(self) -> None:
        self._open: dict[Exchange, tuple[Home, float]] = {}  # with the moment in which it began
        self._home: tuple[object, Home] | None = None  # the event loop that was met last
        self._listens = False
        self.said = False

    def __repr__(self) -> str:
        return f"<Farewell to {len(self._open)} requests and connections said={self.said}>"

    async def run(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Let an app answer a request or serve a connection, until it has, or until it is ended.

        Args:
            app: gets `receive` and `send` of ours.
            scope: of the type ``"http"`` or ``"websocket"``.
            receive: the server's.
            send: the server's.
        """
        if self.said and scope["type"] == "websocket":
            return await refuse(receive, send, _WHY)
        exchange = self.open(scope, receive, send)
        try:
            if exchange.task is None:  # trio
                with anyio.CancelScope() as exchange.task:
                    await app(scope, exchange.receive, exchange.send)
            else:
                await app(scope, exchange.receive, exchange.send)
        except asyncio.CancelledError:
            if exchange.cancelled_by_others:
                raise
        except Exception as error:
            if not exchange.finished:
                raise
            logger.debug("%s, which was told to end, ended with %r", exchange.describe(), error)
        finally:
            self.close(exchange)
        return None

    def open(self, scope: Scope, receive: Receive, send: Send) -> Exchange:
        """Take note of a request or connection; what it returns has the `receive` and `send` that its app is to use."""
        if not self._listens:  # now a server runs: it would replace what we had set up earlier
            self._listens = before_the_end(self.say)
        exchange: Exchange
        if scope["type"] == "websocket":
            exchange = WebSocketConnection(scope, receive, send)
        else:
            exchange = HTTPExchange(scope, receive, send)
            exchange.last = self.said
        exchange.inbox = DirectInbox
        self._open[exchange] = self._here(), time.monotonic()
        return exchange

    def close(self, exchange: Exchange) -> None:
        """Forget a request or connection: its app is done."""
        exchange.release()
        self._open.pop(exchange, None)

    def say(self) -> None:
        """End all event streams and WebSockets, and those that begin from now on; from any thread, or a signal handler.

        Nothing is waited for, logged or locked here.
        """
        if self.said:
            return
        self.said = True
        found = tuple(self._open.items())
        for home in {home for _, (home, _) in found}:
            home.start(lambda home=home: self._end(home))  # type: ignore[misc]
        if found:
            # Not `threading.Thread`: it takes a lock, and a signal handler may run while its own thread holds that.
            _thread.start_new_thread(self._name_who_stays, ())

    async def _end(self, home: Home) -> None:
        """End the streams of one event loop."""
        for exchange, (where, _) in tuple(self._open.items()):
            if where is home:
                exchange.last = True
                exchange.finish()

    def _here(self) -> Home:
        """The event loop that runs; looked for at every request, and in little time."""
        try:
            loop: object = asyncio.get_running_loop()
        except RuntimeError:
            loop = sys.modules["trio"].lowlevel.current_trio_token()
        if self._home is None or self._home[0] is not loop:
            self._home = loop, Home()
        return self._home[1]

    def _name_who_stays(self) -> None:
        """Say what the restart waits for, when it does so for long; in a thread, as an app may block its event loop."""
        time.sleep(PATIENCE_SECONDS)
        now = time.monotonic()
        for exchange, (_, began) in tuple(self._open.items()):
            what, told = exchange.describe(), " and was told to end" if exchange.finished else ""
            logger.warning("The restart waits for %s, which began %.0f s ago%s.", what, now - began, told)
