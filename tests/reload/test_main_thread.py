"""What modules may do at import under uvicorn, which imports them in the main thread, they may do here as well."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import threading

import pytest

from tests.deadlines import DEADLINE
from tests.projects import Project, barrier, lines, trace

pytestmark = pytest.mark.anyio

HEAD = """
import asyncio, signal, threading
from tests.projects import answering, barrier, trace
app = answering(globals())
here = threading.current_thread() is threading.main_thread()
def index(): return VERSION, here
def handle(*_):
    trace.append(VERSION)
    trace[0].set()
"""

DEMANDS = {
    "the event loop": "loop = asyncio.get_event_loop()\nassert loop.is_running()",
    "the running loop": "loop = asyncio.get_running_loop()",
    "a task": "async def work(): trace.append(VERSION)\ntask = asyncio.create_task(work())",
    "a future": "future = asyncio.get_event_loop().create_future()\nfuture.set_result(1)",
    "ensure_future": "async def work(): trace.append(VERSION)\ntask = asyncio.ensure_future(work())",
    "a signal handler": "signal.signal(signal.SIGUSR1, handle)",
    "a signal handler of the loop": "loop = asyncio.get_event_loop()\nloop.add_signal_handler(signal.SIGUSR1, handle)",
    "in a module below": "import below",
}


@pytest.mark.parametrize("what", DEMANDS)
async def test_what_needs_the_main_thread(project: Project, what: str, caplog: pytest.LogCaptureFixture) -> None:
    """The load is done again in the main thread, which is said once; who starts tasks begins there."""
    caplog.set_level(logging.INFO)
    before, called = signal.getsignal(signal.SIGUSR1), asyncio.Event()
    try:
        text = HEAD + "VERSION = 1\n" + DEMANDS[what]
        await project.start({"main.py": text, "below.py": "import asyncio\nloop = asyncio.get_running_loop()"})
        for version in (2, 3):
            below = f"import asyncio\nloop = asyncio.get_running_loop()\nVERSION = {version}"
            await project.reload({"main.py": text.replace("= 1", f"= {version}", 1), "below.py": below})
            assert await project.get() == f"({version}, True)"
        said = [line for line in lines(caplog) if line.startswith("Modules ask for the main thread")]
        assert len(said) == (0 if "task" in what or "ensure" in what else 1)
        if "signal" in what:
            trace.append(called)
            signal.raise_signal(signal.SIGUSR1)
            await asyncio.wait_for(called.wait(), 10)
            assert trace == [called, 3]
        if "task" in what or "ensure" in what:
            assert trace == [1, 2, 3]
    finally:
        asyncio.get_running_loop().remove_signal_handler(signal.SIGUSR1)
        signal.signal(signal.SIGUSR1, before)


async def test_what_fails_in_the_main_thread(project: Project) -> None:
    """A load that was begun anew in the main thread and fails there leaves everything as it was, too."""
    await project.start({"main.py": HEAD + "VERSION = 1", "shop/__init__.py": "", "shop/cart.py": ""})
    failed = await project.fail({"main.py": HEAD + "VERSION = 2\nimport shop.cart\nasyncio.get_running_loop()\n1/0"})
    assert isinstance(failed.error, ZeroDivisionError)
    assert type(sys.modules) is dict
    assert "shop" not in sys.modules
    assert await project.get() == "(1, True)"


async def test_an_error_that_only_looks_alike(project: Project) -> None:
    """An own `ValueError` is not taken for a wish."""
    await project.start({"main.py": HEAD + "VERSION = 1"})
    await project.fail({"main.py": HEAD + "VERSION = 2\nraise ValueError('main thread')"})
    await project.reload({"main.py": HEAD + "VERSION = 2"})
    assert await project.get() == "(2, False)"


async def test_a_factory_runs_with_the_import(project: Project) -> None:
    """An app factory builds as much as modules do, so it runs in the thread, and requests are answered meanwhile."""
    factory = """
        from tests.projects import answering, barrier
        def index(): return VERSION
        VERSION = 1
        def create_app():
            barrier.wait()
            return answering(globals())
    """
    await project.start({"main.py": factory}, "main:create_app")
    assert await project.get() == "1"
    task = await project.begin({"main.py": factory.replace("= 1", "= 2")})
    assert await project.get() == "1"
    barrier.open()
    await task
    assert await project.get() == "2"


async def test_threads_started_at_import(project: Project) -> None:
    """A worker thread of a module imports own modules when it comes to it: its own generation's, without a deadlock."""
    worker = """
        import threading
        from tests.projects import answering, trace
        app = answering(globals())
        go, done = threading.Event(), threading.Event()
        def work():
            go.wait(60)
            import shop.prices
            from shop import prices
            trace.append((shop.prices.X, prices.X, VERSION))
            done.set()
        VERSION = 1
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        import shop.prices
    """
    await project.start({"main.py": worker, "shop/__init__.py": "", "shop/prices.py": "X = 1"})
    old = sys.modules["main"]
    await project.reload({"main.py": worker.replace("= 1", "= 2"), "shop/prices.py": "X = 2"})
    new = sys.modules["main"]
    for module in (old, new):
        module.go.set()
        assert await asyncio.to_thread(module.done.wait, DEADLINE)
        module.thread.join(DEADLINE)
    assert trace == [(1, 1, 1), (2, 2, 2)]


async def test_threads_that_import_each_others_modules(project: Project) -> None:
    """Two threads of new code import modules that import each other: both end, whoever comes first."""
    ring = """
        from tests.projects import trace
        from meeting import both_are_here
        both_are_here.wait(60)
        import {other}
        X = 1
    """
    main = """
        import importlib
        from concurrent.futures import ThreadPoolExecutor
        from tests.projects import answering
        app = answering(globals())
        def load():
            with ThreadPoolExecutor(2) as pool:
                return [module.X for module in pool.map(importlib.import_module, ["ring_a", "ring_b"])]
        def index(): return VALUES
        VALUES = {values}
    """
    files = {"ring_a.py": ring.format(other="ring_b"), "ring_b.py": ring.format(other="ring_a")}
    files["meeting.py"] = "import threading\nboth_are_here = threading.Barrier(2)"
    await project.start({"main.py": main.format(values="None"), **files})
    await project.reload({"main.py": main.format(values="load()")})
    assert await project.get() == "[1, 1]"


def test_this_is_the_main_thread() -> None:
    """The tests above would prove nothing elsewhere."""
    assert threading.current_thread() is threading.main_thread()
