"""What objects had in fields that their class no longer has, until the field returns.

It is kept beside the objects and not in them, where it would show in ``vars(...)`` and find no room in slots.
"""

from __future__ import annotations

import contextlib
import sys
import weakref
from functools import partial
from typing import Any

PASSED = "__hot_passed__"
EXTRA = "__pydantic_extra__"
GIVEN = "__pydantic_fields_set__"
PRIVATE = "__pydantic_private__"
OF_MODELS = frozenset({EXTRA, GIVEN, PRIVATE})
NOTES = frozenset({PASSED}) | OF_MODELS
"""What is kept aside that is no attribute: versions that an object is of, and what pydantic notes of a model."""

_OWN_REFERENCES = 4  # to an object that nobody else holds: the entry, the pair, the local name, getrefcount's argument


class Asides:
    """Values by name, by the object that they are of."""

    def __init__(self) -> None:
        self._values: dict[int, tuple[Any, dict[str, Any]]] = {}  # id -> a weak reference, or the object itself

    def __repr__(self) -> str:
        return f"<Asides of {len(self._values)} objects>"

    def __bool__(self) -> bool:
        return bool(self._values)

    def of(self, instance: object) -> dict[str, Any]:
        """What is kept aside of an object."""
        found = self._values.get(id(instance))
        return {} if found is None else found[1]

    def put(self, instance: object, values: dict[str, Any]) -> None:
        """Keep `values` aside of an object, in place of what was kept of it before."""
        if not values:
            self._values.pop(id(instance), None)
            return
        holder: Any = instance
        with contextlib.suppress(TypeError):  # it has no room for that: see `prune`
            holder = weakref.ref(instance, partial(self._forget, id(instance)))
        self._values[id(instance)] = holder, values

    def prune(self) -> None:
        """Forget objects that nobody else holds, where that can't be noticed at once."""
        for where in tuple(self._values):
            entry = self._values.get(where)
            if entry is not None and not isinstance(entry[0], weakref.ref):
                holder = entry[0]
                del entry
                if sys.getrefcount(holder) < _OWN_REFERENCES:
                    del self._values[where]

    def _forget(self, where: int, reference: object) -> None:
        found = self._values.get(where)
        if found is not None and found[0] is reference:
            del self._values[where]
