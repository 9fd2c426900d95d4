"""What the system tells of processes: which are alive, since when, who started them and with what command.

From ``/proc`` where there is one, else from one call of ``ps``. It knows nothing about what the processes are.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_PS = "ps"
_MOST_ANCESTORS = 16
_PS_TIMEOUT = 5.0  # seconds
_LSTART_WORDS = 5  # Sat Nov 21 06:41:30 2026
_ENDED = frozenset("ZXx")  # a zombie has ended, it is only not waited for yet
UNKNOWN = "unknown"  # the start time of a process that exists, and of which the system tells no more


class ProcessesHidden(Exception):
    """The system does not tell what the process above this one is."""


@dataclass(frozen=True, slots=True)
class Process:
    """A process that is alive.

    Args:
        pid: its number.
        parent: that of the process above it; 0 above the first.
        started: when it was started, in a form of the system's: a number that is this process's for ever.
        command: the program and its arguments.
    """

    pid: int
    parent: int
    started: str
    command: tuple[str, ...] = ()


def process_started(pid: int) -> str | None:
    """When a process was started, which tells it from a later one of the same number; None if there is none.

    It is a short string without blanks, made to be compared and to be put into file names.
    """
    if pid <= 0:
        return None
    try:
        found = _from_proc(pid) if _has_proc() else _from_ps(pid).get(pid)
    except ProcessesHidden:
        found = None
    if found is not None:
        return found.started
    return UNKNOWN if _is_hidden(pid) else None


def ancestors() -> Iterator[Process]:
    """The processes above this one, nearest first, as far as the system tells.

    Raises:
        ProcessesHidden: it does not even tell what the nearest is.
    """
    known = None if _has_proc() else _from_ps()
    pid = nearest = parent_pid()
    for _ in range(_MOST_ANCESTORS):
        if not pid:  # above process 1, which in a container may be the reloader itself
            return
        process = _from_proc(pid) if known is None else known.get(pid)
        if process is None:
            if pid == nearest and pid != 1 and _is_hidden(pid):  # nobody's reloader is the init process of a machine
                raise ProcessesHidden(f"the system does not show process {pid}, which started this one")
            return
        yield process
        pid = process.parent


def parent_pid() -> int:
    """The number of the process that started this one; 0 if none is to be seen."""
    started_by = multiprocessing_parent()
    return os.getppid() if started_by is None else started_by


def multiprocessing_parent() -> int | None:
    """The process whose `multiprocessing` started this one, or None if it was started in another way."""
    module = sys.modules.get("multiprocessing.process")  # there for sure if that is how this process was started
    parent = None if module is None else module.parent_process()
    return None if parent is None else int(parent.pid)


def process_environ(pid: int) -> frozenset[str] | None:
    """The names of the variables that a process was started with; None if the system does not tell."""
    try:
        variables = (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return None
    return frozenset(os.fsdecode(each.partition(b"=")[0]) for each in variables if each)


def boot() -> str:
    """What tells this run of the machine from the others and from other machines; empty if the system does not tell."""
    try:
        return (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def pid_namespace() -> str:
    """The number of the namespace in which process numbers count here: containers have their own; ``0`` without any."""
    try:
        return str((_PROC / "self/ns/pid").stat().st_ino)
    except OSError:
        return "0"


def _has_proc() -> bool:
    return (_PROC / "self/stat").exists()


def _from_proc(pid: int) -> Process | None:
    try:
        status = (_PROC / str(pid) / "stat").read_text(errors="replace")
        command = (_PROC / str(pid) / "cmdline").read_bytes()
    except OSError:
        return None
    state, parent, *more = status.rpartition(")")[2].split()  # the name before it may hold anything
    if state in _ENDED:
        return None
    words = tuple(os.fsdecode(word) for word in command.split(b"\0") if word)
    return Process(pid, int(parent), more[17], words)  # field 22 of proc_pid_stat(5)


def _from_ps(pid: int | None = None) -> dict[int, Process]:
    which = ["-A"] if pid is None else ["-p", str(pid)]
    try:
        done = subprocess.run(  # noqa: S603 - our own words
            [_PS, "-ww", *which, "-o", "pid=,ppid=,stat=,lstart=,command="],
            capture_output=True,
            text=True,
            errors="replace",
            env={**os.environ, "LC_ALL": "C", "TZ": "UTC"},  # the same words whoever asks
            timeout=_PS_TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ProcessesHidden(f"there is no /proc here, and ps fails ({error})") from error
    if done.stderr:
        raise ProcessesHidden(f"there is no /proc here, and ps fails ({done.stderr.strip()})")
    return {each.pid: each for each in map(_from_line, done.stdout.splitlines()) if each is not None}


def _from_line(line: str) -> Process | None:
    pid, parent, state, *more = line.split()
    if state[0] in _ENDED:
        return None
    started = "".join(more[:_LSTART_WORDS]).replace(":", "")
    return Process(int(pid), int(parent), started, tuple(more[_LSTART_WORDS:]))


def _is_hidden(pid: int) -> bool:
    """Whether a process exists of which the system told nothing."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        pass  # somebody else's
    except (OSError, OverflowError):
        return False
    if _has_proc():
        return not (_PROC / str(pid)).exists()  # one that is there and was not told of has ended
    try:
        _from_ps(pid)
    except ProcessesHidden:
        return True
    return False
