"""Kept values, as they come over a restart: read when they are asked for, and again when more of them can be read.

They are plain objects that anyone may change at any time. Nobody tells when one changes, so it is pickled and compared
(`written`), as often as that takes no more than a share of the time. Knows no request and no timer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hotsession.snapshot.early import EarlyValues
from hotsession.snapshot.errors import SnapshotUnusable
from hotsession.snapshot.heading import VALUES, WAITING, Heading, Keys, Restored, whose
from hotsession.snapshot.known import Known
from hotsession.snapshot.lost import Lost
from hotsession.snapshot.notices import Notices
from hotsession.snapshot.parking import Parking, Place
from hotsession.snapshot.pickling import TooSlow
from hotsession.snapshot.steps import StepRaised, check, not_migrated
from hotsession.snapshot.store import Store
from hotsession.snapshot.takeover import take_over
from hotsession.snapshot.turn import Turn
from hotsession.snapshot.unpickling import Parked, Unreadable, unpickled
from hotsession.snapshot.written import TOO_SLOW, WrittenValues


class CarriedValues:
    """Kept values in the store.

    Args:
        store: where they are.
        notices: where what goes wrong is said.
        turn: whose it is to write.
    """

    def __init__(self, store: Store, notices: Notices, turn: Turn) -> None:
        self._store = store
        self._notices = notices
        self._turn = turn
        self._parking = Parking(store, notices, turn)
        self._lost = Lost(store, notices)
        self._written = WrittenValues(store, notices, turn)
        self._early = EarlyValues()
        self._incomplete: dict[str, Any] = {}  # name -> what has its parts by their keys; None if the whole is lost
        self._is_unsettled = False  # what was read calls for a write, which was not ours to do

    def __repr__(self) -> str:
        return f"<CarriedValues in {self._store!r}>"

    # writing

    def write(self, name: str, entry: Any, *, everything: bool = False) -> int:
        """Write a value, or a slice of its parts, if it changed: see `WrittenValues.write`."""
        with self._turn.lock:
            if not self._early.may_be_written(name, entry.value, whose(name), now=everything):
                return 0
            return self._written.write(name, entry, everything=everything)

    def is_going(self, name: str) -> bool:
        """Whether a pass over the parts of a value made a pause, and waits to be gone on with."""
        return self._written.is_going(name)

    def forget(self, name: str) -> None:
        """Drop a value from the store, with all that is kept of it."""
        with self._turn.lock:
            self._incomplete.pop(name, None)
            try:
                self._written.forget(name)
            except SnapshotUnusable as error:
                self._notices.not_written(error)

    # reading

    def names(self) -> tuple[str, ...]:
        """The names of all values in the store."""
        return tuple(Heading.of(stored).name for _, stored in self._store.items(VALUES))

    def all_names(self) -> tuple[str, ...]:
        """The same, and those of which nothing can be read now."""
        found = self.names()
        return (*found, *sorted(self._lost.names().difference(found)))

    def waiting(self) -> int:
        """How many values, and items of values, wait until they can be read."""
        return self._parking.count(WAITING) + self._lost.count()

    def restore(self, name: str, built_by: str | None = None) -> Restored | None:
        """The value as it was written last, made of the classes as they are now; None if there is none to be read.

        Args:
            name: of the value.
            built_by: fingerprint of the factory, if what another factory built is not wanted.

        Raises:
            MigrationFailed: a step of the user's raised. All bytes stay as they are, to be read when it is mended.
        """
        with self._turn.lock:
            try:
                with self._early.reading(name):
                    return self._restored(name, lambda heading: built_by in (None, heading.fingerprint))
            except SnapshotUnusable as error:
                self._notices.not_read(error)
                return None
            except StepRaised as error:
                self._written.known.pop(name, None)
                raise not_migrated(name, error.failed) from error.failed.error

    def catch_up(self, entries: Mapping[str, Any]) -> None:
        """The app is up: have values pass the steps that were registered after they were read."""
        with self._turn.lock:
            for name in self._early.names() & entries.keys():
                self._early.may_be_written(name, entries[name].value, whose(name))

    def read_again(self, entries: Mapping[str, Any], *, unused: bool) -> bool:
        """Try again what could not be read, for the code is complete now or another; into the values that are in use.

        Args:
            entries: those of the registry, by name; the others wait.
            unused: nobody worked with the values yet.

        Returns:
            Whether nothing had to wait.
        """
        with self._turn.lock:
            for name in self._incomplete.keys() & entries.keys():
                try:
                    self._complete(name, entries[name], unused)
                except SnapshotUnusable as error:
                    self._notices.not_read(error)
            return self._incomplete.keys() <= entries.keys()

    def has_moved_on(self) -> bool:
        """Whether what was read is to be read again: another process wrote it since, or it was not ours to settle."""
        with self._turn.lock:
            return self._is_unsettled or self._written.has_moved_on()

    def ask_again(self) -> None:
        """Forget what was read: it will be asked for again."""
        with self._turn.lock:
            self._written.ask_again()
            self._incomplete.clear()
            self._is_unsettled = False

    def _restored(self, name: str, is_wanted: Callable[[Heading], bool]) -> Restored | None:
        self._incomplete.pop(name, None)
        heading = self._written.look(name)
        if (found := self._lost.returned(name, is_wanted=is_wanted)) is not None:  # it wins over what took its place
            value, old, items = found
            back = Restored(value, old.fingerprint, old.created_at)
            self._returned(back, name, items)
            return back
        if heading is None or not is_wanted(heading):
            return None
        known = self._written.known[name] = Known(heading, Keys(name), stored=heading.form)
        try:
            value, parts, waiting = self._read(known)
        except Unreadable as error:
            self._lose(name, heading, error.parked)
            return None
        restored = Restored(value, heading.fingerprint, heading.created_at)
        if heading.form == "whole":
            known.digest = self._digest(known, value)
        if self._turn.is_paused and (waiting or self._parking.find(known.keys.waiting)):
            self._is_unsettled = True
        check(self._settle(known, restored, parts, waiting))
        return restored

    def _lose(self, name: str, heading: Heading, parked: Parked) -> None:
        """Put the bytes of a value aside, of which nothing can be read: another is built in its place."""
        del self._written.known[name]
        self._incomplete[name] = None
        self._notices.parked(whose(name), parked)
        self._is_unsettled = not self._written.put(self._lost.items(heading, parked)) or self._is_unsettled
        self._written.look(name)

    def _settle(self, known: Known, entry: Any, parts: Any, waiting: list[Place]) -> list[tuple[str, Parked]]:
        """Give a value back what can be read again of it, and note whether more is to come; return what is."""
        name = known.heading.name
        places = known.keys.waiting, whose(name), parts, waiting
        left = self._parking.settle(*places, lambda: self.write(name, entry, everything=True) > 0)
        if left or known.parts.unread:
            self._incomplete[name] = parts
        return [*map(_with_path, left)]

    def _complete(self, name: str, entry: Any, unused: bool) -> None:
        parts, known = self._incomplete.pop(name), self._written.known.get(name)
        if parts is None:
            self._incomplete[name] = None  # unless all goes well
            found = self._lost.returned(
                name, lambda value: take_over(entry.value, value, unused=unused), is_wanted=lambda heading: False
            )
            if found is not None:
                entry.fingerprint, entry.created_at = found[1].fingerprint, found[1].created_at
                del self._incomplete[name]
                self._returned(entry, name, found[2])
        elif known is not None and known.is_of(entry.fingerprint, entry.created_at):
            rows = self._written.rows(known.keys) if known.parts.unread else []
            waiting = known.parts.read_rest(entry.value, parts, rows) if rows else []
            known.going = None
            if rows and not known.parts.unread:
                self._notices.readable(whose(name))
            self._settle(known, entry, parts, [*waiting])

    def _returned(self, entry: Any, name: str, items: dict[bytes, bytes | None]) -> None:
        """A value that was lost and is back: it is written in its place before it is let go there."""
        if self._turn.is_paused:
            self._is_unsettled = True
        elif self.write(name, entry, everything=True):
            self._written.put(items)

    def _digest(self, known: Known, value: Any) -> int | None:
        """The hash that the value has if it is not changed; None if that takes long, so that it is written again."""
        try:
            return hash(self._written.pickled(known, value, limit=TOO_SLOW).data)
        except Exception as error:  # noqa: BLE001 - the value may raise anything
            if not isinstance(error, TooSlow):
                self._notices.not_pickled(whose(known.heading.name), error)
            return None

    def _read(self, known: Known) -> tuple[Any, Any, list[Place]]:
        """The value, what has its parts by their keys, and what can't be read of it.

        Raises:
            StepRaised: something of it can't be, because of a step.
            Unreadable: nothing of it can be.
        """
        if known.heading.form == "whole":
            return self._read_whole(known)
        whole: Any = {} if known.heading.form == "dict" else []
        unread: list[tuple[str, Parked]] = []
        parts, waiting = known.parts.read(
            whole, self._written.rows(known.keys), lambda path, parked: unread.append((path, parked))
        )
        check((*unread, *map(_with_path, waiting)))
        for _, each in unread:
            self._notices.parked(whose(known.heading.name), each)
        return whole, parts, [*waiting]

    def _read_whole(self, known: Known) -> tuple[Any, Any, list[Place]]:
        try:
            value, parked = unpickled(self._store.get(known.keys.whole) or b"")
        except Unreadable as error:
            check([("", error.parked)])
            raise
        places: list[Place] = [(None, each) for each in parked]
        check(map(_with_path, places))
        return value, value, places


def _with_path(place: Place) -> tuple[str, Parked]:
    """What is parked of a value, and the path to it below that."""
    outer, parked = place
    above = "" if outer is None else f"[{unpickled(outer).value!r:.80}]"
    return f"{above}[{parked.label}]", parked
