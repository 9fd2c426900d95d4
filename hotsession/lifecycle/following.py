"""Sessions whose objects follow their classes: when they are touched, and one after the other while nobody asks.

Only data that lives in memory has to: what is read from bytes is made of the classes as they are. Knows no request.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, Protocol
from weakref import WeakSet

from hotsession.errors import MigrationFailed
from hotsession.lifecycle import wording
from hotsession.lifecycle.record import Deferred, Record
from hotsession.living.classes import Living, living
from hotsession.living.outcome import Failed, Outcome
from hotsession.registry import registry

logger = logging.getLogger("hotsession")

_SCAN_EVERY = 64  # sessions that need nothing, between two moments at which a sweep may be paused
_SPARE = 1000  # marks of sessions that are gone, which are not worth a look
_PATIENCE = 20  # sweeps begin anew so often because sessions came and went, and then go by a list


class Holder(Protocol):
    """What is asked of a storage that has live data."""

    def holds(self, id: str) -> Record | None:
        """The record with this id if it is in memory."""
        ...

    def ids(self) -> Collection[str]:
        """The ids of all records in memory, which raises RuntimeError if some come or go meanwhile."""
        ...


class Following:
    """Which sessions of a manager have followed their classes.

    Args:
        manager: its name.
        storage: where they are.
    """

    def __init__(self, manager: str, storage: Any) -> None:
        self._manager = manager
        self._storage = storage
        self._living: Living = living()
        self._marks: dict[str, int] = {}  # id -> the epoch in which it was looked at last
        self._failed: dict[str, Sequence[Failed]] = {}  # id -> steps that raised then: the same code raises again
        self._is_live = hasattr(storage, "ids")  # else the data are copies, made of bytes
        if self._is_live:
            _all().add(self)

    def __repr__(self) -> str:
        return f"<Following of {self._manager!r}>"

    def touch(self, record: Record) -> None:
        """Bring the objects of a session that is about to be handed out to the classes as they are now.

        Raises:
            MigrationFailed: the conversion of one of them raised, now or before since the last save; it is as it was.
        """
        epoch = self._living.epoch
        if epoch and self._is_live and (self._marks.get(record.id) != epoch or record.id in self._failed):
            self._follow(record)
        if self._living.stuck and (failed := self._living.stuck.get(record.id)):
            raise wording.not_migrated(record, failed)

    def touch_anyway(self, record: Record) -> None:
        """The same for who does not look into the session, or is to be told in another way: to end it, say."""
        with contextlib.suppress(MigrationFailed):  # the log has said it
            self.touch(record)

    def lazily(self, record: Record) -> Record:
        """A record that does so when somebody looks at what is in it."""
        epoch = self._living.epoch
        is_done = self._marks.get(record.id) == epoch and record.id not in self._failed
        if not self._living.stuck and (not epoch or not self._is_live or is_done):
            return record

        def load() -> Any:
            payload = record.payload.load() if isinstance(record.payload, Deferred) else record.payload
            self.touch(record._replace(payload=payload))
            return payload

        return record._replace(payload=Deferred(load))

    def _follow(self, record: Record) -> None:
        if registry.transaction is not None or registry.is_outdated:
            return  # code that is being loaded, or drains: it works with objects of the classes that it knows
        with self._living.lock:
            epoch = self._living.epoch
            if self._marks.get(record.id) != epoch:
                self._convert_at_once(record, epoch)
            failed = self._failed.get(record.id)
        if failed:
            raise wording.not_migrated(record, failed)

    def _convert_at_once(self, record: Record, epoch: int) -> None:
        outcome = Outcome()
        try:
            for root in _roots(record):
                outcome.add(self._living.follow(root))
        except Exception:  # of ours: a session that stays as it was is better than a request that fails
            logger.exception("The objects in %s could not be looked at", wording.named(record))
        self._note(record, outcome, epoch)

    def _note(self, record: Record, outcome: Outcome, epoch: int) -> None:
        self._living.notices.tell(wording.named(record), "session", outcome)
        self._living.notices.converted.update(outcome.converted)
        self._living.notices.sessions += bool(outcome.converted)
        self._marks[record.id] = epoch
        if outcome.failed:
            self._failed[record.id] = outcome.failed
        else:
            self._failed.pop(record.id, None)

    # the sweep

    def sweep(self) -> Iterator[None]:
        """Do the same for all sessions, one after the other; each step is a moment at which it may be paused."""
        for _ in range(_PATIENCE):
            try:
                yield from self._sweep(self._storage.ids())
                break
            except RuntimeError:  # sessions came or went: those that were looked at are passed by quickly
                continue
        else:
            yield from self._sweep(list(self._storage.ids()))
        self._failed = {each: failed for each, failed in self._failed.items() if self._storage.holds(each) is not None}
        if len(self._marks) > 2 * len(self._storage.ids()) + _SPARE:
            self._marks = {each: epoch for each, epoch in self._marks.items() if self._storage.holds(each) is not None}

    def _sweep(self, ids: Iterable[str]) -> Iterator[None]:
        epoch = self._living.epoch
        for number, each in enumerate(ids):
            if self._marks.get(each) != epoch:
                record = self._storage.holds(each)
                if record is not None and record.manager == self._manager:
                    yield from self._convert(record, epoch)
            if not number % _SCAN_EVERY:
                yield

    def _convert(self, record: Record, epoch: int) -> Iterator[None]:
        outcome = Outcome()
        for root in _roots(record):
            conversion = self._living.conversion(root)
            yield from conversion.run()
            outcome.add(conversion.outcome)
        yield
        self._note(record, outcome, epoch)


def followings() -> tuple[Following, ...]:
    """Those of all managers of this process whose data lives in memory."""
    return tuple(_all())


def _all() -> WeakSet[Following]:
    found: WeakSet[Following] = registry.object("followings", WeakSet)
    return found


def _roots(record: Record) -> list[Any]:
    return [each for each in (record.payload, record.result) if each is not None and not isinstance(each, Deferred)]
