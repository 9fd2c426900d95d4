"""Runs of neighbouring keys in a transaction. Knows bytes only."""

from __future__ import annotations

from collections.abc import Iterator

from hotsession.snapshot.environment import Transaction


def forward(transaction: Transaction, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The items whose keys begin with `prefix`, in order; nothing may be written meanwhile."""
    cursor = transaction.cursor()
    if cursor.set_range(prefix):
        for key, value in cursor:
            key = bytes(key)
            if not key.startswith(prefix):
                return
            yield key, bytes(value)


def backward(transaction: Transaction, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The same, last first."""
    cursor = transaction.cursor()
    if cursor.prev() if cursor.set_range(_after(prefix)) else cursor.last():
        for key, value in cursor.iterprev():
            key = bytes(key)
            if not key.startswith(prefix):
                return
            yield key, bytes(value)


def delete_all(transaction: Transaction, prefix: bytes) -> None:
    """Delete all whose keys begin with `prefix`."""
    cursor = transaction.cursor()
    found = cursor.set_range(prefix)
    while found and bytes(cursor.key()).startswith(prefix):
        found = cursor.delete() and bool(cursor.key())


def _after(prefix: bytes) -> bytes:
    """The first key behind all that begin with `prefix`, which does not consist of 255s alone."""
    kept = prefix.rstrip(b"\xff")
    return kept[:-1] + bytes([kept[-1] + 1])
