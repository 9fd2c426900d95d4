"""uvicorn's server, with what a worker needs beyond it: to make room for the next worker, and to end open streams.

It knows nothing about the parent or about reloading.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Protocol

import uvicorn

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
QUIET = 0.25  # seconds in which a connection that was accepted may still bring its request, when making room


class Drains(Protocol):
    """What the server asks of the app that it serves."""

    def begin_drain(self) -> None:
        """End event streams and WebSockets, and let responses say ``connection: close``."""


class WorkerServer(uvicorn.Server):
    """Serves one `Drains` app.

    Args:
        config: uvicorn's.
        app: told when the server is about to wait for its connections.
        on_serving: called once connections are accepted.
        on_ending: called once no more are.
    """

    def __init__(
        self, config: uvicorn.Config, app: Drains, *, on_serving: Callable[[], None], on_ending: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._app = app
        self._on_serving = on_serving
        self._on_ending = on_ending
        self._draining = False
        self._interrupts = 0

    def drain(self) -> None:
        """Make room for the next worker: accept no more, finish what there is however long it takes, and end."""
        self._draining = True
        self.should_exit = True

    def interrupt(self, times: int) -> None:
        """End, as after the signal number `times`: the second waits for nothing."""
        self.should_exit = True
        if times > 1:
            self.force_exit = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Count Ctrl+C, because the parent, who gets it as well, says how often it came and must not be added to it."""
        if sig == signal.SIGINT:
            self._interrupts += 1
        self.interrupt(self._interrupts)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle signals while the block runs, also the end of the terminal; `nohup` stays in force."""
        before = {each: signal.getsignal(each) for each in SIGNALS}
        mine = [each for each, handler in before.items() if handler is not signal.SIG_IGN]
        for each in mine:
            signal.signal(each, self.handle_exit)
        try:
            yield
        finally:
            for each in mine:
                signal.signal(each, before[each])

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the app and accept connections."""
        await super().startup(sockets=sockets)
        if self.started:
            self._on_serving()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish requests, end what would never end by itself, and stop the app."""
        self._on_ending()
        if self._draining:
            await self._make_room()
        self._app.begin_drain()
        await super().shutdown(sockets=sockets)

    async def _make_room(self) -> None:
        """Stop accepting, and give connections that were accepted a moment to bring the request that is on its way."""
        self.config.timeout_graceful_shutdown = None  # of Ctrl+C; a restart cuts no ordinary request
        for server in self.servers:
            server.close()
        self._app.begin_drain()
        deadline = asyncio.get_running_loop().time() + QUIET
        # uvicorn has no event for "the last connection is closed"
        while self._has_connections() and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    def _has_connections(self) -> bool:
        return bool(self.server_state.connections) and not self.force_exit
