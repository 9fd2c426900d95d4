"""Kept values, as they are carried over a restart: plain objects that anyone may change at any time.

Nobody tells when one changes, so it is pickled and compared, as often as that takes no more than a share of the time.
A dict or list that takes too long goes part by part, a slice at a time; another value that does is written only when
somebody asks for everything. In the store a value is a heading and its bytes, or its heading and its parts; ID is a
hash of its name::

    value/ID          pickled Heading
    whole/ID          the value
    part/ID SLOT      a key and its value, or the element of a list; SLOTs of 8 bytes are in order
    waiting/ID        parts of it that could not be read
    lost/ID           all of it, if it could not be read, and the heading that it had

Knows no request and no timer.
"""

from __future__ import annotations

import pickle
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, NamedTuple

from hotsession.snapshot.errors import SnapshotUnusable
from hotsession.snapshot.notices import Notices
from hotsession.snapshot.parking import Parking, Place
from hotsession.snapshot.pickling import Pickled, TooSlow, pickled
from hotsession.snapshot.piecemeal import Parts, Slice, taken_apart
from hotsession.snapshot.store import Store
from hotsession.snapshot.unpickling import Parked, Unreadable, unpark, unpickled

TOO_SLOW = 0.020  # seconds of pickling at a stretch that others may have to wait for
SLICE = 0.005  # seconds after which a value that goes part by part makes a pause

_FORMS: dict[type, str] = {dict: "dict", list: "list"}


class Heading(NamedTuple):
    """What is stored of a value beside its bytes."""

    name: str
    form: str  # "whole", "dict" or "list": how the bytes lie
    fingerprint: str | None  # of the factory that built it
    created_at: float
    revision: int  # one more with each write
    writer: int  # the number of the process that wrote it


class Restored(NamedTuple):
    """A value that came over a restart."""

    value: Any
    fingerprint: str | None
    created_at: float


@dataclass(slots=True)
class _Known:
    """What this process knows of one value, as it was last written or read."""

    heading: Heading
    digest: int | None = None  # of the whole
    parts: Parts = field(default_factory=Parts)
    going: Iterator[Slice] | None = None  # a pass over the parts that made a pause
    careful: bool = False
    heavy: bool = False  # is written only with everything


