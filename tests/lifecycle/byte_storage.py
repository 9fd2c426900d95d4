"""A storage in memory that wants bytes and may be written to by others, as those on a disk are."""

from __future__ import annotations

from hotsession.lifecycle.record import Record
from hotsession.storages.memory import MemoryStorage


class ByteStorage(MemoryStorage):
    """Refuses what is not bytes. Two managers over one are what two processes are over a database."""

    wants_bytes = True
    is_shared = True

    async def add(self, record: Record, *, replacing: str | None = None) -> Record | None:
        """Store a new record of bytes."""
        _check(record)
        return await super().add(record, replacing=replacing)

    async def replace(self, record: Record) -> bool:
        """Store a record of bytes over another."""
        _check(record)
        return await super().replace(record)


def _check(record: Record) -> None:
    assert type(record.payload) is bytes, f"{record.payload!r} is not bytes"
    assert record.result is None or type(record.result) is bytes, f"{record.result!r} is not bytes"
