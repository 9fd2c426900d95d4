"""Records and plain bytes in the snapshot, for this worker and for those that come after it.

It knows headers and payloads that are bytes: neither what is in them nor when to write. All of it may be called from
any thread, and from a signal handler; a write is in the snapshot when it returns, whatever becomes of the process (one
from a handler that interrupts a write is done right after that).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from itertools import islice
from math import inf
from pathlib import Path
from typing import TypeAlias
from zlib import crc32

from hotsession.lifecycle.record import NEXT, Key, Record
from hotsession.snapshot import listing, table, workers
from hotsession.snapshot.environment import MAP_SIZE, Environment, Transaction
from hotsession.snapshot.errors import SnapshotDamaged, SnapshotUnusable
from hotsession.snapshot.headers import Bytes, Header, first_bound, header_of, joined, name, parts, unchanged
from hotsession.snapshot.integrity import VERDICT, Use, move_aside, opening, put_right
from hotsession.snapshot.probing import probe_in_background
from hotsession.snapshot.workers import Arrival, OtherFormat, WorkerInfo

logger = logging.getLogger("hotsession")

_FRESH = 1.0  # seconds that the list of other workers is believed
_LOOKED_AT = 1000  # entries that one search for expired records looks at, at least


Items: TypeAlias = list[tuple[bytes, bytes]]  # in the class `list` is a method
Records: TypeAlias = list[Record]


class Store:
    """A snapshot that is open in this process.

    All methods raise `SnapshotUnusable` when the snapshot can't be used, `SnapshotFull` when there is no room for a
    write; a later write may find some. In a forked child everything raises: it is its parent's.

    Args:
        environment: where it is.
        arrival: what `workers.arrive` found.
        use: that it is open, as others see it.
        notes: lines to log.

    Attributes:
        number: this opening's number, one more than any before.
        previous: how the last worker ended, ``tidy`` or ``abrupt``; None if there was none or it is still running.
        python: the Python version that had it before; None if it is new.
        notes: what was found and done at the opening, one sentence each.
    """

    def __init__(self, environment: Environment, arrival: Arrival, use: Use, notes: tuple[str, ...] = ()) -> None:
        self._environment = environment
        self._use = use
        self._worker = arrival.worker
        self.number = arrival.worker.number
        self.previous = arrival.previous
        self.python = arrival.python
        self.notes = notes
        self._others: tuple[WorkerInfo, ...] = ()
        self._others_at = -inf

    def __repr__(self) -> str:
        return f"<Store number={self.number} {self._environment!r}>"

    @property
    def size(self) -> int:
        """Bytes that it takes."""
        return self._environment.size

    def others(self) -> tuple[WorkerInfo, ...]:
        """The other live processes that have it open, as they were at most a second ago."""
        if time.monotonic() - self._others_at > _FRESH:
            self._others = self._environment.seen(lambda transaction: workers.others(transaction, self.number))
            self._others_at = time.monotonic()
        return self._others

    def read(self, id: str) -> tuple[Record, bytes, int] | None:
        """A record without its payload, the payload, and the number of the worker that wrote it; None if there is none.

        What is damaged counts as missing: it stays where it is, and the log names it.
        """

        def found(transaction: Transaction) -> tuple[Header, bytes] | None:
            value = transaction.get(name(id))
            header = None if value is None else header_of(value)
            return None if value is None or header is None else (header, bytes(value[header.start :]))

        result = self._environment.seen(found)
        if result is None:
            return None
        header, payload = result
        if crc32(payload) != header.check:
            logger.warning("session %s is damaged in the snapshot and was left aside", id)
            return None
        return header.record, payload, header.writer

    def header(self, id: str) -> Record | None:
        """A record without its payload, which is not even looked at."""
        found = self._environment.seen(lambda transaction: listing.header(transaction, id))
        return None if found is None else found.record

    def find_key(self, manager: str, key: Key) -> str | None:
        """The id of the live record of a key."""
        return self._environment.seen(lambda transaction: listing.of_live_key(transaction, manager, key))

    def find_token(self, manager: str, token_hash: bytes) -> str | None:
        """The id of the live record that the token with this hash opens."""
        return self._environment.seen(lambda transaction: listing.of_live_token(transaction, manager, token_hash))

    def write(self, record: Record, payload: bytes) -> bool:
        """Write a record, whose own payload does not matter.

        Returns:
            False if a later worker wrote it already; nothing was changed then.
        """
        fixed, loose = parts(record)
        check = crc32(payload)
        return self._environment.changed(
            lambda transaction: self._put(transaction, record, fixed, loose, payload, check), True
        )

    def write_many(self, items: Iterable[tuple[Record, bytes]]) -> int:
        """Write several in one transaction, and return how many no later worker had written."""
        prepared = [(record, *parts(record), payload, crc32(payload)) for record, payload in items]
        return self._environment.changed(
            lambda transaction: sum(self._put(transaction, *item) for item in prepared), len(prepared)
        )

    def list(
        self, manager: str, now: float, *, status: str | None = None, key: Key | None = None, limit: int | None = None
    ) -> Records:
        """The records of a manager, newest first, without their payloads; as `Storage.list` has it."""

        def is_meant(record: Record) -> bool:
            current = "expired" if record.is_expired(now) else record.status
            return record.manager == manager and key in (None, record.key) and status in (None, current)

        def found(transaction: Transaction) -> Records:
            if key is not None:
                records = listing.of_one_key(transaction, manager, key)
            elif status == "expired":
                overdue = (record for _, _, record in listing.expiring(transaction, now) if record and is_meant(record))
                records = listing.newest_first(transaction, manager, [status], overdue)
            else:
                records = listing.newest_first(transaction, manager, NEXT if status is None else [status])
            return list(islice(filter(is_meant, records), limit))

        return self._environment.seen(found)

    def count(self, manager: str) -> int:
        """How many live records a manager has."""
        return self._environment.seen(lambda transaction: listing.count(transaction, manager))

    def expired(self, now: float, limit: int) -> Records:
        """Live records, without payloads, whose time is over at `now`, longest overdue first.

        One call looks at a thousand entries, or at `limit` if that is more: where many were put off since, it takes
        another call to get past them.
        """
        looked_at = self._environment.seen(
            lambda transaction: list(islice(listing.expiring(transaction, now), max(limit, _LOOKED_AT)))
        )
        put_off = [(entry, found) for entry, found, record in looked_at if record is None or not record.is_expired(now)]

        def move(transaction: Transaction) -> None:
            for entry, public_id in put_off:
                listing.move(transaction, entry, public_id)

        if put_off:
            self._environment.changed(move, None)
        return [record for _, _, record in looked_at if record is not None and record.is_expired(now)][:limit]

    def delete(self, ids: Iterable[str]) -> int:
        """Delete records, and return how many there were."""
        doomed = tuple(ids)
        return self._environment.changed(
            lambda transaction: sum(listing.delete(transaction, each) for each in doomed), 0
        )

    def clear(self, manager: str | None = None) -> int:
        """Delete all records, or those of one manager, and return how many live ones there were."""
        if manager is None:
            return self._environment.changed(listing.clear_all, 0)
        return self._environment.changed(lambda transaction: listing.clear(transaction, manager, NEXT), 0)

    def get(self, key: bytes) -> bytes | None:
        """What `put` stored in the table under this key."""
        return self._environment.seen(lambda transaction: table.get(transaction, key))

    def put(self, items: Mapping[bytes, bytes | None]) -> None:
        """Store items in the table, all or none; None deletes."""
        stored = dict(items)
        self._environment.changed(lambda transaction: table.put(transaction, stored), None)

    def items(self, prefix: bytes = b"") -> Items:
        """The items of the table whose keys begin with `prefix`, sorted."""
        return self._environment.seen(lambda transaction: sorted(table.items(transaction, prefix)))

    def told_to_end(self) -> None:
        """Note that this process is about to end: if it never comes to close the snapshot, that is no accident."""
        self._environment.changed(lambda transaction: workers.note(transaction, self._worker, told_to_end=True), None)

    def close(self) -> None:
        """Close it in good order; nothing happens if it is closed, or its parent's."""
        if not self._environment.is_open:
            return
        try:
            if not self._environment.changed(lambda transaction: workers.leave(transaction, self._worker), False):
                self._environment.postponed.append(self.close)
                return
            if self._use.is_lasting:
                self._environment.sync()
        except SnapshotUnusable as error:
            logger.warning("That the snapshot is left in good order can't be noted: %s", error)
        self._environment.close()
        self._use.end()

    def _put(
        self, transaction: Transaction, record: Record, fixed: bytes, loose: bytes, payload: bytes, check: int
    ) -> bool:
        key = name(record.id)
        old = transaction.get(key)
        expires = record.expires_at
        same = None if old is None else unchanged(old, fixed)
        if old is not None and same is not None and same[0] <= self.number and (expires is None or expires >= same[1]):
            writer = self.number
            if old is not None and same[0] < writer and _was_only_seen(old, record, payload, check):
                writer = same[0]  # who is draining may still write what its requests change
            transaction.put(key, joined(fixed, loose, writer, same[1], payload, check))
            return True
        before = None if old is None else header_of(old)  # a damaged one is written over
        if before is not None and before.writer > self.number:
            return False
        bound = first_bound(expires)
        if before is None:
            listing.relist(transaction, None, inf, record, bound)
        else:
            listing.relist(transaction, before.record, before.bound, record, bound)
        transaction.put(key, joined(fixed, loose, self.number, bound, payload, check))
        return True


