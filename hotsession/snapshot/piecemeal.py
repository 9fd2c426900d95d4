"""A dict or list that is written part by part, because the whole takes too long at a stretch.

Each part is pickled and compared by itself, a slice of time at once. It yields what is to be written, knows no store.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from hotsession.snapshot.pickling import Pickled, TooSlow, pickled
from hotsession.snapshot.unpickling import Parked, Unreadable, unpickled

Pickle = Callable[[Any, str], Pickled]
"""Pickles a part, given the part and the path to it."""


@dataclass(slots=True)
class Slice:
    """What one slice of a pass found: parts to write, by their slots; None stands for parts that are gone."""

    changed: dict[int, bytes | None] = field(default_factory=dict)
    noted: dict[bytes, tuple[int, int]] = field(default_factory=dict)
    gone: set[bytes] = field(default_factory=set)
    is_last: bool = False


class Parts:
    """The parts of one value, as they were last written or read."""

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[int, int]] = {}  # pickled key -> slot, hash of the bytes
        self._next_slot = 0
        self._heavy: set[bytes] = set()  # those that take too long themselves
        self.unread: set[int] = set()  # slots of those that could not be read

    def __repr__(self) -> str:
        return f"<Parts {len(self._known)}>"

    def read(
        self, whole: Any, rows: Iterable[tuple[int, bytes]], unreadable: Callable[[str, Parked], None]
    ) -> tuple[dict[Any, Any], list[tuple[bytes, Parked]]]:
        """Put the parts together that are stored, and note them; those that can't be read stay where they are.

        Args:
            whole: an empty dict or list, for the parts.
            rows: slots and what is stored in them, in order.
            unreadable: is told what can't be read, with the path to it.

        Returns:
            The parts by their keys, those of a list by their slots; and what could not be read of parts that could,
            with those keys, pickled.
        """
        parts: dict[Any, Any] = whole if isinstance(whole, dict) else {}
        waiting: list[tuple[bytes, Parked]] = []
        for slot, stored in rows:
            label, data = taken_apart(stored)
            self._next_slot = max(self._next_slot, slot + 1)
            path = ""
            try:
                key = unpickled(label).value if parts is whole else slot
                path = f"[{key!r:.80}]" if parts is whole else f"[{len(parts)}]"
                parts[key], parked = unpickled(data)
            except Unreadable as error:
                self.unread.add(slot)
                unreadable(path, error.parked)
                continue
            self.unread.discard(slot)
            waiting += [(pickled(key).data, each) for each in parked]
            if parts is not whole:
                label = pickled(len(whole)).data  # its place, now that others may be missing
                whole.append(parts[key])
            self._known[label] = slot, hash(data)
        return parts, waiting

    def read_rest(
        self, whole: Any, parts: dict[Any, Any], rows: Iterable[tuple[int, bytes]]
    ) -> list[tuple[bytes, Parked]]:
        """Read those that could not be read before, into the dict or list that is in use.

        Args:
            whole: it. A list that was changed meanwhile is left as it is: they would come back in another order.
            parts: as `read` returned them; what is read goes in there too.
            rows: all that is stored.

        Returns:
            What could not be read of parts that could, with those keys, pickled.
        """
        again = Parts()
        found, waiting = again.read(type(whole)(), rows, lambda path, parked: None)
        if isinstance(whole, dict):
            for label, (slot, digest) in again._known.items():
                if slot in self.unread and label not in self._known:
                    key = unpickled(label).value
                    whole.setdefault(key, found[key])
                    self._known[label] = slot, digest
        elif [*map(id, whole)] == [id(parts[slot]) for slot in sorted(parts)]:
            parts.update({slot: part for slot, part in found.items() if slot not in parts})
            whole[:] = [parts[slot] for slot in sorted(parts)]
            self._known = again._known
        else:
            return []
        self.unread = again.unread
        return waiting

    def note_written(self, written: Slice) -> None:
        """Note that a slice was written."""
        self._known.update(written.noted)
        for label in written.gone:
            del self._known[label]

    def changes(
        self, value: Any, pickle: Pickle, too_heavy: Callable[[str], None], seconds: float | None
    ) -> Iterator[Slice]:
        """Go over all parts once, and yield what changed.

        Args:
            value: the dict or list.
            pickle: pickles one part, and raises `TooSlow`.
            too_heavy: is told the path of a part that takes too long.
            seconds: after which a slice is yielded; None for one slice with everything, heavy parts included.
        """
        present: set[bytes] = set()
        found = Slice()
        began = time.perf_counter()
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            label = pickled(key).data
            try:
                part = value[key]
            except (KeyError, IndexError):  # taken out meanwhile
                continue
            present.add(label)
            if seconds is None or label not in self._heavy:
                try:
                    if not self._compare(found, label, pickle(part, f"[{key!r}]").data):
                        present.discard(label)  # it can't go, so what it was before must not stay either
                except TooSlow:
                    self._heavy.add(label)
                    too_heavy(f"[{key!r}]")
            if seconds is not None and time.perf_counter() - began > seconds:
                yield found
                found, began = Slice(), time.perf_counter()
        found.is_last = True
        found.gone = self._known.keys() - present
        found.changed.update({self._known[label][0]: None for label in found.gone})
        yield found

    def _compare(self, found: Slice, label: bytes, data: bytes) -> bool:
        """Note what changed of a part; whether there is anything of it."""
        slot, before = self._known.get(label, (self._next_slot, None))
        if data and hash(data) != before:
            if before is None:
                self._next_slot += 1
            found.noted[label] = slot, hash(data)
            found.changed[slot] = joined(label, data)
        return bool(data)


def joined(label: bytes, data: bytes) -> bytes:
    """A part as it is stored: its pickled key, behind the length of that, and its bytes."""
    return len(label).to_bytes(4, "big") + label + data


def taken_apart(stored: bytes) -> tuple[bytes, bytes]:
    """The pickled key and the bytes of a part as it was stored."""
    end = 4 + int.from_bytes(stored[:4], "big")
    return stored[4:end], stored[end:]
