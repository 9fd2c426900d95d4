"""Between a ledger and a storage that wants bytes: records with data on one side, with bytes on the other.

Everybody who reads a record gets a copy of its data of his own, made when he first looks at it.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterable
from typing import Any

from hotsession.errors import ConfigurationError
from hotsession.lifecycle.codec import Codec, JSONCodec
from hotsession.lifecycle.record import Deferred, Key, Record
from hotsession.storages.base import Changes, Storage


class Packed(Deferred):
    """Data as it is stored: what it is unpacked from, and what is compared to see whether a copy was changed.

    Args:
        codec: that it was packed with.
        content: the bytes, or what reads them.
    """

    __slots__ = ("_content", "codec")

    def __init__(self, codec: Codec, content: bytes | Deferred) -> None:
        self.codec = codec
        self._content = content

    def __repr__(self) -> str:
        return f"<packed as {self.codec.name}>"

    @property
    def content(self) -> bytes:
        """The bytes."""
        if isinstance(self._content, Deferred):
            self._content = bytes(self._content.load())
        return self._content

    def load(self) -> Any:
        """Unpack a copy."""
        return self.codec.loads(self.content)


class PackingStorage:
    """A storage of bytes as a ledger sees it: payloads and results are `Packed`.

    Args:
        inner: the storage of bytes.
        codec: turns data into bytes and back.
    """

    wants_bytes = False

    def __init__(self, inner: Storage, codec: Codec) -> None:
        self.inner = inner
        self.codec = codec
        self.is_shared = inner.is_shared
        # What has to do with no data is the storage's own.
        self.count = inner.count
        self.remove = inner.remove
        self.claim = inner.claim
        self.unclaim = inner.unclaim
        self.aclose = inner.aclose

    def __repr__(self) -> str:
        return f"<PackingStorage {self.codec!r} {self.inner!r}>"

    def configure(self, codec: Codec | None, types: Iterable[type]) -> None:
        """Have another codec from now on, if one is given, and more classes that a `JSONCodec` knows.

        Raises:
            ConfigurationError: the codec takes no types.
        """
        new = self.codec if codec is None else codec
        for cls in types:
            if not isinstance(new, JSONCodec):
                raise ConfigurationError(f"types= is for a JSONCodec, and {new!r} is another codec")
            new.register(cls)
        self.codec = new

    async def get(self, id: str) -> Record | None:
        """The record with this id, whatever its state."""
        return self._out(await self.inner.get(id))

    async def find(self, manager: str, key: Key) -> Record | None:
        """The live record of this key."""
        return self._out(await self.inner.find(manager, key))

    async def find_token(self, manager: str, token_hash: bytes) -> Record | None:
        """The live record that the token with this hash opens."""
        return self._out(await self.inner.find_token(manager, token_hash))

    async def add(self, record: Record, *, replacing: str | None = None) -> Record | None:
        """Store a new record, unless its key has a live one."""
        return self._out(await self.inner.add(self._in(record), replacing=replacing))

    async def replace(self, record: Record) -> bool:
        """Store `record` over the one with its id, if that is exactly one version behind."""
        return await self.inner.replace(self._in(record))

    async def touch(self, id: str, seen_at: float, expires_at: float | None) -> Record | None:
        """Note that a session was seen."""
        return self._out(await self.inner.touch(id, seen_at, expires_at))

    async def list(
        self, manager: str, now: float, *, status: str | None = None, key: Key | None = None, limit: int | None = None
    ) -> builtins.list[Record]:
        """The records of a manager, newest first."""
        return self._all(await self.inner.list(manager, now, status=status, key=key, limit=limit))

    async def running(self, manager: str) -> builtins.list[Record]:
        """The live records of a manager that a process works on."""
        return self._all(await self.inner.running(manager))

    async def expired(self, manager: str, now: float, limit: int) -> builtins.list[Record]:
        """Live records of a manager whose time is over."""
        return self._all(await self.inner.expired(manager, now, limit))

    async def changes(self, manager: str, after: int | None, limit: int = 100) -> Changes:
        """What was written to a manager's records after a position."""
        found = await self.inner.changes(manager, after, limit)
        return found._replace(records=[(number, self._packed(record)) for number, record in found.records])

    def pack(self, value: Any) -> Packed:
        """A value as it is stored; what is packed stays so.

        Raises:
            DataNotStorable: something in it can't be stored.
        """
        return value if isinstance(value, Packed) else Packed(self.codec, self.codec.dumps(value))

    def _in(self, record: Record) -> Record:
        result = record.result
        content = None if result is None else self.pack(result).content
        return record._replace(payload=self.pack(record.payload).content, result=content)

    def _out(self, record: Record | None) -> Record | None:
        return None if record is None else self._packed(record)

    def _all(self, records: builtins.list[Record]) -> builtins.list[Record]:
        return [self._packed(record) for record in records]

    def _packed(self, record: Record) -> Record:
        result = None if record.result is None else Packed(self.codec, record.result)
        return record._replace(payload=Packed(self.codec, record.payload), result=result)
