"""Being told of the end of the process before its server is, and without its server noticing."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hotsession.registry import registry
from hotsession.surroundings import signals
from hotsession.surroundings.signals import before_the_end, shutdown_event
from tests.deadlines import DEADLINE
from tests.projects import lines

ROOT = Path(__file__).parent.parent.parent

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sends signals to itself")


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Set the handlers back that were there, and call nothing when the test run ends."""
    before = {number: signal.getsignal(number) for number in signals.SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
    ending: signals.Ending = registry.object("signals", signals.Ending)
    ending.tell()


def server_on(number: int, heard: list[str], name: str = "server") -> None:
    """What uvicorn does: take note of the signal, and end soon."""
    signal.signal(number, lambda *_: heard.append(name))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_ours_comes_first_and_then_the_server(number: int) -> None:
    """A signal calls what asked for it, and then the handler that was there, with the same arguments."""
    heard: list[Any] = []
    signal.signal(number, lambda number, frame: heard.append((number, frame is not None)))
    assert before_the_end(lambda: heard.append("ours"))
    signal.raise_signal(number)
    assert heard == ["ours", (number, True)]


def test_once() -> None:
    """What asked twice is called once, also by a second signal; the server hears of both."""
    heard: list[str] = []
    server_on(signal.SIGTERM, heard)

    def ours() -> None:
        heard.append("ours")

    assert before_the_end(ours)
    assert before_the_end(ours)
    signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGTERM)
    assert heard == ["ours", "server", "server"]


def test_several_in_order() -> None:
    """Who asked first is called first, and who asks when it is over at once."""
    heard: list[str] = []
    server_on(signal.SIGTERM, heard)
    before_the_end(lambda: heard.append("one"))
    before_the_end(lambda: heard.append("two"))
    signal.raise_signal(signal.SIGTERM)
    before_the_end(lambda: heard.append("late"))
    assert heard == ["one", "two", "server", "late"]


def test_a_server_that_takes_our_place() -> None:
    """One that sets its handler after us is not told on; who asks again is in front once more, without a circle."""
    heard: list[str] = []
    server_on(signal.SIGTERM, heard, "first server")

    def ours() -> None:
        heard.append("ours")

    before_the_end(ours)
    before = signal.getsignal(signal.SIGTERM)
    assert callable(before)

    def second(number: int, frame: Any) -> None:
        heard.append("second server")
        before(number, frame)

    signal.signal(signal.SIGTERM, second)
    assert before_the_end(ours)
    signal.raise_signal(signal.SIGTERM)
    assert heard == ["ours", "second server", "first server"]


