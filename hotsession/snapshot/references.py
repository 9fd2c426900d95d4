"""What an object is pickled as where plain pickle gives up: code by its name, or by value where it has none.

It decides for one object at a time, and knows nothing of what holds it.
"""

from __future__ import annotations

import asyncio
import copyreg
import importlib
import io
import pickle
import sys
import types
from collections.abc import Callable, Iterable
from typing import Any

import cloudpickle  # type: ignore[import-untyped]

from hotsession.living.classes import living
from hotsession.living.defaults import slots_of
from hotsession.living.owning import default_is_own
from hotsession.registry import registry
from hotsession.snapshot.makers import (
    by_name,
    fill_cell,
    fill_function,
    fill_slots,
    make_cell,
    make_function,
    make_lock,
)
from hotsession.snapshot.shaped import made_with_arguments, special

__all__ = ["CannotGo", "IsOwn", "Reducer", "Reduction", "default_is_own", "for_pickle", "is_race"]

Reduction = tuple[Any, ...]
IsOwn = Callable[[str], bool]

_MISSING = object()
_RACES = ("changed size during iteration", "changed during iteration", "mutated during iteration")


class CannotGo(Exception):
    """This object can't be pickled, for the reason it was made with."""


def for_pickle(reduction: Any) -> Any:
    """A reduction as pickle takes it: with iterators."""
    if reduction is NotImplemented or isinstance(reduction, str):
        return reduction
    make, arguments, state, items, pairs, setter = reduction
    return (
        make,
        arguments,
        state,
        None if items is None else iter(items),
        None if pairs is None else iter(pairs),
        setter,
    )


def is_race(error: Exception) -> bool:
    """Whether an object was changed by another thread while it was gone through."""
    return type(error) is RuntimeError and any(race in str(error) for race in _RACES)


class Reducer(cloudpickle.Pickler):  # type: ignore[misc]
    """A pickler whose `reduce` says what any object but the plain built-in ones is pickled as.

    Args:
        file: what the bytes are written to.
        is_own: whether the file at a path is the user's own code, which comes back as what it is then.
        blame_races: take a change during iteration for the object's own fault; else the error is raised as it is.

    Attributes:
        holds_code: whether compiled code was met, which only the same Python version can read.
        classes: those of the objects that were met.
    """

    def __init__(self, file: Any, is_own: IsOwn, *, blame_races: bool = False) -> None:
        super().__init__(file, 5)
        self.blame_races = blame_races
        self.is_own = is_own
        self.anew = registry.loading_variable.get() is not None  # pickle itself looks past a load that is under way
        self.holds_code = False
        self.classes: set[type] = set()

    def dump(self, obj: Any) -> None:
        """Pickle it; too deep a recursion stays a RecursionError."""
        pickle.Pickler.dump(self, obj)

    def reducer_override(self, obj: Any) -> Any:
        """What pickle asks for every object but the plain built-in ones."""
        return for_pickle(self.ask(obj))

    def reduce(self, obj: Any) -> Any:
        """As `ask`, with one error for whatever an object may raise.

        Raises:
            CannotGo: it can't be pickled.
            RuntimeError: another thread changes it at this moment.
        """
        try:
            return self.ask(obj)
        except CannotGo:
            raise
        except Exception as error:
            if is_race(error) and not self.blame_races:
                raise
            raise CannotGo(str(error) or type(error).__name__) from error

    def ask(self, obj: Any) -> Any:
        """The tuple that describes how to make the object; a string or NotImplemented for what pickle finds by name.

        It is one of six, with lists of items and pairs that can be gone through more than once.

        Raises:
            Exception: whatever the object raises when it is asked.
        """
        cls = type(obj)  # isinstance() would ask a proxy for the class of what it stands for
        found = self._code(obj) if issubclass(cls, type | types.FunctionType) else self._instance(obj, cls)
        return found if found is NotImplemented or isinstance(found, str) else _validated(found, obj)

    def owns(self, cls: type) -> bool:
        """Whether a class is the user's own."""
        path = _source_of(cls)
        return path is not None and self.is_own(path)

    def has_shape(self, cls: type) -> bool:
        """Whether the shape of a class is written down with its objects: it is the user's own."""
        return living().owns(cls) or self.owns(cls)

    def _instance(self, obj: Any, cls: type) -> Any:
        self.classes.add(cls)
        found = special(obj, cls, self.has_shape)
        if found is not None:
            return found
        if cls is types.ModuleType:
            return _module(obj)
        if cls is types.CellType:
            return _cell(obj)
        if cls is asyncio.Lock:
            return make_lock, ()
        self.holds_code |= cls is types.CodeType
        if issubclass(cls, io.IOBase) and not issubclass(cls, io.StringIO | io.BytesIO):
            raise CannotGo("an open file belongs to its process")
        registered = self._registered(obj, cls)
        found = self._reduced(obj, cls) if registered is None else registered(obj)
        if isinstance(found, str):
            if "<" in found:
                raise CannotGo("it is found by no name")
            module = _text(getattr(obj, "__module__", None)) or cls.__module__
            return found if _look_up(module, found) is obj and not self.anew else (by_name, (module, found))
        return found

    def _reduced(self, obj: Any, cls: type) -> Any:
        try:
            return obj.__reduce_ex__(5)
        except AttributeError:  # what attrs and dataclasses write for slots takes it that none of them is empty
            if not (hasattr(cls, "__attrs_attrs__") or hasattr(cls, "__dataclass_fields__")) or not self.owns(cls):
                raise
        state = {**getattr(obj, "__dict__", {}), **slots_of(obj)}
        return copyreg.__newobj__, (cls,), state, None, None, fill_slots  # type: ignore[attr-defined]

    def _registered(self, obj: Any, cls: type) -> Callable[[Any], Any] | None:
        """The function that is registered for the class, if it is asked instead of the object itself."""
        if cls is types.MethodType and _finds_itself(obj):
            return None
        return copyreg.dispatch_table.get(cls) or self.dispatch_table.get(cls)

    def _code(self, obj: Any) -> Any:
        found = (made_with_arguments(obj) if isinstance(obj, type) else None) or self._reference(obj)
        return super().reducer_override(obj) if found is None else found

    def _reference(self, obj: Any) -> Any:
        """How to refer to a class or function by name; None if it has no name."""
        module, name = _text(getattr(obj, "__module__", None)), obj.__qualname__
        bound = _look_up(module, name)
        own = isinstance(obj, type) and self.owns(obj)
        if bound is obj and not (self.anew and own):
            return NotImplemented
        if bound is obj or _same_definition(bound, obj):
            return by_name, (module, name)
        alias = _alias(module, obj)
        if alias is not None:
            return by_name, (module, alias)
        if own and bound is _MISSING and "<" not in name:
            return by_name, (module, name)  # the class was taken out of the code: it may come back
        return None

    def _dynamic_function_reduce(self, func: types.FunctionType) -> Any:
        """A function by value, but its globals by the name of their module.

        cloudpickle copies the globals that a function uses: it would come back with an app and a database of its own.
        """
        module = func.__globals__.get("__name__")
        if not isinstance(module, str) or module not in sys.modules:
            return super()._dynamic_function_reduce(func)
        state = {name: getattr(func, name) for name in _FUNCTION_STATE} | {"__dict__": dict(func.__dict__)}
        return make_function, (func.__code__, module, func.__closure__), state, None, None, fill_function


