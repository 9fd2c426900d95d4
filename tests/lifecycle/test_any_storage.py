"""Any sequence of operations on sessions in every storage, by two processes that are started anew at times."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from hotsession.errors import InvalidTransition, SessionConflict, SessionExpired, SessionNotFound
from hotsession.lifecycle import held
from hotsession.lifecycle.jobs import Job
from hotsession.lifecycle.manager import SessionManager
from hotsession.lifecycle.record import NEXT, Record
from hotsession.lifecycle.session import Session
from tests.effort import times
from tests.lifecycle.clock import Clock
from tests.lifecycle.places import InADatabase, InFiles, InMemory, OverASnapshot, Place

T = TypeVar("T")

REFUSALS = (InvalidTransition, SessionExpired, SessionNotFound, SessionConflict)
OVER = {status for status, following in NEXT.items() if not following}
IDLE, GRACE = 60, 100

sides = st.sampled_from([0, 1])
keys = st.sampled_from(["ada", ("team", "7")])
picks = st.integers(0, 20)
moves = st.sampled_from(["pause", "resume", "complete", "fail", "end", "touch"])
wishes = st.sampled_from(["get", "fresh", "update", "save", "pause", "end", "upkeep"])


class Life(RuleBasedStateMachine):
    """Two managers of one name, and what must have come of all that they were asked for."""

    place_class: type[Place]

    @initialize()
    def begin(self) -> None:
        self.directory = tempfile.TemporaryDirectory(dir=os.environ.get("PYTEST_DEBUG_TEMPROOT"))
        self.place = self.place_class(Path(self.directory.name))
        self.clock = Clock()
        self.loop = asyncio.new_event_loop()
        self.counts: dict[str, int] = {}  # by id: what its counter must be
        self.notes: dict[str, set[str]] = {}  # and what must be noted in it
        self.seen: dict[str, Record] = {}
        self.jobs: dict[str, tuple[Job, asyncio.Event, list[str]]] = {}
        self.written = 0
        self.start()

    def start(self) -> None:
        self.storages = self.place.open()
        self.managers = [self.manager(storage) for storage in self.storages]

    def manager(self, storage: Any) -> SessionManager:
        made = SessionManager("manager", storage=storage, idle_timeout=IDLE, max_age=600, grace=GRACE, clock=self.clock)
        made._upkeep.begun = "when a rule says so"
        return made

    # how it is done

    def do(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Do something in a task of its own, and wait until what it changed is saved."""
        result = self.loop.run_until_complete(coroutine)
        self.loop.run_until_complete(_settled())
        return result

    def try_to(self, coroutine: Coroutine[Any, Any, T]) -> T | None:
        """Do what the rules may refuse."""
        return self.do(_unless_refused(coroutine))

    def picked(self, pick: int) -> str | None:
        ids = list(self.counts)
        return ids[pick % len(ids)] if ids else None

    async def counted(self, side: int, id: str) -> None:
        """An update that, once it has returned, nobody may lose."""
        await self.managers[side].update(id, _count_up)
        self.counts[id] = self.counts.get(id, 0) + 1

    async def noted(self, side: int, id: str) -> None:
        """A change of a copy that is saved."""
        session = await self.managers[side].get_or_create(session_id=id)
        self.written += 1
        name = f"note {self.written}"
        session.data[name] = True
        await self.managers[side].save(session)
        self.notes.setdefault(id, set()).add(name)

    # what can be asked for

    @rule(side=sides, key=keys, fresh=st.booleans())
    def get_or_create(self, side: int, key: Any, fresh: bool) -> None:
        before = self.do(self.storages[side].find("manager", key))
        is_usable = before is not None and not before.is_expired(self.clock())
        session = self.do(self.managers[side].get_or_create(key, force_new=fresh, data={"count": 0}))
        assert (session.status, session.key, session.reused) == ("active", key, is_usable and not fresh)
        assert session.reused == (before is not None and session.id == before.id)
        self.counts.setdefault(session.id, 0)

    @rule(side=sides, pick=picks, move=moves)
    def move(self, side: int, pick: int, move: str) -> None:
        if chosen := self.picked(pick):
            arguments = ("it broke",) if move == "fail" else ()
            self.try_to(getattr(self.managers[side], move)(chosen, *arguments))

    @rule(side=sides, pick=picks)
    def update(self, side: int, pick: int) -> None:
        if chosen := self.picked(pick):
            self.try_to(self.counted(side, chosen))

    @rule(pick=picks)
    def two_update_one_session_at_once(self, pick: int) -> None:
        """Of a live session no update is refused, and none is lost."""
        chosen = self.picked(pick)
        if chosen is None or not self.is_usable(chosen):
            return

        async def all_at_once() -> None:
            await asyncio.gather(*(self.counted(side, chosen) for side in (0, 1, 0, 1)))

        before = self.counts[chosen]
        self.do(all_at_once())
        assert self.counts[chosen] == before + 4

    @rule(pick=picks)
    def two_change_their_copies_at_once(self, pick: int) -> None:
        """Each something else, and it is saved at the end of the task that did."""
        chosen = self.picked(pick)
        if chosen is None or not self.is_usable(chosen):
            return
        both = asyncio.Barrier(2)

        async def change(side: int, name: str) -> None:
            session = await self.managers[side].get_or_create(session_id=chosen)
            await both.wait()
            session.data[name] = True

        async def all_at_once() -> None:
            await asyncio.gather(change(0, "left"), change(1, "right"))

        self.do(all_at_once())
        self.notes.setdefault(chosen, set()).update(("left", "right"))

    @rule(key=keys, wanted=st.lists(st.tuples(sides, wishes), min_size=2, max_size=6))
    def many_at_once(self, key: Any, wanted: list[tuple[int, str]]) -> None:
        """Whoever asks for the session of a key gets one, whatever others do to it meanwhile."""

        async def wish(side: int, what: str) -> None:
            manager = self.managers[side]
            if what == "upkeep":
                await manager._upkeep.once()
                return
            session = await manager.get_or_create(key, force_new=what == "fresh", data={"count": 0})
            self.counts.setdefault(session.id, 0)
            if what == "update":
                await _unless_refused(self.counted(side, session.id))
            elif what == "save":
                await _unless_refused(self.noted(side, session.id))
            elif what in ("pause", "end"):
                await _unless_refused(getattr(manager, what)(session.id))

        async def all_at_once() -> None:
            await asyncio.gather(*(wish(side, what) for side, what in wanted))

        self.do(all_at_once())

    @rule(side=sides, pick=picks)
    def begin_a_job(self, side: int, pick: int) -> None:
        chosen = self.picked(pick)
        if chosen is None:
            return
        may_end, outcome = asyncio.Event(), [""]

        async def work(session: Session) -> str:
            session.data["worked"] = session.attempt
            await may_end.wait()
            if outcome[0]:
                raise ValueError(outcome[0])
            return "done"

        job = self.try_to(self.managers[side].run(chosen, work))
        if job is not None:
            assert chosen not in self.jobs, "two work on one session"
            self.jobs[chosen] = (job, may_end, outcome)

    @rule(pick=picks, error=st.sampled_from(["", "no disk left"]))
    def let_a_job_end(self, pick: int, error: str) -> None:
        """It completes or fails its session, if that is live still."""
        if not self.jobs:
            return
        chosen = list(self.jobs)[pick % len(self.jobs)]
        job, may_end, outcome = self.jobs.pop(chosen)
        is_usable = self.is_usable(chosen)
        outcome[0] = error
        may_end.set()
        self.do(job.wait())
        if is_usable:
            record = self.record(chosen)
            assert (record.status, record.reason) == (
                ("failed", "ValueError: no disk left") if error else ("completed", None)
            )

    @rule(seconds=st.sampled_from([1, 30, IDLE, 2 * GRACE]))
    def time_passes(self, seconds: int) -> None:
        self.clock.pass_by(seconds)

    @rule(side=sides)
    def upkeep(self, side: int) -> None:
        self.do(self.managers[side]._upkeep.once())
        assert self.do(self.storages[side].expired("manager", self.clock(), 10)) == []

    @rule()
    def restart(self) -> None:
        """The processes end, and with them their jobs, which are found and become interrupted."""
        at_work = {each for each in self.jobs if self.is_usable(each)}
        self.stop()
        self.start()
        self.do(self.managers[0]._upkeep.once())
        assert {self.record(each).status for each in at_work} <= {"interrupted"}
        assert self.do(self.managers[1].storage.running("manager")) == []

    # what must be true

    def is_usable(self, id: str) -> bool:
        record = self.do(self.storages[0].get(id))
        return record is not None and record.is_live and not record.is_expired(self.clock())

    def record(self, id: str) -> Record:
        record = self.do(self.storages[0].get(id))
        assert record is not None
        return record

    @invariant()
    def the_rules_hold(self) -> None:
        if not hasattr(self, "managers"):
            return
        for side in (0, 1):  # both processes see it so
            records = self.do(self.storages[side].list("manager", 0))
            holders = [record.key for record in records if record.is_live]
            assert len(holders) == len(set(holders)), "two live sessions of one key"
            assert self.do(self.managers[side].count()) == len(holders)
            for record in records:
                self.check(record)
            for missing in self.seen.keys() - {record.id for record in records}:
                gone = self.seen.pop(missing)
                assert gone.status in OVER, f"a session that was {gone.status} is gone"
                assert gone.updated_at < self.clock() - GRACE
                del self.counts[missing]
                self.notes.pop(missing, None)
            for session in self.do(self.managers[side].list()):
                assert session.data["count"] == self.counts[session.id], "an update was lost"
                assert self.notes.get(session.id, set()) <= session.data.keys(), "a change was lost"

    def check(self, record: Record) -> None:
        """That a record is possible, and that it can have come from what was seen of it."""
        assert record.id in self.counts, "nobody asked for it"
        assert (record.completed_at is not None) == (record.status in OVER)
        assert record.worker is None or record.is_live
        assert record.created_at <= record.updated_at <= self.clock()
        before = self.seen.get(record.id, record)
        assert record.version >= before.version
        assert record.attempt >= before.attempt
        assert (record.key, record.created_at) == (before.key, before.created_at)
        assert record.status in _reachable(before.status), f"{before.status} -> {record.status}"
        if before.status in OVER or record.version == before.version:
            assert (record.version, record.status) == (before.version, before.status)
        self.seen[record.id] = record

    # the end

    def stop(self) -> None:
        """Let the processes end."""
        for job, _, _ in self.jobs.values():
            assert job._cancel is not None
            job._cancel()
            self.do(job.wait())
        self.jobs.clear()
        self.loop.run_until_complete(_cancel_all())
        self.place.leave()
        for storage in self.storages:
            self.do(storage.aclose())

    def teardown(self) -> None:
        if hasattr(self, "managers"):
            self.stop()
            self.place.close()
            self.loop.close()
            self.directory.cleanup()


