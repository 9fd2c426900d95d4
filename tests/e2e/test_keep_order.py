"""Kept values that are asked for before the classes of what is in them are defined, restarted by real reloaders."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.reloaders import UVICORN, ReloadedServer, Reloader
from tests.e2e.servers import wait_until, write_project

pytestmark = pytest.mark.e2e

HEAD = """
import os
import sys
from dataclasses import dataclass
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import JSONResponse
from starlette.routing import Route
import hotsession
VERSION = 0
"""
MOVE = """
@dataclass
class Move:
    number: int

    def shown(self):
        return self.number
"""
TAIL = """
async def look(request):
    return JSONResponse({"pid": os.getpid(), "board": [move.shown() for move in board]})

async def play(request):
    board.append(Move(len(board) + 1))
    return JSONResponse({})

app = Starlette(
    routes=[Route("/", look), Route("/play", play)], middleware=[Middleware(hotsession.HotSessionMiddleware)]
)

if __name__ == "__main__":
    import uvicorn
    uvicorn.run("main:app", port=int(sys.argv[1]), reload=True)
"""
KEEP = '\nboard = hotsession.keep("board", list)\n'
PROJECTS = {
    "class first": {"main.py": HEAD + MOVE + KEEP + TAIL},
    "value first": {"main.py": HEAD + KEEP + MOVE + TAIL},
    "in a circle": {
        "main.py": HEAD + "from state import board\nfrom moves import Move\n" + TAIL,
        "state.py": f"import hotsession\n{KEEP}",
        "moves.py": f"from dataclasses import dataclass\nfrom state import board\n{MOVE}",
    },
}
BY_ITSELF = Reloader("python main.py", (sys.executable, "main.py", "{port}"))


@pytest.mark.parametrize("reloader", [UVICORN, BY_ITSELF], ids=str)
@pytest.mark.parametrize("project", PROJECTS)
def test_a_value_comes_back_whatever_is_defined_first(project: str, reloader: Reloader, tmp_path: Path) -> None:
    """After each of three saves the board has all the moves, as objects of the class as it is then."""
    directory = write_project(tmp_path / "app", PROJECTS[project])
    with ReloadedServer(reloader, "main:app", directory) as server:

        def look() -> dict[str, Any]:
            found: dict[str, Any] = server.patiently(lambda: server.get("/").raise_for_status().json())
            return found

        for save in range(3):
            server.patiently(lambda: server.get("/play").raise_for_status())
            before = look()["pid"]
            server.edit("main.py", f"VERSION = {save}", f"VERSION = {save + 1}")
            wait_until(lambda before=before: look()["pid"] != before)  # type: ignore[misc]
            assert look()["board"] == list(range(1, save + 2))
