"""How a record lies in the snapshot: its header as bytes, and the entries it is found by. Pure; it knows no store.

A stored value is a prefix, the header in two parts, and the payload::

    crc of header | crc of payload | writer | length of fixed | length of loose | bound | fixed | loose | payload

* `fixed` holds what entries are made of. It is compared as bytes: if it is as it was, a write touches no entry.
* `bound` is the time under which the record stands among those that expire, a lower bound of `expires_at`: a write that
  puts the expiry off leaves it alone.
* Both parts are marshalled: 0.4 microseconds for the two, as fast as packing structs and safe for any string. Version 2
  has no references, so that equal values have equal bytes. Marshal must not meet noise, hence the first checksum; the
  second (0.65 microseconds for 2.4 KB) keeps noise from the unpickler.

Every kind of key in the store has its first byte::

    r  record: id -> value             o  order: manager, status, creation, id -> id
    k  live key: manager, key -> id    y  sessions of a key: manager, key, creation, id -> id
    h  live token: manager, hash -> id e  expiry: bound, id -> id
    c  count of live ones: manager     t  the plain table
    m  about the snapshot itself       w  workers
"""

from __future__ import annotations

import marshal
from functools import lru_cache
from hashlib import blake2b
from math import inf, isnan
from struct import Struct
from typing import NamedTuple
from zlib import crc32

from hotsession.lifecycle.record import Key, Record

Bytes = bytes | memoryview

_MARSHAL = 2
_CHECKS = Struct("<II")  # of the header, of the payload
_SIZES = Struct("<IIId")  # writer, length of fixed, length of loose, bound
_PREFIX = Struct("<IIIIId")
START = _PREFIX.size
_LONGEST = 200  # bytes of an id that stand in keys as they are; LMDB allows 511 for a whole key

INDEXES = b"rokyhec"  # the kinds of keys that records bring


class Header(NamedTuple):
    """What stands before a payload.

    Args:
        record: the record, without its payload.
        writer: number of the worker that wrote it.
        bound: where it stands among those that expire.
        start: where the payload begins in the value.
        check: checksum of the payload.
    """

    record: Record
    writer: int
    bound: float
    start: int
    check: int


def parts(record: Record) -> tuple[bytes, bytes]:
    """The header of a record: what entries are made of, and the rest."""
    # With `*more` in place of the two slices it takes a third more.
    public_id, manager, key, status, reason, version, created, updated, seen, expires, token, until = record[:12]
    try:
        return (
            marshal.dumps((public_id, manager, key, status, created, token), _MARSHAL),
            marshal.dumps((reason, version, updated, seen, expires, until, *record[14:]), _MARSHAL),
        )
    except ValueError:  # a subclass of str or float, as numpy and enums bring them
        return parts(_plain(record))


def joined(fixed: bytes, loose: bytes, writer: int, bound: float, payload: Bytes, check: int) -> bytes:
    """The value of a record."""
    head = _SIZES.pack(writer, len(fixed), len(loose), bound) + fixed + loose
    return b"".join((_CHECKS.pack(crc32(head), check), head, payload))


def unchanged(value: Bytes, fixed: bytes) -> tuple[int, float] | None:
    """The writer and the bound of a stored value, if it has this very fixed part: its entries stay as they are then."""
    if len(value) < START:
        return None
    _, _, writer, length, _, bound = _PREFIX.unpack_from(value)
    if length != len(fixed) or bytes(value[START : START + length]) != fixed:  # views are compared byte by byte
        return None
    return writer, bound


def rebound(value: bytes, bound: float) -> bytes:
    """A stored value, which is in order, under another bound."""
    _, check, writer, fixed, loose, _ = _PREFIX.unpack_from(value)
    middle = START + fixed
    return joined(value[START:middle], value[middle : middle + loose], writer, bound, value[middle + loose :], check)


def header_of(value: Bytes) -> Header | None:
    """The header of a stored value; None if it is damaged."""
    if len(value) < START:
        return None
    check_head, check, writer, fixed, loose, bound = _PREFIX.unpack_from(value)
    middle = START + fixed
    start = middle + loose
    if start > len(value) or crc32(value[_CHECKS.size : start]) != check_head:
        return None
    public_id, manager, key, status, created, token = marshal.loads(value[START:middle])
    reason, version, updated, seen, expires, token_expires, *more = marshal.loads(value[middle:start])
    record = Record(
        *(public_id, manager, key, status, reason, version, created, updated, seen, expires, token, token_expires),
        *(None, None, *more),
    )
    return Header(record, writer, bound, start, check)


