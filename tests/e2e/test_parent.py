"""The parent and its worker with real processes: crashes, restarts, signals, sockets."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.deadlines import DEADLINE
from tests.e2e.servers import Server, clean_environment, free_port, hotsession_run, wait_until, write_project

pytestmark = pytest.mark.e2e

APP = """
    import asyncio, ctypes, os, time
    from contextlib import asynccontextmanager
    from fastapi import FastAPI, WebSocket
    from fastapi.responses import StreamingResponse
    from hotsession.handles import module

    hot = module(__name__)
    VERSION = 1
    if VERSION == 2:
        hot.invalidate("version two needs a process of its own")

    def note(what):
        with open("notes.txt", "a") as notes:
            notes.write(f"{what} {os.getpid()}\\n")

    note("import")

    @asynccontextmanager
    async def lifespan(app):
        note("start")
        yield
        note("stop")

    app = FastAPI(lifespan=lifespan)

    @app.get("/")
    def root():
        return {"pid": os.getpid(), "version": VERSION}

    @app.get("/slow")
    async def slow():
        note("slow")
        while not os.path.exists("go"):
            await asyncio.sleep(0.01)
        return {"pid": os.getpid(), "version": VERSION}

    @app.get("/segfault")
    def segfault():
        ctypes.string_at(0)

    @app.get("/exit")
    def exit(status: int):
        os._exit(status)

    @app.get("/events")
    async def events():
        async def endless():
            while True:
                yield "data: tick\\n\\n"
                await asyncio.sleep(0.05)
        return StreamingResponse(endless(), media_type="text/event-stream")

    @app.websocket("/ws")
    async def ws(socket: WebSocket):
        await socket.accept()
        while True:
            await socket.send_text(await socket.receive_text())
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return write_project(tmp_path / "app", {"main.py": APP})


@pytest.fixture
def server(project: Path) -> Iterator[Server]:
    """A dev server of the app."""
    with Server(hotsession_run("main:app"), project) as server:
        yield server


def pid_of(server: Server) -> int:
    """The process that answers."""
    found: int = server.get("/").json()["pid"]
    return found


@contextlib.contextmanager
def load(server: Server) -> Iterator[list[float]]:
    """About fifty requests a second, each on a connection of its own or a kept one, while the block runs.

    What it hands out collects the seconds that each took; a request that fails fails the test.
    """
    took: list[float] = []
    failed: list[str] = []
    done = threading.Event()

    def ask(keep: bool) -> None:
        with httpx.Client(base_url=server.url, trust_env=False, timeout=DEADLINE) as client:
            while not done.wait(0.04):
                began = time.monotonic()
                try:
                    client.get("/", headers={} if keep else {"connection": "close"}).raise_for_status()
                except httpx.HTTPError as error:
                    failed.append(repr(error))
                took.append(time.monotonic() - began)

    with ThreadPoolExecutor() as pool:
        asking = [pool.submit(ask, keep) for keep in (True, False)]
        try:
            yield took
        finally:
            done.set()
        for each in asking:
            each.result()
    assert failed == []


def ask_slowly(server: Server, pool: ThreadPoolExecutor) -> Future[httpx.Response]:
    """A request that is being answered, and is until there is a file ``go``."""
    answer = pool.submit(httpx.get, f"{server.url}/slow", trust_env=False, timeout=2 * DEADLINE)
    wait_until(lambda: "slow" in (server.directory / "notes.txt").read_text(), what="the request to arrive")
    return answer


# crashes


@pytest.mark.parametrize(
    ("path", "how"), [("/segfault", "was ended by SIGSEGV"), ("/exit?status=7", "ended with exit status 7")]
)
def test_a_worker_that_crashes_is_replaced(server: Server, path: str, how: str) -> None:
    """A segmentation fault or os._exit costs the request that caused it; the next is answered, and a line says why."""
    first = pid_of(server)
    with pytest.raises(httpx.TransportError):
        server.get(path)
    assert pid_of(server) != first
    server.wait_for_line(rf"The worker \[{first}\] {how}: starting another")