def _was_only_seen(old: Bytes, record: Record, payload: bytes, check: int) -> bool:
    """Whether a stored value is this very version of a record, which was asked for since and not changed."""
    before = header_of(old)
    if before is None or (before.check, before.record.version) != (check, record.version):
        return False
    return bytes(old[before.start :]) == payload


def open_store(directory: Path, *, server: str | None = None, map_size: int = MAP_SIZE) -> Store:
    """Open the snapshot in a directory that exists and belongs to this user alone; it is made if there is none.

    Args:
        directory: where it is.
        server: for a snapshot that outlasts its dev server, which one this process belongs to: what another one left
            is read through first, unless it was left in good order.
        map_size: bytes of address space to ask for.

    Raises:
        SnapshotUnusable: it can't be opened; the message says why and what to do.
    """
    with opening(directory):
        notes = list(put_right(directory, server))
        try:
            environment, arrival = _arrived(directory, map_size)
        except (SnapshotDamaged, OtherFormat) as error:
            notes.append(move_aside(directory, str(error)))
            environment, arrival = _arrived(directory, map_size)
        store = Store(environment, arrival, Use(directory, server), tuple(notes))
    if arrival.previous == "abrupt":
        probe_in_background(environment.data, directory / VERDICT)
    return store


def _arrived(directory: Path, map_size: int) -> tuple[Environment, Arrival]:
    environment = Environment(directory, map_size=map_size)
    arrivals: list[Arrival] = []
    try:
        environment.changed(lambda transaction: arrivals.append(workers.arrive(transaction)), None)
    except BaseException:
        environment.close()
        raise
    return environment, arrivals[-1]
