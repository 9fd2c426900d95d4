"""Sessions going from state to state, and the hooks that are called on the way, in storages of both kinds."""

from __future__ import annotations

import logging
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from hotsession.errors import HookFailed, InvalidTransition, SessionExpired, SessionNotFound
from hotsession.lifecycle.manager import SessionManager
from hotsession.lifecycle.session import Session
from tests.lifecycle.clock import Clock

pytestmark = pytest.mark.anyio


async def test_stop_and_start_gives_the_same_session(jobs: SessionManager) -> None:
    """Scenario D: the counter is still 2, and who starts fresh begins at 0."""
    session = await jobs.get_or_create("ada", data={"count": 0})
    await jobs.update(session, lambda data: data.update(count=2))
    await jobs.pause(session, reason="stopped")
    assert (session.status, session.reason) == ("paused", "stopped")
    again = await jobs.get_or_create("ada")
    assert (again.id, again.status, again.reason, again.data, again.reused) == (
        session.id,
        "active",
        None,
        {"count": 2},
        True,
    )
    fresh = await jobs.get_or_create("ada", force_new=True, data={"count": 0})
    assert fresh.data == {"count": 0}
    assert ((await jobs.get(session.id)).status, (await jobs.get(session.id)).reason) == ("ended", "replaced")


async def test_a_paused_one_is_resumed_by_its_id(jobs: SessionManager, clock: Clock) -> None:
    """And its idle timeout begins anew."""
    session = await jobs.pause(await jobs.get_or_create("ada"))
    clock.pass_by(50)
    again = await jobs.get_or_create(session_id=session.id)
    assert (again.status, again.expires_at) == ("active", clock.now + 60)


async def test_completing_keeps_result_and_data(jobs: SessionManager, clock: Clock) -> None:
    """What was changed in the session that is completed is saved with it."""
    session = await jobs.get_or_create("ada")
    session.data["steps"] = [1, 2]
    clock.pass_by(5)
    await jobs.complete(session, {"url": "/video.mp4"})
    found = await jobs.get(session.id)
    assert (found.status, found.result, found.data) == ("completed", {"url": "/video.mp4"}, {"steps": [1, 2]})
    assert found.completed_at == clock.now


async def test_failing_keeps_what_went_wrong(jobs: SessionManager) -> None:
    """As text, with the kind of error."""
    session = await jobs.get_or_create("ada")
    await jobs.fail(session.id, ValueError("no frames"))
    found = await jobs.get(session.id)
    assert (found.status, found.result, found.reason) == ("failed", "ValueError: no frames", "ValueError: no frames")


@pytest.mark.parametrize("end", ["complete", "end", "fail"])
async def test_what_is_over_goes_nowhere(jobs: SessionManager, end: str) -> None:
    """Each change is refused with the state and the way on, and the key is free."""
    session = await jobs.get_or_create("ada")
    await getattr(jobs, end)(session, *(["broken"] if end == "fail" else []))
    for wish in (jobs.pause, jobs.resume, jobs.complete, jobs.end, jobs.touch):
        with pytest.raises(InvalidTransition, match=f"is {session.status}.* it can go to nowhere; 'ada' has no live"):
            await wish(session.id)
    with pytest.raises(InvalidTransition, match="can't be updated"):
        await jobs.update(session, lambda data: None)
    assert (await jobs.get_or_create("ada")).id != session.id


async def test_an_unknown_or_expired_session_is_refused(jobs: SessionManager, clock: Clock) -> None:
    """And told apart."""
    session = await jobs.get_or_create("ada")
    clock.pass_by(61)
    for call in (jobs.pause(session), jobs.touch(session), jobs.update(session.id, lambda data: None)):
        with pytest.raises(SessionExpired, match="expired 1 s ago"):
            await call
    with pytest.raises(SessionNotFound, match="no session nonsense"):
        await jobs.pause("nonsense")


async def test_a_touch_is_a_reuse(jobs: SessionManager, clock: Clock) -> None:
    """The idle timeout begins anew."""
    session = await jobs.get_or_create("ada")
    clock.pass_by(50)
    assert (await jobs.touch(session)).expires_at == clock.now + 60
    assert (await jobs.touch(session.id)).last_seen_at == clock.now


