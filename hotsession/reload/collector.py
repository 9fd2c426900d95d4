"""Keeps the garbage collector from setting in while connections move: a full collection takes longer than the moves.

Each of a thousand connections that move at once makes a task and some objects more, which is just what sets it off.
"""

from __future__ import annotations

import asyncio
import gc

SECONDS = 0.25  # that the moves may take; what they leave behind is collected then
MANY = 50  # connections; for less it is not worth it


class CollectorPause:
    """Pauses the collector for a moment, unless the app has turned it off itself."""

    def __init__(self) -> None:
        self._timer: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<CollectorPause {'on' if self._timer else 'off'}>"

    def begin(self, moves: int) -> None:
        """Pause it now if so many connections are about to move that it matters; another pause prolongs this one.

        Args:
            moves: how many.
        """
        if moves < MANY or not (self._timer or gc.isenabled()):
            return
        if self._timer is not None:
            self._timer.cancel()
        gc.disable()
        self._timer = asyncio.get_running_loop().call_later(SECONDS, self.end)

    def end(self) -> None:
        """Let it go on, if it was paused."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            gc.enable()
