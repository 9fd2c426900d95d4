"""One run of a named task: from the moment it was asked for to its end. It has no rules of its own.

Its coroutine runs in an asyncio task with a context of its own, which belongs to no request and no load, and says of
which generation the code is: what it imports late, and the services it asks for, are that generation's.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Literal

from hotsession.background.functions import name_of, whereabouts
from hotsession.background.rules import OnReload, Standing
from hotsession.hooks import is_being_cancelled
from hotsession.lifecycle.held import finish_task
from hotsession.loops import Waiter
from hotsession.registry import Transaction, registry

if TYPE_CHECKING:
    from hotsession.background.handle import TaskHandle

State = Literal["waiting", "running", "done", "failed", "cancelled"]

PATIENCE_SECONDS = 10.0  # that a task has to end in when it was cancelled

Function = Callable[[], Awaitable[Any]]

logger = logging.getLogger("hotsession")


class Run:
    """One run of a named task.

    Args:
        name: of the task.
        function: the coroutine function.
        on_reload: what a reload means for it.
        scope: the generation whose code asked for it; None where no host loaded the code.
        on_end: is called in its event loop when it has ended.

    Attributes:
        is_inferred: no code asked for it; it was begun because the code before had.
        is_ending: it was cancelled, and has not ended.
        is_awaited: another waits for its end.
        transaction: the load in which it was asked for, until that is in place.
        loop: that it runs in.
        result: what the function returned.
        error: what it raised, without its frames, which would keep old code alive.
    """

    handle: TaskHandle[Any]

    def __init__(
        self,
        name: str,
        function: Function,
        on_reload: OnReload,
        scope: Any,
        on_end: Callable[[Run], None],
    ) -> None:
        self.name = name
        self.function: Function | None = function
        self.on_reload: OnReload = on_reload
        self.scope = scope
        self.number = int(getattr(scope, "number", 0))
        self.where = name_of(function)
        self.is_inferred = self.is_ending = self.is_awaited = False
        self.transaction: Transaction | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self.result: Any = None
        self.error: BaseException | None = None
        self._state: State = "waiting"
        self._ends: State = "cancelled"
        self._task: asyncio.Task[None] | None = None
        self._on_end = on_end
        self._holds_scope = False
        self._lock = threading.Lock()
        self._waiters: list[Waiter] = []

    def __repr__(self) -> str:
        return f"<Run of {self.name!r} ({self.where}) {self.state}>"

    @property
    def state(self) -> State:
        """What it does; one whose load came to nothing is cancelled."""
        load = self.transaction
        return "cancelled" if load is not None and load.closed and not load.committed else self._state

    @property
    def has_ended(self) -> bool:
        """Whether it will never do anything any more."""
        return self.state not in ("waiting", "running")

    @property
    def standing(self) -> Standing:
        """What the rules need to know of it."""
        return Standing(self.on_reload, self.is_ending, self.is_inferred)

    @property
    def is_here(self) -> bool:
        """Whether the calling code is what this runs."""
        try:
            return self._task is not None and asyncio.current_task() is self._task
        except RuntimeError:
            return False

    # its life

    def begin(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin it in an event loop, soon; from any thread."""
        self.loop, self._state = loop, "running"
        # Not at once: an eager task factory would run the user's code here, under the locks of who calls.
        loop.call_soon_threadsafe(self._start, context=contextvars.Context())

    def cancel(self) -> None:
        """Cancel it, from any thread; who still goes on after a while is named in the log."""
        if self.has_ended or self.is_ending:
            return
        self.is_ending = True
        if self.loop is None:
            self.land("cancelled")
        elif not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self._cancel, context=contextvars.Context())

    def land(self, state: State) -> None:
        """Note that it has ended; what waits for it goes on."""
        with self._lock:
            if self._state not in ("waiting", "running"):
                return
            self._state, waiters, self._waiters = state, self._waiters, []
        if self._holds_scope:
            self.scope.end(self)
        self.transaction = self.scope = None
        for waiter in waiters:
            waiter.wake()
        self._on_end(self)
        self.function = self._task = None

    async def wait(self) -> None:
        """Wait until it has ended, from whatever event loop."""
        waiter = Waiter()
        with self._lock:
            if self.has_ended:
                return
            self._waiters.append(waiter)
        await waiter.wait()

    def _start(self) -> None:
        if self.is_ending or self.loop is None or self.function is None:
            self.land("cancelled")
            return
        context = contextvars.Context()
        if self.number:
            context.run(registry.scope_variable.set, self.number)
            if self.number != registry.current:
                self.hold()
        self._task = self.loop.create_task(self._live(self.function), name=self.name, context=context)
        self._task.add_done_callback(self._landed, context=contextvars.Context())

    async def _live(self, function: Function) -> None:
        try:
            self.result = await function()
            self._ends = "done"
        except asyncio.CancelledError as error:
            if is_being_cancelled():
                raise
            self._fail(error)
        except (Exception, SystemExit) as error:  # noqa: BLE001  it is logged; asyncio would end the process because of the latter
            self._fail(error)
        finally:
            await finish_task()  # who follows finds what it did
            if self.number not in (0, registry.current) and not self._holds_scope:
                await self.scope.container.dispose()  # nobody else does: its generation went before it

    def _fail(self, error: BaseException) -> None:
        logger.error(
            "Task %r (%s) failed: %s: %s. %s",
            self.name,
            self.where,
            type(error).__name__,
            error,
            "The next reload starts it again."
            if self.on_reload == "restart" and self.number
            else "The next hotsession.task() of this name starts it again.",
            exc_info=error,
        )
        self.error, self._ends = error.with_traceback(None), "failed"

    def _landed(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None and self._ends != "failed":
            self._fail(error)
        self.land(self._ends)

    def _cancel(self) -> None:
        if self._task is not None and not self._task.done() and self.loop is not None:
            self._task.cancel()
            self.loop.call_later(PATIENCE_SECONDS, self._name_what_stays, context=contextvars.Context())

    def _name_what_stays(self) -> None:
        if not self.has_ended and self.is_ending:
            logger.warning(
                "Task %r (%s) was cancelled %.0f s ago and goes on at %s. Nothing else runs by its name until it has "
                "ended: let asyncio.CancelledError through.",
                self.name,
                self.where,
                PATIENCE_SECONDS,
                self.whereabouts(),
            )

    def _say_who_waits(self) -> None:
        if not self.has_ended and not self.is_ending and self.is_awaited:
            logger.info(
                "Task %r (%s) still runs on old code, and that of the new code waits for its end. If it never ends by "
                'itself, ask for it with on_reload="restart".',
                self.name,
                self.where,
            )

    def give_up(self) -> None:
        """Forget it at the end of the server, though it goes on."""
        logger.error(
            "Task %r (%s) was cancelled because the server ends, and still goes on after %.0f s at %s.",
            self.name,
            self.where,
            PATIENCE_SECONDS,
            self.whereabouts(),
        )
        if self._task is not None:  # else `asyncio.run`, which cancels what is left, waits for it without end
            asyncio._unregister_task(self._task)
        self.land("cancelled")

    def whereabouts(self) -> str:
        """The file and line where it is."""
        return whereabouts(self._task.get_coro()) if self._task is not None else "?"

    # the work of a generation that was replaced

    def hold(self) -> None:
        """Let the generation of its code, which was replaced, be there until this has ended."""
        if self.scope is not None and not self._holds_scope and not self.has_ended:
            self._holds_scope = True
            self.scope.begin(self)
            if self.loop is not None:
                self.loop.call_later(PATIENCE_SECONDS, self._say_who_waits, context=contextvars.Context())

    @property
    def endless(self) -> bool:
        """Whether its generation may end it: no, whether it finishes is the code's own business."""
        return False

    def describe(self) -> str:
        """What it is, for the log."""
        if self.is_ending:
            return f"task {self.name!r} ({self.where}), which was cancelled"
        return f"task {self.name!r} ({self.where}){', which the new code waits for' if self.is_awaited else ''}"

    def leave(self, drain: float) -> Literal["stays"]:
        """Stay on its generation until it has ended."""
        return "stays"

    def finish(self) -> None:
        """Nothing: it finishes by itself."""
