"""The one story of a reload: plan, load beside the old code, start, swap, drain the old, dispose of it, report.

It knows nothing of ASGI: what an app is and who answers requests is told by the `Stage` that the host gives.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace

from hotsession.errors import ReloadError
from hotsession.events import Change, LoadFailed, Reloaded
from hotsession.hooks import is_being_cancelled
from hotsession.logs import stay_audible
from hotsession.ownership import Ownership
from hotsession.registry import Overtaken as NameTaken
from hotsession.registry import registry
from hotsession.reload.codebase import Abandoned, Codebase
from hotsession.reload.feed import ChangeFeed
from hotsession.reload.follow import Follower, Outcome, Overtaken
from hotsession.reload.generation import Generation, Leaving
from hotsession.reload.handover import Handover, dispose_modules, in_time
from hotsession.reload.imports import Importer
from hotsession.reload.living_objects import LivingObjects
from hotsession.reload.load import NO_RESET, Load, Reset, wants_main_thread
from hotsession.reload.patience import Patience
from hotsession.reload.plan import Plan, Scope
from hotsession.reload.planner import Planner
from hotsession.reload.report import failed_lines, reloaded_line
from hotsession.reload.retire import Retirement
from hotsession.reload.source import SourceCache
from hotsession.reload.stage import Stage
from hotsession.reload.sweep import Sweeper
from hotsession.reload.views import Views

logger = logging.getLogger("hotsession.reload")

# A storage that does not answer must not hold up the line that says what was reloaded.
_COUNTING_SECONDS = 2.0


class Reloader:
    """Keeps one generation serving and replaces it by the next.

    Args:
        target: name of the module that holds the app.
        stage: the host.
        ownership: tells the user's own files from others.
        search_path: returns the directories that modules are found in.
        scope: which modules a change replaces.
        stop_first: end the old app before the new one starts.
        drain_timeout: seconds after which what never ends by itself is ended.
    """

    def __init__(
        self,
        target: str,
        stage: Stage,
        ownership: Ownership,
        *,
        search_path: Callable[[], Iterable[str]],
        scope: Scope = "changed",
        stop_first: bool = False,
        drain_timeout: float = 60.0,
    ) -> None:
        self.target = target
        self.current: Generation | None = None
        self.failure: LoadFailed | None = None
        self.feed = ChangeFeed(self._relevant)
        self._ownership = ownership
        self._stage = stage
        self._views = Views()
        self._sweeper = Sweeper(self._activity)
        self._objects = LivingObjects(self._sweeper.soon)
        self.retirement = Retirement(drain_timeout, self._when_old_ones_are_gone)
        self._patience = Patience(self.feed.wait)
        self._handover = Handover(stage.hold, self.retirement, self._patience, stop_first=stop_first)
        self._sources = SourceCache()
        self._planner = Planner(target, self._sources, search_path, scope=scope)
        self._importer: Importer = registry.object("importer", Importer)
        self._number = 0
        self._first: Load | None = None
        self.follower = Follower(self, self.feed, self._report)
        self._in_main_thread = False
        self._insists = False
        self._stopped = False
        self._one_at_a_time = asyncio.Lock()

    def __repr__(self) -> str:
        return f"<Reloader of {self.target} serving {self.current!r}>"

    # the first generation

    async def load_first(self) -> bool:
        """Import the first generation in the calling thread, and return whether that worked; `start_first` follows."""
        plan = Plan((), frozenset({self.target}))
        tasks = asyncio.all_tasks()
        load = self._prepare(plan)
        try:
            load.begin()
            self._import_here(load)
        except BaseException as error:  # noqa: BLE001  sys.exit() in a module included: the next save may mend it
            self._roll_back(load)
            self._report(LoadFailed("import", error, (self.target,)))
            return False
        self._in_main_thread = bool(asyncio.all_tasks() - tasks)  # modules that start tasks are going to do it again
        self._first = load
        return True

    async def load_again(self) -> bool:
        """Import the first generation once more, before it was started: what the code kept has changed elsewhere."""
        load, self._first = self._first, None
        if load is None:
            return False
        self._roll_back(load)
        return await self.load_first()

    def hold_off(self, why: str) -> None:
        """Instead of importing the first generation, wait for a change, because of `why`."""
        self._report(LoadFailed("import", ReloadError(why), (self.target,)))

    async def start_first(self) -> None:
        """Start the app of the first generation, and serve it."""
        load, self._first = self._first, None
        if load is not None:
            outcome = await self._take_over(load, None, time.perf_counter())
            if isinstance(outcome, LoadFailed):
                self._report(outcome)
        # What was saved after it was read and before anybody watched.
        self.feed.put(frozenset(map(Change, self._sources.paths())))

    async def stop(self) -> None:
        """End every generation: the server is about to end."""
        self._stopped = True  # a reset that waits for its turn must start nothing any more
        generation, self.current = self.current, None
        self._sweeper.stop()
        self._objects.stop()
        if generation is not None:
            await in_time("the on_dispose hooks", dispose_modules(generation))
            await self.retirement.end(generation, 0.0)
        await self.retirement.finish()

    # attempts

    async def attempt(self, changes: frozenset[Change], seen_at: float, *, insist: bool = False) -> Outcome | Overtaken:
        """Replace what `changes` touch; None when that is nothing, or when the process has to restart for it.

        Args:
            changes: the files that changed.
            seen_at: when the first of it was seen.
            insist: swap even if newer changes have come meanwhile.
        """
        async with self._one_at_a_time:
            self._insists = insist
            with self._objects.paused():
                return await self._replace(self._plan(changes), seen_at)

    def may_be_half_written(self, change: Change) -> bool:
        """Whether a file that had content is empty now: some editors truncate before they write."""
        return self._sources.was_emptied(change.path)

    async def reset(self, reset: Reset) -> Outcome:
        """Load all own modules anew without what the reset drops, so that nobody holds on to it."""
        async with self._one_at_a_time:
            graph = self.current.codebase.graph if self.current else None
            plan = Plan((), frozenset({self.target, *(graph.files if graph else ())}))
            with self._objects.paused():
                attempt = await self._replace(plan, time.perf_counter(), reset)
            if not isinstance(attempt, Reloaded) and graph is not None:
                # What was saved meanwhile has been read by an attempt that came to nothing: it is still to be done.
                self.follower.pending |= frozenset(Change(path) for path in graph.files.values() if path)
        outcome = None if isinstance(attempt, Overtaken) else attempt
        self._report(outcome)
        return outcome

    # what happens

    async def _replace(self, plan: Plan, seen_at: float, reset: Reset = NO_RESET) -> Outcome | Overtaken:
        """Make a new generation from the files as they are now and put it in place of the one that serves."""
        if plan.restart is not None:
            self._stage.restart(plan.restart)
        if plan.restart is not None or not plan or self._stopped:
            return None
        old, load = self.current, self._prepare(plan, reset)
        try:
            load = await self._import(load, plan, reset)
        except Abandoned:
            self._roll_back(load)
            return Overtaken()
        except BaseException as error:  # whatever a module raises, sys.exit() too: a save never ends us
            self._roll_back(load)
            if is_being_cancelled():
                raise
            return LoadFailed("import", error, tuple(sorted(plan.modules)))
        if old is not None and load.generation.invalid:
            self._roll_back(load)
            self._stage.restart(load.generation.invalid)
            return None
        return await self._take_over(load, old, seen_at)

    async def _take_over(self, load: Load, old: Generation | None, seen_at: float) -> Outcome | Overtaken:
        """Start the app that was loaded, swap, and let the old generation go."""
        plan = load.plan
        services = {} if old is None else old.container.names()
        try:
            async with self._handover.started(load, old):
                if old is not None and ((self.feed and not self._insists) or load.is_outdated):
                    raise Overtaken
                committed, gone = load.commit()
                self.current, self.failure = load.generation, None
                followed = self._objects.follow(old)
        except (Overtaken, NameTaken, Abandoned):
            self._roll_back(load)
            return Overtaken()
        except BaseException as error:
            self._roll_back(load)
            if is_being_cancelled():
                raise
            return LoadFailed("start-up", error, tuple(sorted(plan.modules)))
        seconds = time.perf_counter() - seen_at
        services = {} if old is None else old.container.names()
        leaving: Counter[Leaving] = Counter()
        try:
            failures = await self._handover.hooks(load, old)
        finally:
            if old is not None:
                leaving = self.retirement.add(old)
            self._uncover()
        return Reloaded(
            generation=load.generation.number,
            modules=tuple(n for n in dict.fromkeys((*plan.changed, *sorted(plan.modules))) if n not in gone),
            removed=tuple(sorted(gone)),
            services=services,
            kept=tuple(name for name in committed.kept if name in registry.entries("value")),
            sessions=await live_sessions(),
            replaced=committed.replaced,
            stale=committed.stale,
            tasks=load.tasks,
            seconds=seconds,
            carried=leaving["moves"],
            closed=leaving["ends"],
            failures=(*failures, *followed.failures),
            converted=followed.converted,
            left=followed.left,
        )

    async def _import(self, load: Load, plan: Plan, reset: Reset) -> Load:
        """Import the new modules, in a thread if they allow it, and find the app; return the load that did it."""
        if self.current is not None and not self._in_main_thread:
            try:
                load.begin()
                await load.in_thread(lambda: self._import_here(load), self._patience)
            except Exception as error:
                if not wants_main_thread(error):
                    raise
                self._in_main_thread = True
                logger.info("Modules ask for the main thread (%s): from now on requests wait for the import.", error)
                self._roll_back(load)
                load = self._prepare(plan, reset)
            else:
                return load
        try:
            load.begin()
            self._import_here(load)
        except BaseException:
            self._roll_back(load)
            raise
        return load

    def _import_here(self, load: Load) -> None:
        """Import the new modules and find the app, whose factory may import and build as much as they do."""
        module = load.import_here()
        with load.context():
            self._stage.dress(load.generation, module)

    # values

    def _prepare(self, plan: Plan, reset: Reset = NO_RESET) -> Load:
        self._number += 1
        old = self.current.codebase if self.current else None
        modules = dict(old.modules) if old else {}
        codebase = Codebase(
            self._ownership,
            self._sources,
            old.graph.without(plan.modules) if old else None,
            carried={name: module for name, module in modules.items() if name not in plan.modules},
            replaced={name: modules.get(name) for name in plan.modules},
            loaders=old.loaders if old else None,
        )
        generation = Generation(
            self._number, codebase, on_invalidate=self._stage.restart, on_reset=self._stage.request_reset
        )
        if self.current is not None:
            carried = {name: each for name, each in self.current.handles.items() if name not in plan.modules}
            generation.handles.update(carried)
        return Load(plan, self.target, generation, old, self._importer, self._views, reset)

    def _plan(self, changes: frozenset[Change]) -> Plan:
        if self.current is None:
            return Plan((), frozenset({self.target}))
        return self._planner.plan(self.current.codebase.graph, changes, again=bool(self.follower.pending))

    def _relevant(self, changes: frozenset[Change]) -> frozenset[Change]:
        """What of `changes` is news to the app: not what was read already, nor files that it has nothing to do with."""
        fresh = self._planner.news(changes)
        if self.current is None or self.follower.pending:
            return fresh  # any file may be the one that was missing
        return fresh if self._planner.concerns(self.current.codebase.graph, fresh) else frozenset()

    def _when_old_ones_are_gone(self) -> None:
        self._uncover()
        if self.current is not None:
            self._objects.old_code_is_gone()
            self._sweeper.soon()

    def _activity(self) -> int:
        """Counts what the app was asked for, and what it still does."""
        current = self.current
        return self._number + (current.served + len(current.work) if current else 0)

    def _roll_back(self, load: Load) -> None:
        load.generation.codebase.abandon()  # a thread that still imports, because we were cancelled, ends soon
        load.roll_back()
        self._uncover()

    def _uncover(self) -> None:
        """Make packages plain again, unless a load or an older generation still sees them in its own way."""
        if not self.retirement and not self._views.is_open:
            self._views.uncover()

    def _report(self, outcome: Outcome) -> None:
        stay_audible()
        if isinstance(outcome, Reloaded):
            logger.info(reloaded_line(replace(outcome, busy=self.retirement.busy())))
        elif isinstance(outcome, LoadFailed):
            serving = self.current.number if self.current else None
            self.failure = outcome
            logger.error(failed_lines(outcome, self._ownership.owns, serving=serving))


async def live_sessions() -> dict[str, int]:
    """How many live sessions each session manager has, by its name."""
    counts = {}
    for entry in registry.entries("sessions").values():
        try:
            async with asyncio.timeout(_COUNTING_SECONDS):
                counts[entry.value.name] = await entry.value.count()
        except Exception:
            logger.exception("The sessions %r could not be counted", entry.value.name)
    return counts
