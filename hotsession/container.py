"""What one generation of the code builds: its service instances, each once per key, until they are disposed of.

It knows nothing of where constructor arguments come from, and holds nothing that outlives the generation.
"""

from __future__ import annotations

import inspect
import threading
import weakref
from collections import Counter
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar, cast

from hotsession.errors import ServiceConflict
from hotsession.events import Failure
from hotsession.hooks import call_hooks
from hotsession.lifecycle.flight import Flights
from hotsession.loops import Home
from hotsession.registry import registry

T = TypeVar("T")
Arguments = Callable[[], Awaitable[inspect.BoundArguments]]


@dataclass(frozen=True, eq=False, slots=True)
class Slot:
    """One live service.

    Args:
        cls: its class.
        key: what tells it from others of its class.
        config: the configuration it was asked for with.
        instance: the service.
        uses: the services that its constructor was given.
        home: the event loop it was built in.
    """

    cls: type
    key: Hashable
    config: Mapping[str, object]
    instance: Any
    uses: frozenset[Slot]
    home: Home

    def __str__(self) -> str:
        return self.cls.__qualname__ if self.key is None else f"{self.cls.__qualname__}[{shorten(self.key)}]"


class Container:
    """The services of one generation, safe from threads and bound to no event loop.

    Its slots are in the order in which they were built.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._slots: dict[tuple[type, Hashable], Slot] = {}
        self._flights: Flights[Slot] = Flights()
        self._superseded: weakref.WeakSet[type] = weakref.WeakSet()
        self._orphans: list[Slot] = []  # dropped when no loop was there to close them in

    def __repr__(self) -> str:
        return f"<Container {', '.join(f'{name}: {count}' for name, count in self.names().items()) or 'empty'}>"

    def __len__(self) -> int:
        return len(self._slots)

    def names(self) -> dict[str, int]:
        """The number of live instances by the name of their class."""
        with self._lock:
            return dict(Counter(slot.cls.__name__ for slot in self._slots.values()))

    async def get(
        self,
        cls: type[T],
        key: Hashable = None,
        config: Mapping[str, object] | None = None,
        *,
        arguments: Arguments | None = None,
    ) -> T:
        """Return the instance of `cls` for `key`; build it if there is none.

        However many tasks, threads and event loops ask at once, it is built once. If that fails all of them get the
        error, and the next call tries again. A caller that is cancelled cancels nobody else.

        Args:
            cls: the class.
            key: what tells the instance from others of its class.
            config: what the instance is configured with; the constructor's arguments unless `arguments` is given.
            arguments: finds the constructor's arguments; awaited only when the instance has to be built.

        Raises:
            ServiceConflict: the live instance was configured otherwise.
        """
        config = {} if config is None else config
        if self._orphans:
            self._retire(self._take_orphans(), [Home()])
        slot = self._slots.get((cls, key))
        if slot is None:
            slot, _ = await self._flights.run((cls, key), lambda: self._build(cls, key, config, arguments))
        if slot.config != config:
            raise _conflict(slot, config)
        return cast("T", slot.instance)

    def supersede(self, cls: type) -> None:
        """Drop what was built of older classes by the name of `cls`, and what was given such an instance.

        This is for reloaders that run a module again and know nothing of us. The instances are closed in the event
        loop they were built in or, when that is over, in the one of the next `get`.
        """
        with self._lock:
            older = [slot for slot in self._slots.values() if slot.cls is not cls and _name(slot.cls) == _name(cls)]
            gone = self._with_dependents(older)
            for slot in gone:
                del self._slots[slot.cls, slot.key]
            self._superseded.update(slot.cls for slot in older)
        self._retire(gone, dict.fromkeys(slot.home for slot in gone))

    async def dispose(self) -> tuple[Failure, ...]:
        """Close all instances in the reverse order of their building, by their method `aclose`, else `close`.

        One that fails is logged with its service's name, and the others are closed all the same. What is asked for
        afterwards is built anew: code that outlasts its generation still gets its services.

        Returns:
            The failures.
        """
        with self._lock:
            gone = [*reversed(self._slots.values()), *self._take_orphans()]
            self._slots.clear()
        return await _close(gone)

    async def _build(self, cls: type, key: Hashable, config: Mapping[str, object], arguments: Arguments | None) -> Slot:
        slot = self._slots.get((cls, key))
        if slot is not None:  # built between the caller's look and its flight
            return slot
        if arguments is None:
            given, instance = config, cls(**config)
        else:
            bound = await arguments()
            given, instance = bound.arguments, cls(*bound.args, **bound.kwargs)
        with self._lock:
            uses = [each for each in self._slots.values() if any(each.instance is value for value in given.values())]
            slot = Slot(cls, key, dict(config), instance, frozenset(uses), Home())
            if cls not in self._superseded:  # else it is for those who wait for it, and nobody finds it later
                self._slots[cls, key] = slot
        return slot

    def _with_dependents(self, slots: Iterable[Slot]) -> list[Slot]:
        """The slots and all that were given one of their instances, directly or not, the last built first."""
        found = set(slots)
        for slot in self._slots.values():  # what uses another was built after it
            if slot.uses & found:
                found.add(slot)
        return [slot for slot in reversed(self._slots.values()) if slot in found]

    def _take_orphans(self) -> list[Slot]:
        with self._lock:
            orphans, self._orphans = self._orphans, []
            return orphans

    def _retire(self, slots: list[Slot], homes: Iterable[Home]) -> None:
        """Close the instances in one of the event loops, soon."""

        async def close() -> None:
            await _close(slots)

        if slots and not any(home.start(close) for home in homes):
            with self._lock:
                self._orphans += slots


def current_container() -> Container:
    """The container of the generation that the calling code belongs to; without a host, the one of the process."""
    scope = registry.scope
    return cast("Container", registry.object("container", Container) if scope is None else scope.container)


def shorten(key: Hashable) -> str:
    """A key as messages show it: enough to recognise it, too little of a secret."""
    text = repr(key)
    return text if len(text) <= 12 else f"{text[:8]}…"


async def _close(slots: Iterable[Slot]) -> tuple[Failure, ...]:
    hooks = []
    for slot in slots:
        # Looked for in the class: a proxy that answers to every name has no closing method.
        method = next(
            (name for name in ("aclose", "close") if callable(getattr(type(slot.instance), name, None))), None
        )
        if method is not None:
            hooks.append((f"{method} of {slot}", partial(_call_method, slot.instance, method)))
    return await call_hooks(hooks)


def _call_method(instance: object, name: str) -> object:
    return getattr(instance, name)()


def _name(cls: type) -> tuple[str, str]:
    return cls.__module__, cls.__qualname__


def _conflict(slot: Slot, config: Mapping[str, object]) -> ServiceConflict:
    missing = object()
    names = dict.fromkeys([*slot.config, *config])
    others = [name for name in names if slot.config.get(name, missing) != config.get(name, missing)]
    # Names only: the values may be secrets.
    return ServiceConflict(
        f"{slot} is live with other configuration, of {' and '.join(map(repr, others))}: "
        "ask for it as it was built, or give this one a key of its own"
    )
