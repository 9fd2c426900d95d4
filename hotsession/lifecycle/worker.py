"""Which process works on a session, so that another can tell whether it still does."""

from __future__ import annotations

import os
import socket
from functools import lru_cache

from hotsession.surroundings.processes import boot, process_started


def this_worker() -> str:
    """This process, named so that no other ever has the name: host, its start, process, the start of that."""
    return _name_of(os.getpid())


def is_gone(worker: str) -> bool:
    """Whether a process is known to have ended. False for one of another host, which can't be told from here."""
    host, started, pid, since = worker.rsplit("/", 3)
    if host != socket.gethostname():
        return False
    return started != _boot() or process_started(int(pid)) != since


@lru_cache(1)
def _name_of(pid: int) -> str:
    return f"{socket.gethostname()}/{_boot()}/{pid}/{process_started(pid)}"


def _boot() -> str:
    return str(boot() or "").replace("/", "")