def _count_up(data: dict[str, Any]) -> None:
    data["count"] += 1


def _reachable(status: str) -> set[str]:
    """The states that the rules lead to from one, in any number of steps."""
    reached, new = {status}, {status}
    while new:
        new = {each for found in new for each in NEXT[found]} - reached
        reached |= new
    return reached


async def _unless_refused(coroutine: Coroutine[Any, Any, T]) -> T | None:
    try:
        return await coroutine
    except REFUSALS:
        return None


async def _settled() -> None:
    """Wait until all is saved that was changed by tasks that have ended."""
    await asyncio.sleep(0)
    loop = asyncio.get_running_loop()
    while mine := {each for each in held._saving if each.get_loop() is loop}:  # others' loops may have ended
        await asyncio.wait(mine)


async def _cancel_all() -> None:
    """End the upkeep, as the end of an event loop does."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)


def _settings(examples: int) -> settings:
    return settings(
        max_examples=times(examples, 10 * examples, examples // 5),
        stateful_step_count=20,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )


class LifeInMemory(Life):
    place_class = InMemory


class LifeOverASnapshot(Life):
    place_class = OverASnapshot


class LifeInADatabase(Life):
    place_class = InADatabase


class LifeInFiles(Life):
    place_class = InFiles


TestInMemory = LifeInMemory.TestCase
TestInMemory.settings = _settings(25)
TestOverASnapshot = LifeOverASnapshot.TestCase
TestOverASnapshot.settings = _settings(15)
TestInADatabase = LifeInADatabase.TestCase
TestInADatabase.settings = _settings(10)
TestInFiles = LifeInFiles.TestCase
TestInFiles.settings = _settings(10)
