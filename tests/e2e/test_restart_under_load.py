"""A restart by `hotsession run` under load: nothing is refused, and the new worker sees what the draining one wrote."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.e2e.counters import COUNTER, Load
from tests.e2e.reloaders import DEADLINE, HOTSESSION, UVICORN, ReloadedServer, Reloader
from tests.e2e.servers import wait_until, write_project

pytestmark = pytest.mark.e2e

RESTARTS = 10
ASK_FOR_RESTART = "\nimport hotsession\nhotsession.module(__name__).invalidate('each save shall bring a new process')\n"


def restartable(reloader: Reloader, tmp_path: Path, *more: str) -> ReloadedServer:
    """A server of the counting app that brings a new process for every save."""
    project = write_project(tmp_path / "project", {"counter.py": COUNTER})
    if reloader.in_place:
        (project / "counter.py").write_text((project / "counter.py").read_text() + ASK_FOR_RESTART)
    return ReloadedServer(reloader, "counter:app", project, more=("--no-access-log", *more), ready="/plain/look")


@pytest.mark.parametrize("reloader", [HOTSESSION, UVICORN], ids=str)
def test_every_number_follows_the_last(reloader: Reloader, tmp_path: Path) -> None:
    """Through ten restarts no client is told a number twice, and with our parent none has to ask twice."""
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
        slow = pool.submit(server.get, "/plain/slow?seconds=4")
        server.edit("counter.py", "SAVES = 1000", "SAVES = 1001")
        with httpx.Client(base_url=server.url, trust_env=False, timeout=DEADLINE) as stranger:
            wait_until(lambda: stranger.get("/plain/look").json()["pid"] != before, DEADLINE)
        if peek:
            assert server.get("/plain/look").json()["count"] == 1
        assert not slow.done()
        assert slow.result().raise_for_status().json() == {"count": 2, "pid": before, "saves": 1000}
        assert server.get("/plain/").json()["count"] == 3
