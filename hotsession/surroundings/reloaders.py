"""Which program, if any, restarts this process when files change: the dev server.

Servers pass their settings on to the workers that they start, which says more than a command line does; for the rest,
the commands of the processes above this one are read. It knows nothing about what is made of the answer.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from hotsession.surroundings.commands import RUN as RUN
from hotsession.surroundings.commands import WRAPPERS, parsed, reloader_kind
from hotsession.surroundings.processes import Process, ProcessesHidden, ancestors, parent_pid, process_environ
from hotsession.surroundings.processes import process_started as process_started
from hotsession.surroundings.spawned import Spawned, main_frames, spawned

_CHANGES = "WATCHFILES_CHANGES"  # what watchfiles sets for the process that it starts


class ReloaderUnknown(Exception):
    """Whether a reloader restarts this process can't be told.

    Args:
        message: what is missing.
        for_now: it will be told once `multiprocessing` has started this process; its main file is imported before.
    """

    def __init__(self, message: str, *, for_now: bool = False) -> None:
        super().__init__(message)
        self.for_now = for_now


@dataclass(frozen=True)
class DevServer:
    """A program that restarts this process when files change.

    Args:
        kind: what it is, in words: ``uvicorn --reload``.
        pid: its process.
        started: when that was started, as `process_started` gives it.
    """

    kind: str
    pid: int
    started: str

    def __str__(self) -> str:
        return f"{self.kind} [{self.pid}]"


def under_reloader() -> bool:
    """Whether another program than our own restarts this process when files change: uvicorn, granian, watchfiles ..."""
    try:
        server = dev_server()
    except ReloaderUnknown:
        return False
    return server is not None and server.kind != RUN


def dev_server(environ: Mapping[str, str] = os.environ) -> DevServer | None:
    """The nearest program above this process that restarts it when files change, `hotsession run` included.

    None for what an app started, as a worker of its process pool: a reloader restarts the app, not that.

    Raises:
        ReloaderUnknown: it can't be told.
    """
    task = spawned()
    if task is not None and task.server == "granian":
        task = _granian(task)
    if task is not None and task.reloads:
        return _parent_as(reloader_kind(_inherited_command(), environ) or f"{task.server} with reload")
    try:
        return _above(task, list(ancestors()), environ)
    except ProcessesHidden as error:
        raise ReloaderUnknown(str(error)) from error


def is_reloader_itself(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether this process is the reloading one: some import the app in there as well, only to look at it."""
    return spawned() is None and reloader_kind(sys.orig_argv, environ) is not None


# what the server that started this process says


def _granian(task: Spawned) -> Spawned:
    """A forked worker has the frames of the server below its own; a spawned one has the arguments alone."""
    names = {
        frame.f_code.co_name for frame in main_frames() if frame.f_globals.get("__name__") == "granian.server.common"
    }
    if names:
        return replace(task, reloads="_serve_with_reloader" in names)
    command = _inherited_command()
    program, _ = parsed(command)
    if program == "granian":
        return replace(task, reloads=reloader_kind(command) is not None)
    raise ReloaderUnknown(f"granian was started by {program} and does not say whether it reloads")


def _inherited_command() -> list[str]:
    """The command of the process whose `multiprocessing` started this one, which handed its arguments on."""
    return ["python", *sys.argv]


def _parent_as(kind: str) -> DevServer | None:
    started = process_started(parent_pid())
    return None if started is None else DevServer(kind, parent_pid(), started)  # None: it ended meanwhile


# what the processes above say


def _above(task: Spawned | None, above: Sequence[Process], environ: Mapping[str, str]) -> DevServer | None:
    """The nearest reloader of the processes above, told by its command or by what it left in the environment."""
    is_worker = task is not None and bool(task.server)
    is_part = task is not None and not is_worker  # of an app, unless the reloader is right above it
    for depth, process in enumerate(above):
        kind = reloader_kind(_command(process), environ)
        if kind is None and _CHANGES in environ and _lacks_changes(process.pid):
            kind = "watchfiles"
        if kind in WRAPPERS:
            return None if depth and is_part else DevServer(str(kind), process.pid, process.started)
        if kind is not None and (depth or not is_worker):  # the server of a worker has said that it does not reload
            return _as_server(kind, above[depth:]) if depth == 0 else None
    if _CHANGES in environ and all(process_environ(process.pid) is None for process in above):
        raise ReloaderUnknown(f"{_CHANGES} is set, but the system does not tell which process above this one set it")
    if task is not None and not task.certain:
        raise ReloaderUnknown("multiprocessing has not yet started this process", for_now=True)
    return None


def _as_server(kind: str, above: Sequence[Process]) -> DevServer | None:
    """The parent as a dev server, unless it is itself a worker that was forked: that has its parent's command."""
    parent = above[0]
    if [each.command for each in above[1:2]] == [parent.command]:
        return None
    return DevServer(kind, parent.pid, parent.started)


def _command(process: Process) -> Sequence[str]:
    """Its command; gunicorn may have put a title in its place, and forks."""
    return sys.orig_argv if " ".join(process.command).startswith("gunicorn: master") else process.command


def _lacks_changes(pid: int) -> bool:
    """Whether a process was started without what watchfiles gives to its own, while the one below it has that."""
    variables = process_environ(pid)
    return variables is not None and _CHANGES not in variables
