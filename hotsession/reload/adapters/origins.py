"""Which module made an object that a library's registry holds: by note where a load made it, else by where it is found.

Nothing in a library's registry says who put an entry there. What is made in a load is noted with the module whose code
asked for it. What was there before is looked for among the attributes of own modules, and of the classes and
instances that stand there. A module that is carried over can't have imported from one that is replaced (importers
are replaced as well), so what a carried one holds is not a replaced one's.
"""

from __future__ import annotations

import contextlib
import functools
import sys
import sysconfig
import types
import weakref
from collections.abc import Iterable, Iterator, MutableMapping
from contextvars import ContextVar
from types import ModuleType
from typing import Any

from hotsession.registry import registry
from hotsession.reload.loader import real_modules

_PLAIN = frozenset(
    {int, str, bytes, float, bool, type(None), tuple, list, dict, set, frozenset, property, classmethod, staticmethod}
    | {getattr(types, name) for name in ("FunctionType", "BuiltinFunctionType", "MethodType", "ModuleType")}
    | {types.GetSetDescriptorType, types.MappingProxyType, types.GenericAlias, types.UnionType}
)
_looked: ContextVar[list[tuple[str, list[Any]]] | None] = ContextVar("hotsession_looked", default=None)


@functools.cache
def _library_paths() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    return tuple({paths[key] + "/" for key in ("stdlib", "platstdlib", "purelib", "platlib")})


def own_modules() -> dict[str, ModuleType]:
    """The modules in the process that are no library's, by name; a file below ``site-packages`` is a library's."""
    libraries = _library_paths()
    found = {}
    for name, module in real_modules().copy().items():
        file = getattr(module, "__file__", None)
        if file and not file.startswith(libraries) and "-packages" not in file and not name.startswith("hotsession."):
            found[name] = module
    return found


def is_left_over(name: str) -> bool:
    """Whether nothing goes by the name of a module: it is what is left of a load that failed.

    The first load can leave something behind: the library was not there when it began, so nobody made room.
    """
    return name not in real_modules()


def values_of(module: ModuleType) -> list[Any]:
    """What stands in a module: its attributes, and those of its own classes and of instances of own classes.

    Functions, modules and plain data, of which there are most, are left out.
    """
    name = module.__name__
    found = [value for value in list(module.__dict__.values()) if type(value) not in _PLAIN]
    for value in found.copy():
        kind = type(
            value
        )  # never isinstance: it asks proxies for their `__class__`, and some raise outside of a request
        if issubclass(kind, type):
            inner = value.__dict__ if value.__module__ == name else {}
        elif kind.__module__ == name and kind.__dictoffset__:
            inner = object.__getattribute__(value, "__dict__")
        else:
            continue
        found += [each for each in list(inner.values()) if type(each) not in _PLAIN]
    return found


def own_values() -> list[tuple[str, list[Any]]]:
    """What stands in each own module, by the module's name; looked up once in a `look_once` block."""
    found = _looked.get()
    if found is None:
        return _look()
    if not found:
        found += _look()
    return found


def _look() -> list[tuple[str, list[Any]]]:
    return [(name, values_of(module)) for name, module in own_modules().items()]


@contextlib.contextmanager
def look_once() -> Iterator[None]:
    """Let all that the block asks use one look at the own modules, which takes a millisecond in a large app."""
    token = _looked.set([])
    try:
        yield
    finally:
        _looked.reset(token)


def _notes() -> MutableMapping[Any, str]:
    notes: MutableMapping[Any, str] = registry.object("origins", weakref.WeakKeyDictionary)
    return notes


def note_origin(made: Any, modules: frozenset[str], libraries: frozenset[str]) -> None:
    """Remember which module's code is making `made`, looking up the stack.

    Args:
        made: the object; held weakly.
        modules: the modules being replaced: the nearest of them counts.
        libraries: top-level names; where none of `modules` is on the stack, the nearest that is not of these counts.
    """
    frame, nearest = sys._getframe(1), None
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if name in modules:
            nearest = name
            break
        if nearest is None and name.partition(".")[0] not in libraries and not name.startswith("hotsession."):
            nearest = name
        frame = frame.f_back  # type: ignore[assignment]
    if nearest is not None:
        _notes()[made] = nearest


class Origins:
    """Where the given objects come from.

    Args:
        objects: what to look for.
    """

    def __init__(self, objects: Iterable[Any]) -> None:
        self._holders: dict[int, set[str]] = {}
        notes = _notes()
        unknown = set()
        for each in objects:
            if (noted := notes.get(each)) is not None:
                self._holders[id(each)] = {noted}
            else:
                unknown.add(id(each))
        if unknown:
            self._look_around(unknown)

    def _look_around(self, unknown: set[int]) -> None:
        for name, values in own_values():
            for value in values:
                if id(value) in unknown:
                    self._holders.setdefault(id(value), set()).add(name)

    def modules(self, made: Any) -> frozenset[str]:
        """The modules that may have made `made`: the one that did and those that imported it; empty if unknown."""
        return frozenset(self._holders.get(id(made), ()))

    def is_replaced(self, made: Any, modules: frozenset[str]) -> bool:
        """Whether one of `modules` made it."""
        holders = self.modules(made)
        return bool(holders) and holders <= modules
