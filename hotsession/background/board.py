"""All named tasks of the process: at most one run of each name, and at most one that waits for its end.

It does what the rules say, under a lock that is held only for moments. It lives as long as the process; what it holds
of the user's code is what runs, what waits, and what was asked for outside of any host at import.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
from collections.abc import Iterator
from typing import Any
from weakref import WeakSet

from hotsession.background.functions import has_run_again, is_same
from hotsession.background.handle import TaskHandle
from hotsession.background.rules import OnReload, Relation, answer, relation
from hotsession.background.run import PATIENCE_SECONDS, Function, Run
from hotsession.background.slots import Slot, drop, new_run
from hotsession.background.takeover import take_over
from hotsession.errors import ConfigurationError
from hotsession.registry import Transaction, registry

logger = logging.getLogger("hotsession")


class Staged:
    """What a load asked for, by name; called when the load is in place."""

    def __init__(self, board: Board) -> None:
        self.runs: dict[str, Run] = {}
        self._board = board

    def __call__(self) -> None:
        """Hand over what was asked for."""
        self._board.arrived = self.runs


class Board:
    """The named tasks of the process.

    Attributes:
        arrived: what the load asked for that is just being put in place.
    """

    def __init__(self) -> None:
        self.arrived: dict[str, Run] = {}
        self._slots: dict[str, Slot] = {}
        self._lock = threading.RLock()
        self._depth = 0
        self._home: asyncio.AbstractEventLoop | None = None  # where runs begin that code without a loop asks for
        # Asked for at import where no host is: each life of the app in this process begins it.
        self._declared: dict[str, tuple[Function, OnReload, TaskHandle[Any]]] = {}
        self._swaps = False  # between the moment of a swap and the end of its on_dispose hooks nothing begins
        _all.add(self)

    def __repr__(self) -> str:
        return f"<Board {[each for slot in self._slots.values() for each in (slot.running, slot.next) if each]}>"

    # asking

    def ask(self, name: str, function: Function, on_reload: OnReload, loop: asyncio.AbstractEventLoop | None) -> Any:
        """The handle of the run that the running code gets when it asks for a name.

        Args:
            name: of the task.
            function: the coroutine function.
            on_reload: what a reload means for it.
            loop: where to begin it; None where it has to wait for a loop.

        Raises:
            ConfigurationError: something else runs by that name.
        """
        run = new_run(name, function, on_reload, registry.scope, self._has_ended)
        if registry.transaction is not None:
            return self._stage(registry.transaction, run).handle
        with self._changing():
            found = self._place(run, self._slot(name))
            if found is run and loop is None and run.number == 0:
                self._declared[name] = function, on_reload, run.handle
            self._advance(name, loop)
        return found.handle

    def _place(self, run: Run, slot: Slot) -> Run:
        """Put what is asked for where the rules want it, and return the run that the asking code gets."""
        there = slot.next or slot.running
        if there is not None:
            how = _relation(there, run)
            becomes = answer(there.standing, how, run.on_reload)
            if becomes == "refuse":
                raise _refusal(there, run)
            if becomes == "join":
                if how != "older":
                    there.on_reload, there.is_inferred = run.on_reload, False
                return there
        drop(slot.next)
        slot.next, slot.failed = run, None
        if slot.running is not None:
            slot.running.on_reload, slot.running.is_awaited = run.on_reload, True
            if becomes == "replace":
                slot.running.cancel()
        return run

    def _stage(self, load: Transaction, run: Run) -> Run:
        """Note what a load asks for; nothing begins before it is in place."""
        with self._lock:
            staged = next((each for each in load.on_commit if isinstance(each, Staged)), None)
            if staged is None:
                staged = Staged(self)
                load.on_commit.append(staged)
            found = staged.runs.setdefault(run.name, run)
        if found is not run and not is_same(found.function, run.function):
            raise _refusal(found, run)
        found.transaction, found.on_reload = load, run.on_reload
        return found

    # new code takes over

    def swap(self, scope: Any, *, resets: bool = False) -> tuple[str, ...]:
        """Let new code take over, in its event loop: cancel what is to be restarted. `open` begins what follows.

        Args:
            scope: the new generation, which serves from now on.
            resets: kept values are dropped with it.

        Returns:
            What becomes of what was there, in words.
        """
        with self._changing():
            self._swaps = True
            asked, self.arrived = self.arrived, {}
            names = dict.fromkeys((*self._slots, *asked))
            words = [
                take_over(self._slot(name), name, asked.get(name), scope, self._has_ended, resets=resets)
                for name in names
            ]
        return tuple(filter(None, words))

    # beginning and ending

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin what waits, in an event loop, which is from now on where code without one has its tasks begun."""
        with self._changing():
            self._home, self._swaps = loop, False
            for name in self._declared:
                self._declare_again(name)
            for name in tuple(self._slots):
                self._advance(name, loop)

    @property
    def home(self) -> asyncio.AbstractEventLoop | None:
        """The event loop of the app, while it runs."""
        return self._home if self._home is not None and self._home.is_running() else None

    @property
    def has_something(self) -> bool:
        """Whether there is anything to begin or to end."""
        return bool(self._slots or self._declared)

    def end_endless(self) -> None:
        """Cancel all that does not finish by itself."""
        with self._changing():
            for slot in self._slots.values():
                if slot.running is not None and slot.running.on_reload != "finish":
                    drop(slot.next)
                    slot.running.cancel()

    async def end(self) -> None:
        """Cancel all that runs in the running event loop and wait for its end, but for what does not end in time."""
        loop = asyncio.get_running_loop()
        with self._changing():
            self._swaps = False
            for slot in self._slots.values():
                if slot.running is None or slot.running.loop is loop:
                    drop(slot.next)
            runs = list(self._running_in(loop))
            if self._home is loop:
                self._home = None
        for run in runs:
            run.cancel()
        if runs:
            waiting = [loop.create_task(run.wait()) for run in runs]
            _, pending = await asyncio.wait(waiting, timeout=PATIENCE_SECONDS)
            for each in pending:
                each.cancel()
        for run in runs:
            if not run.has_ended:
                run.give_up()
        with self._changing():
            for slot in self._slots.values():
                slot.failed = None

    def forget(self) -> None:
        """In a forked child: what runs, runs in its parent."""
        self._lock, self._depth = threading.RLock(), 0
        self._home = None
        with self._changing():
            for slot in self._slots.values():
                slot.running = None

    def _declare_again(self, name: str) -> None:
        slot, (function, on_reload, handle) = self._slot(name), self._declared[name]
        if slot.running is None and slot.next is None:
            slot.next = Run(name, function, on_reload, None, self._has_ended)
            slot.next.handle, handle._run = handle, slot.next

    def _running_in(self, loop: asyncio.AbstractEventLoop) -> Iterator[Run]:
        for slot in self._slots.values():
            if slot.running is not None and slot.running.loop is loop:
                yield slot.running

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        """Change the slots during the block; empty ones go at the end of the outermost, when nobody holds them."""
        with self._lock:
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
                if self._depth == 0:
                    for name in [name for name, slot in self._slots.items() if slot.is_empty]:
                        del self._slots[name]

    def _slot(self, name: str) -> Slot:
        slot = self._slots.setdefault(name, Slot())
        running = slot.running
        if running is not None and running.loop is not None and running.loop.is_closed():
            slot.running = None  # nobody will ever say that it has ended
            running.land("cancelled")
        return slot

    def _advance(self, name: str, loop: asyncio.AbstractEventLoop | None) -> None:
        """Begin what waits, if nothing goes by the name any more."""
        slot = self._slot(name)
        if loop is not None and not self._swaps and slot.running is None and slot.next is not None:
            slot.running, slot.next = slot.next, None
            slot.running.begin(loop)

    def _has_ended(self, run: Run) -> None:
        with self._changing():
            slot = self._slot(run.name)
            if slot.next is run:
                slot.next = None
            if slot.running is not run:
                return
            slot.running = None
            if run.state == "failed" and run.on_reload == "restart" and 0 < run.number == registry.current:
                slot.failed = run.function
            if slot.next is not None and run.state != "cancelled":
                logger.info("Task %r (%s) has ended, so that of the new code begins.", run.name, run.where)
            self._advance(run.name, None if run.loop is None or run.loop.is_closed() else run.loop)


def _relation(there: Run, asked: Run) -> Relation:
    return relation(
        there.number,
        asked.number,
        is_same=is_same(there.function, asked.function),
        has_run_again=has_run_again(there.function, asked.function),
    )


def _refusal(there: Run, asked: Run) -> ConfigurationError:
    other = there.where if there.where != asked.where else f"{there.where} with other arguments"
    return ConfigurationError(
        f"task {asked.name!r} is {other} already, and {asked.where} is asked for: "
        "use another name, or cancel that one first"
    )


def board() -> Board:
    """The one of this process."""
    found: Board = registry.object("background", Board)
    return found


_all: WeakSet[Board] = WeakSet()


def _forget() -> None:
    for each in tuple(_all):
        each.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
