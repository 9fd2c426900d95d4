"""Records in dicts, and all that finds them: the inside of storages that have them in memory.

`written` has the number of each record's last write, in the order of these numbers. They are microseconds since the
epoch, or one more than the last where that is not enough, so that they go on over a restart.

Records that expire stand in a heap under a lower bound of their time: a write that merely puts the time off costs
nothing, and who asks what has expired puts them in where they belong by then.
"""

from __future__ import annotations

import heapq
import time
from collections import Counter
from collections.abc import Iterable
from itertools import islice
from math import inf

from hotsession.lifecycle.record import LIVE, Key, Record
from hotsession.storages.base import Changes


class Tables:
    """The tables; whoever has them guards them with a lock, except that reading one entry of `records` needs none."""

    def __init__(self) -> None:
        self.records: dict[str, Record] = {}  # by id, in the order they were added
        self.keys: dict[tuple[str, Key], str] = {}  # of live records that have a key: id
        self.tokens: dict[tuple[str, bytes], str] = {}  # of live records that have a token: id
        self.counts: Counter[tuple[str, str]] = Counter()  # manager and status -> how many
        self.running: dict[str, None] = {}  # ids of live records that a process works on
        self.claims: dict[tuple[str, Key], tuple[str, float]] = {}  # owner, and until when
        self.written: dict[str, int] = {}
        self.number = 0  # of the last write
        self.forgotten = 0  # number at which records were last deleted
        self._bounds: dict[str, float] = {}
        self._expiring: list[tuple[float, str]] = []

    def __repr__(self) -> str:
        return f"<Tables {len(self.records)} records, last write {self.number}>"

    def put(self, record: Record, before: Record | None) -> None:
        """Write a record in place of the one that had its id."""
        self.records[record.id] = record
        if before is not None:
            self._unlist(before)
        self.counts[record.manager, record.status] += 1
        if record.is_live:
            if record.key is not None:
                self.keys[record.manager, record.key] = record.id
            if record.token_hash is not None:
                self.tokens[record.manager, record.token_hash] = record.id
            if record.worker is not None:
                self.running[record.id] = None
        self.bound(record)

    def put_same(self, record: Record, before: Record) -> bool:
        """Write a record that is found by what the one before was found by; False if it is not: nothing was done."""
        if (
            record.status is not before.status
            or record.token_hash is not before.token_hash
            or record.worker is not before.worker
        ):
            return False
        self.records[record.id] = record  # keys never change
        if record.expires_at is not before.expires_at:
            self.bound(record)
        return True

    def bound(self, record: Record) -> None:
        """Have a record looked at when its time is over."""
        if record.expires_at is not None and record.expires_at < self._bounds.get(record.id, inf):
            self._bounds[record.id] = record.expires_at
            heapq.heappush(self._expiring, (record.expires_at, record.id))

    def note_write(self, id: str) -> None:
        """Give a record the next number."""
        self.number = max(self.number + 1, time.time_ns() // 1000)
        self.written.pop(id, None)
        self.written[id] = self.number

    def note_earlier(self, records: Iterable[Record]) -> None:
        """Number records that were written before this process began, and not in it."""
        earlier = {each.id: int(each.updated_at * 1e6) for each in records if each.id not in self.written}
        self.written = dict(sorted({**earlier, **self.written}.items(), key=lambda item: item[1]))

    def drop(self, record: Record) -> None:
        """Forget a record."""
        del self.records[record.id]
        self._unlist(record)
        self.written.pop(record.id, None)
        self._bounds.pop(record.id, None)

    def note_deletion(self) -> None:
        """Who asks what changed since before now can't be told all of it."""
        self.number = max(self.number + 1, time.time_ns() // 1000)
        self.forgotten = self.number

    def live(self, manager: str) -> int:
        """How many live records a manager has."""
        return sum(self.counts[manager, status] for status in LIVE)

    def expired(self, manager: str, now: float, limit: int) -> list[Record]:
        """Live records of a manager whose time is over, longest overdue first."""
        found: list[Record] = []
        others: list[tuple[float, str]] = []
        while self._expiring and self._expiring[0][0] <= now and len(found) < limit:
            bound, where = heapq.heappop(self._expiring)
            record = self.records.get(where)
            if record is None or not record.is_live or record.expires_at is None or self._bounds.get(where) != bound:
                continue
            if record.expires_at > now:
                del self._bounds[where]
                self.bound(record)
                continue
            others.append((bound, where))  # until somebody writes that it is over
            if record.manager == manager:
                found.append(record)
        for each in others:
            heapq.heappush(self._expiring, each)
        return found

    def changes(self, manager: str, after: int | None, limit: int) -> Changes:
        """What was written to a manager's records after a number."""
        if after is None:
            return Changes([], self.number, complete=True)
        newer: list[tuple[int, Record]] = []
        for where, number in reversed(self.written.items()):
            if number <= after:
                break
            record = self.records.get(where)
            if record is not None and record.manager == manager:
                newer.append((number, record))
        newer.reverse()
        complete = self.forgotten <= after <= self.number
        if len(newer) > limit:
            return Changes(newer[:limit], newer[limit - 1][0], complete)
        return Changes(newer, self.number, complete)

    def claim(self, manager: str, key: Key, owner: str, now: float, until: float) -> bool:
        """Take or keep the right to make the session of a key; False while another has it."""
        holder, ends = self.claims.get((manager, key), (owner, inf))
        if holder != owner and ends > now:
            return False
        self.claims[manager, key] = owner, until
        return True

    def unclaim(self, manager: str, key: Key, owner: str) -> None:
        """Give the right back, if it is still this owner's."""
        if self.claims.get((manager, key), ("", 0.0))[0] == owner:
            del self.claims[manager, key]

    def _unlist(self, record: Record) -> None:
        """Take a record out of what finds it."""
        self.counts[record.manager, record.status] -= 1
        if record.is_live:
            if record.key is not None:
                self.keys.pop((record.manager, record.key), None)
            if record.token_hash is not None:
                self.tokens.pop((record.manager, record.token_hash), None)
            self.running.pop(record.id, None)


def over(records: Iterable[Record], manager: str, before: float, limit: int) -> list[Record]:
    """Those of a manager that were over before a time, at most so many."""
    found = (
        record
        for record in records
        if record.manager == manager and record.completed_at is not None and record.completed_at < before
    )
    return list(islice(found, limit))
