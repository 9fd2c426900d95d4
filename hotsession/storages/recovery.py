"""What a job is, judged by its state file and by what it left on disk. Pure: it reads no file and no clock."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

from hotsession.errors import ConfigurationError
from hotsession.lifecycle.record import Key, Record, moved

REASON_COMPLETE = "its result is on disk"
REASON_BEGUN = "its work had begun"
REASON_STUCK = "stuck: nothing was heard of it for too long"
REASON_LOST = "its state can't be read, and no result is on disk"


class Artefacts:
    """What the files in a job's directory say about the job.

    Args:
        complete: names of the files that are all there when the job is done; a job that has them is completed, whatever
            its state file says.
        begun: name of the file that is there when the work has begun, or several of which one is enough.
        stuck_after: seconds after which a job that is in progress counts as failed; None for never.

    Raises:
        ConfigurationError: a name does not stay in the job's directory, or there is none.

    Example::

        Artefacts(complete=["final.png", "meta.json"], begun="draft.png", stuck_after=30 * 60)
    """

    __slots__ = ("begun", "complete", "stuck_after")

    def __init__(
        self, complete: str | Sequence[str], begun: str | Sequence[str] = (), stuck_after: float | None = None
    ) -> None:
        self.complete = _names("complete", complete)
        self.begun = _names("begun", begun)
        self.stuck_after = stuck_after
        if not self.complete:
            raise ConfigurationError("Artefacts(complete=...) names no file: say which ones a completed job has")
        if stuck_after is not None and not stuck_after > 0:
            raise ConfigurationError(
                f"Artefacts(stuck_after={stuck_after!r}) is no time: give seconds above 0, or None"
            )

    def __repr__(self) -> str:
        return f"Artefacts(complete={self.complete}, begun={self.begun}, stuck_after={self.stuck_after})"


class Found(NamedTuple):
    """What there is of a job's artefacts.

    Args:
        is_complete: whether all are there that a completed job has.
        first: when the oldest of them was last written, in seconds since the epoch; None if there are none.
        last: when the newest was.
    """

    is_complete: bool = False
    first: float | None = None
    last: float | None = None


class Verdict(NamedTuple):
    """What a job comes to.

    Args:
        status: the state it is in.
        reason: why.
        since: since when.
    """

    status: str
    reason: str
    since: float


def found(artefacts: Artefacts, times: dict[str, float]) -> Found:
    """What there is of a job's artefacts, given when each file that is there was last written."""
    there = [times[name] for name in (*artefacts.complete, *artefacts.begun) if name in times]
    if not there:
        return Found()
    return Found(all(name in times for name in artefacts.complete), min(there), max(there))


def is_doubtful(record: Record, artefacts: Artefacts | None) -> bool:
    """Whether artefacts could tell something else than a state that can be read."""
    if artefacts is None:
        return False
    return record.is_live or record.status == "interrupted" or _was_stuck(record)


def judged(
    record: Record, seen: Found, artefacts: Artefacts | None, now: float, *, is_worked_on: bool
) -> Verdict | None:
    """What a job with a state that can be read comes to; None if it is what its state says.

    Args:
        record: its state.
        seen: its artefacts.
        artefacts: what they mean; None if the app did not say.
        now: the time.
        is_worked_on: whether a process that is alive works on it: then nobody else judges.
    """
    if artefacts is None or is_worked_on or not is_doubtful(record, artefacts):
        return None
    if seen.is_complete and seen.last is not None:
        return Verdict("completed", REASON_COMPLETE, seen.last)
    if record.status == "active" and _is_stuck(record.updated_at, artefacts, now):
        return Verdict("failed", REASON_STUCK, now)
    return None


def judged_without_state(seen: Found, artefacts: Artefacts | None, now: float, *, is_corrupt: bool) -> Verdict | None:
    """What a job without a state that can be read comes to; None if it is no job.

    Args:
        seen: its artefacts.
        artefacts: what they mean; None if the app did not say.
        now: the time.
        is_corrupt: whether there is a state, if only one that can't be read.
    """
    if artefacts is not None and seen.last is not None:
        if seen.is_complete:
            return Verdict("completed", REASON_COMPLETE, seen.last)
        if _is_stuck(seen.last, artefacts, now):
            return Verdict("failed", REASON_STUCK, now)
        return Verdict("active", REASON_BEGUN, seen.last)
    return Verdict("failed", REASON_LOST, now) if is_corrupt else None


def repaired(record: Record, verdict: Verdict) -> Record:
    """The next version of a record, in the state that it came to."""
    made = moved(record, verdict.status, verdict.since, verdict.reason)
    return made._replace(recovered=True, worker=None)


def rebuilt(
    id: str,
    manager: str,
    key: Key | None,
    payload: bytes,
    seen: Found,
    artefacts: Artefacts | None,
    verdict: Verdict,
) -> Record:
    """The record of a job whose state could not be read.

    One that is in progress ends by its expiry if nobody looks at its artefacts again.
    """
    begun = verdict.since if seen.first is None else seen.first
    is_live = verdict.status == "active"
    limit = None if artefacts is None else artefacts.stuck_after
    return Record(
        id=id,
        manager=manager,
        key=key,
        status=verdict.status,
        reason=verdict.reason,
        version=1,
        created_at=begun,
        updated_at=verdict.since,
        last_seen_at=verdict.since,
        expires_at=verdict.since + limit if is_live and limit is not None else None,
        token_hash=None,
        token_expires_at=None,
        payload=payload,
        completed_at=None if is_live else verdict.since,
        recovered=True,
    )


def superseded(entries: Iterable[tuple[Record, int, str | None]]) -> dict[str, str]:
    """Which live records of a directory are not live any more, because of a later one.

    A crash between the two writes of a replacement leaves both alive; so does a directory that somebody copied.

    Args:
        entries: each record, the number of its last write, and the id of the one whose place it took.

    Returns:
        The id of each, with the id of the one that supersedes it.
    """
    live = {record.id: (record, number) for record, number, _ in entries if record.is_live}
    gone: dict[str, str] = {}
    for record, _, replaces in entries:
        if replaces in live and replaces != record.id:
            gone[replaces] = record.id
    latest: dict[tuple[str, Key], tuple[int, str]] = {}
    for record, number in live.values():
        if record.key is None or record.id in gone:
            continue
        where = record.manager, record.key
        other = latest.setdefault(where, (number, record.id))
        if other[1] == record.id:
            continue
        older, newer = sorted((other, (number, record.id)))
        gone[older[1]] = newer[1]
        latest[where] = newer
    return gone


def _is_stuck(since: float, artefacts: Artefacts, now: float) -> bool:
    return artefacts.stuck_after is not None and now - since > artefacts.stuck_after


def _was_stuck(record: Record) -> bool:
    return record.status == "failed" and record.reason == REASON_STUCK


def _names(argument: str, names: str | Sequence[str]) -> tuple[str, ...]:
    checked = (names,) if isinstance(names, str) else tuple(names)
    for name in checked:
        path = PurePosixPath(name)
        if not name or path.is_absolute() or ".." in path.parts or "\0" in name:
            raise ConfigurationError(
                f"Artefacts({argument}=...): {name!r} is no file in the job's directory: give a name, or a path in it"
            )
    return checked
