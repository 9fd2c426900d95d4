"""What a memory storage expects of whatever holds its records beyond the process. Knows records alone."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Protocol

from hotsession.lifecycle.record import Key, Record


class Held(Protocol):
    """What a backing asks of the storage: the records that are in memory."""

    def held(self, manager: str) -> Sequence[Record]:
        """Those of a manager."""
        ...

    def holds(self, id: str) -> Record | None:
        """The one with this id."""
        ...


class Backing(Protocol):
    """What holds the records of a memory storage outside of its process.

    Its methods are called from any thread, and none of them fails: without it, what is in memory is all there is.
    """

    def attach(self, storage: Held, manager: str) -> None:
        """Take on the records of a manager; `storage` has those that are in memory."""
        ...

    def read(self, id: str) -> Record | None:
        """The record with this id, its payload as a new object; None if there is none or it can't be read."""
        ...

    def find_key(self, manager: str, key: Key) -> str | None:
        """The id of the live record of a key."""
        ...

    def find_token(self, manager: str, token_hash: bytes) -> str | None:
        """The id of the live record that a token opens."""
        ...

    def used(self, record: Record) -> None:
        """Note that the running code was given this record, whose live payload it may change from now on."""
        ...

    def is_outdated(self, record: Record) -> bool:
        """Whether this record, which is in memory, is to be read again: another process wrote it, and nobody here."""
        ...

    def changed(self, record: Record) -> None:
        """Note that a record has new fields, of those that it is not found by; its payload may have changed."""
        ...

    def write(self, *records: Record) -> bool:
        """Write records whose indexed fields changed, at once; whether that could be done."""
        ...

    def count(self, manager: str) -> int:
        """How many live records a manager has."""
        ...

    def list(self, manager: str, now: float, *, status: str | None, key: Key | None, limit: int | None) -> list[Record]:
        """The records of a manager, newest first; what their payloads are is left open."""
        ...

    def clear(self, manager: str) -> None:
        """Forget the records of a manager."""
        ...

    def expired(self, manager: str, now: float, limit: int) -> builtins.list[Record]:
        """Live records of a manager whose time is over; what their payloads are is left open."""
        ...

    def delete(self, ids: Sequence[str]) -> None:
        """Delete records."""
        ...
