"""What two coroutine functions have to do with each other: the same, the same place in newer code, its successor.

It knows functions, methods, partials and callable objects, and nothing of tasks.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from functools import partial
from types import CodeType, FunctionType, MethodType
from typing import Any

_PLAIN = (type(None), bool, int, float, complex, str, bytes, tuple, frozenset)  # equal ones mean the same


def is_coroutine_function(function: Any) -> bool:
    """Whether calling it gives a coroutine."""
    if isinstance(function, partial):
        return is_coroutine_function(function.func)
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(type(function), "__call__", None)  # noqa: B004  to look at it, not to know whether it is there
    )


def name_of(function: Any) -> str:
    """Where it is defined, for messages: ``module.qualified_name``."""
    inner = _inner(function)
    return f"{getattr(inner, '__module__', '?')}.{getattr(inner, '__qualname__', type(inner).__qualname__)}"


def is_same(one: Any, other: Any) -> bool:
    """Whether both do the same thing to the same objects: a function that is made anew at each call is the same."""
    return _is_same(one, other, frozenset())


def has_run_again(before: Any, now: Any) -> bool:
    """Whether both come from one place in a source file, and its module was run again in between."""
    one, other = _code(before), _code(now)
    if one is None or other is None or one is other:
        return False
    return (one.co_filename, one.co_qualname) == (other.co_filename, other.co_qualname)


def successor(function: Any) -> Callable[[], Any] | None:
    """What goes by the same qualified name in the module as it is now, with the same arguments; None if nothing does.

    A method of an object goes on being that if the object's class is still the one that the module defines.
    """
    if isinstance(function, partial):
        inner = successor(function.func)
        return None if inner is None else partial(inner, *function.args, **function.keywords)
    if isinstance(function, MethodType):
        owner = function.__self__
        cls = owner if isinstance(owner, type) else type(owner)
        newer = _find(cls.__module__, cls.__qualname__)
        if newer is None or (newer is not cls and owner is not cls):
            return None
        found = getattr(newer if owner is cls else owner, function.__name__, None)
    else:
        found = _find(getattr(function, "__module__", None), getattr(function, "__qualname__", ""))
    return found if is_coroutine_function(found) else None


def whereabouts(coroutine: Any) -> str:
    """Where a coroutine stands: file and line of the innermost one that it awaits and that is not of the event loop."""
    place = "?"
    while coroutine is not None:
        frame = getattr(coroutine, "cr_frame", None) or getattr(coroutine, "gi_frame", None)
        if frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] not in ("asyncio", "anyio"):
            place = f"{frame.f_code.co_filename}:{frame.f_lineno}"
        coroutine = getattr(coroutine, "cr_await", None) or getattr(coroutine, "gi_yieldfrom", None)
    return place


def _find(module: str | None, path: str) -> Any:
    found = sys.modules.get(module or "")
    for name in path.split("."):
        found = getattr(found, name, None)  # "<locals>" and "<lambda>" are no attributes
    return found


def _inner(function: Any) -> Any:
    while isinstance(function, partial):
        function = function.func
    return function


def _code(function: Any) -> CodeType | None:
    inner = _inner(function)
    code = getattr(inner, "__code__", None)
    return code if code is not None else getattr(getattr(type(inner), "__call__", None), "__code__", None)  # noqa: B004


def _held(function: FunctionType) -> tuple[object, ...]:
    """What a function brings along besides its code: what it closes over, and its defaults."""
    held: list[object] = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    for cell in function.__closure__ or ():
        try:
            held.append(cell.cell_contents)
        except ValueError:  # assigned to later than the function was made
            held.append(None)
    return tuple(held)


def _is_same(one: Any, other: Any, above: frozenset[tuple[int, int]]) -> bool:
    if one is other or (id(one), id(other)) in above:  # a function can close over itself
        return True
    above |= {(id(one), id(other))}
    if isinstance(one, partial) and isinstance(other, partial):
        parts = (one.func, *one.args, *one.keywords.values())
        others = (other.func, *other.args, *(other.keywords.get(name) for name in one.keywords))
        return one.keywords.keys() == other.keywords.keys() and _are_same(parts, others, above)
    if isinstance(one, MethodType) and isinstance(other, MethodType):
        return one.__self__ is other.__self__ and _is_same(one.__func__, other.__func__, above)
    if isinstance(one, FunctionType) and isinstance(other, FunctionType):
        return one.__code__ is other.__code__ and _are_same(_held(one), _held(other), above)
    return isinstance(one, _PLAIN) and type(one) is type(other) and one == other


def _are_same(some: tuple[Any, ...], others: tuple[Any, ...], above: frozenset[tuple[int, int]]) -> bool:
    return len(some) == len(others) and all(map(_is_same, some, others, (above,) * len(some)))