def test_a_worker_that_is_killed_is_replaced_every_time(server: Server) -> None:
    """Killed again and again the server comes back, however quickly it happens."""
    for _ in range(5):
        first = pid_of(server)
        os.kill(first, signal.SIGKILL)
        wait_until(lambda first=first: pid_of(server) != first)  # type: ignore[misc]


@pytest.mark.parametrize("status", [9, 3])  # 3 is what uvicorn ends with when it can't start
def test_code_that_kills_the_process_is_not_imported_for_ever(project: Path, status: int) -> None:
    """After three workers that did not come up it answers 503 and waits for a save, which mends it."""
    write_project(project, {"main.py": f"import os\nos._exit({status})\n"})
    with Server(hotsession_run("main:app"), project) as server:
        assert server.get("/").status_code == 503
        server.wait_for_line(
            rf"ended with exit status {status}, 3 times in a row before it served: save a file to try again"
        )
        assert len(re.findall(r"starting another", server.log)) == 2
        server.write("main.py", APP)
        wait_until(lambda: server.get("/").status_code == 200)


def test_a_killed_parent_leaves_no_worker(project: Path) -> None:
    """Kill -9 of the parent ends the worker as well, also while a request blocks its event loop."""
    write_project(project, {"main.py": APP + "\n    @app.get('/block')\n    async def block(): time.sleep(600)\n"})
    with Server(hotsession_run("main:app"), project) as server:
        server.kill(server.process.pid)
        wait_until(lambda: not server.pids())
    with Server(hotsession_run("main:app"), project) as server, ThreadPoolExecutor() as pool:
        blocked = pool.submit(httpx.get, f"{server.url}/block", trust_env=False, timeout=DEADLINE)
        wait_until(lambda: _does_not_answer(server))
        server.kill(server.process.pid)
        wait_until(lambda: not server.pids())
        assert isinstance(blocked.exception(), httpx.TransportError)


def _does_not_answer(server: Server) -> bool:
    try:
        server.get("/", timeout=0.2)
    except httpx.ReadTimeout:
        return True
    return False


# restarts


def test_a_restart_refuses_and_fails_nothing(server: Server) -> None:
    """Under load the code asks for another process: it imports while the old one serves, and no request fails."""
    first = pid_of(server)
    with load(server) as took, ThreadPoolExecutor() as pool:
        slow = ask_slowly(server, pool)
        wait_until(lambda: len(took) > 5)
        server.edit("main.py", "VERSION = 1", "VERSION = 2")
        server.wait_for_line("Restarting the worker")
        server.write("go", "")
        wait_until(lambda: server.get("/").json()["version"] == 2)
        assert slow.result().json() == {"pid": first, "version": 1}
    server.wait_for_line(r"Restarting the worker, .*: version two needs a process of its own")
    assert pid_of(server) != first
    second = pid_of(server)
    assert (server.directory / "notes.txt").read_text().splitlines()[-3:] == [
        f"import {second}",
        f"stop {first}",
        f"start {second}",
    ]


def test_a_restart_ends_what_never_ends_by_itself(server: Server) -> None:
    """Event streams get a clean end and WebSockets 1012, so that nothing holds up the new worker."""
    with (
        httpx.stream("GET", f"{server.url}/events", trust_env=False, timeout=DEADLINE) as stream,
        connect(f"{server.ws_url}/ws", open_timeout=DEADLINE) as ws,
    ):
        ws.send("hello")
        assert ws.recv() == "hello"
        events = stream.iter_lines()
        assert next(events) == "data: tick"
        server.edit("main.py", "VERSION = 1", "VERSION = 2")
        with pytest.raises(ConnectionClosed) as closed:
            ws.recv(DEADLINE)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012
        assert set(events) == {"data: tick", "", "retry: 250"}
    wait_until(lambda: server.get("/").json()["version"] == 2)


