"""Registries that libraries keep, taken through a reload: the contract of an adapter, and who is asked.

An adapter knows one library and nothing of how a load is done. It is imported and asked only once its library is.
"""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from hotsession.reload.adapters.origins import look_once, own_modules

logger = logging.getLogger("hotsession")


class Suspension(Protocol):
    """What an adapter does between the begin of a load and its end; exactly one of `commit` and `rollback` is called.

    Both are called when no code of the load runs any more that is not to stay, from whatever thread, and neither
    waits for anything: the event loop stands still meanwhile.
    """

    def commit(self) -> None:
        """The new generation is in place: make what it registered the library's own, and let go of what it replaces.

        Requests in flight still run on the old classes and objects, which must go on to work.
        """
        ...

    def rollback(self) -> None:
        """The load failed: leave the library's registry as it was, with nothing of what the load had registered."""
        ...


class Adapter(Protocol):
    """Takes the registry of one library through a load.

    While a load is under way old code goes on serving, in other threads and in the same. What belongs to the load runs
    in the context of its transaction (`registry.transaction` is not None), be it in the loading thread or in the
    start of the new lifespan. It must be able to define again what the replaced modules defined, and everybody
    else must see the registry unchanged until `Suspension.commit`.
    """

    library: str  # the library's top-level module; the adapter is asked only when it is in `sys.modules`

    def dependents(self, modules: frozenset[str]) -> frozenset[str]:
        """Further modules that must be replaced together with `modules`, such as a model that refers to one of them.

        Called before the plan is final, until it adds nothing more, while old code serves. It changes nothing.

        Args:
            modules: dotted names of the modules to be replaced.

        Returns:
            Dotted names, without `modules`. `dependents_of` drops those of libraries, which are never replaced.
        """
        ...

    def begin(self, modules: frozenset[str]) -> Suspension:
        """Make room for what the new code of `modules` will define.

        Called right before the load, when the old modules are still in `sys.modules`, while old code serves.

        Args:
            modules: dotted names of all modules that are replaced.

        Returns:
            How it ends.
        """
        ...

    def release(self) -> None:
        """Let go of cached references to generations that are gone; called when one has done its last work.

        Code that was in flight may have filled the library's caches again since the commit. Cheap, and harmless at
        any time.
        """
        ...


_ADAPTERS = {
    "sqlalchemy": "hotsession.reload.adapters.sqlalchemy",
    "prometheus_client": "hotsession.reload.adapters.prometheus",
    "typing": "hotsession.reload.adapters.caches",
}


@dataclass(frozen=True, slots=True)
class _Suspensions:
    """The suspensions of one load by library. What one of them raises is logged, and the others still run."""

    each: Sequence[tuple[str, Suspension]]

    def commit(self) -> None:
        for library, suspension in self.each:
            try:
                suspension.commit()
            except Exception as error:  # noqa: BLE001  (logged by name; the other libraries go on)
                _log_failure(library, "could not take over what the new code registered", error)

    def rollback(self) -> None:
        for library, suspension in reversed(self.each):
            try:
                suspension.rollback()
            except Exception as error:  # noqa: BLE001  (logged by name; the other libraries go on)
                _log_failure(library, "could not drop what the failed load had registered", error)


def begin_all(modules: frozenset[str]) -> Suspension:
    """Let every loaded library make room for the new definitions of `modules`.

    Args:
        modules: dotted names of all modules that are replaced.

    Returns:
        How it ends, for all of them. An adapter that fails is logged by name and left out.
    """
    begun: list[tuple[str, Suspension]] = []
    with look_once():
        for adapter in _loaded():
            try:
                begun.append((adapter.library, adapter.begin(modules)))
            except Exception as error:  # noqa: BLE001  (logged by name; the other libraries go on)
                _log_failure(adapter.library, "could not make room for new definitions", error)
    return _Suspensions(tuple(begun))


def dependents_of(modules: frozenset[str]) -> frozenset[str]:
    """What must be replaced together with `modules`, as the loaded libraries know.

    Args:
        modules: dotted names of the modules to be replaced.

    Returns:
        Further dotted names, of own modules only. Ask again with what they bring in, until nothing is added.
    """
    further: set[str] = set()
    with look_once():
        for adapter in _loaded():
            try:
                further |= adapter.dependents(modules)
            except Exception as error:  # noqa: BLE001  (logged by name; the other libraries go on)
                _log_failure(adapter.library, "could not say what depends on the changed modules", error)
    return frozenset(further - modules) & own_modules().keys() if further else frozenset()


def release_all() -> None:
    """Let every loaded library drop its cached references to generations that are gone."""
    for adapter in _loaded():
        try:
            adapter.release()
        except Exception as error:  # noqa: BLE001  (logged by name; the other libraries go on)
            _log_failure(adapter.library, "could not drop its caches", error)


def _loaded() -> Iterator[Adapter]:
    for library, module in _ADAPTERS.items():
        if library in sys.modules:
            try:
                adapter: Adapter = importlib.import_module(module).adapter
            except Exception as error:  # noqa: BLE001  (logged by name; the other libraries go on)
                _log_failure(library, "could not be imported: this version of the library is not known to it", error)
                continue
            yield adapter


def _log_failure(library: str, what: str, error: Exception) -> None:
    logger.error("The adapter for %s %s.", library, what, exc_info=error)