_FUNCTION_STATE = (
    "__name__",
    "__qualname__",
    "__module__",
    "__doc__",
    "__defaults__",
    "__kwdefaults__",
    "__annotations__",
)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _source_of(cls: type) -> str | None:
    """The file that a class was written in, if it can be told."""
    module = sys.modules.get(_text(getattr(cls, "__module__", None)))
    path = getattr(module, "__file__", None)
    if path is None and module is None:  # the module is gone, the functions of the class know its file
        functions = (each for each in vars(cls).values() if isinstance(each, types.FunctionType))
        path = next((each.__code__.co_filename for each in functions), None)
    return path


def _look_up(module: str, name: str) -> Any:
    found: Any = sys.modules.get(module, _MISSING)
    for part in name.split("."):
        if found is _MISSING:
            break
        found = getattr(found, part, _MISSING)
    return found


def _same_definition(bound: Any, obj: Any) -> bool:
    """Whether what now has the name of `obj` is a newer generation of it, and not, say, what wraps it."""
    if isinstance(obj, type):
        return isinstance(bound, type)
    code = getattr(bound, "__code__", None)
    return code is not None and code.co_qualname == obj.__code__.co_qualname


def _alias(module: str, obj: Any) -> str | None:
    """Another name for `obj` in its module: ``Point = namedtuple("P", "x y")``."""
    names = list(vars(sys.modules[module]).items()) if module in sys.modules else []
    for name, value in names:
        if value is obj:
            return name
    if isinstance(obj, type):
        for name, value in names:
            if isinstance(value, type) and (value.__qualname__, value.__module__) == (obj.__qualname__, module):
                return name
    return None


def _finds_itself(method: types.MethodType) -> bool:
    """Whether a bound method can be had from its object by name; then it comes back as the new class has it."""
    return getattr(method.__self__, method.__func__.__name__, None) == method


def _module(module: types.ModuleType) -> Reduction:
    if module.__name__ not in sys.modules:
        raise CannotGo("a module that can't be imported belongs to its process")
    return importlib.import_module, (module.__name__,)


def _cell(cell: types.CellType) -> Reduction:
    try:
        contents = cell.cell_contents
    except ValueError:
        return make_cell, ()
    return make_cell, (), (contents,), None, None, fill_cell


def _validated(found: Any, obj: Any) -> Reduction:
    """What an object says of itself, if pickle will take it. Iterators become lists, so that it can be gone through."""
    if not (isinstance(found, tuple) and 2 <= len(found) <= 6):
        raise CannotGo("its __reduce__ returns neither a string nor a tuple of two to six")
    make, arguments, state, items, pairs, setter = (*found, None, None, None, None)[:6]
    if not callable(make) or not isinstance(arguments, tuple) or not (setter is None or callable(setter)):
        raise CannotGo("its __reduce__ returns what pickle does not take")
    if getattr(make, "__name__", "") in ("__newobj__", "__newobj_ex__") and arguments[0] is not type(obj):
        raise CannotGo("its __reduce__ makes an object of another class")
    return make, arguments, state, _listed(items), _listed(pairs), setter


def _listed(items: Iterable[Any] | None) -> list[Any] | None:
    return None if items is None else list(items)
