"""The host: the one stable ASGI callable that the server holds, in front of generation after generation of the app."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Literal

from starlette.types import Receive, Scope, Send

from hotsession.asgi.carried_exchange import CarriedExchange
from hotsession.asgi.carried_socket import CarriedSocket
from hotsession.asgi.connections import refuse
from hotsession.asgi.error_page import answer_with_failure
from hotsession.asgi.interface import as_asgi3
from hotsession.asgi.lifespan import Lifespan
from hotsession.asgi.standing import CARRIED, KEY, standing
from hotsession.asgi.stay import Stay
from hotsession.asgi.witness import run_witnessed
from hotsession.background.around import end_endless, end_tasks
from hotsession.errors import HotsessionError, ReloadError
from hotsession.events import Change, LoadFailed, Reloaded
from hotsession.kept import emptier, names_for
from hotsession.ownership import Ownership
from hotsession.registry import registry
from hotsession.reload.apply import Reloader
from hotsession.reload.generation import Generation
from hotsession.reload.load import Reset
from hotsession.reload.watch import FileFilter, Watcher
from hotsession.snapshot.opening import carrier
from hotsession.target import Target

if TYPE_CHECKING:
    from hotsession.snapshot.carrier import Carrier

logger = logging.getLogger("hotsession")


@dataclass(frozen=True, kw_only=True)
class HostOptions:
    """How the host watches, reloads and runs an app.

    Args:
        watch_dirs: directories whose modules are reloaded; the target's and the working directory when left out.
        includes: glob patterns of files to watch besides Python's.
        excludes: glob patterns of files, and directories, not to watch.
        scope: ``"changed"`` replaces changed modules and what imports them, ``"all"`` every own module.
        handover: ``"start-first"`` starts the new app before the old one ends; ``"stop-first"`` the other way round,
            while requests wait.
        drain_timeout: seconds after which WebSockets and event streams that still run on old code leave it.
        carry: whether they move on to the new code; False to close them, so that their clients connect anew.
        lifespan: ``"auto"``, ``"on"`` or ``"off"``, as uvicorn means it.
        interface: ``"auto"``, ``"asgi3"``, ``"asgi2"`` or ``"wsgi"``, as uvicorn means it.
        poll: look at the files instead of listening to the system, as network drives need it.
        watch: False to watch nothing.
    """

    watch_dirs: tuple[Path, ...] = ()
    includes: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()
    scope: Literal["changed", "all"] = "changed"
    handover: Literal["start-first", "stop-first"] = "start-first"
    drain_timeout: float = 60.0
    carry: bool = True
    lifespan: Literal["auto", "on", "off"] = "auto"
    interface: Literal["auto", "asgi3", "asgi2", "wsgi"] = "auto"
    poll: bool = False
    watch: bool = True


class Host:
    """Serves one target, generation after generation.

    Args:
        target: where the app is.
        options: how to watch, reload and run it.
        on_restart: is called with the reason when a change needs a new process; None where nobody can start one.
    """

    def __init__(
        self, target: Target, options: HostOptions | None = None, *, on_restart: Callable[[str], None] | None = None
    ) -> None:
        self.target = target
        self.options = options or HostOptions()
        self._on_restart = on_restart
        roots = self.options.watch_dirs or (Path.cwd(), target.root)
        self._ownership = Ownership(roots)
        self._filter = FileFilter(self._ownership, self.options.includes, self.options.excludes)
        self._reloader: Reloader | None = None
        self._watcher: Watcher | None = None
        self._following: asyncio.Task[None] | None = None
        self._gate = asyncio.Event()
        self._gate.set()
        self._draining = False
        self._started = asyncio.Lock()
        self._open: set[CarriedExchange | CarriedSocket] = set()
        self._background: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._idle: asyncio.Event | None = None  # set when nothing is open, once somebody waits for that
        self._scope: ContextVar[int] = registry.scope_variable
        self._carrier: Carrier | None = None

    def __repr__(self) -> str:
        return f"<Host of {self.target} serving {self._reloader and self._reloader.current!r}>"

    @property
    def watched(self) -> tuple[str, ...]:
        """The directories that are watched."""
        return self._ownership.roots if self.options.watch else ()

    @property
    def generation(self) -> int | None:
        """The number of the generation that serves; None when none does."""
        current = self._reloader.current if self._reloader else None
        return current.number if current else None

    # life

    async def load(self) -> bool:
        """Import the app for the first time, in the calling thread; its lifespan starts with the server's.

        Returns:
            False when the code is broken: then requests are answered with 503 until a save mends it.
        """
        self._reloader = self._new_reloader()
        return await self._reloader.load_first()

    async def load_again(self) -> None:
        """Import the app once more before its lifespan starts: another process has changed what it found kept."""
        if self._reloader is not None:
            await self._reloader.load_again()

    def hold_off(self, why: str) -> None:
        """Import nothing before a file changes, and answer with `why` until then: the code brought the process down."""
        self._reloader = self._new_reloader()
        self._reloader.hold_off(why)

    def _new_reloader(self) -> Reloader:
        if str(self.target.root) not in sys.path:
            sys.path.insert(0, str(self.target.root))
        return Reloader(
            self.target.module,
            self,
            self._ownership,
            search_path=lambda: [path for path in sys.path if path],
            scope=self.options.scope,
            stop_first=self.options.handover == "stop-first",
            drain_timeout=self.options.drain_timeout,
        )

    async def _start(self) -> None:
        """Watch, and start the app's lifespan; what fails is shown, and mended by a save."""
        if self._reloader is None:
            await self.load()
        reloader = self._reloader
        if reloader is None or self._following is not None:
            return
        self._loop = loop = asyncio.get_running_loop()
        self._carrier = carrier()
        if self._carrier is not None:
            self._carrier.settle_in()
        if self.options.watch:

            def deliver(changes: frozenset[Change]) -> None:
                loop.call_soon_threadsafe(reloader.feed.put, changes)

            self._watcher = Watcher(
                self._ownership.roots,
                self._filter,
                deliver,
                poll=self.options.poll,
            )
            self._watcher.start()
        await reloader.start_first()
        self._following = loop.create_task(reloader.follower.follow(), name="hotsession follows changes")

    async def _stop(self) -> None:
        if self._watcher is not None:
            self._watcher.stop()
        if self._following is not None:
            self._following.cancel()
            await asyncio.wait([self._following])
            self._following = None
        await end_tasks()
        if self._reloader is not None:
            await self._reloader.stop()
        if self._carrier is not None:
            self._carrier.app_is_down()

    async def _live(self, receive: Receive, send: Send) -> None:
        """The server's lifespan: it always starts, whatever the app does, so that the next save can mend it."""
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await self._start()
                await send({"type": "lifespan.startup.complete"})
            else:
                await self._stop()
                await send({"type": "lifespan.shutdown.complete"})
                return

    # requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, connection or lifespan with the generation that serves when it comes in."""
        kind = scope["type"]
        if kind == "lifespan":
            return await self._live(receive, send)
        if self._following is None:
            async with self._started:
                await self._start()  # a server that sends no lifespan
        if not self._gate.is_set():
            await self._gate.wait()
        reloader = self._reloader
        # Not kept in a name of its own: what moves on must not hold the generation that it has left.
        if reloader is None or reloader.current is None:
            failure = reloader.failure if reloader else None
            return await answer_with_failure(scope, receive, send, failure, self._ownership.owns)
        if kind == "websocket" and self._draining:
            return await refuse(receive, send, "another process is taking over")
        if kind == "websocket":
            await self._connect(scope, receive, send)
        else:
            exchange = CarriedExchange(scope, receive, send, close=self._draining)
            await self._answer(reloader.current, exchange)
            while exchange.moves:
                following = None if self._draining else await self.serving()
                if following is None:
                    await exchange.stay()
                else:
                    exchange = exchange.onward()
                    await self._answer(following, exchange)
        return None

    async def _connect(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a WebSocket, on one generation after the other."""
        socket = CarriedSocket(scope, receive, send, self)
        self._open.add(socket)
        try:
            await socket.run()
        finally:
            self._ended(socket)

    async def _answer(self, generation: Generation, exchange: CarriedExchange) -> None:
        """Answer a request; its event stream may move on from there."""
        error: Exception | None = None
        self._open.add(exchange)
        try:
            await self.run(generation, exchange, resumed=exchange.resumed)
        except asyncio.CancelledError:
            if exchange.cancelled_by_others:
                raise
        except Exception as failure:  # noqa: BLE001  whether it is raised is decided below
            error = failure
        finally:
            exchange.release()
            self._ended(exchange)
        if (error is not None or exchange.resumed) and not exchange.end(error) and error is not None:
            raise error
        if exchange.refusal is not None:
            await exchange.said()  # the server takes nothing more once this has returned

    def _ended(self, work: CarriedExchange | CarriedSocket) -> None:
        self._open.discard(work)
        if not self._open and self._idle is not None:
            self._idle.set()

    async def serving(self) -> Generation | None:
        """The generation that serves, waited for while none does because the next is to take over; None at the end."""
        if not self._gate.is_set():
            await self._gate.wait()
        return self._reloader.current if self._reloader else None

    async def run(self, generation: Generation, work: CarriedExchange | Stay, *, resumed: bool) -> None:
        """Run the app of a generation for a request, or for a connection that stays on it.

        Raises:
            BaseException: what the app raised.
        """
        number = generation.number
        generation.begin(work)
        token = self._scope.set(number)
        work.standing = own = standing(number, work.connection, work.state, resumed, self.options.carry)
        # A copy: frameworks write their routes into it, and the server may hold it until the next request comes.
        scope = {**work.scope, "state": generation.lifespan.state.copy(), KEY: own, CARRIED: work.carried}
        try:
            if self._carrier is None:
                await generation.app(scope, work.receive, work.send)
            else:
                await run_witnessed(self._carrier, generation.app, scope, work.receive, work.send)
        finally:
            self._scope.reset(token)
            generation.end(work)

    def begin_drain(self) -> None:
        """End what never ends by itself, and ask clients to connect anew: another process is about to take over."""
        self._draining = True
        end_endless()
        for work in tuple(self._open):
            work.close = True
            if work.endless:
                work.finish()

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

    # what the story of a reload needs

    def dress(self, generation: Generation, module: ModuleType) -> None:
        """Find the app in the target module and give it, with its lifespan, to the generation."""
        generation.app = as_asgi3(self.target.app_from(module), self.options.interface)
        generation.lifespan = Lifespan(generation.app, self.options.lifespan)

    @contextlib.asynccontextmanager
    async def hold(self) -> AsyncIterator[None]:
        """Let new requests wait during the block."""
        self._gate.clear()
        try:
            yield
        finally:
            self._gate.set()

    def restart(self, why: str) -> None:
        """Ask for a new process because of `why`; without anybody to start one, say so."""
        if self._on_restart is None:
            logger.warning("A restart is needed: %s. Restart the server by hand; the old code goes on serving.", why)
        else:
            self._on_restart(why)

    def request_reset(self, name: str | None) -> None:
        """Reset soon: the app's own code, which asks for it, can't wait for its own replacement."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._reset_in_background, name)  # a sync endpoint runs in a thread

    def _reset_in_background(self, name: str | None) -> None:
        task = asyncio.create_task(self.reset_and_say(name), name="hotsession reset")
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def reset_and_say(self, name: str | None) -> None:
        """Drop what is kept under `name`, or everything, and log what came of it."""
        try:
            logger.info("%s", await self.reset(name))
        except HotsessionError as error:
            logger.error("%s", error)

    async def act(self, changes: frozenset[Change]) -> Reloaded | LoadFailed | None:
        """Act on changes that another than the watcher saw, and return what came of it; None when they mean nothing."""
        if self._reloader is None:
            return None
        return await self._reloader.follower.act(changes, time.perf_counter(), quiet=0)

    async def reset(self, name: str | None) -> str:
        """Drop what is kept under `name`, or everything, and return a line that says what was built anew.

        Raises:
            ConfigurationError: nothing is kept under that name.
            ReloadError: nothing was dropped, and why.
        """
        names = names_for(name)
        reset = Reset(frozenset(names), emptier(names))
        outcome = await self._reloader.reset(reset) if self._reloader else None
        if isinstance(outcome, Reloaded):
            return f"Built anew: {', '.join(names) or 'nothing was kept'}."
        if isinstance(outcome, LoadFailed):
            raise ReloadError(
                f"Not reset: {outcome.error!r}. What was kept is still there; mend the code and reset again."
            ) from outcome.error
        raise ReloadError("Not reset: files are changing just now. Try again.")
