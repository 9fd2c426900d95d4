"""One loaded version of the code: its modules, its app, what it built, and the work it still does."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any, Literal, Protocol

from hotsession.container import Container
from hotsession.handles import ModuleHandle
from hotsession.reload.codebase import Codebase
from hotsession.reload.loader import loader_of

# "later": it moves or ends when it has finished what it is in the middle of.
Leaving = Literal["moves", "ends", "later", "stays"]


class Work(Protocol):
    """Something a generation does for a client: a request or a connection."""

    @property
    def endless(self) -> bool:
        """Whether it may never end by itself: a WebSocket or an event stream."""
        ...

    def describe(self) -> str:
        """What it is, in a few words for the log."""
        ...

    def leave(self, drain: float) -> Leaving:
        """Let it leave for the next generation, which serves or is about to.

        Args:
            drain: seconds that it may take at most for what it is in the middle of.

        Returns:
            What it does: it sees to all but staying by itself.
        """
        ...

    def finish(self) -> None:
        """Tell it to end in an orderly way, as its client understands it."""
        ...

    def cancel(self) -> None:
        """End it whatever it does."""
        ...


class AppLifespan(Protocol):
    """Starts and ends a generation's app.

    Attributes:
        state: what the app put into the lifespan's state, for its requests.
    """

    state: dict[str, Any]

    async def start(self) -> None:
        """Start the app up, or raise."""
        ...

    async def end(self) -> None:
        """Shut the app down, or raise."""
        ...


class NoLifespan:
    """The lifespan of a generation that has no app yet."""

    def __init__(self) -> None:
        self.state: dict[str, Any] = {}

    async def start(self) -> None:
        """Do nothing."""

    async def end(self) -> None:
        """Do nothing."""


class Generation:
    """One loaded version of the code.

    The registry knows it weakly by its number: it lives as long as it serves or something runs or holds its code.

    Args:
        number: counts up from 1 in each process.
        codebase: its modules.
        on_invalidate: is called with the reason when a module of it says that it can't be replaced in place.
        on_reset: is called with a kept name, or None for all, when its code asks for a reset.
    """

    def __init__(
        self,
        number: int,
        codebase: Codebase,
        *,
        on_invalidate: Callable[[str], None] | None = None,
        on_reset: Callable[[str | None], None] | None = None,
    ) -> None:
        self.number = number
        self.codebase = codebase
        self.container = Container()
        self.handles: dict[str, ModuleHandle] = {}
        self.app: Any = None
        self.lifespan: AppLifespan = NoLifespan()
        self.invalid: str | None = None
        self.work: set[Work] = set()
        self.served = 0  # requests and connections so far
        self._idle: asyncio.Event | None = None  # set when it has no work left, once somebody waits for that
        self._on_invalidate = on_invalidate
        self._on_reset = on_reset

    def __repr__(self) -> str:
        return f"<Generation {self.number} with {len(self.codebase.modules)} modules and {len(self.work)} at work>"

    def begin(self, work: Work) -> None:
        """Note that `work` runs on this generation."""
        self.served += 1
        self.work.add(work)

    def end(self, work: Work) -> None:
        """Note that `work` is done."""
        self.work.discard(work)
        if not self.work and self._idle is not None:
            self._idle.set()

    async def idle(self) -> None:
        """Wait until it has no work left."""
        while self.work:
            self._idle = self._idle or asyncio.Event()
            self._idle.clear()
            await self._idle.wait()

    def invalidate(self, why: str) -> None:
        """Ask for a restart of the process because of `why`; in a load, when it is imported."""
        self.invalid = why
        if self.codebase.committed and self._on_invalidate is not None:
            self._on_invalidate(why)

    def request_reset(self, name: str | None) -> None:
        """Ask for kept state to be dropped: all of it, or what is kept under `name`."""
        if self._on_reset is not None:
            self._on_reset(name)

    def holders(self) -> tuple[str, ...]:
        """What still runs code that only this generation has: tasks by name and function. Requests are in `work`."""
        found = []
        for task in asyncio.all_tasks():
            coroutine = task.get_coro()
            frame = getattr(coroutine, "cr_frame", None)
            loader = loader_of(frame.f_globals) if inspect.iscoroutine(coroutine) and frame else None
            if loader is not None and loader.home is self.codebase:
                found.append(f"task {task.get_name()} ({loader.name}.{coroutine.__qualname__})")  # type: ignore[union-attr]
        return tuple(found)