def test_a_restart_into_broken_code_leaves_the_old_worker_serving(server: Server) -> None:
    """What can't be imported in a new process changes nothing, is shown, and the next save tries again."""
    first = pid_of(server)
    only_here = "if str(os.getpid()) not in open('notes.txt').read(): raise RuntimeError('half done')"
    server.edit("main.py", "VERSION = 1", f"VERSION = 2\n{only_here}")
    server.wait_for_line(r"RuntimeError: half done")
    server.wait_for_line(r"The new code can't be imported: the old worker goes on, save a file to try again")
    wait_until(lambda: server.workers() == [first])
    assert server.get("/").json() == {"pid": first, "version": 1}
    server.edit("main.py", only_here, "")
    wait_until(lambda: server.get("/").json()["version"] == 2)


def test_with_stop_first_there_are_never_two(project: Path) -> None:
    """The new process does not even import before the old app has stopped; requests wait and none fails."""
    with Server(hotsession_run("main:app", "--handover", "stop-first"), project) as server:
        first = pid_of(server)
        with load(server) as took:
            wait_until(lambda: len(took) > 5)
            server.edit("main.py", "VERSION = 1", "VERSION = 2")
            wait_until(lambda: server.get("/").json()["version"] == 2)
        notes = (project / "notes.txt").read_text().splitlines()
        assert notes[-3:] == [f"stop {first}", f"import {pid_of(server)}", f"start {pid_of(server)}"]


def test_an_ordinary_request_outlasts_the_drain_timeout(project: Path) -> None:
    """It is never cut: the new worker serves after the drain timeout, the old one ends with its request."""
    with (
        Server(hotsession_run("main:app", "--drain-timeout", "0.5"), project) as server,
        ThreadPoolExecutor() as pool,
    ):
        first = pid_of(server)
        slow = ask_slowly(server, pool)
        server.edit("main.py", "VERSION = 1", "VERSION = 2")
        wait_until(lambda: server.get("/").json()["version"] == 2)
        assert not slow.done()
        server.wait_for_line(rf"The old worker \[{first}\] still has requests after 0.5 s")
        server.write("go", "")
        assert slow.result().json() == {"pid": first, "version": 1}
        wait_until(lambda: first not in server.pids())


def test_the_request_limit_brings_a_new_worker(project: Path) -> None:
    """--limit-max-requests ends the worker, as under uvicorn with workers, and another one serves on."""
    with Server(hotsession_run("main:app", "--limit-max-requests", "3"), project) as server:
        first = pid_of(server)
        wait_until(lambda: pid_of(server) != first)
        server.wait_for_line("Maximum request limit of 3 exceeded")


# the end


def test_interrupting_ends_open_streams_at_once(server: Server) -> None:
    """Ctrl+C with an open event stream and a WebSocket: the server is gone in a moment, with status 0."""
    with (
        httpx.stream("GET", f"{server.url}/events", trust_env=False, timeout=DEADLINE) as stream,
        connect(f"{server.ws_url}/ws", open_timeout=DEADLINE),
    ):
        assert next(stream.iter_lines()) == "data: tick"
        assert server.stop() == 0
    assert "stop" in (server.directory / "notes.txt").read_text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_terminated_server_stops_its_app(server: Server, number: signal.Signals) -> None:
    """SIGTERM and the end of the terminal end parent and worker, the app's lifespan included, with status 0."""
    server.process.send_signal(number)
    assert server.process.wait(DEADLINE) == 0
    wait_until(lambda: not server.pids())
    assert "stop" in (server.directory / "notes.txt").read_text()


def test_the_second_interrupt_does_not_wait_for_requests(server: Server) -> None:
    """Ctrl+C waits for a request in flight, Ctrl+C again does not."""
    with ThreadPoolExecutor() as pool:
        slow = ask_slowly(server, pool)
        server.interrupt()
        server.wait_for_line("Waiting for connections to close")
        assert server.process.poll() is None
        server.interrupt()
        assert server.process.wait(DEADLINE) == 0
        assert slow.exception() or slow.result().status_code == 500
    wait_until(lambda: not server.pids())


