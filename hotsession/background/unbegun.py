"""Says so when a task that was asked for at import does not begin, because nothing of ours sees the app start.

Servers import most apps before their event loop runs, and only the middleware or a host learns when it does.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import weakref
from typing import Any

from hotsession.background.handle import TaskHandle

MIDDLEWARE = "hotsession.asgi.middleware"  # imported only by apps that have it, or are about to
SECONDS = 10.0

logger = logging.getLogger("hotsession")

_forked: set[int] = set()  # a process that forks its workers serves nothing itself

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_parent=lambda: _forked.add(os.getpid()))


def say_if_it_never_begins(handle: TaskHandle[Any]) -> None:
    """Look after a while whether a task that waits for the event loop still does, and warn."""
    timer = threading.Timer(SECONDS, _look, (weakref.ref(handle), os.getpid()))
    timer.name, timer.daemon = "hotsession looks for tasks", True
    timer.start()


def _look(found: weakref.ref[TaskHandle[Any]], pid: int) -> None:
    handle = found()
    if handle is None or handle.state != "waiting" or MIDDLEWARE in sys.modules or {pid, os.getpid()} & _forked:
        return
    logger.warning(
        "Task %r was asked for at import and has not begun, because nothing says that the app has started: "
        "add hotsession.HotSessionMiddleware to the app, or ask for the task in its lifespan.",
        handle.name,
    )
