"""The keys of a dev server in a real terminal: a pty, whose foreground process group the server is."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.deadlines import DEADLINE
from tests.e2e.servers import COLOURS, clean_environment, free_port, hotsession_run, wait_until, write_project

pytestmark = pytest.mark.e2e

APP = """
    import getpass, os, subprocess, sys
    from fastapi import FastAPI

    app = FastAPI()

    @app.get("/")
    def root():
        return {"pid": os.getpid()}

    @app.get("/ask")
    def ask():
        return {"line": input("name? ")}

    @app.get("/readline")
    def readline():
        print("line? ", flush=True)
        return {"line": sys.stdin.readline().strip()}

    @app.get("/iterate")
    def iterate():
        print("next? ", flush=True)
        return {"line": next(iter(sys.stdin)).strip()}

    @app.get("/password")
    def password():
        return {"line": getpass.getpass("secret? ")}

    @app.get("/debug")
    async def debug():
        found = 41
        breakpoint()
        found += 1
        found += 0  # Python 3.13 stops one line earlier
        return {"found": found}

    @app.get("/debug-in-thread")
    def debug_in_thread():
        found = 41
        breakpoint()
        found += 1
        found += 0  # Python 3.13 stops one line earlier
        return {"found": found}
"""


class Terminal:
    """A terminal with a dev server in it: what is typed goes in, what is shown is collected.

    Args:
        command: started in a session of its own, with the terminal as its controlling one.
        project: the directory to start it in.
    """

    def __init__(self, command: Sequence[str], project: Path, url: str) -> None:
        self.url = url
        self._master, slave = pty.openpty()
        self._output = b""

        def own_terminal() -> None:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(
            command,
            cwd=project,
            env=clean_environment({"TERM": "dumb"}),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=own_terminal,
        )
        self.slave = slave
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            while self._master >= 0 and select.select([self._master], [], [])[0]:
                self._output += os.read(self._master, 4096)

    @property
    def shown(self) -> str:
        """All that was shown so far, without colours."""
        return COLOURS.sub("", self._output.decode(errors="replace"))

    @property
    def echoes(self) -> bool:
        """Whether the terminal shows what is typed."""
        return bool(termios.tcgetattr(self.slave)[3] & termios.ECHO)

    def type(self, text: str) -> None:
        """Type, and press Enter."""
        os.write(self._master, text.encode() + b"\n")

    def press(self, key: bytes) -> None:
        """Press one key."""
        os.write(self._master, key)

    def wait_for(self, pattern: str, since: int = 0) -> None:
        """Wait until something is shown."""
        try:
            wait_until(lambda: re.search(pattern, self.shown[since:]), what=pattern)
        except AssertionError:
            print(self.shown)
            raise

    def get(self, path: str) -> httpx.Response:
        """Ask the server."""
        return httpx.get(f"{self.url}{path}", trust_env=False, timeout=DEADLINE)

    def close(self) -> None:
        """End the server and the terminal."""
        if self.process.poll() is None:
            self.process.kill()  # the worker ends when its parent does, or with its terminal
            self.process.wait()
        os.close(self.slave)
        self._reader.join(DEADLINE)
        os.close(self._master)


@contextlib.contextmanager
def opened(command: Sequence[str], project: Path, port: int) -> Iterator[Terminal]:
    """A terminal with a server whose first worker is up."""
    terminal = Terminal(command, project, f"http://127.0.0.1:{port}")
    try:
        terminal.wait_for(r"Watching .* \(h \+ Enter shows the keys\)")
        yield terminal
    finally:
        terminal.close()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return write_project(tmp_path / "app", {"main.py": APP})


@pytest.fixture(params=["asyncio", "uvloop"])
def terminal(project: Path, request: pytest.FixtureRequest) -> Iterator[Terminal]:
    """A dev server of the app in a terminal."""
    port = free_port()
    with opened(hotsession_run("main:app", "--port", str(port), "--loop", request.param), project, port) as terminal:
        yield terminal


def test_h_shows_the_keys_and_r_starts_afresh(terminal: Terminal) -> None:
    """`h` + Enter lists the keys, `r` + Enter loads all modules anew; anything else is ignored."""
    terminal.type("x")
    terminal.type("h")
    terminal.wait_for(r"r \+ Enter: start afresh, drop all state that is kept")
    terminal.type("r")
    terminal.wait_for(r"Built anew")


def test_q_quits(terminal: Terminal) -> None:
    """`q` + Enter ends parent and worker with status 0."""
    terminal.type("q")
    assert terminal.process.wait(DEADLINE) == 0


def test_control_c_ends_it_once_and_cleanly(terminal: Terminal) -> None:
    """Ctrl+C reaches parent and worker at once, and counts once: a request in flight still finishes."""
    with ThreadPoolExecutor() as pool:
        asking = pool.submit(terminal.get, "/ask")
        terminal.wait_for(r"name\?")
        terminal.press(b"\x03")
        terminal.wait_for("Waiting for connections to close")
        assert terminal.process.poll() is None
        terminal.type("ann")
        assert asking.result().json() == {"line": "ann"}
    assert terminal.process.wait(DEADLINE) == 0
    terminal.wait_for("Application shutdown complete")


@pytest.mark.parametrize(
    ("path", "prompt"),
    [("/ask", r"name\?"), ("/readline", r"line\?"), ("/iterate", r"next\?"), ("/password", r"secret\?")],
)
def test_a_line_that_the_app_reads_is_the_apps(terminal: Terminal, path: str, prompt: str) -> None:
    """While a sync endpoint reads in a thread, `h` is its line and no key; afterwards it is a key again."""
    for _ in range(3):
        since = len(terminal.shown)
        with ThreadPoolExecutor() as pool:
            asking = pool.submit(terminal.get, path)
            terminal.wait_for(prompt, since)
            terminal.type("h")
            assert asking.result().json() == {"line": "h"}
    assert "start afresh" not in terminal.shown
    terminal.type("h")
    terminal.wait_for("start afresh")


@pytest.mark.parametrize("path", ["/debug", "/debug-in-thread"])
def test_a_breakpoint_gets_its_lines(terminal: Terminal, path: str) -> None:
    """Under breakpoint(), in the event loop or in a thread, all lines are the debugger's, also those typed ahead."""
    with ThreadPoolExecutor() as pool:
        asking = pool.submit(terminal.get, path)
        terminal.wait_for(r"\(Pdb\)")
        terminal.type("p found + 1000\nh\nn\nn\np found + 2000\nc")
        assert asking.result().json() == {"found": 42}
    for shown in ("1041", "Documented commands", "2042"):
        terminal.wait_for(shown)
    assert "start afresh" not in terminal.shown
    terminal.type("h")
    terminal.wait_for("start afresh")


