"""A function that a thread of its own carries out once for all who wait for it at the time."""

from __future__ import annotations

import threading
from collections.abc import Callable

from hotsession.loops import Waiter


class SharedRun:
    """Runs of one function, of which there is one at a time.

    Args:
        function: what to do.
        name: of the thread.
    """

    def __init__(self, function: Callable[[], object], name: str) -> None:
        self._function = function
        self._name = name
        self._guard = threading.Lock()
        self._waiting: list[tuple[Waiter, list[Exception]]] = []  # each with where the error goes

    def __repr__(self) -> str:
        return f"<SharedRun of {self._name!r}, {len(self._waiting)} waiting>"

    async def over(self) -> None:
        """Wait for the run that is under way, or for a new one; raise what it raises.

        It goes on when who waits is cancelled.
        """
        waiter, errors = Waiter(), list[Exception]()
        with self._guard:
            is_first = not self._waiting
            self._waiting.append((waiter, errors))
        if is_first:
            threading.Thread(target=self._run, name=self._name, daemon=True).start()
        await waiter.wait()
        if errors:
            raise errors[0]

    def _run(self) -> None:
        error = None
        try:
            self._function()
        except Exception as raised:  # noqa: BLE001 - who waits for it hears of it
            error = raised
        with self._guard:
            waiting, self._waiting = self._waiting, []
        for waiter, errors in waiting:
            if error is not None:
                errors.append(error)
            waiter.wake()
