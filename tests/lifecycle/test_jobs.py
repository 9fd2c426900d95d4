"""Jobs: work in the background, what comes of it, and what becomes of it when its process dies."""

from __future__ import annotations

import logging
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from hotsession.errors import InvalidTransition, SessionConflict
from hotsession.lifecycle import jobs as jobs_module
from hotsession.lifecycle.current import current_session
from hotsession.lifecycle.manager import SessionManager
from hotsession.lifecycle.session import Session
from tests.lifecycle.clock import Clock

pytestmark = pytest.mark.anyio

DEAD = "nowhere/1/1/1"


async def die(manager: SessionManager, session: Session) -> None:
    """Let a session look as one whose process was killed at work."""
    record = await manager.storage.get(session.id)
    assert record is not None
    assert await manager.storage.replace(record._replace(version=record.version + 1, worker=DEAD))


@pytest.fixture(autouse=True)
def dead_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process of that name has ended."""
    monkeypatch.setattr(jobs_module, "is_gone", lambda worker: worker == DEAD)


async def test_what_work_returns_completes_the_session(jobs: SessionManager) -> None:
    """In a task of its own, where it is the current session; its data is saved at the end."""
    began = anyio.Event()
    go_on = anyio.Event()

    async def render(session: Session) -> dict[str, Any]:
        assert current_session() is session
        assert (await jobs.get_or_create()).id == session.id
        began.set()
        await go_on.wait()
        session.data["steps"].append("rendered")
        return {"url": "/video.mp4"}

    job = await jobs.run(await jobs.get_or_create("ada", data={"steps": []}), render)
    await began.wait()
    assert not job.done()
    assert (await jobs.get(job.session.id)).is_running
    go_on.set()
    session = await job
    assert (session.status, session.result, session.attempt, session.is_running) == (
        "completed",
        {"url": "/video.mp4"},
        1,
        False,
    )
    found = await jobs.get(session.id)
    assert (found.status, found.data) == ("completed", {"steps": ["rendered"]})
    assert job.done()


async def test_what_work_raises_fails_the_session(jobs: SessionManager, caplog: pytest.LogCaptureFixture) -> None:
    """With what was done until then; the log has the traceback."""

    async def render(session: Session) -> None:
        session.data["half"] = True
        raise ValueError("no frames")

    session = await (await jobs.run(await jobs.get_or_create("ada"), render))
    found = await jobs.get(session.id)
    assert (found.status, found.result, found.data) == ("failed", "ValueError: no frames", {"half": True})
    assert caplog.records[-1].exc_info is not None or "ValueError: no frames" in caplog.text


async def test_a_plain_function_works_in_a_thread(jobs: SessionManager) -> None:
    """It would hold up the event loop."""
    loops: list[object] = []

    def render(session: Session) -> str:
        try:
            loops.append(anyio.get_current_task())
        except Exception as error:  # noqa: BLE001 - whatever the backend raises outside of it
            loops.append(type(error))
        session.data["done"] = True
        return "done"

    session = await (await jobs.run(await jobs.get_or_create("ada"), render))
    assert (session.status, session.result, (await jobs.get(session.id)).data) == ("completed", "done", {"done": True})
    assert isinstance(loops[0], type)


async def test_a_session_is_worked_on_once_at_a_time(jobs: SessionManager) -> None:
    """Who begins while work is under way is told so; also one that is over can't be worked on."""
    go_on = anyio.Event()

    async def render(session: Session) -> None:
        await go_on.wait()

    job = await jobs.run(await jobs.get_or_create("ada"), render)
    with pytest.raises(InvalidTransition, match="is being worked on already, in its attempt 1"):
        await jobs.run(job.session.id, render)
    go_on.set()
    await job
    with pytest.raises(InvalidTransition, match="is completed and can't be worked on"):
        await jobs.run(job.session.id, render)


