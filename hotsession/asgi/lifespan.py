"""The lifespan of one generation's app: the host's side of the ASGI lifespan protocol.

Start-up and shutdown run in one task, as frameworks with task groups need it.
(https://asgi.readthedocs.io/en/latest/specs/lifespan.html)
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Literal

from hotsession.errors import ReloadError
from hotsession.hooks import is_being_cancelled

App = Callable[[Any, Any, Any], Awaitable[None]]
Mode = Literal["auto", "on", "off"]


# How long an app that said that it failed may take to end by itself.
_LAST_WORDS_SECONDS = 1.0


class LifespanFailed(ReloadError):
    """The app said that its start-up or shutdown failed; what it said is the message."""


class Lifespan:
    """Starts and ends one app.

    Args:
        app: the ASGI 3 app.
        mode: ``"on"``, ``"off"``, or ``"auto"``: an app that raises before it answers has no lifespan.
    """

    def __init__(self, app: App, mode: Mode = "auto") -> None:
        self.state: dict[str, Any] = {}
        self._app = app
        self._mode = mode
        self._task: asyncio.Task[None] | None = None
        self._messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._answers: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    def __repr__(self) -> str:
        return f"<Lifespan mode={self._mode} running={self.running}>"

    @property
    def running(self) -> bool:
        """Whether the app has started and not ended."""
        return self._task is not None and not self._task.done()

    async def start(self) -> None:
        """Start the app up.

        Raises:
            LifespanFailed: the app sent ``lifespan.startup.failed``, and raised nothing.
            BaseException: what the app raised then, or instead of answering unless the mode is ``"auto"``.
        """
        if self._mode == "off":
            return
        self._messages, self._answers = asyncio.Queue(), asyncio.Queue()
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state}
        self._task = asyncio.create_task(self._run(scope), name="hotsession lifespan")
        self._messages.put_nowait({"type": "lifespan.startup"})
        await self._answer("startup")

    async def end(self) -> None:
        """Shut the app down, and return when its task has ended.

        Raises:
            LifespanFailed: the app sent ``lifespan.shutdown.failed``, and raised nothing.
            BaseException: what the app raised.
        """
        if self._task is None:
            return
        task = self._task
        try:
            if not task.done():
                self._messages.put_nowait({"type": "lifespan.shutdown"})
                await self._answer("shutdown")
            await asyncio.wait([task])
            if not task.cancelled():
                task.result()
        finally:
            self._task = None

    async def abandon(self) -> None:
        """End the app whatever it is doing: its load was overtaken."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    async def _run(self, scope: dict[str, Any]) -> None:
        try:
            await self._app(scope, self._messages.get, self._answers.put)
        except SystemExit as error:  # asyncio would end the process, and with it what serves
            raise LifespanFailed(f"the app called sys.exit({error.code!r}) in its lifespan") from error

    async def _answer(self, phase: str) -> None:
        """Wait for the app to complete a phase; an app that ends without a word has completed it."""
        task = self._task
        if task is None:
            return
        answer = asyncio.ensure_future(self._answers.get())
        try:
            await asyncio.wait([task, answer], return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            await self.abandon()
            raise
        finally:
            if not answer.done():
                answer.cancel()
        if answer.done() and not answer.cancelled():
            message = answer.result()
            if message["type"] == f"lifespan.{phase}.failed":
                await self._raise(task, message.get("message") or f"the app's {phase} failed")
            return
        self._task = None
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if isinstance(error, asyncio.CancelledError) and not is_being_cancelled():
            raise LifespanFailed(f"the app's {phase} was cancelled from within") from error
        ordinary = isinstance(error, Exception) and not isinstance(error, LifespanFailed)
        if error is not None and not (ordinary and phase == "startup" and self._mode == "auto"):
            raise error

    async def _raise(self, task: asyncio.Task[None], said: str) -> None:
        """Raise what made a phase fail: frameworks send its traceback as text and then let it go on its way."""
        await asyncio.wait([task], timeout=_LAST_WORDS_SECONDS)
        await self.abandon()
        error = None if task.cancelled() else task.exception()
        raise LifespanFailed(said) if error is None else error
