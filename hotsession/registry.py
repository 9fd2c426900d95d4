"""THE object that lives as long as the process: kept values, module data, who is running. It imports nothing of ours.

It hangs on a module of its own in ``sys.modules`` (the anchor), which no reloader touches: not ours, not
``importlib.reload``, and not one that throws hotsession itself out and imports it anew. The anchor holds plain
containers only, never an instance of a class of ours, so that newer code of hotsession can go on with them::

    anchor.state = {
        "kept":    {name: SimpleNamespace(value, kind, restart, fingerprint, created_at, told)},
        "data":    {module name: the dict behind hot.data},
        "locks":   {name: (the lock under which that name is built, [the thread that builds it])},
        "waiting": {thread: the name that it builds or waits for},
        "scopes":  WeakValueDictionary {scope number: whatever runs under it},
        "current": the number of the scope that serves now (0: code that no host loaded),
        "objects": {name: hotsession's own process-lifetime objects},
        "lock":    guards all of the above, held only for moments,
        "loading": ContextVar of the transaction that the running code belongs to,
        "scope":   ContextVar of the number of the scope that the running code belongs to,
    }

What a load registers is staged in a `Transaction` and shows to nobody else until it is committed. The registry
holds no class, function or module of the user's beyond the values that were given to it, so it keeps no old
generation alive. It is safe from threads and bound to no event loop.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
import time
import types
import weakref
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

ANCHOR = "_hotsession_anchor"

logger = logging.getLogger("hotsession")


@dataclass(slots=True)
class Transaction:
    """What the code of one load registers, until it is committed or dropped.

    Args:
        forget: names whose committed value counts as absent, because a reset asked for it.
    """

    forget: frozenset[str] = frozenset()
    created: dict[str, Any] = field(default_factory=dict)
    data: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = field(default_factory=dict)
    stale: dict[str, str | None] = field(default_factory=dict)  # whose factory changed while the old value stayed
    replaced: dict[str, None] = field(default_factory=dict)  # names built anew because of reset_on_change
    on_commit: list[Callable[[], None]] = field(default_factory=list)
    codebase: Any = None  # the modules that the load makes, while it lasts
    committed: bool = False  # from here on the code of the load registers directly, as any other
    closed: bool = False  # committed or dropped: code that still runs in its context is ordinary code again

    def close(self) -> None:
        """End the transaction: tasks that were started inside it no longer stage, and hold nothing of it."""
        self.closed = True
        self.codebase = None
        for container in (self.created, self.data, self.on_commit):
            container.clear()


@dataclass(frozen=True, slots=True)
class Committed:
    """What a commit did, by name.

    Args:
        kept: names whose value went on.
        created: names that are new.
        replaced: names built anew, because a reset asked for it or their factory changed under ``reset_on_change``.
        stale: names whose factory changed in the code while the old value was kept.
    """

    kept: tuple[str, ...]
    created: tuple[str, ...]
    replaced: tuple[str, ...]
    stale: tuple[str, ...]


class Overtaken(Exception):
    """A commit found that running code registered the same name meanwhile: the load has to be done again."""


def _new_state() -> dict[str, Any]:
    return {
        "kept": {},
        "data": {},
        "locks": {},
        "waiting": {},
        "scopes": weakref.WeakValueDictionary(),
        "current": 0,
        "objects": {},
        "lock": threading.RLock(),
        "loading": ContextVar("hotsession_loading", default=None),
        "scope": ContextVar("hotsession_scope", default=0),
    }


def _anchored_state() -> dict[str, Any]:
    anchor = sys.modules.setdefault(ANCHOR, types.ModuleType(ANCHOR, "hotsession's state. Never reload this module."))
    state: dict[str, Any] = anchor.__dict__.setdefault("state", {})
    for name, container in _new_state().items():  # an older hotsession may have made the anchor, without some of them
        state.setdefault(name, container)
    return state


class Registry:
    """The process-lifetime values of hotsession, by name, over plain state that an anchor holds.

    Args:
        state: the containers described in the module's docstring; a new set when left out.
    """

    def __init__(self, state: dict[str, Any] | None = None) -> None:
        self._state = _new_state() if state is None else state

    def __repr__(self) -> str:
        return f"<Registry kept={sorted(self._state['kept'])} current={self._state['current']}>"

    # kept values

    def keep(
        self,
        name: str,
        factory: Callable[[], Any],
        *,
        kind: str = "value",
        restart: str = "carry",
        fingerprint: str | None = None,
        reset_on_change: bool = False,
        restore: Callable[[], tuple[Any, str | None, float] | None] | None = None,
    ) -> Any:
        """Return the value kept under `name`; build it with `factory` if there is none.

        The factory runs at most once however many threads ask, without the registry's own lock, so that a slow
        one holds up only those who wait for the same name. If it raises, nothing is kept and the next call tries again.

        Args:
            name: what the value is called.
            factory: builds the value; takes no arguments.
            kind: ``"value"``, ``"storage"`` or ``"sessions"``; one name has one kind.
            restart: ``"carry"`` or ``"rebuild"``, what a process restart does with it.
            fingerprint: of the factory's code; None where it has none. A different one marks the name as stale.
            reset_on_change: build anew when the fingerprint differs.
            restore: returns the value that came over a restart of the process, with its fingerprint and when it was
                built, or None. It is asked once, before the factory.

        Raises:
            TypeError: the name is kept as something of another kind.
            RuntimeError: the factory asks for its own name.
        """
        entry = self._found(name, kind, fingerprint, reset_on_change)
        if entry is None:
            with self._building(name):
                entry = self._found(name, kind, fingerprint, reset_on_change)
                if entry is None:
                    restored = None if restore is None or self._is_unwanted(name) else restore()
                    if restored is not None and reset_on_change and fingerprint not in (None, restored[1]):
                        restored = None
                    value, built_by, created_at = restored or (factory(), fingerprint, time.time())
                    entry = types.SimpleNamespace(
                        value=value,
                        kind=kind,
                        restart=restart,
                        fingerprint=built_by,
                        created_at=created_at,
                        told=set(),
                    )
                    self._add(name, entry)
                    if self.transaction and fingerprint not in (None, built_by or fingerprint):
                        self.transaction.stale[name] = fingerprint
        return entry.value

    def _is_unwanted(self, name: str) -> bool:
        """Whether the running load builds `name` anew on purpose."""
        transaction = self.transaction
        return transaction is not None and (name in transaction.forget or name in transaction.replaced)

    def _found(self, name: str, kind: str, fingerprint: str | None, reset_on_change: bool) -> Any:
        with self._state["lock"]:
            transaction = self.transaction
            if transaction and name in transaction.created:
                entry, changed = transaction.created[name], False
            elif transaction and name in transaction.forget:
                return None
            else:
                entry = self._state["kept"].get(name)
                changed = entry is not None and fingerprint not in (None, entry.fingerprint or fingerprint)
            if entry is not None and entry.kind != kind:
                raise TypeError(
                    f"{name!r} is already kept as a {entry.kind}, and is asked for as a {kind}: "
                    f"use another name, or drop the old one with `hotsession reset {name}`"
                )
            resets = changed and reset_on_change and not self.is_outdated
            if transaction and resets:
                transaction.replaced[name] = None
            elif transaction and changed and fingerprint not in entry.told:
                transaction.stale[name] = fingerprint
            return None if resets else entry

    @property
    def is_outdated(self) -> bool:
        """Whether the running code is of an old generation that drains: the newest factories are not its own."""
        return self.transaction is None and self._state["scope"].get() not in (0, self._state["current"])

    def _add(self, name: str, entry: Any) -> None:
        with self._state["lock"]:
            transaction = self.transaction
            (transaction.created if transaction else self._state["kept"])[name] = entry

    @contextlib.contextmanager
    def _building(self, name: str) -> Iterator[None]:
        me, waiting = threading.get_ident(), self._state["waiting"]
        with self._state["lock"]:
            lock, owner = self._state["locks"].setdefault(name, (threading.Lock(), []))
            self._refuse_cycle(name, me)
            outer, waiting[me] = waiting.get(me), name
        try:
            with lock:
                owner.append(me)
                try:
                    yield
                finally:
                    owner.clear()
        finally:
            waiting[me] = outer
            if outer is None:
                del waiting[me]

    def _refuse_cycle(self, name: str, me: int) -> None:
        """Raise where waiting would never end: who builds `name` waits for this thread, maybe through others."""
        needed: str | None = name
        passed: set[str] = set()
        while needed and needed not in passed:
            owner = self._state["locks"].get(needed, (None, []))[1][:1]
            if owner == [me]:
                raise RuntimeError(
                    f"the factory of {needed!r} asks for {name!r}, which needs {needed!r} itself: "
                    "build one without the other"
                )
            passed.add(needed)
            needed = self._state["waiting"].get(owner[0]) if owner else None

    def find(self, name: str) -> Any:
        """The entry that the running code finds by this name: in a load its own, else the committed one; or None."""
        transaction = self.transaction
        if transaction is not None and (name in transaction.created or name in transaction.forget):
            return transaction.created.get(name)
        return self._state["kept"].get(name)

    def entries(self, kind: str | None = None) -> dict[str, Any]:
        """The committed entries by name, all or those of one kind, in the order they were made."""
        with self._state["lock"]:
            return {name: entry for name, entry in self._state["kept"].items() if kind in (None, entry.kind)}

    def visible(self, kind: str | None = None) -> dict[str, Any]:
        """The entries that the running code finds by name: in a load, its own beside the committed ones."""
        with self._state["lock"]:
            transaction = self.transaction or Transaction()
            found = {name: entry for name, entry in self._state["kept"].items() if name not in transaction.forget}
            found.update(transaction.created)
            return {name: entry for name, entry in found.items() if kind in (None, entry.kind)}

    def drop(self, name: str | None = None) -> tuple[str, ...]:
        """Forget the value kept under `name`, or all of them, and return the names that were dropped."""
        with self._state["lock"]:
            kept: dict[str, Any] = self._state["kept"]
            names = tuple(each for each in kept if name in (None, each))
            for each in names:
                del kept[each]
            return names

    # the dict that a module hands from generation to generation

    def module_data(self, name: str) -> dict[str, Any]:
        """The dict that the module `name` hands from generation to generation; in a load, a staged copy of it."""
        with self._state["lock"]:
            transaction = self.transaction
            committed: dict[str, Any] = self._state["data"].setdefault(name, {})
            if transaction is None:
                return committed
            if name not in transaction.data:
                transaction.data[name] = (dict(committed), committed, dict(committed))
            return transaction.data[name][2]

    def all_module_data(self) -> dict[str, dict[str, Any]]:
        """The dicts that modules hand from generation to generation, by the names of the modules."""
        with self._state["lock"]:
            return dict(self._state["data"])

    def merge_data(self, transaction: Transaction) -> None:
        """Give the new generation what the old one wrote to its module data after the load had begun."""
        with self._state["lock"]:
            for base, old, new in transaction.data.values():
                _merge(base, old, new)

    # transactions

    @property
    def transaction(self) -> Transaction | None:
        """The transaction that the running code belongs to, if it is part of a load that is still open."""
        transaction: Transaction | None = self._state["loading"].get()
        return None if transaction is None or transaction.committed or transaction.closed else transaction

    @property
    def loading_variable(self) -> ContextVar[Transaction | None]:
        """The context variable behind `transaction`, for code that reads it at every import."""
        return self._state["loading"]  # type: ignore[no-any-return]

    @contextlib.contextmanager
    def loading(self, transaction: Transaction) -> Iterator[None]:
        """Run the block, and the tasks and threads that copy its context, as part of `transaction`."""
        token = self._state["loading"].set(transaction)
        try:
            yield
        finally:
            self._state["loading"].reset(token)

    def commit(self, transaction: Transaction) -> Committed:
        """Make what a load registered the process's own, and say by name what was kept and what is new.

        The transaction stays open until `Transaction.close`, so that hooks of the old generation can still
        leave something for the new one (`merge_data`).

        Raises:
            Overtaken: running code made one of the new names meanwhile, so two values would go by it.
        """
        with self._state["lock"]:
            kept = self._state["kept"]
            allowed = transaction.forget | transaction.replaced.keys()
            if any(name in kept and name not in allowed for name in transaction.created):
                raise Overtaken
            replaced = tuple(n for n in kept if n in transaction.forget or n in transaction.created)
            survivors = tuple(name for name in kept if name not in replaced)
            created = tuple(name for name in transaction.created if name not in kept)
            for name, fingerprint in transaction.stale.items():
                if name in survivors:
                    kept[name].told.add(fingerprint)
            for name in transaction.forget:
                kept.pop(name, None)
            kept.update(transaction.created)
            for name, (_, _, new) in transaction.data.items():
                self._state["data"][name] = new
            transaction.committed = True
        self.merge_data(transaction)
        transaction.closed = True
        for callback in tuple(transaction.on_commit):
            try:
                callback()
            except Exception:  # the new values are in place: what one name asked for must not undo the others
                logger.exception("Something that was to follow the load failed")
        return Committed(survivors, created, replaced, tuple(transaction.stale))

    # scopes: which generation the running code belongs to

    @property
    def scope(self) -> Any:
        """The generation of the calling request, task or load, else the one that serves, or None without a host."""
        scopes, number = self._state["scopes"], self._state["scope"].get()
        found = scopes.get(number) if number else None
        return scopes.get(self._state["current"]) if found is None else found

    @property
    def running_scope(self) -> Any:
        """The generation of the calling request, task or load; None outside of them or when it is gone."""
        number = self._state["scope"].get()
        return self._state["scopes"].get(number) if number else None

    @contextlib.contextmanager
    def running(self, number: int) -> Iterator[None]:
        """Run the block, and the tasks and threads that copy its context, as part of scope `number`."""
        token = self._state["scope"].set(number)
        try:
            yield
        finally:
            self._state["scope"].reset(token)

    @property
    def scope_variable(self) -> ContextVar[int]:
        """The context variable behind `running`, for the host, which sets it at every request."""
        return self._state["scope"]  # type: ignore[no-any-return]

    def add_scope(self, number: int, scope: object) -> None:
        """Let code that runs under `number` find `scope`; held weakly."""
        self._state["scopes"][number] = scope

    @property
    def current(self) -> int:
        """The number of the scope that serves now; 0 while no host does."""
        return int(self._state["current"])

    def serve_scope(self, number: int) -> None:
        """Make scope `number` the one that code without a scope of its own belongs to."""
        self._state["current"] = number

    # hotsession's own process-lifetime objects

    def object(self, name: str, factory: Callable[[], Any]) -> Any:
        """Return hotsession's own object `name`, made by `factory` the first time."""
        with self._state["lock"]:
            if name not in self._state["objects"]:
                self._state["objects"][name] = factory()
            return self._state["objects"][name]

    def clear(self) -> None:
        """Forget everything: what a test does before it starts."""
        with self._state["lock"]:
            for container in ("kept", "data", "locks", "waiting", "scopes", "objects"):
                self._state[container].clear()
            self._state["current"] = 0


def _merge(base: dict[str, Any], old: dict[str, Any], new: dict[str, Any]) -> None:
    """Bring into `new` what changed in `old` since `base` and not in `new` itself; then make `base` equal to `old`."""
    missing = object()
    now = dict(old)  # in one step: old code may write on from another thread
    for key in base.keys() | now.keys():
        before, after = base.get(key, missing), now.get(key, missing)
        if before is not after and new.get(key, missing) is before:
            if after is missing:
                del new[key]
            else:
                new[key] = after
    base.clear()
    base.update(now)


registry = Registry(_anchored_state())