async def test_hooks_are_called_before_the_state_is_written(jobs: SessionManager) -> None:
    """With the session as it is then; plain functions and coroutine functions alike."""
    seen: list[tuple[str, str, int]] = []

    @jobs.on_create
    def create(session: Session) -> None:
        seen.append(("create", session.status, session.version))
        session.data["container"] = "c1"

    @jobs.on_pause
    async def pause(session: Session) -> None:
        await anyio.lowlevel.checkpoint()
        seen.append(("pause", session.status, (await jobs.get(session.id)).version))

    @jobs.on_resume
    async def resume(session: Session) -> None:
        seen.append(("resume", session.status, 0))
        session.data["container"] += " again"

    @jobs.on_end
    def end(session: Session) -> None:
        seen.append(("end", session.status, 0))

    session = await jobs.get_or_create("ada")
    await jobs.pause(session)
    again = await jobs.get_or_create("ada")
    assert again.data == {"container": "c1 again"}
    await jobs.get_or_create("ada", force_new=True)
    assert seen == [
        ("create", "active", 0),
        ("pause", "active", 1),
        ("resume", "paused", 0),
        ("create", "active", 0),
        ("end", "active", 0),
    ]


async def test_a_hook_that_fails_leaves_the_state_as_it_was(jobs: SessionManager, clock: Clock) -> None:
    """The error names the hook and the session, and its cause is what the hook raised."""
    session = await jobs.get_or_create("ada")
    broken = True

    async def suspend(session: Session) -> None:
        if broken:
            raise OSError("the container does not answer")

    for hook in (jobs.on_pause, jobs.on_end, jobs.on_expire, jobs.on_create):
        hook(suspend)
    with pytest.raises(HookFailed, match=r"on_pause hook .*suspend failed .* 'ada': OSError: .*stays active") as caught:
        await jobs.pause(session)
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.hook.endswith("suspend")
    with pytest.raises(HookFailed, match=r"on_create hook .*; it was not made"):
        await jobs.get_or_create("bob")
    with pytest.raises(HookFailed, match="on_create"):
        await jobs.get_or_create("ada", force_new=True)
    with pytest.raises(HookFailed, match="on_end"):
        await jobs.complete(session)
    assert (await jobs.get(session.id)).status == "active"
    assert await jobs.count() == 1
    clock.pass_by(61)
    assert await jobs.expire() == []
    broken = False
    assert [each.id for each in await jobs.expire()] == [session.id]


async def test_a_creation_that_fails_late_lets_go_of_what_hangs_on_it(jobs: SessionManager) -> None:
    """When the one to be replaced can't be ended, the container of the new one is removed again."""
    old = await jobs.get_or_create("ada")
    ended: list[str] = []

    @jobs.on_create
    def create(session: Session) -> None:
        session.data["container"] = "new"

    @jobs.on_end
    def end(session: Session) -> None:
        if session.id == old.id:
            raise OSError("it hangs")
        ended.append(session.data["container"])

    with pytest.raises(HookFailed, match="it hangs"):
        await jobs.get_or_create("ada", force_new=True)
    assert ended == ["new"]
    assert (await jobs.get_or_create("ada")).id == old.id


async def test_however_many_ask_a_hook_is_called_once(jobs: SessionManager, others: SessionManager) -> None:
    """Also by another process: one resumes it, the rest get it as it is then."""
    calls: list[str] = []

    async def restart(session: Session) -> None:
        calls.append(session.id)
        for _ in range(10):
            await anyio.lowlevel.checkpoint()

    found: list[str] = []
    for manager in (jobs, others):
        manager.on_resume(restart)

    async def ask(manager: SessionManager) -> None:
        session = await manager.get_or_create("ada")
        found.append(session.status)

    await jobs.pause(await jobs.get_or_create("ada"))
    managers = (jobs, others) if jobs.storage.is_shared else (jobs,)
    async with anyio.create_task_group() as tasks:
        for manager in managers:
            for _ in range(10):
                tasks.start_soon(ask, manager)
    assert len(calls) == 1
    assert set(found) == {"active"}


async def test_expired_ones_are_reaped(jobs: SessionManager, clock: Clock) -> None:
    """Their hooks are called, they are returned, and listed as expired."""
    told: list[str] = []
    jobs.on_expire(lambda session: told.append(session.data["name"]))
    for number in range(150):
        await jobs.get_or_create(("key", str(number)), data={"name": str(number)})
    clock.pass_by(30)
    await jobs.get_or_create("late", data={"name": "late"})
    clock.pass_by(31)
    assert len(await jobs.expire()) == 150
    assert len(told) == 150
    assert await jobs.expire() == []
    assert await jobs.count() == 1
    assert await jobs.count("expired") == 150


