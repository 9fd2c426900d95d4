"""What is kept without any middleware survives a new process: values, sessions, and objects of own classes."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.deadlines import DEADLINE
from tests.e2e.reloaders import RELOADERS, UVICORN, ReloadedServer, Reloader
from tests.e2e.servers import wait_until, write_project

pytestmark = pytest.mark.e2e

PROJECT = {
    "board.py": """
        import os
        from contextlib import asynccontextmanager
        from starlette.applications import Starlette
        from starlette.responses import JSONResponse
        from starlette.routing import Route
        import hotsession
        from moves import Move

        games = hotsession.sessions("games")
        counts = hotsession.keep("counts", dict)
        moves = hotsession.keep("moves", list)

        async def play(request):
            counts["played"] = counts.get("played", 0) + 1
            game = await games.get_or_create("the only one")
            game.data.setdefault("moves", []).append(Move(counts["played"]))
            moves.append(Move(counts["played"]))
            await games.save(game)
            return await look(request)

        async def look(request):
            game = await games.get_or_create("the only one")
            return JSONResponse({
                "pid": os.getpid(),
                "id": game.id,
                "counts": counts,
                "moves": [move.shown() for move in moves],
                "game": [move.shown() for move in game.data.get("moves", [])],
                "new classes": all(type(move) is Move for move in [*moves, *game.data.get("moves", [])]),
            })

        app = Starlette(routes=[Route("/look", look), Route("/play", play)])
    """,
    "moves.py": """
        from dataclasses import dataclass
        import hotsession

        @dataclass
        class Move:
            number: int

            def shown(self):
                return f"0.{self.number}"
    """,
}
SAVES = 5
ASK_FOR_RESTART = "\nhotsession.module(__name__).invalidate('each save shall bring a new process')\n"


@pytest.mark.parametrize("reloader", RELOADERS, ids=str)
def test_values_and_sessions_survive_with_new_code(reloader: Reloader, tmp_path: Path) -> None:
    """A save right after a change loses nothing of it, and the objects are of the classes as they are now."""
    project = write_project(tmp_path / "project", PROJECT)
    if reloader.in_place:
        (project / "moves.py").write_text((project / "moves.py").read_text() + ASK_FOR_RESTART)
    with ReloadedServer(reloader, "board:app", project, ready="/look") as server:

        def look() -> dict[str, Any]:
            found: dict[str, Any] = server.patiently(lambda: server.get("/look").raise_for_status().json())
            return found

        first = look()
        before = first["pid"]
        for number in range(1, SAVES + 1):
            server.patiently(lambda: server.get("/play").raise_for_status())
            server.edit("moves.py", f'f"{number - 1}.', f'f"{number}.')
            wait_until(lambda before=before: look()["pid"] != before)  # type: ignore[misc]
            found = look()
            before = found["pid"]
            played = [f"{number}.{each}" for each in range(1, number + 1)]
            assert found == {
                "pid": before,
                "id": first["id"],
                "counts": {"played": number},
                "moves": played,
                "game": played,
                "new classes": True,
            }


COUNTING = {
    "main.py": """
        import os
        from starlette.applications import Starlette
        from starlette.responses import JSONResponse
        from starlette.routing import Route
        import hotsession

        numbers = hotsession.keep("numbers", list)
        SAVE = 0

        async def add(request):
            numbers.append(request.path_params["number"])
            return JSONResponse(None)

        async def look(request):
            return JSONResponse({"save": SAVE, "numbers": numbers})

        app = Starlette(routes=[Route("/look", look), Route("/add/{number:int}", add)])
    """,
}


def test_what_is_answered_while_the_process_ends_is_kept(tmp_path: Path) -> None:
    """Uvicorn goes on answering for a moment after it was told to end, and then dies without a last word of ours."""
    project = write_project(tmp_path / "project", COUNTING)
    acknowledged: list[int] = []
    over = threading.Event()

    def ask(server: ReloadedServer, first: int) -> None:
        number = first
        with httpx.Client(base_url=server.url, timeout=DEADLINE) as client:
            while not over.is_set():
                with suppress(httpx.HTTPError):  # it may have been added or not: nobody was told
                    client.get(f"/add/{number}").raise_for_status()
                    acknowledged.append(number)
                number += 1

    with ReloadedServer(UVICORN, "main:app", project, ready="/look") as server, ThreadPoolExecutor(2) as pool:
        asking = [pool.submit(ask, server, first) for first in (0, 1_000_000)]
        try:
            for save in range(SAVES):
                server.edit("main.py", f"SAVE = {save}", f"SAVE = {save + 1}")
                wait_until(lambda save=save: server.patiently(lambda: server.get("/look").json()["save"]) == save + 1)  # type: ignore[misc]
        finally:
            over.set()
        for each in asking:
            each.result(DEADLINE)
        assert len(acknowledged) > SAVES
        assert {*acknowledged} <= {*server.get("/look").json()["numbers"]}
