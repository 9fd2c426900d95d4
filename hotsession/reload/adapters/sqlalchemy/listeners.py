"""Event listeners of replaced modules on targets that are carried over: a base class, an engine, `Session`.

A listener on a target that goes with its module goes with it. On any other target the old and the new one would both
be called, so the old one is removed at the commit, or the new one when the load fails. SQLAlchemy's own listeners that
create enumeration types along with the tables of a metadata are of the table's module.
"""

from __future__ import annotations

import contextlib
import types
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from sqlalchemy.event import registry as events
from sqlalchemy.orm import Mapper
from sqlalchemy.orm.events import _EventsHold

from hotsession.reload.adapters.origins import own_values, values_of
from hotsession.reload.adapters.overlay import Overlay
from hotsession.reload.loader import real_modules

# The listeners of SQLAlchemy that keep attributes of models in step, of which there are most, wrap nobody else's.
_INTERNAL = frozenset({"sqlalchemy.orm.attributes", "sqlalchemy.orm.unitofwork"})
_Key = tuple[int, str, Any]


class Listeners:
    """The listeners of replaced modules, and those that the load adds.

    Args:
        modules: what is replaced.
        mappers: the mappers of the classes that are replaced.
        types: the types of the columns that are replaced.
    """

    def __init__(self, modules: frozenset[str], mappers: Iterable[Mapper[Any]], types: Iterable[Any]) -> None:
        old = {id(kind) for kind in types}
        self._old = [
            key
            for key, functions in _registered()
            if any(id(_owner(each)) in old or _is_of(each, modules) for each in functions)
        ]
        self._new: list[tuple[_Key, Any, Any]] = []
        if self._old:
            own = _targets_of(modules, mappers)
            self._old = [key for key in self._old if key[0] not in own]

    def watch(self, overlay: Overlay) -> None:
        """Note what the code of the load adds."""

        def make(original: Callable[..., bool]) -> Callable[..., bool]:
            def stored(event_key: Any, owner: Any) -> bool:
                self._new.append((event_key._key, weakref.ref(event_key._listen_fn), owner.ref))
                return original(event_key, owner)

            return stored

        overlay.function(events, "_stored_in_collection", make)

    def commit(self) -> None:
        """Remove the old listeners."""
        for key in self._old:
            for collection, function in dict(events._key_to_collection.get(key, {})).items():
                _remove(key, collection(), function())
        self._forget()

    def rollback(self) -> None:
        """Remove the listeners that the load added."""
        for key, function, collection in self._new:
            _remove(key, collection(), function())
        self._forget()

    def _forget(self) -> None:
        self._old.clear()
        self._new.clear()


def _registered() -> Iterator[tuple[_Key, list[Any]]]:
    # Copies: a collection of garbage, at any moment, takes entries out.
    for key, collections in dict(events._key_to_collection).items():
        yield key, [function() for function in list(collections.values())]


def _owner(function: Any) -> Any:
    """The object that a listener is a method of, also where SQLAlchemy has wrapped it."""
    function = getattr(function, "func", function)
    return getattr(function, "__self__", getattr(function, "target", None))


def _is_of(function: Any, modules: frozenset[str], depth: int = 3) -> bool:
    """Whether a listener was defined in `modules`, also behind the wrappers that SQLAlchemy puts around it."""
    function = getattr(function, "__func__", getattr(function, "func", function))
    module = getattr(function, "__module__", None)
    if module in modules:
        return True
    if depth == 0 or module in _INTERNAL or not isinstance(function, types.FunctionType):
        return False
    return any(callable(each) and _is_of(each, modules, depth - 1) for each in _enclosed(function))


def _enclosed(function: types.FunctionType) -> Iterator[Any]:
    for cell in function.__closure__ or ():
        with contextlib.suppress(ValueError):  # an empty cell
            yield cell.cell_contents


def _targets_of(modules: frozenset[str], mappers: Iterable[Mapper[Any]]) -> set[int]:
    """The identities of the targets that go with their modules."""
    real = real_modules()
    values = [value for name in modules if name in real for value in values_of(real[name])]
    own = {id(part) for value in values for part in _parts(value, modules)}
    for name, held in own_values():
        if name not in modules:
            for value in held:
                if id(value) in own:
                    own -= {id(part) for part in _parts(value, modules)}
    for mapper in mappers:
        own |= {id(mapper.class_), id(mapper), id(mapper.class_manager), id(mapper.local_table)}
        own |= {id(attribute) for attribute in mapper.class_manager.values()}
    return own


def _parts(value: Any, modules: frozenset[str]) -> list[Any]:
    """A possible target, with those inside it: an engine's pool and dialect, what an asynchronous engine wraps."""
    kind = type(value)
    if not kind.__module__.startswith("sqlalchemy."):
        return [value] if issubclass(kind, type) and value.__module__ in modules else []
    inner = [getattr(value, name, None) for name in ("sync_engine", "pool", "dialect")]
    return [value, *(part for each in inner if each is not None for part in (each, getattr(each, "pool", None)))]


def _remove(key: _Key, collection: Any, function: Any) -> None:
    """Remove a listener from one of its collections: of an object, of a class, or of a class not yet mapped."""
    if collection is None or function is None:
        return
    if isinstance(collection, _EventsHold):
        collection.all_holds.get(collection.class_, {}).pop(key, None)
    elif hasattr(collection, "_clslevel"):
        for listeners in collection._clslevel.values():
            if function in listeners:
                listeners.remove(function)
    elif function in collection.listeners:
        collection.listeners.remove(function)
        collection.propagate.discard(function)
    _unregister(key, collection.ref, weakref.ref(function))


def _unregister(key: _Key, collection: Any, function: Any) -> None:
    known = events._key_to_collection.get(key)
    if known is not None:
        known.pop(collection, None)
        if not known:
            del events._key_to_collection[key]
    if collection in events._collection_to_key:
        events._collection_to_key[collection].pop(function, None)
