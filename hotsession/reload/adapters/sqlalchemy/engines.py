"""The engines that outlive a generation: each holds up to 500 compiled statements, and with them their models."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy.engine import Engine

from hotsession.registry import registry
from hotsession.reload.adapters.origins import own_modules, values_of


def clear_compiled() -> None:
    """Drop the compiled statements of all engines that own modules or kept values hold; they are compiled again."""
    for engine in {id(engine): engine for value in _values() if (engine := _engine_of(value)) is not None}.values():
        engine.clear_compiled_cache()


def _values() -> Iterator[Any]:
    for module in own_modules().values():
        yield from values_of(module)
    for entry in registry.entries().values():
        yield entry.value


def _engine_of(value: Any) -> Engine | None:
    """The engine that a value is or leads to: an asynchronous one wraps it, session makers are bound to it."""
    kind = type(value)
    if not kind.__module__.startswith("sqlalchemy."):
        return value if issubclass(kind, Engine) else None
    value = getattr(value, "session_factory", value) if kind.__name__.endswith("scoped_session") else value
    bound = getattr(value, "kw", None)
    value = bound.get("bind", value) if isinstance(bound, dict) else value
    engine = vars(value).get("sync_engine", value) if hasattr(value, "__dict__") else value
    return engine if issubclass(type(engine), Engine) else None
