"""What is kept without any middleware survives a new process: values, sessions, and objects of own classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.e2e.reloaders import RELOADERS, ReloadedServer, Reloader
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
