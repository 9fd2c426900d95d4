"""The engines that outlive a generation: each holds up to 500 compiled statements, and with them their models."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Any

from sqlalchemy.engine import Engine
from sqlalchemy.orm import sessionmaker

from hotsession.registry import registry
from hotsession.reload.adapters.origins import own_values
from hotsession.reload.loader import real_modules


class Engines:
    """The engines that were found in own modules and among kept values, held weakly."""

    def __init__(self) -> None:
        self._found: weakref.WeakSet[Engine] = weakref.WeakSet()

    def __repr__(self) -> str:
        return f"<Engines {list(self._found)}>"

    def look(self) -> None:
        """Find those that there are now."""
        self._found.update(engine for value in _values() if (engine := _engine_of(value)) is not None)

    def clear(self) -> None:
        """Drop their compiled statements; they are compiled again."""
        for engine in list(self._found):
            engine.clear_compiled_cache()


def _values() -> Iterator[Any]:
    for _, values in own_values():
        yield from values
    for entry in registry.entries().values():
        yield entry.value


def _engine_of(value: Any) -> Engine | None:
    """The engine that a value is or leads to: an asynchronous one wraps it, session makers are bound to it."""
    kind = type(value)
    if kind.__name__ in ("scoped_session", "async_scoped_session"):
        value = value.session_factory
    if issubclass(type(value), (sessionmaker, *_asynchronous("async_sessionmaker"))):
        value = value.kw.get("bind")
    if issubclass(type(value), _asynchronous("AsyncEngine")):
        value = value.sync_engine
    return value if issubclass(type(value), Engine) else None


def _asynchronous(name: str) -> tuple[type, ...]:
    """A class of the asynchronous part, if the app has imported that: it needs a package that not everybody has."""
    module = real_modules().get("sqlalchemy.ext.asyncio")
    return (getattr(module, name),) if module is not None else ()
