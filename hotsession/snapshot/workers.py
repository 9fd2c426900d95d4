"""Which workers have the snapshot open, and how the last one ended. Knows transactions and processes, no records.

Its keys: ``m number`` the highest number given, ``m about`` what the snapshot is, ``w NUMBER`` one for each worker that
has not closed it: process, start time, and whether it was told to end.
"""

from __future__ import annotations

import json
import os
import struct
import sys
from dataclasses import dataclass
from typing import Any

from hotsession.snapshot.environment import Transaction
from hotsession.snapshot.errors import SnapshotDamaged, SnapshotUnusable
from hotsession.snapshot.ranges import forward
from hotsession.surroundings.processes import process_started

FORMAT = 1
_ABOUT = b"mabout"
_NUMBER = b"mnumber"
_KEY = struct.Struct(">cI")


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """A process that has the snapshot open.

    Args:
        number: of its opening.
        pid: its process.
        started: when that was started, as `process_started` gives it.
    """

    number: int
    pid: int
    started: str


class OtherFormat(SnapshotUnusable):
    """Another version of hotsession wrote the snapshot, in another way."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """What a worker finds when it opens the snapshot.

    Args:
        worker: what it is itself.
        previous: how the last one ended: ``tidy`` or ``abrupt``; None if there was none or it is still running.
        python: the Python version that had the snapshot before, if any had.
    """

    worker: WorkerInfo
    previous: str | None
    python: tuple[int, int] | None


def arrive(transaction: Transaction) -> Arrival:
    """Take the next number, and forget the workers that are dead.

    Raises:
        OtherFormat: it is not for us to read.
        SnapshotDamaged: what stands there is no such thing.
    """
    try:
        python = _about(transaction)
        number = 1 + int(bytes(transaction.get(_NUMBER) or b"0"))
        known = _workers(transaction)
    except (ValueError, KeyError, TypeError, struct.error) as error:
        raise SnapshotDamaged(f"it is damaged: what it says about itself can't be read ({error})") from error
    dead = [worker for worker, _ in known if not is_alive(worker)]
    abrupt = any(not told for worker, told in known if worker in dead)
    for worker in dead:
        leave(transaction, worker)
    me = WorkerInfo(number, os.getpid(), process_started(os.getpid()) or "")
    transaction.put(_NUMBER, b"%d" % number)
    transaction.put(_ABOUT, json.dumps({"format": FORMAT, "python": sys.version_info[:2]}).encode())
    note(transaction, me, told_to_end=False)
    previous = "abrupt" if abrupt else None if number == 1 or len(known) > len(dead) else "tidy"
    return Arrival(me, previous, python)


def note(transaction: Transaction, worker: WorkerInfo, *, told_to_end: bool) -> None:
    """Write down that a worker has the snapshot open."""
    fields = {"pid": worker.pid, "started": worker.started, "told_to_end": told_to_end}
    transaction.put(_KEY.pack(b"w", worker.number), json.dumps(fields).encode())


def leave(transaction: Transaction, worker: WorkerInfo) -> bool:
    """Write down that it has closed it."""
    transaction.delete(_KEY.pack(b"w", worker.number))
    return True


def others(transaction: Transaction, number: int) -> tuple[WorkerInfo, ...]:
    """The live workers that have it open, but for the one with this number."""
    return tuple(worker for worker, _ in _workers(transaction) if worker.number != number and is_alive(worker))


def is_alive(worker: WorkerInfo) -> bool:
    """Whether the very process is still there."""
    return process_started(worker.pid) == worker.started


def _workers(transaction: Transaction) -> list[tuple[WorkerInfo, bool]]:
    found = []
    for key, value in forward(transaction, b"w"):
        fields = json.loads(value)
        worker = WorkerInfo(_KEY.unpack(key)[1], fields["pid"], fields["started"])
        found.append((worker, fields["told_to_end"]))
    return found


def _about(transaction: Transaction) -> tuple[int, int] | None:
    about = transaction.get(_ABOUT)
    if about is None:
        return None
    fields: dict[str, Any] = json.loads(bytes(about))
    if fields["format"] != FORMAT:
        raise OtherFormat(f"it is of format {fields['format']} and this version of hotsession reads format {FORMAT}")
    major, minor = fields["python"]
    return major, minor
