"""What outlives a reload, as users name it: kept values, storages, session managers, and dropping them on purpose.

One name can be a value, a storage and a session manager at once, so the registry knows the latter two as
``storage:NAME`` and ``sessions:NAME``. Knows the registry, managers and storages, no host.
"""

from __future__ import annotations

import inspect
import logging
import os
import sys
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Literal, TypeVar, overload

from hotsession.errors import ConfigurationError
from hotsession.fingerprint import fingerprint
from hotsession.lifecycle.codec import Codec
from hotsession.lifecycle.manager import Reuse, SessionManager
from hotsession.managers import Said, check_storage, configure, make_manager
from hotsession.registry import registry
from hotsession.snapshot.opening import carrier
from hotsession.storages.base import Storage
from hotsession.storages.memory import MemoryStorage
from hotsession.storages.opening import MEMORY, VARIABLE, open_storage

T = TypeVar("T")


STORAGE = "storage:"
SESSIONS = "sessions:"

logger = logging.getLogger("hotsession")


def keep(
    name: str,
    factory: Callable[[], T],
    *,
    restart: Literal["carry", "rebuild"] = "carry",
    reset_on_change: bool = False,
) -> T:
    """Return the value kept under `name`: built once, handed out ever after, also to newer code.

    When the code of the factory changes the old value stays, and the log says so and how to reset it. Made while new
    code is loaded, a value shows to others when that code is in place; if it never is, the value is dropped.

    The value is a plain object that anyone may change at any time. Where a reloader restarts the process, it is
    written to the snapshot after requests and by a timer, as often as that takes 5 % of the time. One that takes over
    20 ms to pickle goes item by item if it is a dict or a list; else it is written only when the process is told to end
    and by `flush()`, and the log says so once.

    If a conversion of yours (`hotsession.migrate`) raises for what came over a restart, this call raises, and nothing
    is built in its place: at the top of a module that is an import that fails, until the conversion is mended.

    Args:
        name: what the value is called.
        factory: builds it; takes no arguments. It is called once however many threads ask.
        restart: ``"carry"`` also takes it across a process restart, pickled, without what can't be; ``"rebuild"``
            builds it anew there, as models, clients and pools need it.
        reset_on_change: build it anew when the code of the factory changed.

    Raises:
        ConfigurationError: the name, the factory or an option is of no use.
        MigrationFailed: an object in what came over a restart could not be brought to its class as it is now.
        RuntimeError: the factory asks for its own name.

    Example:
        ``history = hotsession.keep("history", list)``
    """
    if name.startswith((STORAGE, SESSIONS)):
        raise ConfigurationError(f"{name!r} is what storages and session managers are kept as: use another name")
    if restart not in ("carry", "rebuild"):
        raise ConfigurationError(f"restart={restart!r}: it is 'carry' or 'rebuild'")
    _check_factory(name, factory)
    if sys._getframe(1).f_globals.get("__name__") == "__mp_main__":
        # A reloader's worker runs the program's main file once by this name, before the app is imported from that file
        # by its own: nobody asks this copy for anything, and its classes are not those of what was kept.
        return factory()
    code = fingerprint(factory)
    restore = _restore(name, code if reset_on_change else None) if restart == "carry" else None
    return _keep(name, factory, code, restart=restart, reset_on_change=reset_on_change, restore=restore)


@overload
def storage(name: str = "default") -> Storage: ...


@overload
def storage(name: str, factory: Callable[[], T]) -> T: ...


@overload
def storage(*, factory: Callable[[], T]) -> T: ...


