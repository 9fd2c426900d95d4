"""Any sequence of operations, by two processes over one storage, against a model of what must come of it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from hotsession.errors import InvalidTransition, SessionConflict, SessionError, SessionExpired, SessionNotFound
from hotsession.lifecycle import jobs as jobs_module
from hotsession.lifecycle.manager import SessionManager
from hotsession.lifecycle.record import LIVE, NEXT, Record
from hotsession.lifecycle.session import Session
from hotsession.storages.memory import MemoryStorage
from tests.effort import times
from tests.lifecycle.byte_storage import ByteStorage
from tests.lifecycle.clock import Clock

T = TypeVar("T")

KEYS = ["ada", "bob", ("team", "7")]
DEAD = "nowhere/1/1/1"
keys = st.sampled_from(KEYS)
sides = st.sampled_from([0, 1])


class Life(RuleBasedStateMachine):
    """Two managers of one name, as two processes have them."""

    storage_class: type[MemoryStorage]

    @initialize()
    def begin(self) -> None:
        self.clock = Clock()
        self.storage = self.storage_class()
        self.loop = asyncio.new_event_loop()
        self.managers = [
            SessionManager("chats", storage=self.storage, idle_timeout=60, max_age=600, grace=100, clock=self.clock)
            for _ in range(2)
        ]
        self.history: dict[str, list[Record]] = {}
        self.counts: dict[str, int] = {}  # what each session's counter must be
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(jobs_module, "is_gone", lambda worker: worker == DEAD)

    def do(self, coroutine: Coroutine[Any, Any, T]) -> T | None:
        """Run an operation in a task of its own; what the rules refuse is refused with an error of ours."""

        async def in_a_task() -> T | None:
            try:
                return await coroutine
            except (InvalidTransition, SessionExpired, SessionConflict, SessionNotFound):
                return None

        result = self.loop.run_until_complete(in_a_task())
        self.loop.run_until_complete(asyncio.sleep(0))
        return result

    def known(self, pick: int) -> str | None:
        ids = list(self.history)
        return ids[pick % len(ids)] if ids else None

    @rule(side=sides, key=keys, fresh=st.booleans())
    def get_or_create(self, side: int, key: Any, fresh: bool) -> None:
        before = self.do(self.storage.find("chats", key))
        usable = before is not None and not before.is_expired(self.clock())
        session = self.do(self.managers[side].get_or_create(key, force_new=fresh, data={"count": 0}))
        assert session is not None
        assert (session.status, session.key, session.reused) == ("active", key, usable and not fresh)
        if usable and not fresh:
            assert before is not None
            assert session.id == before.id
        self.counts.setdefault(session.id, 0)

    @rule(pick=st.integers(0, 50), side=sides, move=st.sampled_from(["pause", "resume", "complete", "end", "touch"]))
    def move(self, pick: int, side: int, move: str) -> None:
        if wanted := self.known(pick):
            self.do(getattr(self.managers[side], move)(wanted))

    @rule(pick=st.integers(0, 50), side=sides)
    def update(self, pick: int, side: int) -> None:
        if wanted := self.known(pick):
            done = self.do(self.managers[side].update(wanted, lambda data: {**data, "count": data["count"] + 1}))
            self.counts[wanted] += done is not None

    @rule(pick=st.integers(0, 50))
    def two_write_at_once(self, pick: int) -> None:
        """Each its own key, in copies or in the live data: neither is lost."""
        if (wanted := self.known(pick)) is None:
            return

        async def write(manager: SessionManager, other: asyncio.Event, mine: asyncio.Event, name: str) -> bool:
            session: Session | None
            try:
                session = await manager.get_or_create(session_id=wanted)
            except SessionError:
                session = None
            mine.set()
            await other.wait()
            if session is None:
                return False
            session.data[name] = session.data.get(name, 0) + 1
            return True

        async def both() -> list[bool]:
            one, two = asyncio.Event(), asyncio.Event()
            tasks = [
                asyncio.create_task(write(self.managers[0], two, one, "left")),
                asyncio.create_task(write(self.managers[1], one, two, "right")),
            ]
            done = await asyncio.gather(*tasks)
            for _ in range(10):
                await asyncio.sleep(0)
            return done

        before = self.do(self.managers[0].list())
        done = self.loop.run_until_complete(both())
        after = {session.id: session for session in self.do(self.managers[0].list()) or ()}
        data = {session.id: session for session in before or ()}[wanted].data if self.storage.wants_bytes else None
        if all(done) and data is not None and after[wanted].status == "active":  # else it was interrupted meanwhile
            for name in ("left", "right"):
                assert after[wanted].data.get(name, 0) == data.get(name, 0) + 1

    @rule(seconds=st.sampled_from([1, 30, 61, 601]))
    def time_passes(self, seconds: int) -> None:
        self.clock.pass_by(seconds)

    @rule(side=sides)
    def upkeep(self, side: int) -> None:
        self.do(self.managers[side]._upkeep.once())
        overdue = self.do(self.storage.expired("chats", self.clock(), 100))
        assert overdue == []

    @rule(pick=st.integers(0, 50))
    def worker_dies(self, pick: int) -> None:
        record = self.do(self.storage.get(self.known(pick) or ""))
        if record is not None and record.is_live:
            assert self.do(self.storage.replace(record._replace(version=record.version + 1, worker=DEAD)))

    @rule(side=sides, key=keys)
    def die_and_come_back(self, side: int, key: Any) -> None:
        """As a job whose process was killed; by then another may have its key."""
        record = self.do(self.storage.find("chats", key))
        if record is None:
            return
        self.do(self.storage.replace(record._replace(version=record.version + 1, worker=DEAD)))
        self.do(self.managers[side]._upkeep.once())
        self.get_or_create(1 - side, key, fresh=False)
        self.do(self.managers[side].resume(record.id))

    @rule(pick=st.integers(0, 50), side=sides)
    def run_again(self, pick: int, side: int) -> None:
        wanted = self.known(pick)
        if wanted is None:
            return

        async def work(session: Session) -> str:
            return "done"

        async def begin_and_wait() -> Session:
            return await (await self.managers[side].run(wanted, work))

        session = self.do(begin_and_wait())
        if session is not None:
            assert (session.status, session.result) == ("completed", "done")

    @invariant()
    def the_rules_hold(self) -> None:
        if not hasattr(self, "storage"):
            return
        records = self.do(self.storage.list("chats", self.clock())) or []
        live = [record.key for record in records if record.is_live]
        assert len(live) == len(set(live)), "two live sessions of one key"
        for record in records:
            seen = self.history.setdefault(record.id, [])
            if seen and seen[-1].version != record.version:
                assert record.version > seen[-1].version
                assert _reachable(seen[-1].status, record.status), f"{seen[-1].status} -> {record.status}"
            assert (record.completed_at is not None) == (record.status not in (*LIVE, "interrupted"))
            assert record.worker is None or record.status in LIVE
            seen.append(record)
        for session in self.do(self.managers[0].list()) or ():
            assert session.data["count"] == self.counts[session.id], "an update was lost"
        assert self.do(self.managers[0].count()) == len(live)
        gone = self.history.keys() - {record.id for record in records}
        for wanted in gone:
            del self.history[wanted]

    def teardown(self) -> None:
        if hasattr(self, "loop"):
            self.patch.undo()
            for task in asyncio.all_tasks(self.loop):
                task.cancel()
            self.loop.run_until_complete(asyncio.sleep(0))
            self.loop.close()


def _reachable(before: str, after: str) -> bool:
    """Whether the rules lead from one state to another, in one step or in several."""
    reached, new = {before}, {before}
    while new:
        new = {each for status in new for each in NEXT[status]} - reached
        reached |= new
    return after in reached


class LifeInMemory(Life):
    storage_class = MemoryStorage


class LifeInBytes(Life):
    storage_class = ByteStorage


SETTINGS = settings(
    max_examples=times(15, 40, 4),
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)
TestLifeInMemory = LifeInMemory.TestCase
TestLifeInMemory.settings = SETTINGS
TestLifeInBytes = LifeInBytes.TestCase
TestLifeInBytes.settings = SETTINGS
