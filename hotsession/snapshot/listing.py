"""What finds records in the snapshot without their payloads: kept right with each write, and read. Knows transactions.

Whoever finds an id through an entry looks at the record itself again: an entry is a hint, the record is the truth.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from math import inf
from struct import Struct

from hotsession.lifecycle.record import Key, Record
from hotsession.snapshot.environment import Transaction
from hotsession.snapshot.headers import (
    INDEXES,
    Header,
    creation,
    entries,
    expiry,
    first_bound,
    header_of,
    moment,
    name,
    of_count,
    of_key,
    of_token,
    order,
    rebound,
)
from hotsession.snapshot.ranges import backward, delete_all, forward

_COUNT = Struct("<q")
_CLAIMS = (b"k", b"h")  # entries of which there is one for all records, be they live: the last claim counts


def header(transaction: Transaction, id: str) -> Header | None:
    """What stands before the payload of a record; None if there is no such record, or a damaged one."""
    value = transaction.get(name(id))
    return None if value is None else header_of(value)


def relist(
    transaction: Transaction, before: Record | None, old_bound: float, after: Record | None, bound: float
) -> None:
    """Change entries and counts from what a record was to what it is; None for not there."""
    old = {} if before is None else entries(before, old_bound)
    new = {} if after is None else entries(after, bound)
    for key, value in old.items():
        if key not in new and (key[:1] not in _CLAIMS or transaction.get(key) == value):
            transaction.delete(key)
    for key, value in new.items():
        if key not in old:
            transaction.put(key, value)
    for record, change in ((before, -1), (after, 1)):
        if record is not None and record.is_live:
            _count(transaction, record.manager, change)


def count(transaction: Transaction, manager: str) -> int:
    """How many live records a manager has."""
    value = transaction.get(of_count(manager))
    return 0 if value is None else int(_COUNT.unpack(value)[0])


def of_live_key(transaction: Transaction, manager: str, key: Key) -> str | None:
    """The id of the live record of a key."""
    record = _claimant(transaction, of_key(b"k", manager, key))
    return record.id if record is not None and record.manager == manager and record.key == key else None


def of_live_token(transaction: Transaction, manager: str, token_hash: bytes) -> str | None:
    """The id of the live record that a token opens."""
    record = _claimant(transaction, of_token(manager, token_hash))
    return record.id if record is not None and record.manager == manager and record.token_hash == token_hash else None


def newest_first(
    transaction: Transaction, manager: str, statuses: Iterable[str], more: Iterable[Record] = ()
) -> Iterator[Record]:
    """The records of a manager in these states, and `more` of them."""
    runs: list[Iterable[tuple[bytes, str]]] = [_run(transaction, order(manager, status)) for status in statuses]
    runs.append(sorted(((creation(record), record.id) for record in more), reverse=True))
    for _, public_id in heapq.merge(*runs, reverse=True):
        found = header(transaction, public_id)
        if found is not None:
            yield found.record


def of_one_key(transaction: Transaction, manager: str, key: Key) -> Iterator[Record]:
    """The records of a key, newest first."""
    for _, public_id in _run(transaction, of_key(b"y", manager, key)):
        found = header(transaction, public_id)
        if found is not None:
            yield found.record


def expiring(transaction: Transaction, now: float) -> Iterator[tuple[bytes, str, Record | None]]:
    """The entries of what may be over at `now`, earliest first: entry, id, and the record if it is still live."""
    last = b"e" + moment(now)
    for entry, value in forward(transaction, b"e"):
        if entry[: len(last)] > last:
            return
        public_id = _text(value)
        found = header(transaction, public_id)
        is_right = found is not None and found.record.is_live and entry == expiry(public_id, found.bound)
        yield entry, public_id, found.record if found is not None and is_right else None


def move(transaction: Transaction, entry: bytes, id: str) -> None:
    """Put a record that was seen again, since its entry was made, under the time when it expires now."""
    value = transaction.get(name(id))
    found = None if value is None else header_of(value)
    if value is None or found is None or entry not in entries(found.record, found.bound):
        transaction.delete(entry)  # it points nowhere
        return
    bound = first_bound(found.record.expires_at)
    relist(transaction, found.record, found.bound, found.record, bound)
    transaction.put(name(id), rebound(bytes(value), bound))


def delete(transaction: Transaction, id: str) -> bool:
    """Delete a record and all that finds it; False if there is none."""
    found = header(transaction, id)
    if found is not None:
        relist(transaction, found.record, found.bound, None, inf)
    return transaction.delete(name(id))


def clear(transaction: Transaction, manager: str, statuses: Iterable[str]) -> int:
    """Delete the records of a manager, and return how many live ones there were."""
    live = count(transaction, manager)
    for status in statuses:
        for _, value in tuple(forward(transaction, order(manager, status))):
            delete(transaction, _text(value))
    return live


def clear_all(transaction: Transaction) -> int:
    """Delete all records, and return how many live ones there were."""
    live = sum(int(_COUNT.unpack(value)[0]) for _, value in forward(transaction, b"c"))
    for kind in INDEXES:
        delete_all(transaction, bytes([kind]))
    return live


def _claimant(transaction: Transaction, entry: bytes) -> Record | None:
    value = transaction.get(entry)
    found = None if value is None else header(transaction, _text(value))
    return found.record if found is not None and found.record.is_live else None


def _count(transaction: Transaction, manager: str, change: int) -> None:
    transaction.put(of_count(manager), _COUNT.pack(count(transaction, manager) + change))


def _run(transaction: Transaction, prefix: bytes) -> Iterator[tuple[bytes, str]]:
    """The ids under a prefix, newest first, with what they are sorted by."""
    for key, value in backward(transaction, prefix):
        yield key[len(prefix) :], _text(value)


def _text(value: bytes | memoryview) -> str:
    return bytes(value).decode("utf-8", "surrogatepass")
