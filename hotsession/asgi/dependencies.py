"""Services as FastAPI dependencies. It imports no FastAPI: to that, a dependency is any callable with a signature."""

# No `from __future__ import annotations`: FastAPI can't resolve the text of an annotation of an object's `__call__`.

import inspect
import threading
import weakref
from collections.abc import Awaitable, Callable, Hashable, Mapping
from typing import Any, Generic, TypeVar

from starlette.requests import HTTPConnection

from hotsession.services import get_service

T = TypeVar("T")

Key = Hashable | Callable[[HTTPConnection], Hashable | Awaitable[Hashable]]


class Provider(Generic[T]):
    """The dependency that `provide` returns: called with a request or WebSocket, it hands out the service.

    Args:
        cls: the service's class.
        key: the service's key, or the function that finds it.
        config: constructor arguments.
    """

    __slots__ = ("__weakref__", "cls", "config", "key")

    def __init__(self, cls: type[T], key: Key, config: Mapping[str, object]) -> None:
        self.cls = cls
        self.key = key
        self.config = config

    def __repr__(self) -> str:
        return f"<provide({self.cls.__qualname__})>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Provider):
            return NotImplemented
        return self.cls is other.cls and self.key == other.key and self.config == other.config

    def __hash__(self) -> int:
        return hash((self.cls, self.key, frozenset(self.config)))  # names only: the values need not be hashable

    async def __call__(self, connection: HTTPConnection) -> Any:
        """Return the service for this request or WebSocket."""
        key: Any = self.key(connection) if callable(self.key) else self.key
        if inspect.isawaitable(key):
            key = await key
        return await get_service(self.cls, key, **self.config)


# Weak in both directions: a provider holds its class, and must not keep an old generation of the code alive from here.
_providers: weakref.WeakKeyDictionary[Provider[Any], weakref.ref[Provider[Any]]] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def provide(cls: type[T], /, key: Key = None, **config: object) -> Provider[T]:
    """A service as a FastAPI dependency, for async and sync endpoints and WebSocket routes.

    Equal arguments give the same object, so that ``app.dependency_overrides[provide(Planner)]`` finds it. What
    `hotsession.get_service` hands out it hands out too: `SessionManager` and `Storage`, with their name as key.

    Args:
        cls: a class decorated with `hotsession.service`.
        key: what tells the service from others of its class; or a function, which may be a coroutine function, that
            finds it from the request or WebSocket.
        config: constructor arguments.

    Returns:
        The dependency.

    Example::

        @app.post("/plan")
        def plan(planner: Annotated[Planner, Depends(hotsession.provide(Planner))]) -> str: ...
    """
    provider = Provider(cls, key, config)
    with _lock:
        reference = _providers.get(provider)
        known = None if reference is None else reference()
        if known is not None:
            return known
        _providers[provider] = weakref.ref(provider)
        return provider