LEADER = """
import os, subprocess, sys
server = subprocess.Popen(sys.argv[1:], process_group=0)
for line in sys.stdin:
    print("the shell got", line.strip(), flush=True)
    if line.strip() == "fg":
        os.tcsetpgrp(0, server.pid)
        break
sys.exit(server.wait())
"""


def test_a_background_server_reads_nothing(project: Path) -> None:
    """In the background it leaves lines to the shell and is not stopped for reading; in front it has its keys."""
    port = free_port()
    command = (sys.executable, "-c", LEADER, *hotsession_run("main:app", "--port", str(port)))
    with opened(command, project, port) as terminal:
        worker = terminal.get("/").json()["pid"]
        terminal.type("q")
        terminal.wait_for("the shell got q")
        assert terminal.get("/").json()["pid"] == worker
        terminal.type("fg")
        terminal.wait_for("the shell got fg")
        terminal.type("h")
        terminal.wait_for("start afresh")
        terminal.type("q")
        assert terminal.process.wait(DEADLINE) == 0


def test_a_worker_killed_at_a_prompt_leaves_a_usable_terminal(project: Path) -> None:
    """A password prompt turns the echo off; the parent turns it on again when the worker dies there."""
    port = free_port()
    with opened(hotsession_run("main:app", "--port", str(port)), project, port) as terminal:
        worker = terminal.get("/").json()["pid"]
        with ThreadPoolExecutor() as pool:
            asking = pool.submit(terminal.get, "/password")
            wait_until(lambda: not terminal.echoes)
            os.kill(worker, signal.SIGKILL)
            wait_until(lambda: terminal.echoes)
            assert isinstance(asking.exception(), httpx.TransportError)