async def test_a_job_whose_process_died_is_interrupted_once(
    jobs: SessionManager, others: SessionManager, clock: Clock
) -> None:
    """Hooks are told, once, whoever looks; they may run it again, which is its next attempt."""
    session = await jobs.get_or_create("ada", data={"step": 1})
    await die(jobs, session)
    told: list[tuple[str, int]] = []
    again: list[Any] = []

    async def work(session: Session) -> int:
        return int(session.data["step"])

    async def interrupted(session: Session) -> None:
        told.append((session.status, session.attempt))
        again.append(await jobs.run(session, work))

    jobs.on_interrupt(interrupted)
    others.on_interrupt(interrupted)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(jobs._upkeep.once)
        tasks.start_soon(others._upkeep.once)
    assert told == [("interrupted", 1)]
    done = await again[0]
    assert (done.id, done.status, done.attempt, done.result) == (session.id, "completed", 2, 1)
    metrics = [await jobs.metrics(), await others.metrics()]
    assert sum(each.interrupted for each in metrics) == 1


async def test_an_interrupted_one_stays_until_somebody_says(jobs: SessionManager, clock: Clock) -> None:
    """It is listed, keeps its data, frees its key, and neither expires nor is deleted."""
    session = await jobs.get_or_create("ada", data={"step": 1})
    await die(jobs, session)
    await jobs._upkeep.once()
    clock.pass_by(1_000_000)
    await jobs._upkeep.once()
    [found] = await jobs.list("interrupted")
    assert (found.id, found.data, found.reason) == (session.id, {"step": 1}, "its process ended")
    assert (await jobs.get_or_create("ada")).id != session.id


async def test_what_is_interrupted_cannot_come_back_over_another(jobs: SessionManager) -> None:
    """Its key has a live session by now: one per key."""
    session = await jobs.get_or_create("ada")
    await die(jobs, session)
    await jobs._upkeep.once()
    new = await jobs.get_or_create("ada")
    with pytest.raises(SessionConflict, match="can't be live again") as caught:
        await jobs.run(session.id, lambda session: None)
    assert caught.value.alternatives == (new.id,)
    assert [each.id for each in await jobs.list("active")] == [new.id]


async def test_a_cancelled_job_is_interrupted(jobs: SessionManager) -> None:
    """With what it had done."""
    began = anyio.Event()

    async def render(session: Session) -> None:
        session.data["half"] = True
        began.set()
        await anyio.sleep_forever()

    job = await jobs.run(await jobs.get_or_create("ada"), render)
    await began.wait()
    job.cancel()
    session = await job
    assert (session.status, (await jobs.get(session.id)).data) == ("interrupted", {"half": True})


async def test_a_session_ended_at_work_stays_ended(jobs: SessionManager, caplog: pytest.LogCaptureFixture) -> None:
    """What comes of the work then is said in the log."""
    go_on = anyio.Event()

    async def render(session: Session) -> str:
        await go_on.wait()
        return "late"

    job = await jobs.run(await jobs.get_or_create("ada"), render)
    await jobs.end(job.session.id, reason="stopped")
    with caplog.at_level(logging.INFO, logger="hotsession"):
        go_on.set()
        await job
    assert ((await jobs.get(job.session.id)).status, (await jobs.get(job.session.id)).result) == ("ended", None)
    assert "a session was over before the work on it" in caplog.text


async def test_work_keeps_a_session_from_expiring_idle(jobs: SessionManager, clock: Clock) -> None:
    """However long it takes, as long as the upkeep sees it."""
    go_on = anyio.Event()

    async def render(session: Session) -> None:
        await go_on.wait()

    job = await jobs.run(await jobs.get_or_create("ada"), render)
    for _ in range(4):
        clock.pass_by(40)
        await jobs._upkeep.once()
    go_on.set()
    assert (await job).status == "completed"


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_job_that_ends_with_its_event_loop_is_interrupted_in_the_next(jobs: SessionManager, backend: str) -> None:
    """Hooks are told there, where they can run it again."""
    told: list[str] = []
    jobs.on_interrupt(lambda session: told.append(session.data["half"]))

    async def first() -> None:
        async def render(session: Session) -> None:
            session.data["half"] = "done"
            await anyio.sleep_forever()

        await jobs.run(await jobs.get_or_create("ada"), render)
        await anyio.lowlevel.checkpoint()
        await anyio.lowlevel.checkpoint()

    async def then() -> None:
        await jobs._upkeep.once()

    anyio.run(first, backend=backend)
    assert told == []
    anyio.run(then, backend=backend)
    assert told == ["done"]
