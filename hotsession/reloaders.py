"""Whether another program restarts this process when files change."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

_MOST_ANCESTORS = 8
_MOST_WORDS = 5  # ``python -X dev -m uvicorn``
_SERVERS = frozenset({"uvicorn", "gunicorn", "granian", "hypercorn", "fastapi"})


def under_reloader() -> bool:
    """Whether one of the processes above this one is a reloader that restarts it: uvicorn, granian, watchfiles ..."""
    return any(is_reloader(command) for command in _commands_above())


def is_reloader(command: Sequence[str]) -> bool:
    """Whether a command line is that of a reloading parent.

    Args:
        command: the program and its arguments.
    """
    words = {Path(word).name for word in command[:_MOST_WORDS]}
    if "watchfiles" in words or "watchmedo" in words:
        return True
    if "fastapi" in words and "dev" in command[: _MOST_WORDS + 1]:
        return True
    return "--reload" in command and bool(words & _SERVERS)


def _commands_above() -> Iterator[list[str]]:
    """The command lines of the processes above this one, nearest first, as far as the system tells."""
    parent = multiprocessing.parent_process()
    process = os.getppid() if parent is None else parent.pid
    for _ in range(_MOST_ANCESTORS):
        if not process:  # above process 1, which in a container is the reloader itself
            return
        try:
            line = Path(f"/proc/{process}/cmdline").read_bytes()
            status = Path(f"/proc/{process}/stat").read_text()
        except OSError:
            return
        yield [word.decode(errors="replace") for word in line.split(b"\0") if word]
        process = int(status.rpartition(")")[2].split()[1])