def name(id: str) -> bytes:
    """The key of a record."""
    return b"r" + _short(id)


def entries(record: Record, bound: float) -> dict[bytes, bytes]:
    """Everything that a record is found by, apart from its id."""
    public_id, manager, key, status, token = *record[:4], record.token_hash
    where = creation(record)
    value = public_id.encode("utf-8", "surrogatepass")
    found = {order(manager, status) + where: value}
    if key is not None:
        found[of_key(b"y", manager, key) + where] = value
    if record.is_live:
        if key is not None:
            found[of_key(b"k", manager, key)] = value
        if token is not None:
            found[of_token(manager, token)] = value
        if bound < inf:
            found[expiry(public_id, bound)] = value
    return found


def expiry(id: str, bound: float) -> bytes:
    """The entry of a record among those that expire."""
    return b"e" + moment(bound) + _short(id)


def creation(record: Record) -> bytes:
    """What records are sorted by: when they were made, then their ids."""
    return moment(record.created_at) + _short(record.id)


def first_bound(expires_at: float | None) -> float:
    """Where a record stands among those that expire when it is put there anew."""
    return inf if expires_at is None or isnan(expires_at) else expires_at


def order(manager: str, status: str) -> bytes:
    """What the keys of a manager's records in one state begin with; creation and id follow."""
    return b"o" + of_manager(manager) + status.encode() + b"\0"


def of_key(kind: bytes, manager: str, key: Key) -> bytes:
    """The key of the live record of a session's key (`k`), or what those of all its records begin with (`y`)."""
    return kind + of_manager(manager) + blake2b(marshal.dumps(_plain_key(key), _MARSHAL), digest_size=16).digest()


def of_token(manager: str, token_hash: bytes) -> bytes:
    """The key of the live record that a token opens."""
    hashed = token_hash if len(token_hash) <= _LONGEST else blake2b(token_hash).digest()
    return b"h" + of_manager(manager) + hashed


def of_count(manager: str) -> bytes:
    """The key of a manager's count of live records."""
    return b"c" + of_manager(manager)


@lru_cache(256)
def of_manager(manager: str) -> bytes:
    """Eight bytes in place of a manager's name."""
    return blake2b(manager.encode("utf-8", "surrogatepass"), digest_size=8).digest()


def moment(time: float) -> bytes:
    """Eight bytes that sort as the times do."""
    (bits,) = _BITS.unpack(_TIME.pack(time))
    return _BITS.pack(bits ^ (0xFFFFFFFFFFFFFFFF if bits >> 63 else 1 << 63))


_TIME = Struct(">d")
_BITS = Struct(">Q")


def _short(id: str) -> bytes:
    """An id as it stands in keys: itself, or a hash that no UTF-8 can be taken for."""
    plain = id.encode("utf-8", "surrogatepass")
    return plain if len(plain) <= _LONGEST else b"\xff" + blake2b(plain, digest_size=32).digest()


def _plain(record: Record) -> Record:
    """The record with fields of the built-in types."""
    public_id, manager, key, status, reason, version, *times = record[:10]
    token, token_expires, _, _, completed, attempt, worker, recovered = record[10:]
    created, updated, seen, expires = (None if time is None else float(time) for time in times)
    return Record(
        str(public_id),
        str(manager),
        None if key is None else _plain_key(key),
        str(status),
        None if reason is None else str(reason),
        int(version),
        created or 0.0,
        updated or 0.0,
        seen or 0.0,
        expires,
        None if token is None else bytes(token),
        None if token_expires is None else float(token_expires),
        None,
        None,
        None if completed is None else float(completed),
        int(attempt),
        None if worker is None else str(worker),
        bool(recovered),
    )


def _plain_key(key: Key) -> Key:
    if isinstance(key, tuple):
        return tuple(str.__str__(part) for part in key)
    return str.__str__(key)
