"""How long an attempt may take: it is said when it is long, and given up when newer changes have overtaken it.

Code that never comes back (an endless loop or a server started at import, a start-up that waits for what is not
there) would else hold up every later save, the one that mends it too.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import ctypes
import logging
import sys
import threading
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

logger = logging.getLogger("hotsession.reload")

LONG_SECONDS = 5.0
"""An attempt that takes longer is mentioned, once."""

GRACE_SECONDS = 0.5
"""What was overtaken may come to its own end for so long: nothing is torn from a start-up that is about to finish."""


class Patience:
    """Watches over the attempts of one reloader.

    Args:
        overtaken: returns an awaitable that is done when newer changes wait.
    """

    def __init__(self, overtaken: Callable[[], Awaitable[object]]) -> None:
        self._overtaken = overtaken

    def __repr__(self) -> str:
        return f"<Patience for {LONG_SECONDS:g} s>"

    @contextlib.asynccontextmanager
    async def during(
        self, describe: Callable[[], str], *, warn: Callable[[], None] = lambda: None, give_up: Callable[[], object]
    ) -> AsyncIterator[None]:
        """Watch over the block.

        Args:
            describe: says what takes so long: "The new app is still starting up".
            warn: is called when newer changes have come.
            give_up: is called when the block still runs some time after that; it has to end it.
        """
        watching = asyncio.create_task(self._watch(describe, warn, give_up), name="hotsession patience")
        try:
            yield
        finally:
            watching.cancel()

    async def _watch(
        self, describe: Callable[[], str], warn: Callable[[], None], give_up: Callable[[], object]
    ) -> None:
        overtaken = asyncio.ensure_future(self._overtaken())
        try:
            await asyncio.wait([overtaken], timeout=LONG_SECONDS)
            if not overtaken.done():
                logger.warning("%s after %g s; the next save gives it up.", describe(), LONG_SECONDS)
            await overtaken
            warn()
            await asyncio.sleep(GRACE_SECONDS)  # the block ends meanwhile, and this task with it, or not
            give_up()
        finally:
            overtaken.cancel()


class ImportThread:
    """A thread that does one piece of work, which whoever waits for it can give up.

    Not one of a pool: the app's own threads may fill that.

    Args:
        work: runs in the context of who makes this.
    """

    def __init__(self, work: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._done: asyncio.Future[BaseException | None] = self._loop.create_future()
        run = contextvars.copy_context().run
        self._thread = threading.Thread(target=run, args=(self._run, work), name="hotsession load", daemon=True)

    def __repr__(self) -> str:
        return f"<ImportThread {self._thread.ident}>"

    async def run(self) -> None:
        """Start, and return when the work is done or given up.

        Raises:
            BaseException: what the work raised, ``sys.exit()`` in a module included, or what it was given up with.
        """
        self._thread.start()
        error = await self._done
        if error is not None:
            raise error

    def _run(self, work: Callable[[], None]) -> None:
        error = None
        try:
            work()
        except BaseException as caught:  # noqa: BLE001  it is raised where it is awaited
            error = caught
        with contextlib.suppress(RuntimeError):  # given up long ago: the event loop is closed
            self._loop.call_soon_threadsafe(self._deliver, error)

    def _deliver(self, error: BaseException | None) -> None:
        if not self._done.done():
            self._done.set_result(error)

    def give_up(self, error: BaseException) -> None:
        """Let `run` raise `error` at once. The thread ends with its next line of Python, if there is one."""
        self._deliver(error)
        if self._thread.is_alive():
            # Of all exceptions event loops let only this one through, and a server's is what may run there.
            identity, kind = ctypes.c_ulong(self._thread.ident or 0), ctypes.py_object(SystemExit)
            ctypes.pythonapi.PyThreadState_SetAsyncExc(identity, kind)

    def whereabouts(self, owns: Callable[[str], bool]) -> str:
        """File and line of the user's own code that the thread runs just now."""
        frame: Any = sys._current_frames().get(self._thread.ident or 0)
        own = [each for each in traceback.extract_stack(frame) if frame is not None and owns(each.filename)]
        return f"{own[-1].filename}:{own[-1].lineno}" if own else "outside of your own code"
