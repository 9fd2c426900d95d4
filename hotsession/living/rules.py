"""What a conversion asks: after a reload the classes that were replaced answer, after a restart what is read."""

from __future__ import annotations

from typing import Any, Protocol

from hotsession.living.asides import Asides
from hotsession.living.changes import Change
from hotsession.living.kinds import Kind


class Rules(Protocol):
    """What a conversion asks.

    Attributes:
        asides: what is kept aside of objects.
        twins: by the id of an object that has become another one: both of them.
    """

    asides: Asides
    twins: dict[int, tuple[Any, Any]]

    def change_of(self, cls: type) -> Change | None:
        """What became of a class; None if it is as it was."""
        ...

    def kind_of(self, cls: type) -> Kind:
        """How objects of a class hold others."""
        ...

    def reference(self, found: Any) -> Any:
        """What a class or function is now: itself, a newer one, or `GONE`."""
        ...
