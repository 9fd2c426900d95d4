"""What is stored of a kept value beside its bytes, and under which keys its bytes lie. Pure.

A value is a heading and its bytes, or its heading and its parts; ID is a hash of its name::

    value/ID          pickled Heading
    whole/ID          the value
    part/ID SLOT      a key and its value, or the element of a list; SLOTs of 8 bytes are in order
    waiting/ID        items of it, or of its parts, that could not be read
    lost/ID           all of it, if it could not be read, and the heading that it had; several, oldest first
"""

from __future__ import annotations

import pickle
from hashlib import blake2b
from typing import Any, NamedTuple

VALUES = b"value/"
WAITING = b"waiting/"
LOST = b"lost/"


class Heading(NamedTuple):
    """What is stored of a value beside its bytes."""

    name: str
    form: str  # "whole", "dict" or "list": how the bytes lie
    fingerprint: str | None  # of the factory that built it
    created_at: float
    revision: int  # one more with each write
    writer: int  # the number of the process that wrote it

    def __bytes__(self) -> bytes:
        return pickle.dumps(tuple(self))

    @classmethod
    def of(cls, stored: bytes) -> Heading:
        """The heading that was stored."""
        return cls(*pickle.loads(stored))


class Restored(NamedTuple):
    """A value that came over a restart."""

    value: Any
    fingerprint: str | None
    created_at: float


class Keys:
    """The keys of one value in the store.

    Args:
        name: of the value.
    """

    __slots__ = ("heading", "lost", "parts", "waiting", "whole")

    def __init__(self, name: str) -> None:
        id = blake2b(name.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        self.heading = VALUES + id
        self.whole = b"whole/" + id
        self.parts = b"part/" + id  # what those of the parts begin with
        self.waiting = WAITING + id
        self.lost = LOST + id

    def __repr__(self) -> str:
        return f"<Keys {self.heading!r}>"

    def part(self, slot: int) -> bytes:
        """The key of a part."""
        return self.parts + slot.to_bytes(8, "big")


def slot_of(key: bytes) -> int:
    """The slot that a part is in."""
    return int.from_bytes(key[-8:], "big")


def whose(name: str) -> str:
    """A value, for the log."""
    return f"what is kept as {name!r}"