def test_the_second_interrupt_kills_a_worker_that_hangs(project: Path) -> None:
    """An event loop that is blocked for good hears nothing: it is killed some seconds after the second Ctrl+C."""
    write_project(project, {"main.py": APP + "\n    @app.get('/block')\n    async def block(): time.sleep(600)\n"})
    with Server(hotsession_run("main:app"), project) as server, ThreadPoolExecutor() as pool:
        blocked = pool.submit(httpx.get, f"{server.url}/block", trust_env=False, timeout=DEADLINE)
        wait_until(lambda: _does_not_answer(server))
        server.interrupt()
        server.wait_for_line(r"is busy and does not hear that it should end. \(CTRL\+C to force quit\)")
        server.interrupt()
        assert server.process.wait(DEADLINE) == 0
        assert isinstance(blocked.exception(), httpx.TransportError)
        assert "does not end: killing it" in server.log


def test_an_import_that_hangs_does_not_hold_up_the_end(project: Path) -> None:
    """Ctrl+C while the app is being imported ends everything at once."""
    write_project(project, {"main.py": "print('importing', flush=True)\nimport time\ntime.sleep(600)\n"})
    with Server(hotsession_run("main:app"), project, ready=None) as server:
        server.wait_for_line("importing")
        assert server.stop() == 0


def test_the_graceful_timeout_counts_for_an_interrupt(project: Path) -> None:
    """--timeout-graceful-shutdown bounds the wait for requests at Ctrl+C, as under uvicorn."""
    command = hotsession_run("main:app", "--timeout-graceful-shutdown", "1")
    with Server(command, project) as server, socket.create_connection(("127.0.0.1", server.port)) as slow:
        slow.sendall(b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wait_until(lambda: "slow" in (project / "notes.txt").read_text(), what="the request to arrive")
        server.interrupt()
        server.wait_for_line("timeout graceful shutdown exceeded")
        assert server.process.wait(DEADLINE) == 0


# sockets and surroundings


def started(
    command: Sequence[str], project: Path, pattern: str, **options: object
) -> tuple[subprocess.Popen[bytes], re.Match[str]]:
    """Start a server that has no port of its own, and wait for a line of its log."""
    log = project.parent / "own.log"
    with log.open("wb") as out:
        process = subprocess.Popen(  # type: ignore[call-overload]
            command, cwd=project, env=clean_environment(), stdin=subprocess.DEVNULL, stdout=out, stderr=out, **options
        )
    found = wait_until(lambda: re.search(pattern, log.read_text()), what=pattern)
    assert found is not None
    return process, found


def test_port_zero_shows_the_real_port(project: Path) -> None:
    """With --port 0 the line names a port, and there it answers."""
    process, found = started(hotsession_run("main:app", "--port", "0"), project, r"running on (http://127.0.0.1:\d+)")
    try:
        assert httpx.get(found[1], trust_env=False, timeout=DEADLINE).json()["version"] == 1
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE) == 0


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_unix_socket_serves_and_a_dead_one_is_no_obstacle(project: Path, loop: str) -> None:
    """--uds works on both loops, also where a killed server left its socket, and is removed at the end."""
    path = project / "app.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    command = hotsession_run("main:app", "--uds", str(path), "--loop", loop)
    process, _ = started(command, project, "startup complete")
    try:
        with httpx.Client(
            transport=httpx.HTTPTransport(uds=str(path)), base_url="http://app", timeout=DEADLINE
        ) as client:
            first = client.get("/").json()["pid"]
            os.kill(first, signal.SIGKILL)
            assert wait_until(lambda: client.get("/").json()["pid"] != first)
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE) == 0
    assert not path.exists()


