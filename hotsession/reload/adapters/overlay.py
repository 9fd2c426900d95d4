"""Attributes of a library's objects that look different to the code of a load than to everybody else.

An `Overlay` knows nothing of any library. It puts descriptors and functions of its own in a library's classes for as
long as a load takes: code of the load reads and writes staged values, all other code the real ones. So a load that
fails has touched nothing.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hotsession.registry import registry


def in_load() -> bool:
    """Whether the running code belongs to a load."""
    return registry.transaction is not None


@dataclass(slots=True)
class _Staged:
    owner: Any
    name: str
    value: Any
    known: frozenset[Any]  # the keys of the real mapping when it was staged


class Overlay:
    """The staged values of one load, and what makes its code see them."""

    def __init__(self) -> None:
        self._staged: dict[tuple[int, str], _Staged] = {}
        self._born: dict[int, Any] = {}
        self._undo: list[Callable[[], None]] = []
        self._lock = threading.RLock()

    def __repr__(self) -> str:
        return f"<Overlay of {len(self._staged)} values, {len(self._born)} objects of its own>"

    def attribute(self, kind: type, name: str, stage: Callable[[Any, Any], Any]) -> None:
        """Show an instance attribute of `kind` through the overlay.

        Args:
            kind: the library's class; its instances hold the attribute in their ``__dict__``.
            name: of the attribute.
            stage: takes the object and the real value, and returns the value that code of the load works with.
        """
        self._put(kind, name, _Attribute(self, name, stage))

    def function(self, owner: Any, name: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
        """Let code of the load call something else than the function `name` of a library's class or module.

        Args:
            owner: the class or module.
            name: of the function; it may be a class method.
            make: takes the original, unbound, and returns the replacement.
        """
        found = inspect.getattr_static(owner, name)
        original = found.__func__ if isinstance(found, classmethod) else found
        replacement = make(original)

        def chosen(*args: Any, **named: Any) -> Any:
            return (replacement if in_load() else original)(*args, **named)

        self._put(owner, name, classmethod(chosen) if isinstance(found, classmethod) else chosen)

    def _put(self, owner: Any, name: str, value: Any) -> None:
        if name in vars(owner):
            before = vars(owner)[name]
            self._undo.append(lambda: setattr(owner, name, before))
        else:
            self._undo.append(lambda: delattr(owner, name))
        setattr(owner, name, value)

    def adopt(self, owner: Any) -> None:
        """Take `owner` for an object of the load, which no other code knows: its real values are staged enough."""
        with self._lock:
            self._born[id(owner)] = owner

    def is_born(self, owner: Any) -> bool:
        """Whether `owner` is an object of the load itself."""
        return id(owner) in self._born

    def see(self, owner: Any, name: str, stage: Callable[[Any, Any], Any] | None = None) -> Any:
        """The staged value of an attribute, made now if this is the first look at it."""
        real = owner.__dict__[name]
        if self.is_born(owner):
            return real
        with self._lock:
            staged = self._staged.get((id(owner), name))
            if staged is None:
                stage = stage or getattr(type(owner), name).stage
                known = frozenset(real if isinstance(real, dict) else ())
                staged = self._staged[id(owner), name] = _Staged(owner, name, stage(owner, real), known)
            return staged.value

    def write(self, owner: Any, name: str, value: Any) -> None:
        """Set the staged value of an attribute."""
        if name not in owner.__dict__:
            self.adopt(owner)
        if self.is_born(owner):
            owner.__dict__[name] = value
        else:
            self.see(owner, name)
            self._staged[id(owner), name].value = value

    def commit(self) -> None:
        """Make the staged values the real ones, with what other code added meanwhile, and take the overlay away."""
        for staged in self._staged.values():
            real = staged.owner.__dict__[staged.name]
            if isinstance(real, dict) and isinstance(staged.value, dict):
                for key in real.keys() - staged.known - staged.value.keys():
                    dict.__setitem__(staged.value, key, real[key])
            staged.owner.__dict__[staged.name] = staged.value
        self.discard()

    def discard(self) -> None:
        """Forget the staged values and take the overlay away."""
        while self._undo:
            self._undo.pop()()
        self._staged.clear()
        self._born.clear()


class _Attribute:
    """A data descriptor in front of an instance attribute."""

    def __init__(self, overlay: Overlay, name: str, stage: Callable[[Any, Any], Any]) -> None:
        self.overlay = overlay
        self.name = name
        self.stage = stage

    def __get__(self, owner: Any, kind: type | None = None) -> Any:
        if owner is None:
            return self
        if self.name not in owner.__dict__:
            raise AttributeError(f"{type(owner).__name__!r} object has no attribute {self.name!r}")
        return self.overlay.see(owner, self.name, self.stage) if in_load() else owner.__dict__[self.name]

    def __set__(self, owner: Any, value: Any) -> None:
        if in_load():
            self.overlay.write(owner, self.name, value)
        else:
            owner.__dict__[self.name] = value
