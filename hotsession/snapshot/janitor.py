"""Removes the place of a dev server when that ends, so that nothing is left in shared memory.

A worker that ends in good order can't know whether its reloader ends too or starts the next one. So it leaves a small
process behind that waits for the reloader's end, without polling where the system allows that. That process runs this
file by itself, without hotsession; so nothing of it, and nothing large, is imported at the top.
"""

from __future__ import annotations

import fcntl
import os
import select
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from hotsession.surroundings.reloaders import DevServer

OWNER = "owner.json"  # whose the place is, for people; locked by the process that waits, so that there is one
REMOVED = ".removed-"  # what the name of a place begins with while it is being removed
_PAUSE = 5.0  # seconds between looks, where one has to look
_NEEDED = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FRAMEWORK_PATH")  # what an interpreter may not start without


def remove_when_ended(server: DevServer, directory: Path) -> None:
    """See to it that the place of a dev server is removed when that ends; at once, if it has.

    To be called when this process ends in good order, never for a place that is to last.
    """
    import logging

    from hotsession.surroundings.processes import process_started
    from hotsession.surroundings.reloaders import RUN

    descriptor = _descriptor(server.pid)
    try:
        if process_started(server.pid) != server.started:
            remove(directory)
        elif server.kind != RUN:  # our own parent does it itself
            _leave_behind(server.pid, descriptor, directory)
    except OSError as error:  # the next dev server removes it
        logging.getLogger("hotsession").debug("Nobody waits to remove %s: %s", directory, error)
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def remove(directory: str | Path) -> None:
    """Remove a place, as far as that can be done, and the directory that it is in when no other is left in there."""
    import contextlib
    import shutil
    from pathlib import Path

    place = Path(directory)
    away = place.with_name(f"{REMOVED}{os.getpid()}-{place.name.removeprefix(REMOVED)}")
    with contextlib.suppress(OSError):  # it is not there, or somebody else removes it
        place.rename(away)  # at one blow: nobody finds half of it
        shutil.rmtree(away, ignore_errors=True)
    with contextlib.suppress(OSError):  # others are in there
        place.parent.rmdir()


def _leave_behind(pid: int, descriptor: int, directory: Path) -> None:
    """Start the process that waits, unless there is one."""
    import subprocess

    lock = os.open(directory / OWNER, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        process = subprocess.Popen(  # noqa: S603 - this file
            [sys.executable, "-I", "-S", __file__, str(pid), str(descriptor), str(directory)],
            env={name: os.environ[name] for name in _NEEDED if name in os.environ},
            pass_fds=[lock, *([descriptor] if descriptor >= 0 else [])],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,  # what is meant for the group of the dev server does not reach it
        )
        process.returncode = 0  # it outlives this process, which does not wait for it
    except BlockingIOError:
        pass
    finally:
        os.close(lock)


def _descriptor(pid: int) -> int:
    """A file descriptor that becomes readable when a process ends, or -1."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):  # not Linux, an old one, or it has ended
        return -1


def _wait(pid: int, descriptor: int) -> None:
    if descriptor >= 0:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        poll.poll()
        return
    while True:
        try:
            os.kill(pid, 0)
        except PermissionError:
            pass
        except OSError:
            return
        time.sleep(_PAUSE)


if __name__ == "__main__":
    _wait(int(sys.argv[1]), int(sys.argv[2]))
    remove(sys.argv[3])
