"""The host: the one stable ASGI callable that the server holds, in front of generation after generation of the app."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from starlette.types import Receive, Send

from hotsession.asgi.host_options import HostOptions
from hotsession.asgi.interface import as_asgi3
from hotsession.asgi.lifespan import Lifespan
from hotsession.asgi.reception import Reception
from hotsession.background.around import end_tasks
from hotsession.events import Change, LoadFailed, Reloaded
from hotsession.kept import emptier, names_for
from hotsession.ownership import Ownership
from hotsession.reload.apply import Reloader
from hotsession.reload.generation import Generation
from hotsession.reload.load import Reset
from hotsession.reload.watch import FileFilter, Watcher
from hotsession.snapshot.opening import carrier
from hotsession.target import Target

__all__ = ["Host", "HostOptions"]

logger = logging.getLogger("hotsession")


class Host(Reception):
    """Serves one target, generation after generation.

    Args:
        target: where the app is.
        options: how to watch, reload and run it.
        on_restart: is called with the reason when a change needs a new process; None where nobody can start one.
    """

    def __init__(
        self, target: Target, options: HostOptions | None = None, *, on_restart: Callable[[str], None] | None = None
    ) -> None:
        self.options = options or HostOptions()
        roots = self.options.watch_dirs or (Path.cwd(), target.root)
        super().__init__(Ownership(roots), carry=self.options.carry)
        self.target = target
        self._on_restart = on_restart
        self._filter = FileFilter(self._ownership, self.options.includes, self.options.excludes)
        self._watcher: Watcher | None = None
        self._following: asyncio.Task[None] | None = None
        self._started = asyncio.Lock()
        self._background: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

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
        self._has_started = True

    async def _start_late(self) -> None:
        async with self._started:
            await self._start()

    async def _stop(self) -> None:
        if self._watcher is not None:
            self._watcher.stop()
        if self._following is not None:
            self._following.cancel()
            await asyncio.wait([self._following])
            self._following = None
            self._has_started = False
        await end_tasks()
        if self._reloader is not None:
            await self._reloader.stop()
        if self._carrier is not None:
            self._carrier.flush()

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

    # what the story of a reload needs

    def dress(self, generation: Generation, module: ModuleType) -> None:
        """Find the app in the target module and give it, with its lifespan, to the generation."""
        generation.app = as_asgi3(self.target.app_from(module), self.options.interface)
        generation.lifespan = Lifespan(generation.app, self.options.lifespan)

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
        task = asyncio.create_task(self._reset_and_say(name), name="hotsession reset")
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _reset_and_say(self, name: str | None) -> None:
        logger.info(await self.reset(name))

    async def act(self, changes: frozenset[Change]) -> Reloaded | LoadFailed | None:
        """Act on changes that another than the watcher saw, and return what came of it; None when they mean nothing."""
        if self._reloader is None:
            return None
        return await self._reloader.follower.act(changes, time.perf_counter(), quiet=0)

    async def reset(self, name: str | None) -> str:
        """Drop what is kept under `name`, or everything, and return a line that says what came of it.

        Raises:
            ConfigurationError: nothing is kept under that name.
        """
        names = names_for(name)
        reset = Reset(frozenset(names), emptier(names))
        outcome = await self._reloader.reset(reset) if self._reloader else None
        if isinstance(outcome, Reloaded):
            return f"Built anew: {', '.join(names) or 'nothing was kept'}."
        if isinstance(outcome, LoadFailed):
            return f"Not reset: {outcome.error!r}. What was kept is still there; mend the code and reset again."
        return "Not reset: files are changing just now. Try again."
