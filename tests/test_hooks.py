"""Calling hooks: their failures are logged and returned, and stop nothing."""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref

import pytest

from hotsession.events import Failure
from hotsession.hooks import call_hook, call_hooks

pytestmark = pytest.mark.anyio


async def test_sync_and_async_hooks_run_in_order() -> None:
    """A hook may be a function or a coroutine function, and each is done before the next begins."""
    seen: list[str] = []

    async def second() -> None:
        await asyncio.sleep(0)
        seen.append("second")

    failures = await call_hooks(
        [("a", lambda: seen.append("first")), ("b", second), ("c", lambda: seen.append("last"))]
    )
    assert failures == ()
    assert seen == ["first", "second", "last"]


async def test_a_failing_hook_is_logged_by_name_and_the_others_run(caplog: pytest.LogCaptureFixture) -> None:
    """The failure is in the log with its traceback and in the result, and the next hook runs."""
    seen: list[str] = []

    async def broken() -> None:
        raise OSError("port in use")

    failures = await call_hooks([("close of Pool", broken), ("close of Cache", lambda: seen.append("closed"))])
    assert [(failure.what, str(failure.error)) for failure in failures] == [("close of Pool", "port in use")]
    assert seen == ["closed"]
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage() == "close of Pool failed: OSError: port in use"
    assert "in broken" in caplog.text


@pytest.mark.parametrize("error", [SystemExit(3), asyncio.CancelledError()], ids=["sys.exit", "cancelled"])
async def test_a_hook_ends_neither_the_process_nor_the_task(error: BaseException) -> None:
    """A hook that exits, or awaits a task that it cancelled, fails like any other."""

    def hook() -> None:
        raise error

    failure = await call_hook("hook", hook)
    assert failure == Failure("hook", error)


async def test_a_cancellation_from_outside_goes_through() -> None:
    """Who waits for a hook can be cancelled."""
    began = asyncio.Event()

    async def hook() -> None:
        began.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(call_hook("hook", hook))
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_failure_keeps_no_frame_alive(caplog: pytest.LogCaptureFixture) -> None:
    """The report of a failure does not hold the objects of the code that failed."""

    class Pool:
        def close(self) -> None:
            raise OSError

    caplog.set_level(logging.CRITICAL, "hotsession")  # pytest itself holds what is logged
    pool = Pool()
    gone = weakref.ref(pool)
    failure = await call_hook("close of Pool", pool.close)
    del pool
    gc.collect()
    assert failure is not None
    assert gone() is None
