"""What the manager expects of a storage. Knows records, not managers."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from hotsession.lifecycle.record import Key, Record


@runtime_checkable
class Storage(Protocol):
    """Where records are kept. Any object with these methods is a storage; this docstring is the contract.

    * Everything may be called from any task, thread and event loop, on asyncio and on trio, and several managers may
      share one storage: `Record.manager` keeps their sessions and keys apart.
    * **One live record per key.** Among the live records (status active or paused) of a manager no two have the same
      key, whatever is called concurrently, also by other processes where the storage has several. `add` is the claim:
      it decides in one step with the write. Records whose key is None are not bound by this.
    * A storage has no clock and judges nothing: a record stays as it was written until it is replaced, however long it
      has expired. The manager brings the time and the rules.
    * What is missing is None, False or an empty list, never an error. Errors are for a storage that can't do its work:
      `StorageUnavailable` if trying again may help, `StorageError` otherwise; the record is then as it was before.
    * When a writing method returns, the write is as lasting as this storage promises at all.
    * `wants_bytes` says what payloads are. False: live objects, and the object that was given is the one that comes
      back, so all who hold the session share it. True: bytes, and every reader gets his own copy.
    """

    wants_bytes: bool

    async def get(self, id: str) -> Record | None:
        """The record with this id, whatever its state."""
        ...

    async def find(self, manager: str, key: Key) -> Record | None:
        """The live record of this key."""
        ...

    async def find_token(self, manager: str, token_hash: bytes) -> Record | None:
        """The live record that the token with this hash opens."""
        ...

    async def add(self, record: Record, *, replacing: str | None = None) -> Record | None:
        """Store a new record, unless its key has a live one.

        Args:
            record: the record; its id is new.
            replacing: id of the live record that this one takes the place of: it becomes ``ended`` with the reason
                ``replaced`` in the same step, updated when `record` was created.

        Returns:
            None if `record` is stored; else the live record that has the key, and nothing was changed.
        """
        ...

    async def replace(self, record: Record) -> bool:
        """Store `record` over the one with its id, if that is exactly one version behind.

        Returns:
            False if there is none or it is at another version; nothing was changed then.
        """
        ...

    async def touch(self, id: str, seen_at: float, expires_at: float | None) -> Record | None:
        """Note that a session was seen, without a new version: it changes nothing that a writer could overwrite.

        Returns:
            The record as it is now; None if there is none.
        """
        ...

    async def count(self, manager: str) -> int:
        """How many live records a manager has, those included whose time is over without anybody having noticed.

        It is asked for often: keep a count, or an index that gives one.
        """
        ...

    async def list(
        self, manager: str, now: float, *, status: str | None = None, key: Key | None = None, limit: int | None = None
    ) -> list[Record]:
        """The records of a manager, newest first.

        Args:
            manager: its name.
            now: a live record that expires by then counts as ``expired``, and is still returned as it was written.
            status: only those in this state.
            key: only those of this key.
            limit: at most so many.
        """
        ...
