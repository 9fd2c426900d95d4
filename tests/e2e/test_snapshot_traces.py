"""What a dev server leaves behind: nothing when it ends normally, and after a kill nothing beyond the next start."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from hotsession.snapshot.place import bases_of
from tests.deadlines import DEADLINE
from tests.e2e.reloaders import RELOADERS, UVICORN, ReloadedServer, Reloader
from tests.e2e.servers import IS_LINUX, wait_until, write_project

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(not IS_LINUX, reason="looks into /proc for what is open")]

PROJECT = {
    "counter.py": """
        import os
        from starlette.applications import Starlette
        from starlette.middleware import Middleware
        from starlette.responses import JSONResponse
        from starlette.routing import Route
        from hotsession import HotSessionMiddleware

        CODE = 0

        async def count(request):
            request.session["count"] = request.session.get("count", 0) + 1
            return JSONResponse({"count": request.session["count"], "pid": os.getpid(), "code": CODE})

        app = Starlette(routes=[Route("/", count)], middleware=[Middleware(HotSessionMiddleware)])
    """
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return write_project(tmp_path / "project", PROJECT)


def traces(server: ReloadedServer) -> set[Path]:
    """The directories for snapshots, in shared memory or elsewhere, of which a server has files mapped."""
    bases = "|".join(re.escape(str(base)) for base in bases_of(os.environ))
    found = set()
    for pid in server.pids():
        for mapped in re.findall(rf" ((?:{bases})/[^/\n]+)/", Path(f"/proc/{pid}/maps").read_text()):
            found.add(Path(mapped))
    return found


def count(server: ReloadedServer) -> dict[str, int]:
    found: dict[str, int] = server.get("/").raise_for_status().json()
    return found


def save(server: ReloadedServer, code: int) -> None:
    """Save, and wait for the new code."""
    server.edit("counter.py", f"CODE = {code - 1}", f"CODE = {code}")
    wait_until(lambda: server.patiently(lambda: count(server))["code"] == code)


def wait_until_gone(places: set[Path]) -> None:
    """Wait until nothing is at these places."""
    wait_until(lambda: not any(place.exists() for place in places), what=f"the removal of {places}")


def press_ctrl_c(server: ReloadedServer) -> None:
    """A terminal tells all processes in the foreground, not the first alone."""
    os.killpg(server.process.pid, signal.SIGINT)


def terminate(server: ReloadedServer) -> None:
    server.process.send_signal(signal.SIGTERM)


@pytest.mark.parametrize("end", [press_ctrl_c, terminate])
@pytest.mark.parametrize("reloader", RELOADERS, ids=str)
def test_nothing_is_left_when_the_dev_server_ends(
    reloader: Reloader, end: Callable[[ReloadedServer], None], project: Path
) -> None:
    """Whichever it is and however it is ended, there is one place while it runs, and none afterwards."""
    with ReloadedServer(reloader, "counter:app", project, ready="/up") as server:
        count(server)
        places = traces(server)
        assert len(places) == 1
        end(server)
        server.process.wait(DEADLINE)
    wait_until_gone(places)


def test_a_restart_stays_at_its_place(project: Path) -> None:
    """Workers come and go; the place is the dev server's, and goes with it."""
    with ReloadedServer(UVICORN, "counter:app", project, ready="/up") as server:
        count(server)
        places = traces(server)
        assert len(places) == 1
        for code in (1, 2, 3):
            save(server, code)
            assert traces(server) == places
            assert count(server)["count"] > code
    wait_until_gone(places)


def test_what_was_killed_is_removed_by_the_next_start(project: Path) -> None:
    """Kill -9 of parent and worker leaves the snapshot; any later dev server of this user clears it away."""
    with ReloadedServer(UVICORN, "counter:app", project, ready="/up") as server:
        count(server)
        places = traces(server)
        assert len(places) == 1
        server.kill()
    with ReloadedServer(UVICORN, "counter:app", project, ready="/up") as server:
        assert count(server)["count"] == 1
        wait_until_gone(places)


def test_a_killed_worker_and_an_interrupted_parent_leave_nothing_for_long(project: Path) -> None:
    """A worker that was killed can't clear away; if nobody else did, the next start does."""
    with ReloadedServer(UVICORN, "counter:app", project, ready="/up") as server:
        worker = count(server)["pid"]
        places = traces(server)
        assert len(places) == 1
        server.kill(worker)
    with ReloadedServer(UVICORN, "counter:app", project, ready="/up") as server:
        count(server)
        wait_until_gone(places)


def test_two_dev_servers_of_one_project_do_not_mix(project: Path) -> None:
    """Each has its own place and its own sessions, and one that starts or ends takes nothing from the other."""
    with ReloadedServer(UVICORN, "counter:app", project, ready="/up") as first:
        assert count(first)["count"] == 1
        with ReloadedServer(UVICORN, "counter:app", project, ready="/up") as second:
            second.client.cookies = first.client.cookies
            assert count(second)["count"] == 1
            of_first, of_second = traces(first), traces(second)
            assert len(of_first) == len(of_second) == 1
            assert not of_first & of_second
        wait_until_gone(of_second)
        worker = count(first)["pid"]
        first.edit("counter.py", "CODE = 0", "CODE = 1")
        wait_until(lambda: first.patiently(lambda: count(first))["pid"] != worker)
        assert count(first)["count"] > 2
        assert traces(first) == of_first