def storage(name: str = "default", factory: Callable[[], Any] = MemoryStorage) -> Any:
    """Return the storage kept under `name`: made once, and the same object for every later generation of the code.

    Args:
        name: what the storage is called.
        factory: makes it; takes no arguments. Left out, it is whatever is kept by that name, else the one that the
            environment variable ``HOTSESSION_STORAGE`` names (see `open_storage`), else memory.

    Raises:
        ConfigurationError: the factory is of no use, or ``HOTSESSION_STORAGE`` names no storage.
    """
    _check_factory(name, factory)
    # The default says nothing: other modules may ask for a storage by its name alone.
    code = None if factory is MemoryStorage else fingerprint(factory)
    if factory is MemoryStorage and os.environ.get(VARIABLE, MEMORY) not in ("", MEMORY):
        factory = open_storage
    return _keep(STORAGE + name, factory, code, kind="storage", restore=_restore(STORAGE + name))


def sessions(
    name: str = "default",
    *,
    storage: Storage | None = None,
    idle_timeout: float | None = None,
    max_age: float | None = None,
    reuse: Reuse | None = None,
    grace: float | None = None,
    codec: Codec | None = None,
    types: Iterable[type] = (),
) -> SessionManager:
    """Return the session manager kept under `name`; make it if there is none.

    What is said in a later call counts from then on, what is left out stays as it was. Said while new code is loaded,
    it counts when that code is in place.

    Args:
        name: what the manager is called.
        storage: where its sessions are stored; ``hotsession.storage()`` when left out.
        idle_timeout: seconds after its last reuse when a session expires; ``float("inf")`` takes the limit away.
        max_age: seconds after its creation when a session expires, likewise.
        reuse: whether `get_or_create` hands out the live session of a key, or a function of the key that says so. At
            first it does.
        grace: seconds for which sessions that are over can still be found; at first a day.
        codec: how data becomes bytes where the storage wants bytes; at first `JSONCodec`. A later call may bring an
            equal one that reloaded code made anew.
        types: dataclasses, pydantic models and Enums that the data may hold, where the codec is a `JSONCodec`.

    Raises:
        ConfigurationError: the manager has another storage, a limit is not positive, or the codec takes no types.
    """
    said: Said = {
        "idle_timeout": idle_timeout,
        "max_age": max_age,
        "reuse": reuse,
        "grace": grace,
        "codec": codec,
        "types": tuple(types),
    }
    entry = registry.find(SESSIONS + name)
    if entry is None:
        manager: SessionManager = registry.keep(SESSIONS + name, lambda: _made(name, storage, said), kind="sessions")
    else:
        manager = entry.value
    if storage is not None and storage is not manager.storage:
        check_storage(manager, storage)
    if entry is not None and any(value not in (None, ()) for value in said.values()):
        configure(manager, said)
    return manager


def reset(name: str | None = None) -> tuple[str, ...]:
    """Drop kept state on purpose: what is kept under `name`, or everything.

    Under `hotsession run` all modules are then loaded anew, because they hold what they kept; the values are dropped
    when the new code is in place. Elsewhere they are dropped at once: the next `keep` builds them anew, while modules
    that hold an old value go on with it until they are loaded again. Storages are emptied, so who holds one sees it.

    Args:
        name: what was kept, also as ``storage:NAME`` or ``sessions:NAME``.

    Returns:
        The names that are dropped.

    Raises:
        ConfigurationError: nothing goes by that name, or the calling module is just being loaded.
    """
    if registry.transaction is not None:
        raise ConfigurationError("reset() in code that is just being loaded would reset at every load: call it later")
    names = names_for(name)
    request = getattr(registry.scope, "request_reset", None)
    if request is not None:
        request(name)
        return names
    empty = emptier(names)
    for each in names:
        registry.drop(each)
    empty()
    return names


def flush() -> int:
    """Write to the snapshot now what changed since it was written last, however long that takes.

    Without it sessions are written before the answer to a request is complete, and kept values after requests and by
    a timer, as often as that takes 5 % of the time. A kept value that takes over 20 ms to pickle goes item by item if
    it is a dict or a list; else it is written only here and when the process is told to end.

    Returns:
        How many entries were written: 0 when nothing changed, and where no reloader restarts the process and there is
        no snapshot.
    """
    carried = carrier()
    return 0 if carried is None else carried.flush()


