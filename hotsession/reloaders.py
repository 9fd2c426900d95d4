"""Which program, if any, restarts this process when files change: the dev server.

Servers pass their settings on to the workers that they start, which says more than a command line does; for the rest,
the commands of the processes above this one are read. It knows nothing about what is made of the answer.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from types import FrameType
from typing import Any

from hotsession.processes import (
    Process,
    ProcessesHidden,
    ancestors,
    multiprocessing_parent,
    parent_pid,
    process_environ,
)
from hotsession.processes import process_started as process_started

RUN = "hotsession run"

# Those that start any command, which may be a shell in which the server is started.
_WRAPPERS = frozenset(
    {"watchfiles", "watchmedo", "watchexec", "nodemon", "entr", "air", "reflex", "hupper", "modd", "wgo"}
)
# Those whose worker is their child, or else something that the app itself started.
_SERVERS = frozenset({"uvicorn", "gunicorn", "granian", "hypercorn", "fastapi"})
_PACKAGES = frozenset({"uvicorn", "granian", "hypercorn"})  # that start workers by multiprocessing
_YES = frozenset({"1", "true", "t", "yes", "y", "on"})  # as click reads variables
_CHANGES = "WATCHFILES_CHANGES"  # what watchfiles sets for the process that it starts


class ReloaderUnknown(Exception):
    """Whether a reloader restarts this process can't be told; the message says what is missing."""


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
    own = _own_server()
    if own is not None and own.reloads:
        return _parent_as(own.kind)
    try:
        return _above(own, environ)
    except ProcessesHidden as error:
        raise ReloaderUnknown(str(error)) from error


