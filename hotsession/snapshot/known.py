"""What a process knows of one kept value, as it was last written or read. It writes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from hotsession.snapshot.heading import Heading, Keys
from hotsession.snapshot.piecemeal import Parts, Slice


@dataclass(slots=True)
class Known:
    """What this process knows of one value."""

    heading: Heading
    keys: Keys
    stored: str | None = None  # the form in which it lies in the store; None while it does not
    digest: int | None = None  # of the whole
    leftover: dict[bytes, bytes | None] = field(default_factory=dict)  # of another value, to go with the next write
    parts: Parts = field(default_factory=Parts)
    going: Iterator[Slice] | None = None  # a pass over the parts that made a pause
    careful: bool = False
    heavy: bool = False  # is written only with everything

    def is_of(self, fingerprint: str | None, created_at: float) -> bool:
        """Whether it is this value, and not another one that had its name."""
        return self.heading[2:4] == (fingerprint, created_at)
