"""A lock for each module that is being loaded, which several threads of one load may ask for."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator


class ModuleLocks:
    """One lock per module name, held while it is loaded.

    A thread that would wait for a module whose loader waits, directly or not, for a module of its own does not wait:
    it gets the module as far as it is, as in an import cycle within one thread.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._owners: dict[str, tuple[int, int]] = {}  # module name -> thread, how often it holds it
        self._waiting: dict[int, str] = {}  # thread -> module name

    def __contains__(self, name: str) -> bool:
        return name in self._owners

    @contextlib.contextmanager
    def hold(self, name: str) -> Iterator[None]:
        """Hold the lock of `name` during the block, unless waiting for it would never end."""
        me = threading.get_ident()
        held = self._acquire(name, me)
        try:
            yield
        finally:
            if held:
                self._release(name)

    def _acquire(self, name: str, me: int) -> bool:
        with self._condition:
            self._waiting[me] = name
            try:
                self._condition.wait_for(lambda: self._is_free(name, me) or self._would_deadlock(name, me))
            finally:
                del self._waiting[me]
            if not self._is_free(name, me):
                return False
            self._owners[name] = (me, self._owners.get(name, (me, 0))[1] + 1)
            self._condition.notify_all()
            return True

    def _release(self, name: str) -> None:
        with self._condition:
            owner, count = self._owners[name]
            if count > 1:
                self._owners[name] = (owner, count - 1)
            else:
                del self._owners[name]
            self._condition.notify_all()

    def _is_free(self, name: str, me: int) -> bool:
        return self._owners.get(name, (me, 0))[0] == me

    def _would_deadlock(self, name: str, me: int) -> bool:
        seen = set()
        while name in self._owners and name not in seen:
            seen.add(name)
            owner = self._owners[name][0]
            if owner == me:
                return True
            name = self._waiting.get(owner, "")
        return False
