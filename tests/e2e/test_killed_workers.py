"""Workers that are killed -9 at random moments under load lose nothing that a client was told.

It kills 8 times under each server, 25 times with HOTSESSION_TESTS=thorough. For 100, which takes some minutes:
``E2E_KILLS=100 python -m pytest tests/e2e/test_killed_workers.py``.
"""

from __future__ import annotations

import json
import os
import random
import signal
import time
from pathlib import Path

import pytest
from websockets.sync.client import connect

from tests.deadlines import DEADLINE
from tests.e2e.counters import COUNTER, Load
from tests.e2e.reloaders import HOTSESSION, UVICORN, ReloadedServer, Reloader
from tests.e2e.servers import write_project
from tests.effort import times

pytestmark = pytest.mark.e2e

KILLS = int(os.environ.get("E2E_KILLS", times(8, 25)))
DEADLY = [f"/{app}/{path}" for app in ("plain", "around", "within") for path in ("", "thread", "stream", "talk")]


@pytest.mark.parametrize("reloader", [UVICORN, HOTSESSION], ids=str)
def test_what_was_acknowledged_is_there_after_kill_9(reloader: Reloader, tmp_path: Path) -> None:
    """Plain, from threads, under and around BaseHTTPMiddleware and over WebSockets every number follows the last."""
    project = write_project(tmp_path / "project", {"counter.py": COUNTER})
    seed = random.randrange(10**6)
    print(f"the moments are those of seed {seed}")
    moments = random.Random(seed)
    with (
        ReloadedServer(reloader, "counter:app", project, more=("--no-access-log",), ready="/plain/") as server,
        Load(server.url) as load,
    ):
        worker = load.wait_for_another_than(0)
        for number in range(KILLS):
            time.sleep(moments.uniform(0, 0.05))  # nothing is ordered by it: this is the random moment
            os.kill(worker, signal.SIGKILL)
            bring_the_next(server, number)
            worker = load.wait_for_another_than(worker)
    print(load.tallies)


@pytest.mark.parametrize("reloader", [UVICORN, HOTSESSION], ids=str)
def test_what_was_acknowledged_is_there_however_soon_the_worker_died(reloader: Reloader, tmp_path: Path) -> None:
    """A worker that is killed right after the last byte went out had written before, whatever is around the session."""
    project = write_project(tmp_path / "project", {"counter.py": COUNTER})
    with ReloadedServer(reloader, "counter:app", project, more=("--no-access-log",), ready="/plain/") as server:
        server.client.cookies.clear()
        told = [server.get("/plain/").json()["count"]]
        for number, path in enumerate(DEADLY):
            told.append(last_word(server, path))
            bring_the_next(server, number)
            told.append(server.patiently(lambda: server.get("/plain/").json()["count"]))
    assert told == [*range(1, 2 * len(DEADLY) + 2)]


def last_word(server: ReloadedServer, path: str) -> int:
    """Ask the worker for a number after which it kills itself."""
    if not path.endswith("/talk"):
        answer: dict[str, int] = server.get(f"{path}?die").raise_for_status().json()
        return answer["count"]
    cookie = f"session={server.client.cookies['session']}"
    with connect(
        f"{server.ws_url}{path}?die", additional_headers={"Cookie": cookie}, proxy=None, open_timeout=DEADLINE
    ) as socket:
        socket.send("count")
        count: int = json.loads(socket.recv(DEADLINE))["count"]
        return count


def bring_the_next(server: ReloadedServer, number: int) -> None:
    """A parent of ours has seen to it already; others wait for a save."""
    if not server.reloader.in_place:
        server.edit("counter.py", f"SAVES = {1000 + number}", f"SAVES = {1001 + number}")
