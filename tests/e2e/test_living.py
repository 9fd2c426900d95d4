"""Objects in sessions follow real edits under `hotsession run` and under `uvicorn --reload`, with the same outcome."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.servers import Server, hotsession_run, uvicorn_reload, wait_until, write_project

pytestmark = pytest.mark.e2e

FILES = {
    "main.py": """
        from starlette.applications import Starlette
        from starlette.middleware import Middleware
        from starlette.responses import JSONResponse
        from starlette.routing import Route
        from hotsession import HotSessionMiddleware, keep
        import models

        kept = keep("kept", dict)

        async def home(request):
            for place in (request.session, kept):
                if "held" not in place:
                    place["held"] = models.make()
            answers = [models.look(place["held"]) for place in (request.session, kept)]
            return JSONResponse({"code": models.CODE, "answers": answers})

        app = Starlette(routes=[Route("/", home)], middleware=[Middleware(HotSessionMiddleware)])
    """,
    "models.py": """
        import enum, hotsession
        from dataclasses import dataclass, field
        from pydantic import BaseModel

        CODE = 1

        class Colour(enum.Enum):
            RED = 1
            BLUE = 2

        @dataclass
        class Cart:
            items: list
            gone: int = 4
            def total(self): return len(self.items)

        @dataclass(frozen=True, slots=True)
        class Key:
            x: int

        class User(BaseModel):
            name: str

        def make():
            return {"cart": Cart([1], 5), Key(1): Colour.RED, "user": User(name="ada")}

        def look(held):
            cart, user = held["cart"], held["user"]
            return [cart.total(), vars(cart), isinstance(cart, Cart), held[Key(1)].value, held[Key(1)] is Colour.RED,
                    user.model_dump(), isinstance(user, User)]
    """,
}
EDITS = [
    ("return len(self.items)", "return 7"),
    ("RED = 1", "RED = 8"),
    ("    gone: int = 4\n", "    note: str = 'new'\n"),
    ("    x: int\n", "    x: int\n    y: int = 2\n"),
    ("    name: str\n", "    name: str\n    age: int = 30\n"),
    ("    note: str = 'new'\n", "    note: str = 'new'\n    gone: int = 4\n"),
    (
        "    def total(self)",
        "    __hot_version__ = 2\n    def __hot_migrate__(self, old): self.items.append(old)\n    def total(self)",
    ),
]
OUTCOMES = [
    [1, {"items": [1], "gone": 5}, True, 1, True, {"name": "ada"}, True],
    [7, {"items": [1], "gone": 5}, True, 1, True, {"name": "ada"}, True],
    [7, {"items": [1], "gone": 5}, True, 8, True, {"name": "ada"}, True],
    [7, {"items": [1], "note": "new"}, True, 8, True, {"name": "ada"}, True],
    [7, {"items": [1], "note": "new"}, True, 8, True, {"name": "ada"}, True],
    [7, {"items": [1], "note": "new"}, True, 8, True, {"name": "ada", "age": 30}, True],
    [7, {"items": [1], "note": "new", "gone": 5}, True, 8, True, {"name": "ada", "age": 30}, True],
    [7, {"items": [1, 0], "note": "new", "gone": 5}, True, 8, True, {"name": "ada", "age": 30}, True],
]


@pytest.mark.parametrize("command", [hotsession_run, uvicorn_reload], ids=["hotsession run", "uvicorn --reload"])
def test_edits_have_the_same_outcomes(tmp_path: Path, command: Callable[..., tuple[str, ...]]) -> None:
    """A method, an Enum, fields that come, go and come back, a key with slots, a model, a step: one after the other."""
    project = write_project(tmp_path / "app", FILES)
    with Server(command("main:app"), project) as server, httpx.Client(base_url=server.url, timeout=60) as browser:

        def asked(code: int) -> list[Any] | None:
            with suppress(httpx.TransportError):  # the worker of a reloader is just being replaced
                answer = browser.get("/")
                assert answer.status_code == 200, server.log
                if answer.json()["code"] == code:
                    return answer.json()["answers"]  # type: ignore[no-any-return]
            return None

        text = (project / "models.py").read_text()
        for number, outcome in enumerate(OUTCOMES):
            if number:
                text = text.replace(*EDITS[number - 1]).replace(f"CODE = {number}", f"CODE = {number + 1}")
                server.write("models.py", text)
            answers = wait_until(lambda number=number: asked(number + 1), what=f"code {number + 1}")  # type: ignore[misc]
            assert answers == [outcome, outcome], number
