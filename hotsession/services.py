"""Services: classes that are built on demand, once per key, and dropped with their generation of the code."""

from __future__ import annotations

import inspect
from collections.abc import Hashable, Mapping
from functools import partial
from typing import Any, TypeVar

from hotsession.container import current_container
from hotsession.errors import ServiceError
from hotsession.injection import Filling, Known, bind, plan_arguments
from hotsession.kept import STORAGE, sessions, storage
from hotsession.lifecycle.manager import SessionManager
from hotsession.registry import registry
from hotsession.storages.base import Storage

C = TypeVar("C", bound=type)
T = TypeVar("T")

_MARK = "__hotsession_service__"


def service(cls: C) -> C:
    """Make a class a service: `get_service` builds it on demand, once per key, and a reload drops it.

    The constructor is an ordinary one and is not awaited: what a service has to await, it awaits at its first use. When
    the code is reloaded the services that were built are closed in the reverse order of their building, by their
    method ``aclose`` or else ``close``, either of which may be a coroutine function.

    Where another reloader runs the module again (``importlib.reload``, IPython autoreload), decorating the class anew
    drops and closes what was built of the older one.

    Args:
        cls: the class.

    Returns:
        The same class.

    Raises:
        TypeError: it is no class.

    Example::

        @hotsession.service
        class Planner:
            def __init__(self, api_key: str, chats: SessionManager) -> None: ...
    """
    if not isinstance(cls, type):
        raise TypeError(f"@hotsession.service makes a service of a class, and got {cls!r}")
    setattr(cls, _MARK, True)
    current_container().supersede(cls)
    return cls


def is_service(cls: object) -> bool:
    """Whether `cls` itself is decorated with `service`; a subclass of one is not."""
    return isinstance(cls, type) and _MARK in vars(cls)


async def get_service(cls: type[T], /, key: Hashable = None, **config: object) -> T:
    """Return the service of this class and key; build it if there is none.

    Its constructor's arguments are filled by name and type: from `config`; with the key, if an argument is called
    ``key``; with session managers (``Annotated[SessionManager, "chat"]`` is the one called so, ``SessionManager`` the
    default one); with storages, by the name of the argument, or for a type that fits; with other services. However many
    tasks, threads and event loops ask at once, it is built once; an error of the constructor reaches all of them,
    and the next call tries again.

    A `SessionManager` or `Storage` can be asked for too, with its name as key.

    From a sync endpoint: ``anyio.from_thread.run(get_service, Planner)``.

    Args:
        cls: a class decorated with `service`.
        key: what tells the service from others of its class, an API key for one.
        config: constructor arguments.

    Raises:
        MissingArgument: nothing fills an argument of the constructor.
        ServiceConflict: there is such a service, built with other configuration.
        ServiceError: the class is no service, the configuration does not fit, or the service needs itself.

    Example:
        ``planner = await hotsession.get_service(Planner, key=api_key, api_key=api_key)``
    """
    if is_service(cls):
        container = current_container()
        return await container.get(cls, key, config, arguments=partial(_arguments, cls, key, config))
    outliving: T = _outliving(cls, key, config)
    return outliving


def _outliving(cls: Any, key: Hashable, config: Mapping[str, object]) -> Any:
    """What is asked for like a service and outlives them: a session manager or a storage."""
    if cls not in (SessionManager, Storage):
        raise ServiceError(f"{getattr(cls, '__qualname__', cls)} is no service: decorate it with @hotsession.service")
    if config or not isinstance(key, str | None):
        raise ServiceError(f"a {cls.__name__} is asked for with its name as key, and no configuration")
    name = "default" if key is None else key
    return sessions(name) if cls is SessionManager else storage(name)


async def _arguments(cls: type, key: Hashable, config: Mapping[str, object]) -> inspect.BoundArguments:
    known = _known()
    _refuse_cycle(cls, key, config, known, ())
    fillings = plan_arguments(cls, has_key=key is not None, config=config, known=known)
    return bind(cls, {filling.name: await _value(filling, key, config) for filling in fillings})


async def _value(filling: Filling, key: Hashable, config: Mapping[str, object]) -> object:
    match filling.source:
        case "config":
            return config[filling.what]
        case "key":
            return key
        case "sessions":
            return sessions(filling.what)
        case "storage":
            return storage(filling.what)
        case "service":
            return await get_service(filling.what)


def _known() -> Known:
    storages = registry.visible("storage").items()
    types = {name.removeprefix(STORAGE): type(entry.value) for name, entry in storages}
    return Known(types, Storage, SessionManager, is_service)


def _refuse_cycle(
    cls: type, key: Hashable, config: Mapping[str, object], known: Known, above: tuple[type, ...]
) -> None:
    """Raise if building `cls` would need `cls`: before any is begun, so that two threads don't wait for each other."""
    if cls in above:
        names = [each.__qualname__ for each in (*above[above.index(cls) :], cls)]
        raise ServiceError(
            f"services need each other in a circle: {' needs '.join(names)}; "
            "let one of them ask for the other when it uses it, with hotsession.get_service()"
        )
    for filling in plan_arguments(cls, has_key=key is not None, config=config, known=known):
        if filling.source == "service":
            _refuse_cycle(filling.what, None, {}, known, (*above, cls))
