"""A dict or list that is written part by part, because the whole takes too long at a stretch.

Each part is pickled and compared by itself, a slice of time at once. It yields what is to be written, knows no store.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from hotsession.snapshot.pickling import Pickled, TooSlow, pickled

Pickle = Callable[[Any, str], Pickled]
"""Pickles a part, given the part and the path to it."""


@dataclass(slots=True)
class Slice:
    """What one slice of a pass found: parts to write, by their slots; None stands for parts that are gone."""

    changed: dict[int, bytes | None] = field(default_factory=dict)
    noted: dict[bytes, tuple[int, int]] = field(default_factory=dict)
    gone: set[bytes] = field(default_factory=set)


class Part(NamedTuple):
    """One part as it was read: its slot, its pickled key and its bytes."""

    slot: int
    label: bytes
    data: bytes


class Parts:
    """The parts of one value, as they were last written or read."""

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[int, int]] = {}  # pickled key -> slot, hash of the bytes
        self._next_slot = 0
        self._heavy: set[bytes] = set()  # those that take too long themselves

    def __repr__(self) -> str:
        return f"<Parts {len(self._known)}>"

    def note(self, part: Part) -> None:
        """Note a part that was read."""
        self._known[part.label] = part.slot, hash(part.data)
        self._next_slot = max(self._next_slot, part.slot + 1)

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
                    self._compare(found, label, pickle(part, f"[{key!r}]").data)
                except TooSlow:
                    self._heavy.add(label)
                    too_heavy(f"[{key!r}]")
            if seconds is not None and time.perf_counter() - began > seconds:
                yield found
                found, began = Slice(), time.perf_counter()
        found.gone = self._known.keys() - present
        found.changed.update({self._known[label][0]: None for label in found.gone})
        yield found

    def _compare(self, found: Slice, label: bytes, data: bytes) -> None:
        slot, before = self._known.get(label, (self._next_slot, None))
        if not data or hash(data) == before:
            return
        if before is None:
            self._next_slot += 1
        found.noted[label] = slot, hash(data)
        found.changed[slot] = joined(label, data)


def joined(label: bytes, data: bytes) -> bytes:
    """A part as it is stored: its pickled key, behind the length of that, and its bytes."""
    return len(label).to_bytes(4, "big") + label + data


def taken_apart(slot: int, stored: bytes) -> Part:
    """A part as it was stored."""
    size = int.from_bytes(stored[:4], "big")
    return Part(slot, stored[4 : 4 + size], stored[4 + size :])
