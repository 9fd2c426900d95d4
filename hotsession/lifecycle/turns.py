"""Taking turns: one at a time per key, in the order of asking, across tasks, threads and event loops.

Bound to no event loop; between turns it holds a lock and an empty dict. Knows nothing about sessions.
"""

from __future__ import annotations

import contextvars
import threading
from collections import deque
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager

from hotsession.loops import Waiter

_mine: contextvars.ContextVar[tuple[object, ...]] = contextvars.ContextVar("hotsession_turns", default=())


class _Turn:
    """One who has the turn or waits for it."""

    def __init__(self) -> None:
        self.has_it = False
        self.waiter: Waiter | None = None


class Turns:
    """Who has the turn and who waits, by key.

    Args:
        what: is done in a turn, for an error message: ``"changes"``.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._lock = threading.Lock()
        self._queues: dict[Hashable, deque[_Turn]] = {}  # the first has the turn

    def __repr__(self) -> str:
        return f"<Turns for what {self._what} {list(self._queues)}>"

    def waiting(self, key: Hashable) -> int:
        """How many wait for those before them."""
        with self._lock:
            return max(0, len(self._queues.get(key, ())) - 1)

    @asynccontextmanager
    async def of(self, key: Hashable) -> AsyncIterator[None]:
        """Wait for the turn, and have it during the block.

        Raises:
            RuntimeError: the running code has the turn already, and would wait for itself.
        """
        turn = _Turn()
        with self._lock:
            queue = self._queues.setdefault(key, deque())
            if any(each in _mine.get() for each in queue):
                raise RuntimeError(f"what {self._what} {key!r} asks for the same again, and would wait for ever")
            queue.append(turn)
            if len(queue) > 1:
                turn.waiter = Waiter()
        try:
            if turn.waiter is not None:
                await turn.waiter.wait()
            token = _mine.set((*_mine.get(), turn))
            try:
                yield
            finally:
                _mine.reset(token)
        finally:
            self._leave(key, turn)

    def _leave(self, key: Hashable, turn: _Turn) -> None:
        with self._lock:
            queue = self._queues[key]
            was_first = queue[0] is turn
            queue.remove(turn)
            if not queue:
                del self._queues[key]
            following = queue[0] if queue and was_first else None
        if following is not None and following.waiter is not None:
            following.waiter.wake()
