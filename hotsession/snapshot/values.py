"""Kept values, as they are carried over a restart: plain objects that anyone may change at any time.

Nobody tells when one changes, so it is pickled and compared, as often as that takes no more than a share of the time.
A dict or list that takes too long goes part by part, a slice at a time; another value that does is written only when
somebody asks for everything. How they lie in the store says `heading`. Knows no request and no timer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hotsession.snapshot.errors import SnapshotUnusable
from hotsession.snapshot.heading import VALUES, WAITING, Heading, Keys, Restored, slot_of, whose
from hotsession.snapshot.known import Known
from hotsession.snapshot.lost import Lost
from hotsession.snapshot.notices import Notices
from hotsession.snapshot.parking import Parking, Place
from hotsession.snapshot.pickling import Pickled, TooSlow, pickled
from hotsession.snapshot.store import Store
from hotsession.snapshot.takeover import take_over
from hotsession.snapshot.turn import Turn
from hotsession.snapshot.unpickling import Unreadable, unpickled

TOO_SLOW = 0.020  # seconds of pickling at a stretch that others may have to wait for
SLICE = 0.005  # seconds after which a value that goes part by part makes a pause

_FORMS: dict[type, str] = {dict: "dict", list: "list"}


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
        self._known: dict[str, Known] = {}
        self._incomplete: dict[str, Any] = {}  # name -> what has its parts by their keys; None if the whole is lost
        self._found: dict[str, tuple[int, int] | None] = {}  # name -> revision and writer when it was asked for
        self._is_unsettled = False  # what was read calls for a write, which was not ours to do

    def __repr__(self) -> str:
        return f"<CarriedValues {sorted(self._known)}>"

    # reading

    def names(self) -> tuple[str, ...]:
        """The names of all values in the store."""
        return tuple(Heading.of(stored).name for _, stored in self._store.items(VALUES))

    def waiting(self) -> int:
        """How many values, and items of values, wait until they can be read."""
        return self._parking.count(WAITING) + self._lost.count()

    def restore(self, name: str) -> Restored | None:
        """The value as it was written last, made of the classes as they are now; None if there is none to be read."""
        with self._turn.lock:
            try:
                return self._restored(name)
            except SnapshotUnusable as error:
                self._notices.not_read(error)
                return None

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
            return self._is_unsettled or any(_mark(self._heading(name)) != each for name, each in self._found.items())

    def ask_again(self) -> None:
        """Forget what was read: it will be asked for again."""
        with self._turn.lock:
            self._known.clear()
            self._found.clear()
            self._incomplete.clear()
            self._is_unsettled = False

    # writing

    def write(self, name: str, entry: Any, *, everything: bool = False) -> int:
        """Write a value, or a slice of its parts, if it changed.

        Args:
            name: of the value.
            entry: as the registry has it: `value`, `fingerprint`, `created_at`.
            everything: also what takes long, to the end.

        Returns:
            How many entries of the store were written.
        """
        with self._turn.lock:
            try:
                known = self._known.get(name)
                if known is None or not known.is_of(entry.fingerprint, entry.created_at):
                    known = self._known[name] = self._begun(name, entry)
                if known.heading.form != "whole":
                    return self._write_parts(known, entry.value, everything)
                return self._write_whole(known, entry.value, everything)
            except SnapshotUnusable as error:
                self._notices.not_written(error)
            except Exception as error:  # noqa: BLE001 - the value may raise anything; it must not stop others
                self._notices.not_pickled(whose(name), error)
            return 0

    def is_going(self, name: str) -> bool:
        """Whether a pass over the parts of a value made a pause, and waits to be gone on with."""
        known = self._known.get(name)
        return known is not None and known.going is not None

    def forget(self, name: str) -> None:
        """Drop a value from the store, with all that is kept of it."""
        with self._turn.lock:
            self._known.pop(name, None)
            self._incomplete.pop(name, None)
            keys = Keys(name)
            try:
                self._put({**self._all_of(keys), keys.lost: None})
            except SnapshotUnusable as error:
                self._notices.not_written(error)
            else:
                self._found.pop(name, None)

    def _begun(self, name: str, entry: Any) -> Known:
        """What is known of a value that was not written before; what else had its name is gone."""
        before, keys = self._heading(name), Keys(name)
        if before is not None and before.writer > self._store.number:
            return Known(before._replace(fingerprint=entry.fingerprint, created_at=entry.created_at), keys)
        revision = 0 if before is None else before.revision
        heading = Heading(name, "whole", entry.fingerprint, entry.created_at, revision, self._store.number)
        return Known(heading, keys, leftover=self._all_of(keys))

    def _write_whole(self, known: Known, value: Any, everything: bool) -> int:
        if known.heavy and not everything:
            return 0
        try:
            result = self._pickled(known, value, limit=None if everything else TOO_SLOW)
        except TooSlow:
            form = _FORMS.get(type(value))
            if form is None:
                known.heavy = True
                self._notices.too_slow(known.heading.name, TOO_SLOW)
                return 0
            known.heading = known.heading._replace(form=form)
            known.leftover.update(dict.fromkeys(self._parts_of(known.keys)))  # of a pass that was killed
            return self._write_parts(known, value, everything)
        if not result.data or hash(result.data) == known.digest:
            return 0
        if not self._put({known.keys.whole: result.data}, known):
            return 0
        known.digest, known.stored = hash(result.data), "whole"
        return 1

    def _write_parts(self, known: Known, value: Any, everything: bool) -> int:
        name, form = known.heading.name, known.heading.form
        limit = None if everything else TOO_SLOW
        if known.going is None or everything:
            known.going = known.parts.changes(
                value,
                lambda part, path: self._pickled(known, part, path, limit=limit),
                lambda path: self._notices.too_slow(f"{name}{path}", TOO_SLOW),
                None if everything else SLICE,
            )
        going, known.going = known.going, None  # unless all goes well
        found = next(going)
        if not found.is_last:
            known.going = going
        has_new_form = found.is_last and known.stored != form
        if not found.changed and not has_new_form:
            return 0
        items = {known.keys.part(slot): part for slot, part in found.changed.items()}
        if has_new_form:  # only now all parts are there
            items[known.keys.whole] = None
        if not self._put(items, known, with_heading=found.is_last or known.stored == form):
            known.going = None
            return 0
        known.parts.note_written(found)
        if has_new_form:
            known.stored, known.digest = form, None
        return len(found.changed)

    def _pickled(self, known: Known, value: Any, path: str = "", *, limit: float | None = None) -> Pickled:
        result = pickled(value, careful=known.careful, time_limit=limit)
        known.careful = known.careful or result.careful
        name = known.heading.name
        for each in result.left_out:
            self._notices.left_out(name, whose(name), f"{name}{path}", each)
        return result

    def _put(self, items: dict[bytes, bytes | None], known: Known | None = None, *, with_heading: bool = True) -> bool:
        """Write items, with the next heading of the value that they belong to; whether that was ours to do."""
        if self._turn.is_paused:
            return False
        if known is None:
            self._store.put(items)
            return True
        heading = known.heading
        now = self._heading(heading.name)
        if now is not None and now.writer > self._store.number:  # a newer process has it
            self._notices.refused(whose(heading.name))
            return False
        if with_heading:
            heading = heading._replace(revision=heading.revision + 1, writer=self._store.number)
            items = {**items, known.keys.heading: bytes(heading)}
        self._store.put({**known.leftover, **items})
        known.leftover.clear()
        if with_heading:
            known.heading = heading
            self._found[heading.name] = _mark(heading)
        if self._notices.is_failing:
            self._notices.written_again()
        return True

    # the bytes

    def _heading(self, name: str) -> Heading | None:
        stored = self._store.get(Keys(name).heading)
        return None if stored is None else Heading.of(stored)

    def _all_of(self, keys: Keys) -> dict[bytes, bytes | None]:
        """What drops the bytes of a value, but for those of values that were lost."""
        return dict.fromkeys((keys.heading, keys.whole, keys.waiting, *self._parts_of(keys)))

    def _parts_of(self, keys: Keys) -> list[bytes]:
        return [key for key, _ in self._store.items(keys.parts)]

    def _restored(self, name: str) -> Restored | None:
        heading = self._heading(name)
        self._found[name] = _mark(heading)
        if (found := self._lost.returned(name)) is not None:  # it wins over what was built in its place
            value, old, items = found
            back = Restored(value, old.fingerprint, old.created_at)
            self._returned(back, name, items)
            return back
        if heading is None:
            return None
        known = self._known[name] = Known(heading, Keys(name), stored=heading.form)
        try:
            value, parts, waiting = self._read(known)
        except Unreadable as error:
            del self._known[name]
            self._incomplete[name] = None
            self._notices.parked(whose(name), error.parked)
            self._is_unsettled = not self._put(self._lost.items(heading, error.parked)) or self._is_unsettled
            self._found[name] = None
            return None
        restored = Restored(value, heading.fingerprint, heading.created_at)
        if heading.form == "whole":
            known.digest = self._digest(known, value)
        if self._turn.is_paused and (waiting or self._parking.find(known.keys.waiting)):
            self._is_unsettled = True
        self._settle(known, restored, parts, waiting)
        return restored

    def _settle(self, known: Known, entry: Any, parts: Any, waiting: list[Place]) -> None:
        """Give a value back what can be read again of it, and note whether more is to come."""
        name = known.heading.name
        places = known.keys.waiting, whose(name), parts, waiting
        is_waiting = self._parking.settle(*places, lambda: self.write(name, entry, everything=True) > 0)
        if is_waiting or known.parts.unread:
            self._incomplete[name] = parts

    def _complete(self, name: str, entry: Any, unused: bool) -> None:
        parts, known = self._incomplete.pop(name), self._known.get(name)
        if parts is None:
            self._incomplete[name] = None  # unless all goes well
            found = self._lost.returned(name, lambda value: take_over(entry.value, value, unused=unused))
            if found is not None:
                entry.fingerprint, entry.created_at = found[1].fingerprint, found[1].created_at
                del self._incomplete[name]
                self._returned(entry, name, found[2])
        elif known is not None and known.is_of(entry.fingerprint, entry.created_at):
            rows = self._rows(known) if known.parts.unread else []
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
            self._put(items)

    def _digest(self, known: Known, value: Any) -> int | None:
        """The hash that the value has if it is not changed; None if that takes long, so that it is written again."""
        try:
            return hash(self._pickled(known, value, limit=TOO_SLOW).data)
        except Exception as error:  # noqa: BLE001 - the value may raise anything
            if not isinstance(error, TooSlow):
                self._notices.not_pickled(whose(known.heading.name), error)
            return None

    def _read(self, known: Known) -> tuple[Any, Any, list[Place]]:
        """The value, what has its parts by their keys, and what can't be read of it."""
        if known.heading.form == "whole":
            value, parked = unpickled(self._store.get(known.keys.whole) or b"")
            return value, value, [(None, each) for each in parked]
        whole: Any = {} if known.heading.form == "dict" else []
        where = whose(known.heading.name)
        parts, waiting = known.parts.read(whole, self._rows(known), lambda parked: self._notices.parked(where, parked))
        return whole, parts, [*waiting]

    def _rows(self, known: Known) -> list[tuple[int, bytes]]:
        return [(slot_of(key), stored) for key, stored in self._store.items(known.keys.parts)]


def _mark(heading: Heading | None) -> tuple[int, int] | None:
    return None if heading is None else (heading.revision, heading.writer)