def left_behind() -> str:
    """What ends with this process though it is kept, for a line in the log; empty when everything is carried over."""
    carried = carrier() is not None
    values = [
        repr(name) for name, entry in registry.entries("value").items() if not carried or entry.restart == "rebuild"
    ]
    managers = [
        f"sessions {name.removeprefix(SESSIONS)!r}"
        for name, entry in registry.entries("sessions").items()
        if isinstance(entry.value.storage, MemoryStorage) and not carried
    ]
    return ", ".join((*values, *managers))


def names_for(name: str | None) -> tuple[str, ...]:
    """The registry's names for what users call `name`: a value, a storage and a manager may share it; None is for all.

    Raises:
        ConfigurationError: nothing goes by that name.
    """
    carried = carrier()
    in_snapshot = () if carried is None else carried.value_names()  # it may be that nothing of it can be had now
    known = tuple(dict.fromkeys((*registry.entries(), *in_snapshot)))
    found = tuple(each for each in known if name in (None, each) or each in (f"{STORAGE}{name}", f"{SESSIONS}{name}"))
    if not found and name is not None:
        raise ConfigurationError(f"nothing is kept as {name!r}; kept are: {', '.join(known) or 'no names yet'}")
    return found


def emptier(names: Iterable[str]) -> Callable[[], None]:
    """What empties, where they are, the storages among `names` and of others' storages what belongs to managers in it.

    Made before the names are dropped and called when they are: who still holds one of them sees it empty.
    """
    calls: list[tuple[str, Callable[[], object]]] = []
    carried = carrier()
    for name in names:
        if carried is not None:
            calls.append((name, partial(carried.forget, name)))
        entry = registry.entries().get(name)
        if entry is None:
            continue
        value = entry.value
        held, arguments = (value.storage, (value.name,)) if name.startswith(SESSIONS) else (value, ())
        if name.startswith((STORAGE, SESSIONS)) and callable(getattr(held, "clear", None)):
            calls.append((name, partial(held.clear, *arguments)))

    def empty() -> None:
        for name, clear in calls:
            try:
                clear()
            except Exception:
                logger.exception("%s could not be emptied", name)

    return empty


def _keep(name: str, factory: Callable[[], T], code: str | None, *, reset_on_change: bool = False, **options: Any) -> T:
    before = registry.find(name)
    value: T = registry.keep(name, factory, fingerprint=code, reset_on_change=reset_on_change, **options)
    before = before or registry.find(name)  # as it came over a restart, from the code as it was
    if before is not None and code not in (None, before.fingerprint):
        _say_that_code_changed(name, code, is_reset=registry.find(name) is not before)
    return value


def _say_that_code_changed(name: str, code: str | None, *, is_reset: bool) -> None:
    """Log it once per change, where no load does: at a swap the report says it."""
    if registry.transaction is not None or registry.is_outdated:
        return
    told: set[tuple[str, str | None]] = registry.object("told of changed factories", set)
    if is_reset:
        logger.info("%s was built anew: the code that builds it changed.", name)
    elif (name, code) not in told:
        told.add((name, code))
        logger.info(
            "%s was kept although the code that builds it changed: hotsession.reset(%r) builds it anew.", name, name
        )


def _restore(name: str, built_by: str | None = None) -> Callable[[], tuple[Any, str | None, float] | None]:
    """What brings back the value that the last process kept under `name`, if it did; maybe only from this factory."""

    def restore() -> tuple[Any, str | None, float] | None:
        carried = carrier()
        return None if carried is None else carried.restore(name, built_by)

    return restore


def _check_factory(name: str, factory: Callable[[], object]) -> None:
    if not callable(factory):
        raise ConfigurationError(f"{name!r} needs a function that builds it, and got {factory!r}")
    if inspect.iscoroutinefunction(factory):
        raise ConfigurationError(
            f"the factory of {name!r} is a coroutine function: keep what needs no event loop, and connect at first use"
        )


def _made(name: str, given: Storage | None, said: Said) -> SessionManager:
    return make_manager(name, storage() if given is None else given, said, is_given=given is not None)
