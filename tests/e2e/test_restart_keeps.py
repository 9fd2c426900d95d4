"""A restart of the worker by `hotsession run` under load: the new one sees all that the draining one wrote."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.servers import Server, hotsession_run, wait_until, write_project

pytestmark = pytest.mark.e2e

PROJECT = {
    "main.py": """
        import asyncio
        import os
        from starlette.applications import Starlette
        from starlette.middleware import Middleware
        from starlette.responses import JSONResponse
        from starlette.routing import Route
        import hotsession

        hot = hotsession.module(__name__)
        totals = hotsession.keep("totals", dict)

        async def count(request):
            await asyncio.sleep(float(request.query_params.get("seconds", "0")))
            client = request.path_params["client"]
            request.session["n"] = request.session.get("n", 0) + 1
            totals[client] = totals.get(client, 0) + 1
            shared = await hotsession.sessions("shared").get_or_create(client)
            shared.data["n"] = shared.data.get("n", 0) + 1
            return JSONResponse(
                {"n": request.session["n"], "total": totals[client], "shared": shared.data["n"], "pid": os.getpid()}
            )

        async def restart(request):
            hot.invalidate("somebody asked for it")
            return JSONResponse({"pid": os.getpid()})

        app = Starlette(
            routes=[Route("/count/{client}", count), Route("/restart", restart)],
            middleware=[Middleware(hotsession.HotSessionMiddleware)],
        )
    """,
}
CLIENTS = 4
RESTARTS = 3


class Counter:
    """A client that counts up in its session, one request after the other, and checks each answer.

    Args:
        server: to ask.
        name: its own.
    """

    def __init__(self, server: Server, name: str) -> None:
        self._client = httpx.Client(base_url=server.url, timeout=30)
        self._path = f"/count/{name}"
        self.acknowledged = 0
        self.pids: set[int] = set()
        self.wrong: list[dict[str, Any]] = []

    def run(self, stop: threading.Event) -> None:
        """Count until told to stop."""
        with self._client:
            while not stop.is_set():
                self.ask()

    def ask(self, **params: Any) -> None:
        """Count once."""
        answer = self._client.get(self._path, params=params).raise_for_status().json()
        self.acknowledged += 1
        self.pids.add(answer["pid"])
        if {answer["n"], answer["total"], answer["shared"]} != {self.acknowledged}:
            self.wrong.append({"expected": self.acknowledged, **answer})


def pid(server: Server) -> int:
    """The process that answers now."""
    found: int = httpx.get(f"{server.url}/count/nobody").raise_for_status().json()["pid"]
    return found


def test_the_new_worker_sees_all_that_the_old_one_wrote(tmp_path: Path) -> None:
    """Every answer counts on from the one before, in the session, in a kept value and in a named session."""
    with Server(hotsession_run("main:app"), write_project(tmp_path / "app", PROJECT)) as server:
        counters = [Counter(server, f"client{number}") for number in range(CLIENTS)]
        stop = threading.Event()
        threads = [threading.Thread(target=counter.run, args=[stop]) for counter in counters]
        for thread in threads:
            thread.start()
        try:
            for _ in range(RESTARTS):
                before = pid(server)
                server.get("/restart")
                wait_until(lambda before=before: pid(server) != before, 30, "the new worker")  # type: ignore[misc]
        finally:
            stop.set()
            for thread in threads:
                thread.join()
    assert [counter.wrong for counter in counters] == [[]] * CLIENTS
    assert all(counter.acknowledged > RESTARTS for counter in counters)
    assert {len(counter.pids) for counter in counters} == {RESTARTS + 1}


def test_what_a_request_writes_that_outlasts_the_drain_timeout_is_seen(tmp_path: Path) -> None:
    """A request that goes on in the old worker while the new one serves writes a session that the new one then has."""
    command = hotsession_run("main:app", "--drain-timeout", "0.5")
    with Server(command, write_project(tmp_path / "app", PROJECT)) as server:
        slow = httpx.Client(base_url=server.url, timeout=30)
        first = slow.get("/count/slow").raise_for_status().json()
        answers: list[dict[str, Any]] = []
        thread = threading.Thread(
            target=lambda: answers.append(slow.get("/count/slow", params={"seconds": 4}).raise_for_status().json())
        )
        thread.start()
        server.get("/restart")
        wait_until(lambda: pid(server) != first["pid"], 30, "the new worker")
        assert not answers
        cookie = dict(slow.cookies)
        seen = httpx.get(f"{server.url}/count/other", cookies=cookie).raise_for_status().json()
        thread.join()
        after = httpx.get(f"{server.url}/count/slow", cookies=cookie).raise_for_status().json()
    assert seen["n"] == 2  # the session is in the memory of both now
    assert answers[0]["pid"] == first["pid"]
    assert answers[0]["shared"] == 2
    assert after["shared"] == 3
