"""Caches of Python, FastAPI, Starlette and pydantic that keep old generations alive or answer with their objects.

Measured on Python 3.11 to 3.13 with an app loaded many times under one name (`tests/reload/adapters/test_caches.py`
does it again). What pinned a dropped generation: the caches of `typing`, those of `fastapi.dependencies.models`, and
pydantic's cache of parametrised generic models, whose key leads to its own value. `typing` also answers with old
objects: ``Optional["Team"]`` is cached with the class that the string was first resolved to. `linecache` shows the old
source where size and time of the file are equal. What did not: `abc`, `copyreg`, `dataclasses`, `functools`, `inspect`,
`json`, `re`. The user's own registrations are named in the log and left alone.
"""

from __future__ import annotations

import copyreg
import functools
import linecache
import logging
import signal
import sys
import threading
import typing
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from hotsession.reload.loader import real_modules

logger = logging.getLogger("hotsession")

# Libraries whose module-level lru_caches hold nothing but what can be computed again.
_LIBRARIES = ("fastapi", "pydantic", "starlette")


class CachesAdapter:
    """Clears the caches when a load begins and when it ends."""

    library = "typing"

    def dependents(self, modules: frozenset[str]) -> frozenset[str]:
        """None: nothing in a cache refers to a module."""
        return frozenset()

    def begin(self, modules: frozenset[str]) -> CacheSuspension:
        """Make sure that the new code is not answered with objects of the old."""
        _clear_typing()
        return CacheSuspension(modules)

    def release(self) -> None:
        """Clear what code in flight has filled again."""
        _clear()
        _drop_generics([key for key in list(_pydantic_generics()) if _is_stale(key)])


class CacheSuspension:
    """The cached objects of the modules that are replaced.

    Args:
        modules: what is replaced.
    """

    def __init__(self, modules: frozenset[str]) -> None:
        real = real_modules()
        self._files = {getattr(real[name], "__file__", None) or "" for name in modules if name in real}
        self._modules = modules
        self._generics = _generics_of(modules)
        self._registered = {place: each for place, each in _registrations() if _module_of(each) in modules}
        _library_caches(len(real))  # found now, so that the commit need not look for them

    def commit(self) -> None:
        """Drop the cached objects of the old modules, and name what the user's code has left somewhere."""
        _clear()
        _drop_generics(self._generics)
        for file in self._files:
            linecache.cache.pop(file, None)
        if self._registered:
            self._report()
        self._forget()

    def _report(self) -> None:
        left = {id(each) for _, each in _registrations()}
        for place, each in self._registered.items():
            if id(each) in left:
                logger.info(
                    "Code that was replaced is still registered as %s, and so stays in memory: "
                    "take it back in @hot.on_dispose.",
                    place,
                )

    def rollback(self) -> None:
        """Drop what the failed load has cached; old code fills its part again."""
        _clear()
        old = set(self._generics)
        _drop_generics([key for key in _generics_of(self._modules) if key not in old])
        self._forget()

    def _forget(self) -> None:
        self._generics.clear()
        self._registered.clear()


def _clear() -> None:
    _clear_typing()
    for clear in _library_caches(len(real_modules())):
        clear()


def _clear_typing() -> None:
    for clear in typing._cleanups:  # type: ignore[attr-defined]
        clear()


@functools.lru_cache(maxsize=1)
def _library_caches(count: int) -> tuple[Callable[[], None], ...]:
    """What clears the libraries' lru_caches; looked up anew when `count`, of all modules, has changed."""
    found: dict[int, Callable[[], None]] = {}
    for name, module in real_modules().copy().items():
        if name.partition(".")[0] in _LIBRARIES:
            for value in list(vars(module).values()):
                if type(value) is functools._lru_cache_wrapper:
                    found[id(value)] = value.cache_clear
    return tuple(found.values())


def _pydantic_generics() -> Any:
    """Pydantic's models by generic origin and arguments; empty where this version of pydantic has none."""
    return getattr(real_modules().get("pydantic._internal._generics"), "_GENERIC_TYPES_CACHE", {})


def _generics_of(modules: frozenset[str]) -> list[Any]:
    """The keys of generic models that a class of `modules` is the origin or an argument of."""
    return [key for key in list(_pydantic_generics()) if _mentions(key, modules)]


def _drop_generics(keys: list[Any]) -> None:
    # Only these: a carried module's own ones must stay the classes they are.
    generics = _pydantic_generics()
    for key in keys:
        generics.pop(key, None)


def _mentions(key: Any, modules: frozenset[str], depth: int = 6) -> bool:
    """Whether a class of `modules` is somewhere in a cache's key."""
    if isinstance(key, tuple):
        return depth > 0 and any(_mentions(each, modules, depth - 1) for each in key)
    if getattr(key, "__module__", None) in modules:
        return True
    return depth > 0 and any(_mentions(each, modules, depth - 1) for each in getattr(key, "__args__", None) or ())


def _is_stale(key: Any, depth: int = 6) -> bool:
    """Whether a class in a cache's key has been replaced: its module has another one under its name, or is gone."""
    if isinstance(key, tuple):
        return depth > 0 and any(_is_stale(each, depth - 1) for each in key)
    if isinstance(key, type) and key.__qualname__.isidentifier():
        module = real_modules().get(key.__module__)
        found = None if module is None else vars(module).get(key.__name__)
        return module is None or (isinstance(found, type) and found is not key and found.__name__ == key.__name__)
    return depth > 0 and any(_is_stale(each, depth - 1) for each in getattr(key, "__args__", None) or ())


def _module_of(registered: Any) -> str | None:
    registered = getattr(registered, "__func__", registered)
    if not isinstance(registered, type) and not hasattr(registered, "__code__"):
        registered = type(registered)
    module = getattr(registered, "__module__", None)
    return module if isinstance(module, str) else None


def _registrations() -> Iterator[tuple[str, Any]]:
    """What user code can leave with the standard library, each with where it is."""
    loggers = {"root": logging.root, **logging.root.manager.loggerDict}
    for name, each in loggers.items():
        for handler in getattr(each, "handlers", ()):
            yield f"handler {type(handler).__qualname__} of logger {name!r}", handler
        for wanted in getattr(each, "filters", ()):
            yield f"filter {getattr(wanted, '__qualname__', type(wanted).__qualname__)} of logger {name!r}", wanted
    if threading.current_thread() is threading.main_thread():
        for number in signal.valid_signals():
            if callable(handler := signal.getsignal(number)):
                yield f"handler {getattr(handler, '__qualname__', handler)} of signal {number}", handler
    for hook in (sys.excepthook, sys.unraisablehook, threading.excepthook, warnings.showwarning):
        yield f"hook {getattr(hook, '__qualname__', hook)}", hook
    for kind, reduce in copyreg.dispatch_table.copy().items():
        yield f"copyreg's function for {kind.__qualname__}", reduce


adapter = CachesAdapter()