async def test_the_figures_match_what_was_done(jobs: SessionManager, clock: Clock) -> None:
    """Scenario D: reuse, fresh starts, lifetimes, creations over time, recoveries."""
    assert (await jobs.metrics()).reuse_rate is None
    session = await jobs.get_or_create("ada")
    await jobs.get_or_create("ada")
    await jobs.pause(session)
    await jobs.get_or_create("ada")
    clock.pass_by(10)
    await jobs.get_or_create("ada", force_new=True)
    await jobs.complete(await jobs.get_or_create("bob"))
    clock.pass_by(3600)
    await jobs.expire()
    await jobs.get_or_create("cleo")
    metrics = await jobs.metrics()
    assert (metrics.created, metrics.reused, metrics.paused, metrics.resumed) == (4, 2, 1, 1)
    assert (metrics.replaced, metrics.completed, metrics.expired, metrics.live) == (1, 1, 1, 1)
    assert metrics.reuse_rate == pytest.approx(2 / 6)
    assert metrics.fresh_rate == pytest.approx(1 / 3)
    assert metrics.recovery_rate == 1
    assert metrics.mean_lifetime == pytest.approx((10 + 0 + 3600) / 3)
    assert [count for _, count in metrics.creations] == [3, 1]
    assert metrics.sessions == {"active": 1, "ended": 1, "completed": 1, "expired": 1}
    assert metrics.as_dict()["created"] == 4


async def test_the_log_tells_what_happened(jobs: SessionManager, caplog: pytest.LogCaptureFixture) -> None:
    """Created, reused, paused, resumed, completed and refused, each with the short id."""
    with caplog.at_level(logging.INFO, logger="hotsession"):
        session = await jobs.get_or_create("ada")
        await jobs.get_or_create("ada")
        await jobs.pause(session, reason="stop")
        await jobs.resume(session)
        await jobs.complete(session)
        with pytest.raises(InvalidTransition):
            await jobs.pause(session)
    short = session.id[:8]
    assert [line.getMessage() for line in caplog.records] == [
        f"created session {short} of 'ada', 0 s old, expires in 60 s",
        f"reused session {short} of 'ada', 0 s old, expires in 60 s",
        f"paused session {short} of 'ada' (stop), 0 s old, expires in 60 s",
        f"resumed session {short} of 'ada', 0 s old, expires in 60 s",
        f"completed session {short} of 'ada', 0 s old",
        (
            f"refused: session {short} of 'ada' is completed and can't be paused: from completed it can go to nowhere; "
            "'ada' has no live session: get_or_create('ada') makes one"
        ),
    ]


async def test_a_change_that_fails_changes_nothing(jobs: SessionManager) -> None:
    """What it raises is raised, and the next change goes through."""
    session = await jobs.get_or_create("ada", data={"count": 1})

    def change(data: dict[str, Any]) -> None:
        data["count"] = 7
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await jobs.update(session, change)
    assert (await jobs.get(session.id)).data == {"count": 1}
    with pytest.raises(TypeError, match="returns a dict or None"):
        await jobs.update(session, lambda data: 5)  # type: ignore[arg-type]
    updated = await jobs.update(session, lambda data: {"count": data["count"] + 1})
    assert (updated.data, updated.version) == ({"count": 2}, 2)


async def test_changes_made_at_once_are_all_made(jobs: SessionManager, others: SessionManager) -> None:
    """However long each takes, in one process and in another."""
    session = await jobs.get_or_create("ada", data={"count": 0})

    async def count(data: dict[str, Any]) -> dict[str, Any]:
        number = data["count"]
        await anyio.lowlevel.checkpoint()
        return {**data, "count": number + 1}

    managers = (jobs, others) if jobs.storage.is_shared else (jobs,)
    async with anyio.create_task_group() as tasks:
        for manager in managers:
            for _ in range(20):
                tasks.start_soon(manager.update, session.id, count)
    assert (await jobs.get(session.id)).data == {"count": 20 * len(managers)}


async def test_what_a_hook_changes_in_a_session_that_is_replaced_is_kept(jobs: SessionManager) -> None:
    """As in one that is ended: who starts fresh lets the old one note how it ended."""

    @jobs.on_end
    def note(session: Session) -> None:
        session.data["note"] = "let go"

    old = await jobs.get_or_create("ada")
    await jobs.get_or_create("ada", force_new=True)
    found = await jobs.get(old.id)
    assert (found.status, found.reason, found.data) == ("ended", "replaced", {"note": "let go"})
