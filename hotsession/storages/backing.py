"""What a memory storage expects of whatever holds its records beyond the process. Knows records alone."""

from __future__ import annotations

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

    def forget(self, id: str) -> None:
        """Let one go from memory: the backing has a newer one."""
        ...


class Backing(Protocol):
    """What holds the records of a memory storage outside of its process. Its methods are called from any thread."""

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

    def changed(self, record: Record) -> None:
        """Note that a record has new fields, of those that it is not found by; its payload may have changed."""
        ...

    def write(self, *records: Record) -> None:
        """Write records whose indexed fields changed, at once."""
        ...

    def count(self, manager: str) -> int:
        """How many live records a manager has."""
        ...

    def list(self, manager: str, now: float, *, status: str | None, key: Key | None, limit: int | None) -> list[Record]:
        """The records of a manager, newest first; the payload of each is a `Deferred`."""
        ...

    def clear(self, manager: str) -> int:
        """Forget the records of a manager, and return how many live ones there were."""
        ...
