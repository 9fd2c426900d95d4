"""One attempt to bring new code into being: a transaction over modules, registry entries and libraries' registries.

Until `commit` nothing of it shows; `roll_back` leaves everything as it was.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any

from hotsession.background.board import board
from hotsession.living.classes import living
from hotsession.registry import Committed, Transaction, registry
from hotsession.reload.adapters import begin_all
from hotsession.reload.codebase import Abandoned, Codebase
from hotsession.reload.generation import Generation
from hotsession.reload.imports import Importer
from hotsession.reload.patience import ImportThread, Patience
from hotsession.reload.plan import Plan, load_order
from hotsession.reload.views import Views

logger = logging.getLogger("hotsession.reload")

# While new code is imported in a thread, how long it may hold the interpreter before the event loop gets its turn.
# Python's own 5 ms, which a request can meet several times, would show as latency.
_SWITCH_INTERVAL_SECONDS = 0.0005


@dataclass(frozen=True, slots=True)
class Reset:
    """What is dropped on purpose.

    Args:
        names: of kept values, storages and session managers, as the registry knows them.
        empty: is called at the swap; it empties what is dropped where it is, for old code that still has it.
    """

    names: frozenset[str] = frozenset()
    empty: Callable[[], None] = lambda: None


NO_RESET = Reset()


class Load:
    """The making of one generation.

    Args:
        plan: which modules are replaced.
        target: name of the module that holds the app.
        generation: what is being made.
        old: the codebase that it replaces; None the first time.
        importer: answers the process's imports.
        views: what shows the load's modules to the load alone.
        reset: what is dropped with the swap.

    Attributes:
        tasks: what became of named tasks at the swap, in words.
    """

    def __init__(
        self,
        plan: Plan,
        target: str,
        generation: Generation,
        old: Codebase | None,
        importer: Importer,
        views: Views,
        reset: Reset = NO_RESET,
    ) -> None:
        self.plan = plan
        self.generation = generation
        self.tasks: tuple[str, ...] = ()
        self._target = target
        self._old = old
        self._importer = importer
        self._views = views
        self._transaction = Transaction(forget=reset.names, codebase=generation.codebase, on_commit=[reset.empty])
        self._libraries: Any = None

    def __repr__(self) -> str:
        return f"<Load of {self.generation!r}>"

    def begin(self) -> None:
        """Put up what hides the load from everybody else."""
        codebase = self.generation.codebase
        registry.add_scope(self.generation.number, self.generation)
        self._importer.install()
        self._views.open()
        codebase.on_package, codebase.context = self._views.cover, self.context
        for name in codebase.replaced:
            package = codebase.modules.get(name.rpartition(".")[0])
            if package is not None:
                self._views.cover(package)
        self._libraries = begin_all(self.plan.modules)

    @contextlib.contextmanager
    def context(self) -> Iterator[None]:
        """Run the block, and the tasks and threads that copy its context, as part of the load."""
        with registry.loading(self._transaction), registry.running(self.generation.number):
            yield

    async def in_thread(self, work: Callable[[], None], patience: Patience) -> None:
        """Do `work` in a thread of its own while the event loop goes on.

        Raises:
            Abandoned: newer changes came, and the work did not come to its end.
        """
        interval = sys.getswitchinterval()
        sys.setswitchinterval(min(interval, _SWITCH_INTERVAL_SECONDS))
        codebase, thread = self.generation.codebase, ImportThread(work)
        describe = partial(_describe, thread, codebase)
        try:
            async with patience.during(describe, warn=codebase.abandon, give_up=lambda: thread.give_up(Abandoned())):
                await thread.run()
        finally:
            sys.setswitchinterval(interval)

    def import_here(self) -> ModuleType:
        """Import the planned modules in the calling thread, and return the target.

        Raises:
            BaseException: whatever the modules raise.
        """
        codebase = self.generation.codebase
        with self.context():
            module = codebase.resolve(self._target)
            if self._old is not None:
                self._import_what_only_functions_import(self._old)
                self._look_for_what_libraries_hold(self._old)
        return module

    def _import_what_only_functions_import(self, old: Codebase) -> None:
        """Import now what a function would import at its next call: no request waits for it, and its errors show."""
        codebase = self.generation.codebase
        for name in load_order(old.graph, self.plan, self._target):
            importers = [importer for importer, names in list(old.graph.late.items()) if name in names]
            if name in codebase.loaded:
                continue
            wanted = [importer for importer in importers if self._still_mentions(importer, name)]
            if wanted:
                codebase.resolve(name)
                for importer in wanted:
                    codebase.graph.record(importer, name, late=True)

    def _look_for_what_libraries_hold(self, old: Codebase) -> None:
        """Ask for a restart if a library imported a planned module once and does not do it again, as Django does.

        It remembers what it found there, so the old code would go on answering.

        Raises:
            SyntaxError: the source of such a module: nothing to restart for.
        """
        codebase = self.generation.codebase
        held = sorted(self.plan.modules & old.graph.foreign - codebase.loaded.keys() - self.plan.removed)
        for name in held:
            codebase.sources.code(old.graph.files[name])
        if held:
            self.generation.invalidate(f"a library imported {', '.join(held)} and holds on to what it found there")

    def _still_mentions(self, importer: str, name: str) -> bool:
        codebase = self.generation.codebase
        module = codebase.loaded.get(importer) or codebase.modules.get(importer)
        path = codebase.graph.files.get(importer)
        return bool(module and path) and mentions(codebase.sources.code(str(path)), name.rpartition(".")[2])

    @property
    def target(self) -> ModuleType:
        """The target module, once it is imported."""
        return self.generation.codebase.resolve(self._target)

    @property
    def is_outdated(self) -> bool:
        """Whether old code loaded modules meanwhile that the load does not know of: it has to be done again."""
        return self._old is not None and self.generation.codebase.misses(self._old)

    def commit(self) -> tuple[Committed, tuple[str, ...]]:
        """Make the new modules and registry entries the process's own; also return the names of modules that are gone.

        Raises:
            Overtaken: running code registered a name that the load registered too. Nothing was changed.
        """
        committed = registry.commit(self._transaction)
        self._views.close()
        codebase, replaced = self.generation.codebase, dict(self.generation.codebase.replaced)
        gone = codebase.commit()
        try:
            living().note(replaced, codebase.modules.__contains__)
        except Exception:  # users' metaclasses may raise anything; the new modules are in place, and serve
            logger.exception("Objects of the classes that were replaced stay as they are")
        self._importer.current = self.generation.codebase
        self._transaction.codebase = None
        registry.serve_scope(self.generation.number)
        self._libraries.commit()
        self.tasks = board().swap(self.generation, resets=bool(self._transaction.forget))
        return committed, gone

    def finish(self) -> None:
        """Take over what the old generation left for the new one when it was disposed of, and begin the new tasks."""
        registry.merge_data(self._transaction)
        self._transaction.close()
        board().open(asyncio.get_running_loop())

    def roll_back(self) -> None:
        """Leave everything as it was before `begin`. Doing it twice changes nothing."""
        self._views.close()
        self.generation.codebase.roll_back()
        self._transaction.close()
        libraries, self._libraries = self._libraries, None
        if libraries is not None:
            libraries.rollback()


def mentions(code: types.CodeType, word: str) -> bool:
    """Whether functions in `code` still name `word`: in an import, or in a string that may be imported."""
    if any(word in name.split(".") for name in code.co_names):
        return True
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            if mentions(constant, word):
                return True
        elif word in (constant.split(".") if isinstance(constant, str) else constant if _is_names(constant) else ()):
            return True
    return False


def _is_names(constant: object) -> bool:
    return isinstance(constant, tuple) and all(isinstance(each, str) for each in constant)


def wants_main_thread(error: BaseException) -> bool:
    """Whether code failed only because it was not imported in the main thread, where the event loop runs.

    Under uvicorn modules are imported there, so they may ask for the loop, start tasks and set signal handlers.
    """
    text = str(error)
    return (
        (isinstance(error, RuntimeError) and "no current event loop" in text)
        or (isinstance(error, RuntimeError) and "no running event loop" in text)
        or (isinstance(error, ValueError) and "main thread of the main interpreter" in text)
    )


def _describe(thread: ImportThread, codebase: Codebase) -> str:
    return f"The new code is still being imported ({thread.whereabouts(codebase.ownership.owns)})"
