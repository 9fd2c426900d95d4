"""What `multiprocessing` handed to this process, if that started it: the settings of the server whose worker it is.

A spawned process imports the main program's file again before it unpickles what it is to run. An app that is made in
that file asks already then; so what waits in the pipe is looked at, without unpickling it or taking it out.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from types import FrameType
from typing import Any

_SWITCHES = {"uvicorn": "should_reload", "hypercorn": "use_reloader"}  # what their configurations have
_PICKLED_SWITCHES = {"uvicorn": "reload", "hypercorn": "use_reloader"}  # what these are made from
_SERVERS = frozenset({*_SWITCHES, "granian"})


@dataclass(frozen=True)
class Spawned:
    """What this process is to do.

    Args:
        server: the server whose worker it is (``uvicorn``, ``granian``, ``hypercorn``); empty if it is none's.
        reloads: whether that server reloads; None if it does not say.
        certain: False while it is not yet known what this process is to do.
        workers: how many that server has; 1 also if it does not say.
    """

    server: str = ""
    reloads: bool | None = None
    certain: bool = True
    workers: int = 1


def spawned() -> Spawned | None:
    """What this process was started for by `multiprocessing`, or None if it was started in another way."""
    module = sys.modules.get("multiprocessing.process")  # there for sure if that is how it was started
    if module is None:
        return None
    process = module.current_process()
    if getattr(process, "_inheriting", False):
        return _waiting(_unread())
    return None if module.parent_process() is None else _running(process)


def _running(process: Any) -> Spawned:
    server = _package(getattr(getattr(process, "_target", None), "__module__", ""))
    switch = _SWITCHES.get(server)
    if switch is None:
        return Spawned(server)
    given = [*getattr(process, "_kwargs", {}).values(), *getattr(process, "_args", ())]
    configs = [each for each in given if _package(type(each).__module__) == server]
    reloads = any(getattr(each, switch, False) is True for each in configs)
    return Spawned(server, reloads, workers=max((getattr(each, "workers", 1) for each in configs), default=1))


def _waiting(pickled: bytes) -> Spawned:
    words = list(_words(pickled))
    server = next((_package(word) for name, word in pairwise(words) if name == "_target"), None)
    if server is None:
        return Spawned(certain=False)
    switch = _PICKLED_SWITCHES.get(server)
    if switch is None:
        return Spawned(server)
    said = [word for name, word in pairwise(words) if name == switch and isinstance(word, bool)]
    complete = words[-1] is _END
    counts = [word for name, word in pairwise(words) if name == "workers" and type(word) is int]
    return Spawned(server, bool(said and said[-1]), certain=bool(said) or complete, workers=max(counts, default=1))


_END = object()


def _words(pickled: bytes) -> Iterator[object]:
    """The texts, truth values and numbers in pickled data as far as it goes; at last `_END` if it is complete."""
    import pickletools  # seldom needed

    truths = {"NEWTRUE": True, "NEWFALSE": False}
    try:
        for operation, argument, _ in pickletools.genops(pickled):
            if isinstance(argument, str) or operation.name in ("BININT1", "BININT2", "BININT"):
                yield argument
            elif operation.name in truths:
                yield truths[operation.name]
            elif operation.name == "STOP":
                yield _END
            elif operation.name not in ("MEMOIZE", "FRAME"):
                yield None
    except ValueError:  # the rest is not there yet
        return


def _unread() -> bytes:
    """What is left in the pipe of a process that `multiprocessing` prepares, as far as it was fetched from there."""
    for frame in main_frames():
        if frame.f_globals.get("__name__") == "multiprocessing.spawn" and "from_parent" in frame.f_locals:
            return bytes(frame.f_locals["from_parent"].peek())
    return b""


def main_frames() -> Iterator[FrameType]:
    """The frames of the main thread, innermost first."""
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    while frame is not None:
        yield frame
        frame = frame.f_back


def _package(module: object) -> str:
    package = str(module).partition(".")[0]
    return package if package in _SERVERS else ""
