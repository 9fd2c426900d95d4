"""Classes and functions by their names, and the classes that a module defines. Runs nothing of the user's code."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from types import FunctionType, ModuleType
from typing import Any

MISSING = object()

_OLD = "__hot_replaced__"  # in the globals of a module, which what libraries generate from them has not


def classes_in(module: ModuleType) -> Iterator[tuple[str, type]]:
    """The classes that a module defines, with those inside of them: each with the name that it is found by."""
    waiting: list[tuple[str, Mapping[str, Any]]] = [("", vars(module))]
    seen: set[int] = set()
    while waiting:
        prefix, names = waiting.pop()
        for name, found in list(names.items()):
            if isinstance(found, type) and id(found) not in seen and _text(found, "__module__") == module.__name__:
                if _text(found, "__qualname__") != prefix + name and _has_own_name(found, module):
                    continue  # it is met by its own name as well
                seen.add(id(found))
                yield prefix + name, found
                waiting.append((f"{prefix}{name}.", vars(found)))


def _has_own_name(cls: type, module: ModuleType) -> bool:
    return find(module, cls.__qualname__) is cls


def find(module: ModuleType | None, path: str) -> Any:
    """What a module has under a dotted name, or `MISSING`."""
    found: Any = MISSING if module is None else module
    for part in path.split("."):
        if found is MISSING:
            break
        if isinstance(found, ModuleType):
            found = vars(found).get(part, MISSING)
        elif isinstance(found, type):
            found = next((vars(base)[part] for base in found.__mro__ if part in vars(base)), MISSING)
            found = getattr(found, "__func__", found)  # of class methods and static ones
        else:
            found = MISSING
    return found


def current(module: str, path: str, moves: Mapping[str, str]) -> Any:
    """What goes by a module and a dotted name now, also if it was told to have moved; or `MISSING`."""
    found = find(sys.modules.get(module), path)
    seen: set[str] = set()
    name = f"{module}.{path}"
    while found is MISSING and name not in seen:
        seen.add(name)
        name = moved_name(name, moves)
        found = by_dotted_name(name)
    return found


def moved_name(name: str, moves: Mapping[str, str]) -> str:
    """The name that a dotted name was told to be now: its own, or that of what it lies in."""
    head, tail = name, ""
    while head:
        if head in moves:
            return moves[head] + tail
        head, _, last = head.rpartition(".")
        tail = f".{last}{tail}"
    return name


def by_dotted_name(name: str) -> Any:
    """What goes by a dotted name in the modules that are there, or `MISSING`."""
    module, _, path = name.rpartition(".")
    while module:
        if module in sys.modules:
            return find(sys.modules[module], path)
        module, _, last = module.rpartition(".")
        path = f"{last}.{path}"
    return MISSING


def is_outdated(function: Any) -> bool:
    """Whether a function is of a module that has been replaced since it was defined."""
    inner = function
    while isinstance(wrapped := getattr(inner, "__wrapped__", None), FunctionType) and wrapped is not function:
        inner = wrapped
    module = sys.modules.get(_text(inner, "__module__"))
    return module is not None and vars(module) is not inner.__globals__


def mark_as_old(module: ModuleType) -> None:
    """Have functions of a module know that it has been replaced: they have its globals, and may outlive it."""
    vars(module)[_OLD] = True


def goes_by_its_name(cls: type) -> bool:
    """Whether a class is the one that its own module has by its name."""
    return find(sys.modules.get(_text(cls, "__module__")), _text(cls, "__qualname__")) is cls


def has_old_code(cls: type) -> bool:
    """Whether functions of a class, or of a base, are of a module that has been replaced.

    One without any function, as ``type("A", (), {})`` makes it, has no code that anybody could miss the new one of.
    """
    return any(_OLD in function.__globals__ for base in cls.__mro__ for function in _functions(base))


def _functions(cls: type) -> Iterator[FunctionType]:
    for found in list(vars(cls).values()):
        inner = found.fget if isinstance(found, property) else getattr(found, "__func__", found)
        if isinstance(inner, FunctionType):
            yield inner


def _text(found: object, name: str) -> str:
    value = getattr(found, name, None)
    return value if isinstance(value, str) else ""