def is_reloader_itself(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether this process is the reloading one: some import the app in there as well, only to look at it."""
    return multiprocessing_parent() is None and reloader_kind(sys.orig_argv, environ) is not None


def reloader_kind(command: Sequence[str], environ: Mapping[str, str] = os.environ) -> str | None:
    """What a process is called that restarts others when files change; None if its command is not that of one.

    Args:
        command: the program and its arguments.
        environ: variables that count as options.
    """
    program, arguments = parsed(command)
    if program in _WRAPPERS:
        return program
    if program == "hotsession":
        return RUN if _subcommand(arguments) == "run" else None
    if program not in _SERVERS:
        return None
    if program == "fastapi" and _subcommand(arguments) == "dev":
        return None if "--no-reload" in arguments else "fastapi dev"
    if program == "gunicorn":
        arguments = [*environ.get("GUNICORN_CMD_ARGS", "").split(), *arguments]
    said = [word for word in arguments if word in ("--reload", "--no-reload")]
    reloads = said[-1] == "--reload" if said else environ.get(f"{program.upper()}_RELOAD", "").lower() in _YES
    return f"{program} --reload" if reloads else None


def parsed(command: Sequence[str]) -> tuple[str, list[str]]:
    """The name of the program that a command line runs (Python's module or script, if it is Python), its arguments."""
    if not command:
        return "", []
    program, arguments = PurePath(command[0]).name, list(command[1:])
    if program.lower().startswith(("python", "pypy")):
        program, arguments = _python_program(arguments)
    elif program in ("node", "nodejs") and arguments:
        program, arguments = PurePath(arguments[0]).name, arguments[1:]
    return program.removesuffix(".exe").removesuffix(".js"), arguments


def _python_program(words: list[str]) -> tuple[str, list[str]]:
    """The module or script that these arguments of Python run."""
    words = list(words)
    while words:
        word = words.pop(0)
        if word == "--check-hash-based-pycs":
            words = words[1:]
        elif not word.startswith("-") or word == "-":
            return _script(word), words
        for place, letter in enumerate(word[1:], 2):
            if letter in "XW" and not word.startswith("--"):
                words = words if word[place:] else words[1:]
                break
            if letter in "cm" and not word.startswith("--"):
                name, rest = (word[place:], words) if word[place:] else ((words or [""])[0], words[1:])
                return ("-c" if letter == "c" else _module(name)), rest
    return "python", []


def _script(path: str) -> str:
    """What runs by a script; ``__main__.py`` is that of the package."""
    script = PurePath(path)
    return _module(script.parent.name) if script.name == "__main__.py" else script.name


def _module(name: str) -> str:
    return {"fastapi_cli": "fastapi", "uvicorn.main": "uvicorn"}.get(name, name.removesuffix(".__main__"))


def _subcommand(arguments: Sequence[str]) -> str | None:
    return next((word for word in arguments if not word.startswith("-")), None)


# what the server that started this process passed on to it


@dataclass(frozen=True)
class _OwnServer:
    """The server of which this process is a worker."""

    kind: str
    reloads: bool


def _own_server() -> _OwnServer | None:
    """The server whose worker this process is, if it was started by `multiprocessing` and says so."""
    if multiprocessing_parent() is None:
        return None
    process: Any = sys.modules["multiprocessing.process"].current_process()
    target = getattr(process, "_target", None)
    package = str(getattr(target, "__module__", "")).partition(".")[0]
    if package not in _PACKAGES:
        return None
    return _own_granian() if package == "granian" else _own_configured(package, process)


def _own_configured(package: str, process: Any) -> _OwnServer:
    """Uvicorn and hypercorn pass their configuration, whatever it came from."""
    given = [*getattr(process, "_kwargs", {}).values(), *getattr(process, "_args", ())]
    configs = [each for each in given if type(each).__module__.startswith(f"{package}.")]
    reloads = any(getattr(each, "should_reload", getattr(each, "use_reloader", False)) is True for each in configs)
    return _OwnServer(reloader_kind(_inherited_command()) or f"{package} with reload", reloads)


def _own_granian() -> _OwnServer:
    """A forked worker has the frames of the server below its own; a spawned one has the arguments alone."""
    names = _names_of_granian_frames()
    command = _inherited_command()
    kind = reloader_kind(command)
    if names:
        return _OwnServer(kind or "granian with reload", "_serve_with_reloader" in names)
    if parsed(command)[0] == "granian":
        return _OwnServer(kind or "granian", kind is not None)
    raise ReloaderUnknown(f"granian, started by {command[1]}, does not say whether it reloads")


def _names_of_granian_frames() -> set[str]:
    """The functions of granian's that are under way in the main thread."""
    frame: FrameType | None = sys._current_frames().get(threading.main_thread().ident or 0)
    names = set()
    while frame is not None:
        if str(frame.f_globals.get("__name__")) == "granian.server.common":
            names.add(frame.f_code.co_name)
        frame = frame.f_back
    return names


def _inherited_command() -> list[str]:
    """The command of the process whose `multiprocessing` started this one, which handed its arguments on."""
    return ["python", *sys.argv]


# the processes above


def _above(own: _OwnServer | None, environ: Mapping[str, str]) -> DevServer | None:
    """The nearest reloader above, told by its command or by what it left in the environment."""
    is_part = own is None and multiprocessing_parent() is not None  # of an app, unless a reloader is right above it
    above = list(ancestors())
    for depth, process in enumerate(above):
        kind = reloader_kind(_command(process), environ)
        if kind is None and _CHANGES in environ and _lacks_changes(process.pid):
            kind = "watchfiles"
        if kind in _WRAPPERS:
            return None if depth and is_part else DevServer(str(kind), process.pid, process.started)
        if kind is not None and not (depth == 0 and own is not None):  # that one has said that it does not
            is_worker = depth == 0 and [each.command for each in above[1:2]] != [process.command]
            return DevServer(kind, process.pid, process.started) if is_worker else None
    if _CHANGES in environ and all(process_environ(process.pid) is None for process in above):
        raise ReloaderUnknown(f"{_CHANGES} is set, but the system does not tell which process above this one set it")
    return None


def _command(process: Process) -> Sequence[str]:
    """Its command; gunicorn may have put a title in its place, and forks."""
    return sys.orig_argv if "".join(process.command[:1]).startswith("gunicorn: master") else process.command


def _lacks_changes(pid: int) -> bool:
    """Whether a process was started without what watchfiles gives to its own, while the one below it has that."""
    variables = process_environ(pid)
    return variables is not None and _CHANGES not in variables


def _parent_as(kind: str) -> DevServer | None:
    started = process_started(parent_pid())
    return None if started is None else DevServer(kind, parent_pid(), started)  # None: it ended meanwhile
