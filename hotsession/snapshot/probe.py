"""Reads an LMDB data file through, in a process of its own: run as a script, it imports nothing of ours.

``python -I -S probe.py rest|live DATA PATH [VERDICT]`` exits with 0 if the file is in order, with 3 and a line about it
if it is not, with another status if it can't tell. PATH is where lmdb is found. A file at rest is first verified page
by page in Python, with LMDB's own list of free pages; then, or where others write to it meanwhile, every value is read
through LMDB in a child of this process, which may crash at that.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import zlib
from pathlib import Path

_FOUND = 3  # not 1, which is what Python exits with when it fails itself
_UNTOLD = 2
_CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE, signal.SIGILL)


def main(mode: str, data: str, path: str, verdict: str | None = None) -> int:
    """Look at the file, and tell."""
    sys.path.append(path)
    problem = _structure(data) if mode == "rest" else None
    if problem is None:
        status = _in_a_child(data, live=mode == "live")
        if not os.WIFEXITED(status):
            if os.WTERMSIG(status) not in _CRASHES:  # somebody ended it
                return _UNTOLD
            problem = f"to read it ends in {signal.Signals(os.WTERMSIG(status)).name}"
        elif os.WEXITSTATUS(status) == _FOUND:
            problem = "LMDB finds pages in it that are none"
        else:
            return os.WEXITSTATUS(status)
    if verdict is not None:
        _leave(verdict, data, problem)
    print(problem)  # noqa: T201 - this is a program
    return _FOUND


def _structure(data: str) -> str | None:
    from lmdb.verify import VerifyError, verify

    try:
        problems: list[str] = verify(data, subdir=False)  # type: ignore[no-untyped-call]
    except VerifyError as error:
        return str(error)
    return problems[0] if problems else None


def _in_a_child(data: str, *, live: bool) -> int:
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    status = _UNTOLD
    try:
        status = _walk(data, live=live)
    finally:
        os._exit(status)


def _walk(data: str, *, live: bool) -> int:
    import lmdb

    try:
        # Under a map size of 0 it takes the one that the file was written with.
        engine = lmdb.open(str(Path(data).parent), map_size=0, readonly=True, lock=live, create=False)
        with engine.begin(buffers=True) as transaction:
            for _, value in transaction.cursor():
                zlib.crc32(value)  # touches every page of it
    except (lmdb.CorruptedError, lmdb.PageNotFoundError, lmdb.InvalidError, lmdb.VersionMismatchError):
        return _FOUND
    except (lmdb.Error, OSError) as error:
        print(error, file=sys.stderr)  # noqa: T201
        return _UNTOLD
    return 0


def _leave(verdict: str, data: str, problem: str) -> None:
    new = Path(f"{verdict}.{os.getpid()}")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump({"inode": Path(data).stat().st_ino, "problem": problem}, file)
    new.rename(verdict)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
