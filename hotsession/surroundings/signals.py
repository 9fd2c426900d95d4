"""Hears that this process is told to end, before its server does, and lets the server go on as if nobody listened.

How they are told, and what is done about it (uvicorn 0.54, granian 2.8, hypercorn 0.18):

* uvicorn, `fastapi dev`, `watchfiles`: a signal, for which the server has set a handler with `signal.signal`. Ours goes
  in front of it and calls it.
* granian: a signal, through `loop.add_signal_handler`. asyncio and uvloop set a handler that does nothing, and hear of
  the signal through a file descriptor which is written to whatever the handler is; ours may take its place.
* hypercorn with a reloader: a `multiprocessing.Event`, at which its worker looks ten times a second, and no signal. We
  look as well, from a thread. `wait()` is out of the question: a worker that is killed while it waits leaves the
  event broken for the parent.

A server that sets its handler after us replaces ours. So listen when the app is served, not when it is imported; asking
again puts ours in front again. What no signal tells is told when the interpreter ends. Knows nothing about who listens.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from multiprocessing import current_process, util
from types import FrameType
from typing import Any, Protocol

from hotsession.registry import registry

logger = logging.getLogger("hotsession")

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGBREAK") if hasattr(signal, name))
LOOK_EVERY = 0.05  # seconds; hypercorn itself looks every 0.1

Callback = Callable[[], None]


class Event(Protocol):
    """What we need of a `multiprocessing.Event`."""

    def is_set(self) -> bool:
        """Whether it was set."""


def before_the_end(callback: Callback) -> bool:
    """Call something once when this process is told to end, before its server acts on that.

    It is called in the main thread between any two steps of what runs there (under hypercorn in a thread of ours). So
    it must be quick, and must take no lock that the main thread may hold: to log is out as well. What it raises is
    logged. Asking again for the same one calls it once all the same, and hears of the end again where a server that
    started meanwhile has taken our place. In a forked child it is never called.

    Args:
        callback: takes nothing; what it returns is ignored.

    Returns:
        Whether it will be called before the server acts. False outside of the main thread, where no handler can be set:
        then it is called when the interpreter ends.
    """
    ending: Ending = registry.object("signals", Ending)
    return ending.add(callback)


class Ending:
    """Who is to be told of the end of this process."""

    def __init__(self) -> None:
        self._callbacks: list[Callback] = []
        self._pid = os.getpid()
        self._told = False
        self._ours: dict[int, Any] = {}  # the handler that we set last, by signal
        self._looking: threading.Thread | None = None
        # Goes by process: neither a forked child nor a worker that `multiprocessing` forks runs what its parent added.
        util.Finalize(None, self.tell, exitpriority=100)

    def __repr__(self) -> str:
        return f"<Ending told={self._told} callbacks={len(self._callbacks)}>"

    def add(self, callback: Callback) -> bool:
        """Call this as well; see `before_the_end`."""
        if callback not in self._callbacks:
            self._callbacks.append(callback)
            if self._told:
                self._call(callback)
        event = shutdown_event()
        if event is not None and self._looking is None:
            self._looking = threading.Thread(
                target=self._look, args=(event,), name="hotsession listens for the end", daemon=True
            )
            self._looking.start()
        return self._listen() or event is not None

    def tell(self) -> None:
        """Tell everybody, once."""
        if self._told or os.getpid() != self._pid:
            return
        self._told = True
        for callback in tuple(self._callbacks):
            self._call(callback)

    def _call(self, callback: Callback) -> None:
        try:
            callback()
        except Exception:
            logger.exception("%r failed when the process was told to end", callback)

    # signals

    def _listen(self) -> bool:
        """Put a handler of ours in front of the one that is there now; whether each signal that counts has one."""
        if threading.current_thread() is not threading.main_thread():
            return False
        for number in SIGNALS:
            before = signal.getsignal(number)
            # Ignored (nohup, hypercorn's SIGINT) stays ignored; None is a handler in C that can't be called from here.
            if before not in (self._ours.get(number), signal.SIG_IGN, None):
                self._ours[number] = self._handler(before)
                signal.signal(number, self._ours[number])
        return bool(self._ours)

    def _handler(self, before: Any) -> Callable[[int, FrameType | None], None]:
        """A handler in front of another. Each knows its own: the next server may have put its one in front of ours."""

        def handle(number: int, frame: FrameType | None) -> None:
            self.tell()
            if callable(before):
                before(number, frame)
            else:
                signal.signal(number, signal.SIG_DFL)
                signal.raise_signal(number)

        return handle

    # hypercorn

    def _look(self, event: Event) -> None:
        while not self._told:
            try:
                if event.is_set():
                    self.tell()
                    return
            except (OSError, ValueError) as error:
                logger.debug("%r can't be looked at any more: %r", event, error)
                return
            time.sleep(LOOK_EVERY)  # it has nothing to wait for but `wait()`


def shutdown_event() -> Event | None:
    """What hypercorn's parent sets to end its workers; None in a process that no hypercorn has started."""
    arguments = getattr(current_process(), "_kwargs", {})
    event: Event | None = arguments.get("shutdown_event")
    return event if hasattr(event, "is_set") else None
