"""What code gets that asked for a named task: it tells what became of it, waits for it, and cancels it."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any, Generic, TypeVar

from hotsession.background.run import Run, State
from hotsession.errors import ConfigurationError
from hotsession.registry import registry

T = TypeVar("T")


class TaskHandle(Generic[T]):
    """One run of a named task, from `hotsession.task`. Awaiting it waits until the run has ended, and gives its result.

    Its methods do what those of `asyncio.Task` do, and can be called from any thread and in any event loop.
    """

    __slots__ = ("__weakref__", "_run")

    def __init__(self, run: Run) -> None:
        self._run = run

    def __repr__(self) -> str:
        return f"<TaskHandle {self.name!r} ({self._run.where}) {self.state}>"

    @property
    def name(self) -> str:
        """What the task is called."""
        return self._run.name

    @property
    def state(self) -> State:
        """``"waiting"`` (for the event loop, the swap, or the end of the run before), ``"running"``, or how it ended.

        That is ``"done"``, ``"failed"`` or ``"cancelled"``.
        """
        return self._run.state

    def done(self) -> bool:
        """Whether the run has ended, however that was."""
        return self._run.has_ended

    def cancel(self) -> None:
        """Cancel the run, and don't wait for its end. No reload restarts it; whoever calls `hotsession.task` does."""
        self._run.cancel()

    async def wait(self) -> None:
        """Wait until the run has ended, however that is; raises nothing of what it raised.

        Raises:
            ConfigurationError: who waits is what it would wait for, or the new code's start-up, which has to be
                complete before the run begins.
        """
        while not (run := self._run).has_ended:
            _refuse_to_wait_for_ever(run)
            await run.wait()
            if run is self._run:
                return

    def __await__(self) -> Generator[Any, None, T]:
        return self._outcome().__await__()

    async def _outcome(self) -> T:
        await self.wait()
        return self.result()

    def result(self) -> T:
        """What the coroutine function returned.

        Raises:
            asyncio.InvalidStateError: the run has not ended.
            asyncio.CancelledError: it was cancelled.
            BaseException: what the function raised.
        """
        error = self.exception()
        if error is not None:
            raise error
        result: T = self._run.result
        return result

    def exception(self) -> BaseException | None:
        """What the coroutine function raised; None if it returned.

        Raises:
            asyncio.InvalidStateError: the run has not ended.
            asyncio.CancelledError: it was cancelled.
        """
        if not self._run.has_ended:
            raise asyncio.InvalidStateError(f"task {self.name!r} has not ended: await it")
        if self.state == "cancelled":
            raise asyncio.CancelledError(f"task {self.name!r} was cancelled")
        return self._run.error


def _refuse_to_wait_for_ever(run: Run) -> None:
    if run.is_here:
        raise ConfigurationError(f"task {run.name!r} waits for its own end")
    if run.transaction is not None and run.transaction is registry.transaction:
        raise ConfigurationError(
            f"task {run.name!r} begins when the new code is in place, and that waits for this start-up: "
            "await the coroutine itself if the app needs it first"
        )
