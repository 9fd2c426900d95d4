"""Restarts under load: nothing that was acknowledged is lost, and with our own parent nothing is refused either."""

from __future__ import annotations

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.deadlines import DEADLINE
from tests.e2e.counters import COUNTER, Load, Tally
from tests.e2e.reloaders import HOTSESSION, HYPERCORN, UVICORN, WATCHFILES, ReloadedServer, Reloader
from tests.e2e.servers import wait_until, write_project
from tests.effort import times

pytestmark = pytest.mark.e2e

RESTARTS = times(4, 10)
ASK_FOR_RESTART = "\nimport hotsession\nhotsession.module(__name__).invalidate('each save shall bring a new process')\n"


def restartable(reloader: Reloader, tmp_path: Path, *more: str) -> ReloadedServer:
    """A server of the counting app that brings a new process for every save."""
    project = write_project(tmp_path / "project", {"counter.py": COUNTER})
    if reloader.in_place:
        (project / "counter.py").write_text((project / "counter.py").read_text() + ASK_FOR_RESTART)
    return ReloadedServer(reloader, "counter:app", project, more=more, ready="/plain/look")


@pytest.mark.parametrize("reloader", [HOTSESSION, UVICORN], ids=str)
def test_every_number_follows_the_last(reloader: Reloader, tmp_path: Path) -> None:
    """Through several restarts no client is told a number twice, and with our parent none has to ask twice."""
    with restartable(reloader, tmp_path) as server, Load(server.url) as load:
        worker = load.wait_for_another_than(0)
        for number in range(RESTARTS):
            server.edit("counter.py", f"SAVES = {1000 + number}", f"SAVES = {1001 + number}")
            worker = load.wait_for_another_than(worker)
    if reloader.in_place:
        assert [tally.path for tally in load.tallies if tally.broken and not tally.path.endswith("talk")] == []


@pytest.mark.parametrize("peek", [False, True], ids=["unseen", "seen by the new worker"])
def test_what_a_slow_request_changes_in_the_old_worker_is_seen_in_the_new(peek: bool, tmp_path: Path) -> None:
    """It began before the restart and ends after: its change is there for the next request, wherever that is."""
    with restartable(HOTSESSION, tmp_path, "--drain-timeout", "0.2") as server, ThreadPoolExecutor() as pool:
        assert server.get("/plain/").json()["count"] == 1
        before = server.get("/plain/look").json()["pid"]
        slow = pool.submit(server.get, "/plain/slow")
        wait_until((server.directory / "arrived").exists, what="the request to arrive")
        server.edit("counter.py", "SAVES = 1000", "SAVES = 1001")
        with httpx.Client(base_url=server.url, trust_env=False, timeout=DEADLINE) as stranger:
            wait_until(lambda: stranger.get("/plain/look").json()["pid"] != before)
        if peek:
            time.sleep(1.1)  # it is noted once a second at most that somebody asked for a session
            assert server.get("/plain/look").json()["count"] == 1
        assert not slow.done()
        server.write("go", "")
        assert slow.result().raise_for_status().json() == {"count": 2, "pid": before, "saves": 1000}
        assert server.get("/plain/").json()["count"] == 3


# granian is not among them: it hangs for good when a save comes while its worker imports the app, hotsession or not
@pytest.mark.parametrize("reloader", [UVICORN, HYPERCORN, WATCHFILES, HOTSESSION], ids=str)
def test_saves_may_come_faster_than_restarts(reloader: Reloader, tmp_path: Path) -> None:
    """Workers are ended while they import, start and serve; the last save is served, and every number is right."""
    seed = random.randrange(10**6)
    print(f"the moments are those of seed {seed}")
    moments = random.Random(seed)
    with restartable(reloader, tmp_path) as server, Load(server.url) as load:
        worker = load.wait_for_another_than(0)
        for number in range(RESTARTS):
            server.edit("counter.py", f"SAVES = {1000 + number}", f"SAVES = {1001 + number}")
            time.sleep(moments.uniform(0, 0.6))  # nothing is ordered by it: these are the random moments
        load.wait_for_another_than(worker)
        saved = 1000 + RESTARTS
        wait_until(lambda: server.patiently(lambda: server.get("/plain/").json()["saves"]) == saved)
        load.wait_for_answers()


CHANGING = """
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.responses import JSONResponse
    from starlette.routing import Route
    import hotsession

    SAVES = 1000
    kept = hotsession.keep("kept", lambda: {"dict": {}, "set": set()})

    async def begin(request):
        request.session["numbers"] = {}
        return JSONResponse(None)

    def change(request):
        numbers, me = request.session["numbers"], request.path_params["me"]
        for each in range(2000):
            numbers[me, each] = kept["dict"][me, each] = each
            kept["set"].add((me, each))
        for each in range(2000):
            del numbers[me, each], kept["dict"][me, each]
            kept["set"].discard((me, each))
        numbers[me] = numbers.get(me, 0) + 1
        return JSONResponse(numbers[me])

    routes = [Route("/begin", begin), Route("/change/{me}", change)]
    app = Starlette(routes=routes, middleware=[Middleware(hotsession.HotSessionMiddleware)])
"""


def test_threads_may_change_what_is_being_written(tmp_path: Path) -> None:
    """Four threads change one session and one kept value without a pause: no answer is an error, no change is lost."""
    project = write_project(tmp_path / "project", {"changing.py": CHANGING})
    done = threading.Event()
    with ReloadedServer(UVICORN, "changing:app", project, more=("--no-access-log",), ready="/begin") as server:
        cookies = dict(server.client.cookies)

        def change(me: int) -> int:
            tally = Tally(f"/change/{me}")
            with httpx.Client(base_url=server.url, trust_env=False, timeout=DEADLINE, cookies=cookies) as client:
                while not done.is_set():
                    try:
                        answer = client.get(tally.path)
                    except httpx.TransportError:
                        tally.not_told()
                    else:
                        tally.told({"count": answer.raise_for_status().json(), "pid": 0})
            return tally.count

        with ThreadPoolExecutor(4) as pool:
            changing = [pool.submit(change, me) for me in range(4)]
            try:
                for number in range(3):
                    since = len(server.log)
                    server.edit("changing.py", f"SAVES = {1000 + number}", f"SAVES = {1001 + number}")
                    server.wait_for_line("Carried over .* 1 session of 'default'", since=since)
            finally:
                done.set()
        counts = [each.result() for each in changing]
        answers = [server.get(f"/change/{me}").json() for me in range(4)]
        assert all(answer > count > 1 for answer, count in zip(answers, counts, strict=True))
    assert "Traceback" not in server.log