def test_an_error_of_one(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged by name; the others are called, and the server is."""
    heard: list[str] = []
    server_on(signal.SIGTERM, heard)

    def broken() -> None:
        raise ValueError("broken")

    before_the_end(broken)
    before_the_end(lambda: heard.append("other"))
    signal.raise_signal(signal.SIGTERM)
    assert heard == ["other", "server"]
    assert "broken" in lines(caplog)[0]
    assert "failed when the process was told to end" in lines(caplog)[0]


def test_an_ignored_signal_stays_ignored() -> None:
    """Hypercorn's workers ignore Ctrl+C, which their parent handles."""
    heard: list[str] = []
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    server_on(signal.SIGTERM, heard)
    before_the_end(lambda: heard.append("ours"))
    signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    assert heard == []


def test_elsewhere_than_in_the_main_thread() -> None:
    """No handler can be set there, and the answer says so."""
    answers: list[bool] = []
    thread = threading.Thread(target=lambda: answers.append(before_the_end(print)))
    before = signal.getsignal(signal.SIGTERM)
    thread.start()
    thread.join()
    assert answers == [False]
    assert signal.getsignal(signal.SIGTERM) is before
    registry.object("signals", signals.Ending)._callbacks.clear()


def loops() -> list[Any]:
    """The event loops that are installed."""
    found = [pytest.param(asyncio.new_event_loop, id="asyncio")]
    try:
        import uvloop
    except ImportError:
        return found
    return [*found, pytest.param(uvloop.new_event_loop, id="uvloop")]


@pytest.mark.parametrize("new_loop", loops())
def test_a_server_that_listens_through_the_event_loop(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """Granian's way: ours comes first, and the loop hears of the signal all the same."""
    heard: list[str] = []

    async def serve() -> None:
        loop, ended = asyncio.get_running_loop(), asyncio.Event()

        def server() -> None:
            heard.append("server")
            ended.set()

        loop.add_signal_handler(signal.SIGTERM, server)
        assert before_the_end(lambda: heard.append("ours"))
        os.kill(os.getpid(), signal.SIGTERM)
        async with asyncio.timeout(DEADLINE):
            await ended.wait()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(serve())
    assert heard == ["ours", "server"]


# other processes


def run(code: str) -> subprocess.CompletedProcess[str]:
    """Run a program of its own."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


@pytest.mark.e2e
def test_a_process_without_a_handler_ends_of_the_signal() -> None:
    """As if nobody had listened: who waits for it sees what ended it."""
    done = run("""
        import signal
        from hotsession.surroundings.signals import before_the_end

        before_the_end(lambda: print("ours", flush=True))
        signal.raise_signal(signal.SIGTERM)
        print("went on")
    """)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGTERM, "ours\n", "")


@pytest.mark.e2e
def test_ctrl_c_is_a_keyboard_interrupt() -> None:
    """Python's own handler still raises it."""
    done = run("""
        import signal
        from hotsession.surroundings.signals import before_the_end

        before_the_end(lambda: print("ours"))
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            print("interrupted")
    """)
    assert done.stdout == "ours\ninterrupted\n"


@pytest.mark.e2e
def test_no_signal_at_all() -> None:
    """What has not been called when the interpreter ends is called then."""
    done = run("""
        from hotsession.surroundings.signals import before_the_end

        before_the_end(lambda: print("ours"))
        print("done")
    """)
    assert done.stdout == "done\nours\n"


@pytest.mark.e2e
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_worker_of_multiprocessing(method: str, tmp_path: Path) -> None:
    """It calls what it asked for itself when it returns, and what its parent asked for never."""
    (tmp_path / "child.py").write_text("""
from hotsession.surroundings.signals import before_the_end
def child():
    before_the_end(lambda: print("the child's", flush=True))
""")
    done = run(f"""
        import multiprocessing, sys
        sys.path.insert(0, {str(tmp_path)!r})
        from child import child
        from hotsession.registry import registry
        from hotsession.surroundings.signals import before_the_end

        before_the_end(lambda: print("the parent's", flush=True))
        registry.clear()
        process = multiprocessing.get_context({method!r}).Process(target=child)
        process.start()
        process.join()
        print("joined", flush=True)
    """)
    assert (done.stdout, done.stderr) == ("the child's\njoined\nthe parent's\n", "")


@pytest.mark.e2e
def test_a_forked_child_that_is_terminated() -> None:
    """Handlers are inherited, but what the parent asked for is the parent's: the child goes as it would without us."""
    done = run("""
        import os, signal, time
        from hotsession.surroundings.signals import before_the_end

        before_the_end(lambda: print("ours", os.getpid() == parent, flush=True))
        parent = os.getpid()
        reads, writes = os.pipe()
        child = os.fork()
        while not child:
            os.write(writes, b"1")  # Python drops a signal that comes before the fork is done
            time.sleep(0.01)
        os.read(reads, 1)
        os.kill(child, signal.SIGTERM)
        _, status = os.waitpid(child, 0)
        print(os.WTERMSIG(status) == signal.SIGTERM, flush=True)
    """)
    assert done.stdout == "True\nours True\n"


# hypercorn


@pytest.fixture
def hypercorn(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The event by which hypercorn's parent ends a worker, in a process that it seems to have started."""
    event = multiprocessing.get_context("spawn").Event()
    monkeypatch.setattr(multiprocessing.current_process(), "_kwargs", {"shutdown_event": event}, raising=False)
    return event


def test_the_event_of_hypercorn(hypercorn: Any) -> None:
    """It is looked at: what asked, from whatever thread, is called when it is set, without any signal."""
    called, answers = threading.Event(), []
    thread = threading.Thread(target=lambda: answers.append(before_the_end(called.set)))
    thread.start()
    thread.join()
    assert answers == [True]
    assert not called.is_set()
    hypercorn.set()
    assert called.wait(DEADLINE)


def test_an_event_that_is_gone(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """One that can't be looked at any more is left alone."""
    caplog.set_level("DEBUG")

    class Gone:
        def is_set(self) -> bool:
            raise OSError("gone")

    monkeypatch.setattr(multiprocessing.current_process(), "_kwargs", {"shutdown_event": Gone()}, raising=False)
    before_the_end(lambda: None)
    ending: signals.Ending = registry.object("signals", signals.Ending)
    assert ending._looking is not None
    ending._looking.join(DEADLINE)
    assert "can't be looked at any more: OSError('gone')" in lines(caplog, 0)[0]


@pytest.mark.parametrize("arguments", [{}, {"config": 1, "sockets": []}, {"shutdown_event": None}])
def test_no_hypercorn(arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Other processes have no such event."""
    monkeypatch.setattr(multiprocessing.current_process(), "_kwargs", arguments, raising=False)
    assert shutdown_event() is None


def test_hypercorn_still_hands_its_workers_the_event() -> None:
    """What we rely on is in its source: the worker's arguments, and that it only ever looks."""
    run_module = pytest.importorskip("hypercorn.run")
    utils = pytest.importorskip("hypercorn.utils")
    assert '"shutdown_event": shutdown_event' in Path(run_module.__file__).read_text()
    assert "shutdown_event.is_set()" in Path(utils.__file__).read_text()
