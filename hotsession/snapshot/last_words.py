"""Does something in time before the process ends, asked for by a signal handler. Knows nothing about what it is."""

from __future__ import annotations

import _thread
from collections.abc import Callable


def do_aside(function: Callable[[], None], seconds: float) -> None:
    """Call a function in a thread, and wait for its end, but not for longer than `seconds`.

    The code that the handler interrupted may hold locks: it goes on then, and the function when it can.
    """
    done = _thread.allocate_lock()
    done.acquire()

    def work() -> None:
        try:
            function()
        finally:
            done.release()

    try:  # not `threading.Thread`: it takes a lock itself, which the interrupted code may hold
        _thread.start_new_thread(work, ())
    except RuntimeError:  # the interpreter ends, so nobody was interrupted
        function()
    else:
        done.acquire(timeout=seconds)
