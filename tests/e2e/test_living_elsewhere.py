"""A step of a class that stands in another file than the class, and only that file is saved, under real servers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.reloaders import HOTSESSION, UVICORN, ReloadedServer, Reloader
from tests.e2e.servers import ROOT, wait_until, write_file, write_project

pytestmark = pytest.mark.e2e

MODELS = "class Cart:\n    def __init__(self): self.seen = []\n"
TOLD = "import hotsession, models\nNUMBER = 1\n"
STEP = "@hotsession.migrate(models.Cart, version=1)\ndef more(cart): cart.seen.append(1)\nNUMBER = 2\n"
APP = """
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import JSONResponse
from starlette.routing import Route
import hotsession
import models, told

async def home(request):
    cart = request.session.setdefault("cart", models.Cart())
    return JSONResponse({"seen": cart.seen, "is": isinstance(cart, models.Cart)})

async def phase(request):
    return JSONResponse([told.NUMBER, getattr(models, "NUMBER", 0)])

app = Starlette(
    routes=[Route("/", home), Route("/phase", phase)], middleware=[Middleware(hotsession.HotSessionMiddleware)]
)
"""


@pytest.mark.parametrize("reloader", [HOTSESSION, UVICORN], ids=str)
def test_a_step_in_another_file(reloader: Reloader, tmp_path: Path) -> None:
    """In place the log says which file is to be saved as well; with a new process, and after that save, it is run."""
    project = write_project(tmp_path / "project", {"app.py": APP, "models.py": MODELS, "told.py": TOLD})
    with ReloadedServer(reloader, "app:app", project, env={"PYTHONPATH": str(ROOT)}, ready="/phase") as server:

        def until(phase: list[int]) -> None:
            wait_until(lambda: server.patiently(lambda: server.get("/phase")).json() == phase, what=f"save {phase}")

        def cart() -> object:
            return server.patiently(lambda: server.get("/")).json()

        assert cart() == {"seen": [], "is": True}
        write_file(project / "told.py", TOLD + STEP)
        until([2, 0])
        assert cart() == {"seen": [] if reloader.in_place else [1], "is": True}
        assert ("Save the file of models as well" in server.log) == reloader.in_place
        write_file(project / "models.py", MODELS + "NUMBER = 3\n")
        until([2, 3])
        assert cart() == {"seen": [1], "is": True}
