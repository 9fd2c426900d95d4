"""What the manager expects of a storage. Knows records, not managers."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import NamedTuple, Protocol, runtime_checkable

from hotsession.lifecycle.record import Key, Record


class Changes(NamedTuple):
    """What was written after a position.

    Args:
        records: each changed record once, as it is now, behind the number of its last write; in the order of these.
        position: up to where this tells; what to ask for next.
        complete: False when records were deleted since the position that was asked for, or it is not of this storage:
            then only a list tells what there is.
    """

    records: list[tuple[int, Record]]
    position: int
    complete: bool


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
    * `wants_bytes` says what payloads and results are. False: live objects, and the object that was given is the one
      that comes back, so all who hold the session share it. True: bytes, and every reader gets his own copy.
    * `is_shared` says whether other processes may write to it as well.
    * Every write gives its record the next number of this storage, by which `changes` tells what happened. Numbers go
      on over a restart where the storage does.
    """

    wants_bytes: bool
    is_shared: bool

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

        Raises:
            SessionConflict: it would be live again, and another has its key; nothing was changed.
        """
        ...

    async def touch(self, id: str, seen_at: float, expires_at: float | None) -> Record | None:
        """Note that a session was seen, without a new version: it changes nothing that a writer could overwrite.

        Returns:
            The record as it is now; None if there is none.
        """
        ...

    async def count(self, manager: str, status: str | None = None) -> int:
        """How many records a manager has in a state; the live ones when None is given.

        Those count as live whose time is over without anybody having noticed. It is asked for often: keep a count.
        """
        ...

    async def list(
        self, manager: str, now: float, *, status: str | None = None, key: Key | None = None, limit: int | None = None
    ) -> builtins.list[Record]:
        """The records of a manager, newest first.

        Args:
            manager: its name.
            now: a live record that expires by then counts as ``expired``, and is still returned as it was written.
            status: only those in this state.
            key: only those of this key.
            limit: at most so many.
        """
        ...

    async def running(self, manager: str) -> builtins.list[Record]:
        """The live records of a manager that a process works on: whose `worker` is not None."""
        ...

    async def expired(self, manager: str, now: float, limit: int) -> builtins.list[Record]:
        """Live records of a manager whose time is over at `now`, longest overdue first; payloads may be `Deferred`."""
        ...

    async def remove(self, manager: str, before: float, limit: int) -> int:
        """Delete records of a manager that were over before a time, at most so many, and return how many.

        Over is what is completed, failed, ended or expired: what has a `completed_at`.
        """
        ...

    async def changes(self, manager: str, after: int | None, limit: int = 100) -> Changes:
        """What was written to a manager's records after a position.

        Args:
            manager: its name.
            after: a position that was given before; None to get no records, only where it stands now.
            limit: at most so many records; the position tells where to go on.
        """
        ...

    async def claim(self, manager: str, key: Key, owner: str, now: float, until: float) -> bool:
        """Take the right to make the session of a key, or keep it: one owner has it, until its time is over.

        Args:
            manager: the manager's name.
            key: whose session is to be made.
            owner: who wants to make it, unlike all others.
            now: the time.
            until: when the right ends, unless it is taken again before.

        Returns:
            False while another has it.
        """
        ...

    async def unclaim(self, manager: str, key: Key, owner: str) -> None:
        """Give the right back, if it is still this owner's."""
        ...

    async def aclose(self) -> None:
        """Let go of files, threads and connections. What is asked for later opens them again."""
        ...


@runtime_checkable
class Lists(Protocol):
    """A storage that tells whose sessions it has."""

    async def managers(self) -> list[str]:
        """The names of all managers that have records, in order."""
        ...


@runtime_checkable
class Recovers(Protocol):
    """A storage that can rebuild records from what lies on disk."""

    async def recover(self, manager: str, now: float, progress: Callable[[int, int], None]) -> int:
        """Bring records in line with what lies on disk; it may take long.

        Args:
            manager: its name.
            now: the time.
            progress: is told how many were looked at, and of how many.

        Returns:
            How many records were rebuilt.
        """
        ...


@runtime_checkable
class Watches(Protocol):
    """A storage that can wait for changes, where others have to be asked again and again."""

    async def changed(self, manager: str, after: int, seconds: float) -> None:
        """Return when something was written after a position, or the time is over."""
        ...
