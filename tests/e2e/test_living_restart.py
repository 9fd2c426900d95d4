"""Kept values whose conversion raises after a restart: who asks is told, nothing takes their place, they return."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.reloaders import HOTSESSION, UVICORN, ReloadedServer, Reloader
from tests.e2e.servers import clean_environment, hotsession_run, wait_until, write_project

pytestmark = pytest.mark.e2e

PROJECT = {
    "main.py": """
        import os
        from starlette.applications import Starlette
        from starlette.middleware import Middleware
        from starlette.responses import JSONResponse
        from starlette.routing import Route
        import hotsession
        import shop

        carts = hotsession.keep("carts", dict)  # an item of it can't be converted
        first = hotsession.keep("first", shop.Cart)  # it can't be itself
        plain = hotsession.keep("plain", dict)  # has nothing to do with it

        async def put(request):
            carts["mine"] = cart = shop.Cart()
            carts["again"] = [cart]
            carts["n"] = plain["n"] = 7
            first.items.append("first")
            return JSONResponse({})

        async def look(request):
            return JSONResponse({
                "code": shop.CODE,
                "pid": os.getpid(),
                "mine": vars(carts["mine"]) if "mine" in carts else None,
                "is one": "again" in carts and carts["again"][0] is carts["mine"],
                "n": [carts.get("n"), plain.get("n")],
                "first": vars(first),
                "is new": type(first) is shop.Cart,
            })

        app = Starlette(
            routes=[Route("/put", put), Route("/", look)], middleware=[Middleware(hotsession.HotSessionMiddleware)]
        )
    """,
    "shop.py": """
        import hotsession
        CODE = 1
        class Cart:
            def __init__(self): self.items = ["apple"]
    """,
}
SHOP = """
import hotsession
CODE = {code}
class Cart:
    def __init__(self): self.items = ["new"]
{more}
"""
RAISES = "    def __hot_migrate__(self, old): self.size = len(self.itmes)"
MENDED = "    def __hot_migrate__(self, old): self.size = len(self.items)"
STEP = """
import hotsession, shop
@hotsession.migrate(shop.Cart, version=1)
def add(cart): cart.items += ['more']
"""
RESTART = "hotsession.module(__name__).invalidate('each save shall bring a new process')"
FAILED = (
    r"MigrationFailed: what is kept as 'carts': carts\['mine'\] is a Cart that could not be converted.*: "
    r"Cart.__hot_migrate__ raised AttributeError: 'Cart' object has no attribute 'itmes'.*hotsession reset carts"
)


def code(number: int, more: str) -> str:
    """The module whose class is edited."""
    return SHOP.format(code=number, more=more)


def found(server: ReloadedServer, number: int) -> dict[str, Any]:
    """What the app has, once the code of that number serves."""

    def asked() -> dict[str, Any] | None:
        answer = server.get("/")
        return answer.json() if answer.status_code == 200 and answer.json()["code"] == number else None

    return wait_until(asked, what=f"code {number}")  # type: ignore[arg-type]


def without_pid(seen: dict[str, Any]) -> dict[str, Any]:
    """What is the same in another process."""
    return {name: value for name, value in seen.items() if name not in ("pid", "code")}


PUT = {
    "mine": {"items": ["apple"]},
    "is one": True,
    "n": [7, 7],
    "first": {"items": ["apple", "first"]},
    "is new": True,
}
CONVERTED = PUT | {"mine": {"items": ["apple"], "size": 1}, "first": {"items": ["apple", "first"], "size": 2}}


@pytest.mark.parametrize("end", ["mended", "taken back"])
@pytest.mark.parametrize("reloader", [UVICORN, HOTSESSION], ids=str)
def test_the_fix_brings_it_back(reloader: Reloader, tmp_path: Path, end: str) -> None:
    """The import fails with what to do, once more with the next save that does not mend it; then all is there."""
    project = write_project(tmp_path / "project", PROJECT)
    restart = RESTART if reloader.in_place else ""
    with ReloadedServer(reloader, "main:app", project) as server:
        server.get("/put").raise_for_status()
        assert without_pid(found(server, 1)) == PUT
        before = found(server, 1)["pid"]
        for number in (2, 3):
            since = len(server.log)
            server.write("shop.py", code(number, f"{RAISES}\n{restart}"))
            server.wait_for_line(FAILED, since=since)
        if reloader.in_place:
            server.wait_for_line("The new code can't be imported: the old worker goes on", since=since)
            assert without_pid(found(server, 1)) == PUT
        more = MENDED if end == "mended" else ""
        server.write("shop.py", code(4, f"{more}\n{restart}"))
        seen = found(server, 4)
        assert without_pid(seen) == (CONVERTED if more else PUT)
        assert seen["pid"] != before


def killed_with_a_step_that_raises(server: ReloadedServer) -> None:
    """Put something in, save a step that raises, and kill the worker: the next one can't import the app."""
    server.get("/put").raise_for_status()
    server.write("shop.py", code(2, RAISES))
    server.wait_for_line("kept value 'carts': .*raised AttributeError")
    assert without_pid(found(server, 2))["mine"] == PUT["mine"]
    since = len(server.log)
    server.kill(*server.workers())
    server.wait_for_line(FAILED, since=since)
    answer = server.patiently(lambda: server.get("/"))
    assert answer.status_code >= 500
    assert "MigrationFailed" in answer.text or "MigrationFailed" in server.log[since:]


def test_a_killed_worker_waits_for_the_fix(tmp_path: Path) -> None:
    """Without a new process the values stay as they were; the next process tells, and the fix comes in place."""
    project = write_project(tmp_path / "project", PROJECT)
    with ReloadedServer(HOTSESSION, "main:app", project) as server:
        killed_with_a_step_that_raises(server)
        server.write("shop.py", code(3, MENDED))
        assert without_pid(found(server, 3)) == CONVERTED


def test_reset_drops_it(tmp_path: Path) -> None:
    """`hotsession reset` drops what nobody can get: by name if all else can be had, and then it is built anew."""
    project = write_project(tmp_path / "project", PROJECT)
    with ReloadedServer(HOTSESSION, "main:app", project) as server:
        killed_with_a_step_that_raises(server)
        assert "Not reset: MigrationFailed" in reset(project, "carts")  # `first` still stands in the way
        server.edit("main.py", 'keep("first"', 'keep("other"')
        assert reset(project, "carts") == "Built anew: carts."
        seen = found(server, 2)
        assert (seen["mine"], seen["n"]) == (None, [None, 7])


def test_a_step_below_the_call_is_run(tmp_path: Path) -> None:
    """A module that is imported after the value was asked for registers the step: it is run once, whatever follows."""
    project = write_project(tmp_path / "project", PROJECT)
    with ReloadedServer(UVICORN, "main:app", project) as server:
        server.get("/put").raise_for_status()
        server.write("steps.py", STEP)
        server.edit("main.py", "async def put", "import steps\n\nasync def put")
        for number in (2, 3):
            server.write("shop.py", code(number, ""))
            seen = found(server, number)
            assert seen["mine"] == {"items": ["apple", "more"]}
            assert seen["first"] == {"items": ["apple", "first", "more"]}


def reset(project: Path, name: str) -> str:
    """What `hotsession reset` says."""
    command = [*hotsession_run("x")[:4], "reset", name]
    done = subprocess.run(command, cwd=project, env=clean_environment(), capture_output=True, text=True, check=False)
    assert bool(done.stderr) == (done.returncode == 1)  # nothing was reset
    return (done.stdout + done.stderr).strip()