class CarriedValues:
    """Kept values in the store.

    Args:
        store: where they are.
        notices: where what goes wrong is said.
        lock: held while something is written; the same for all that is carried.
    """

    def __init__(self, store: Store, notices: Notices, lock: threading.RLock) -> None:
        self._store = store
        self._notices = notices
        self._lock = lock
        self._parking = Parking(store, notices, lock)
        self._known: dict[str, _Known] = {}
        self._found: dict[str, tuple[int, int] | None] = {}  # name -> revision and writer when it was asked for
        self.is_shared = False  # whether another process writes to the store as well

    def __repr__(self) -> str:
        return f"<CarriedValues {sorted(self._known)}>"

    # reading

    def names(self) -> tuple[str, ...]:
        """The names of all values in the store."""
        return tuple(Heading(*pickle.loads(data)).name for _, data in self._store.items(b"value/"))

    def restore(self, name: str) -> Restored | None:
        """The value as it was written last, made of the classes as they are now; None if there is none to be read."""
        with self._lock:
            heading = self._heading(name)
            self._found[name] = None if heading is None else (heading.revision, heading.writer)
            if (returned := self._returned(name)) is not None:
                return returned
            if heading is None:
                return None
            known = self._known[name] = _Known(heading)
            try:
                value, waiting = self._read(known)
            except Unreadable as error:
                self._lose(heading, error.parked)
                return None
            self._parking.settle(b"waiting/" + _id(name), _whose(name), value, waiting)
            if heading.form == "whole":
                known.digest = hash(self._pickled(known, value).data)
            return Restored(value, heading.fingerprint, heading.created_at)

    def has_moved_on(self) -> bool:
        """Whether another process wrote one of the values after this one had asked for it."""
        with self._lock:
            for name, before in self._found.items():
                heading = self._heading(name)
                if (None if heading is None else (heading.revision, heading.writer)) != before:
                    return True
            return False

    def ask_again(self) -> None:
        """Forget what was read: it will be asked for again."""
        with self._lock:
            self._known.clear()
            self._found.clear()

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
        with self._lock:
            known = self._known.get(name)
            if known is None or known.heading[2:4] != (entry.fingerprint, entry.created_at):
                heading = self._heading(name)
                revision = 0 if heading is None else heading.revision
                if heading is not None:  # of another value that had this name
                    self.forget(name)
                heading = Heading(name, "whole", entry.fingerprint, entry.created_at, revision, self._store.number)
                known = self._known[name] = _Known(heading)
            if self._is_overtaken(known):
                return 0
            if known.heading.form != "whole":
                return self._write_parts(known, entry.value, everything)
            return self._write_whole(known, entry.value, everything)

    def forget(self, name: str) -> None:
        """Drop a value from the store."""
        with self._lock:
            self._known.pop(name, None)
            id = _id(name)
            gone = [kind + id for kind in (b"value/", b"whole/", b"waiting/", b"lost/")]
            gone += [key for key, _ in self._store.items(b"part/" + id)]
            if self._put(dict.fromkeys(gone)) and name in self._found:
                self._found[name] = None

    def _write_whole(self, known: _Known, value: Any, everything: bool) -> int:
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
            return self._write_parts(known, value, everything)
        if not result.data or hash(result.data) == known.digest:
            return 0
        if not self._put({b"whole/" + _id(known.heading.name): result.data}, known):
            return 0
        known.digest = hash(result.data)
        return 1

    def _write_parts(self, known: _Known, value: Any, everything: bool) -> int:
        name = known.heading.name
        limit = None if everything else TOO_SLOW
        if known.going is None or everything:
            known.going = known.parts.changes(
                value,
                lambda part, path: self._pickled(known, part, path, limit=limit),
                lambda path: self._notices.too_slow(f"{name}{path}", TOO_SLOW),
                None if everything else SLICE,
            )
        found = next(known.going, None)
        if found is None or everything:
            known.going = None
        if found is None or (not found.changed and known.heading.revision and known.digest is None):
            return 0
        id = _id(name)
        items: dict[bytes, bytes | None] = {b"part/" + id + _slot(slot): part for slot, part in found.changed.items()}
        if known.digest is not None:  # up to now it was written as a whole
            items[b"whole/" + id] = None
        if not self._put(items, known):
            known.going = None
            return 0
        known.digest = None
        known.parts.note_written(found)
        return len(found.changed)

    def _pickled(self, known: _Known, value: Any, path: str = "", *, limit: float | None = None) -> Pickled:
        result = pickled(value, careful=known.careful, time_limit=limit)
        known.careful = known.careful or result.careful
        name = known.heading.name
        for each in result.left_out:
            self._notices.left_out(name, _whose(name), f"{name}{path}", each)
        return result

    def _put(self, items: dict[bytes, bytes | None], known: _Known | None = None) -> bool:
        """Write items, with the next heading of the value that they belong to; whether that could be done."""
        if known is not None:
            heading = known.heading._replace(revision=known.heading.revision + 1, writer=self._store.number)
            items = {**items, b"value/" + _id(heading.name): pickle.dumps(tuple(heading))}
        try:
            self._store.put(items)
        except SnapshotUnusable as error:
            self._notices.not_written(error)
            return False
        if known is not None:
            known.heading = heading
            self._found[heading.name] = heading.revision, heading.writer
        return True

    def _is_overtaken(self, known: _Known) -> bool:
        """Whether a newer process wrote the value: then it is no longer ours to write."""
        heading = self._heading(known.heading.name) if self.is_shared else None
        return heading is not None and heading.writer > self._store.number

    # the bytes

    def _heading(self, name: str) -> Heading | None:
        data = self._store.get(b"value/" + _id(name))
        return None if data is None else Heading(*pickle.loads(data))

    def _read(self, known: _Known) -> tuple[Any, list[Place]]:
        id = _id(known.heading.name)
        if known.heading.form == "whole":
            data = self._store.get(b"whole/" + id)
            if data is None:
                raise Unreadable(Parked(None, "", "the snapshot has its name and not its bytes", b""))
            value, parked = unpickled(data)
            return value, [(None, each) for each in parked]
        whole: Any = {} if known.heading.form == "dict" else []
        waiting: list[Place] = []
        for key, stored in self._store.items(b"part/" + id):
            part = taken_apart(int.from_bytes(key[-8:], "big"), stored)
            try:
                where = unpickled(part.label).value
                value, parked = unpickled(part.data)
            except Unreadable as error:
                waiting.append((None, error.parked._replace(key=part.label)))
                continue
            waiting += [(part.label, each) for each in parked]
            known.parts.note(part)
            if isinstance(whole, dict):
                whole[where] = value
            else:
                whole.append(value)
        return whole, waiting

    def _lose(self, heading: Heading, parked: Parked) -> None:
        """Keep the bytes of a value that can't be read; a new one is built in its place."""
        name, id = heading.name, _id(heading.name)
        del self._known[name]
        self._notices.parked(_whose(name), parked)
        lost = pickle.dumps((tuple(heading), tuple(parked)))
        self._put({b"lost/" + id: lost, b"value/" + id: None, b"whole/" + id: None})
        self._found[name] = None

    def _returned(self, name: str) -> Restored | None:
        """A value that could not be read, if it can be now. It wins over what was built in its place."""
        stored = self._store.get(b"lost/" + _id(name))
        if stored is None:
            return None
        heading, lost = pickle.loads(stored)
        parked = Parked(*lost)
        try:
            _, value = unpark(parked)
        except Unreadable as error:
            self._notices.parked(_whose(name), error.parked)
            return None
        self._notices.returned(_whose(name), parked)
        self._put({b"lost/" + _id(name): None})
        return Restored(value, *Heading(*heading)[2:4])


def _whose(name: str) -> str:
    return f"what is kept as {name!r}"


def _id(name: str) -> bytes:
    return blake2b(name.encode(), digest_size=16).digest()


def _slot(slot: int) -> bytes:
    return slot.to_bytes(8, "big")