def test_an_inherited_descriptor_serves(project: Path) -> None:
    """--fd takes a socket that somebody else opened."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        number, port = sock.fileno(), sock.getsockname()[1]
        process, _ = started(
            hotsession_run("main:app", "--fd", str(number)), project, "startup complete", pass_fds=(number,)
        )
    try:
        assert httpx.get(f"http://127.0.0.1:{port}/", trust_env=False, timeout=DEADLINE).json()["version"] == 1
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE) == 0


def test_a_port_in_use_is_an_error_with_the_cure(project: Path) -> None:
    """Whether the other server is one of ours or not, the message names the port, and the status is 2."""
    with Server(hotsession_run("main:app"), project) as server:
        second = subprocess.run(
            hotsession_run("main:app", "--port", str(server.port)),
            cwd=project,
            env=clean_environment(),
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )
    assert second.returncode == 2
    assert f"port {server.port} of 127.0.0.1 is taken: stop the server that has it, or choose another" in second.stderr
    assert "Traceback" not in second.stderr


def test_a_server_that_cant_be_set_up_ends_with_uvicorns_status(project: Path) -> None:
    """A certificate that is not there is no crash to retry: one line, and status 3."""
    options = ("--port", str(free_port()), "--ssl-certfile", "nosuch.pem", "--ssl-keyfile", "nosuch.pem")
    ended = subprocess.run(
        hotsession_run("main:app", *options),
        cwd=project,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert ended.returncode == 3
    assert "The server can't be set up" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_module_without_an_app_is_said_so_and_comes_up_with_the_next_save(project: Path) -> None:
    """A target without an app is broken code like any other: 503, a line that says what to do, and a save mends it."""
    write_project(project, {"main.py": "nothing = 1\n"})
    with Server(hotsession_run("main.py"), project) as server:
        assert server.get("/").status_code == 503
        server.wait_for_line(r"no ASGI app in main \(looked for app, ")
        server.write("main.py", APP)
        wait_until(lambda: server.get("/").status_code == 200)


def test_the_worker_has_the_surroundings_of_the_command(project: Path) -> None:
    """The app sees the arguments, the directory, the flags and the environment that the command was started with."""
    app = """
        import json, os, sys
        async def app(scope, receive, send):
            seen = {"argv": sys.argv[1:], "cwd": os.getcwd(), "dev": sys.flags.dev_mode, "path": sys.path[0],
                    "env": os.environ.get("FROM_FILE"), "ours": [n for n in os.environ if n.startswith("HOTSESSION")]}
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": json.dumps(seen).encode()})
    """
    write_project(project, {"src/web.py": app, "settings.env": "FROM_FILE=yes\n"})
    python, *rest = hotsession_run("web:app", "--app-dir", "src", "--env-file", "settings.env")
    with Server((python, "-X", "dev", *rest), project) as server:
        seen = server.get("/").json()
    assert seen["argv"][:2] == ["run", "web:app"]
    assert (seen["cwd"], seen["path"], seen["dev"]) == (str(project), str(project / "src"), True)
    assert (seen["env"], seen["ours"]) == ("yes", [])


def test_the_log_obeys_uvicorns_options(project: Path) -> None:
    """--log-level counts for our lines, --no-use-colors too, and a start line names what is watched."""
    with Server(hotsession_run("main:app", "--use-colors"), project) as server:
        server.wait_for_line(rf"Watching '{project}' for changes of \*\.py")
        assert b"\x1b[32mINFO\x1b[0m:     Watching" in server.log_path.read_bytes()
    quiet = hotsession_run("main:app", "--log-level", "warning", "--no-use-colors")
    with Server(quiet, project, env={"UVICORN_RELOAD": "1"}) as server:
        server.edit("main.py", "VERSION = 1", "VERSION = 3")
        wait_until(lambda: server.get("/").json()["version"] == 3)
    assert server.log.splitlines() == [
        "WARNING:  --reload is not needed: hotsession run reloads by itself, within the process"
    ]


def test_another_terminal_resets_the_server_of_its_directory(server: Server, tmp_path: Path) -> None:
    """`hotsession reset` in the project's directory reaches the server, elsewhere it lists what runs."""

    def reset(directory: Path, *names: str) -> subprocess.CompletedProcess[str]:
        command = [*hotsession_run("x")[:4], "reset", *names]
        return subprocess.run(
            command,
            cwd=directory,
            env=clean_environment(),
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )

    done = reset(server.directory)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Built anew")
    unknown = reset(server.directory, "nosuch")
    assert unknown.returncode == 1
    assert "othing is kept as 'nosuch'" in unknown.stderr
    elsewhere = reset(tmp_path)
    assert elsewhere.returncode == 2
    assert f"main:app in {server.directory} on {server.url} (--pid {server.process.pid})" in elsewhere.stderr
