"""A plain table of bytes in the snapshot, for what is no session. Knows transactions.

Each value begins with its own key, because LMDB's keys are short: a long key stands in the tree by its beginning and
a hash.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import blake2b
from struct import Struct

from hotsession.snapshot.environment import Transaction
from hotsession.snapshot.ranges import forward

_LENGTH = Struct("<I")
_LONGEST = 400


def get(transaction: Transaction, key: bytes) -> bytes | None:
    """What stands under a key."""
    value = transaction.get(_stored(key))
    return None if value is None else bytes(value[_LENGTH.size + len(key) :])


def put(transaction: Transaction, items: Mapping[bytes, bytes | None]) -> None:
    """Store items; None deletes."""
    for key, value in items.items():
        if value is None:
            transaction.delete(_stored(key))
        else:
            transaction.put(_stored(key), b"".join((_LENGTH.pack(len(key)), key, value)))


def items(transaction: Transaction, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The items whose keys begin with `prefix`."""
    for _, value in forward(transaction, b"t" + prefix[:_LONGEST]):
        end = _LENGTH.size + _LENGTH.unpack_from(value)[0]
        key = value[_LENGTH.size : end]
        if key.startswith(prefix):
            yield key, value[end:]


def _stored(key: bytes) -> bytes:
    if len(key) <= _LONGEST:
        return b"t" + key
    return b"t" + key[:_LONGEST] + blake2b(key, digest_size=32).digest()
