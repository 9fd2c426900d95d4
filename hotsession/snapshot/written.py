"""Kept values in the store: which bytes of one are written when it changed. How they lie there says `heading`.

A value is pickled and compared. A dict or list that takes too long at a stretch goes part by part, a slice at a time;
another value that does is written only when somebody asks for everything. Knows nothing of reading them.
"""

from __future__ import annotations

from typing import Any

from hotsession.snapshot.errors import SnapshotUnusable
from hotsession.snapshot.heading import Heading, Keys, slot_of, whose
from hotsession.snapshot.known import Known
from hotsession.snapshot.notices import Notices
from hotsession.snapshot.pickling import Pickled, TooSlow, pickled
from hotsession.snapshot.store import Store
from hotsession.snapshot.turn import Turn

TOO_SLOW = 0.020  # seconds of pickling at a stretch that others may have to wait for
SLICE = 0.005  # seconds after which a value that goes part by part makes a pause

_FORMS: dict[type, str] = {dict: "dict", list: "list"}


class WrittenValues:
    """Kept values, as they are written. Who calls anything but `write` holds the lock, and gets `SnapshotUnusable`.

    Args:
        store: where they are.
        notices: where what goes wrong is said.
        turn: whose it is to write.

    Attributes:
        known: what is known of each value that was read or written here, by name.
    """

    def __init__(self, store: Store, notices: Notices, turn: Turn) -> None:
        self._store = store
        self._notices = notices
        self._turn = turn
        self.known: dict[str, Known] = {}
        self._found: dict[str, tuple[int, int] | None] = {}  # name -> revision and writer when it was last looked at

    def __repr__(self) -> str:
        return f"<WrittenValues {sorted(self.known)}>"

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
                known = self.known.get(name)
                if known is None or not known.is_of(entry.fingerprint, entry.created_at):
                    known = self.known[name] = self._begun(name, entry)
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
        known = self.known.get(name)
        return known is not None and known.going is not None

    def forget(self, name: str) -> None:
        """Drop a value from the store, with all that is kept of it."""
        self.known.pop(name, None)
        keys = Keys(name)
        self.put({**self._all_of(keys), keys.lost: None})
        self._found.pop(name, None)

    def ask_again(self) -> None:
        """Forget what is known: all of it will be asked for again."""
        self.known.clear()
        self._found.clear()

    def look(self, name: str) -> Heading | None:
        """The heading that a value has in the store, and note that it was looked at."""
        heading = self.heading(name)
        self._found[name] = _mark(heading)
        return heading

    def has_moved_on(self) -> bool:
        """Whether another process wrote a value since it was looked at here."""
        return any(_mark(self.heading(name)) != each for name, each in self._found.items())

    def heading(self, name: str) -> Heading | None:
        """The heading that a value has in the store."""
        stored = self._store.get(Keys(name).heading)
        return None if stored is None else Heading.of(stored)

    def rows(self, keys: Keys) -> list[tuple[int, bytes]]:
        """The parts of a value in the store, by their slots, in order."""
        return [(slot_of(key), stored) for key, stored in self._store.items(keys.parts)]

    def pickled(self, known: Known, value: Any, path: str = "", *, limit: float | None = None) -> Pickled:
        """A value, or a part of it, as bytes; what can't go is said."""
        result = pickled(value, careful=known.careful, time_limit=limit)
        known.careful = known.careful or result.careful
        name = known.heading.name
        for each in result.left_out:
            self._notices.left_out(name, whose(name), f"{name}{path}", each)
        return result

    def put(self, items: dict[bytes, bytes | None], known: Known | None = None, *, with_heading: bool = True) -> bool:
        """Write items, with the next heading of the value that they belong to; whether that was ours to do."""
        if self._turn.is_paused:
            return False
        if known is None:
            self._store.put(items)
            return True
        heading = known.heading
        now = self.heading(heading.name)
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

    def _begun(self, name: str, entry: Any) -> Known:
        """What is known of a value that was not written before; what else had its name is gone."""
        before, keys = self.heading(name), Keys(name)
        if before is not None and before.writer > self._store.number:
            return Known(before._replace(fingerprint=entry.fingerprint, created_at=entry.created_at), keys)
        revision = 0 if before is None else before.revision
        heading = Heading(name, "whole", entry.fingerprint, entry.created_at, revision, self._store.number)
        return Known(heading, keys, leftover=self._all_of(keys))

    def _write_whole(self, known: Known, value: Any, everything: bool) -> int:
        if known.heavy and not everything:
            return 0
        try:
            result = self.pickled(known, value, limit=None if everything else TOO_SLOW)
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
        if not self.put({known.keys.whole: result.data}, known):
            return 0
        known.digest, known.stored = hash(result.data), "whole"
        return 1

    def _write_parts(self, known: Known, value: Any, everything: bool) -> int:
        name, form = known.heading.name, known.heading.form
        limit = None if everything else TOO_SLOW
        if known.going is None or everything:
            known.going = known.parts.changes(
                value,
                lambda part, path: self.pickled(known, part, path, limit=limit),
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
        if not self.put(items, known, with_heading=found.is_last or known.stored == form):
            known.going = None
            return 0
        known.parts.note_written(found)
        if has_new_form:
            known.stored, known.digest = form, None
        return len(found.changed)

    def _all_of(self, keys: Keys) -> dict[bytes, bytes | None]:
        """What drops the bytes of a value, but for those of values that were lost."""
        return dict.fromkeys((keys.heading, keys.whole, keys.waiting, *self._parts_of(keys)))

    def _parts_of(self, keys: Keys) -> list[bytes]:
        return [key for key, _ in self._store.items(keys.parts)]


def _mark(heading: Heading | None) -> tuple[int, int] | None:
    return None if heading is None else (heading.revision, heading.writer)
