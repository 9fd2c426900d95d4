"""What is told of a class by another module than its own, when that module alone is saved."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hotsession import testing
from hotsession.events import LoadFailed

MODELS = """
class Cart:
    def __init__(self): self.size = 1
class Old:
    pass
"""
MAIN = """
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route
from hotsession import keep
import models, told

held = keep("held", lambda: {"cart": models.Cart(), "old": models.Old()})

def home(request):
    held.setdefault("later", models.Cart())
    return JSONResponse([vars(held["cart"]), vars(held["later"]), type(held["old"]).__name__])

app = Starlette(routes=[Route("/", home)])
"""
TOLD = "import hotsession, models\n"
STEP = TOLD + "@hotsession.migrate(models.Cart, version=1)\ndef more(cart): cart.size += 1\n"
RENAMED = TOLD + "hotsession.renamed(size='length')(models.Cart)\n"


@pytest.fixture
def app() -> Iterator[testing.App]:
    """An app whose classes are in one module, and what is told of them in another."""
    with testing.running({"main.py": MAIN, "models.py": MODELS, "told.py": TOLD}) as app:
        yield app


@pytest.mark.parametrize(
    ("told", "what", "outcome"),
    [
        (STEP, "migrate(version=1) of models.Cart", [{"size": 2}, {"size": 2}, "Old"]),
        (RENAMED, "renamed(size) of models.Cart", [{"length": 1}, {"length": 1}, "Old"]),
    ],
)
def test_it_takes_effect_with_the_module_of_the_class(
    app: testing.App, caplog: pytest.LogCaptureFixture, told: str, what: str, outcome: object
) -> None:
    """The log says that this is to be saved as well; then all objects follow, once, and nothing more is said."""
    untouched = [{"size": 1}, {"size": 1}, "Old"]
    assert app.client.get("/").json() == untouched
    app.write("told.py", told)
    app.reload()
    assert app.client.get("/").json() == untouched
    [line] = [message for message in caplog.messages if message.startswith("hotsession.")]
    assert what in line
    assert "Save the file of models as well" in line
    app.write("models.py", MODELS + "\n")
    app.reload()
    assert app.client.get("/").json() == outcome
    for lines in ("\n", "\n\n"):
        app.write("told.py", told + lines)
        app.reload()
    app.write("models.py", MODELS)
    app.reload()
    assert app.client.get("/").json() == outcome
    assert len([message for message in caplog.messages if message.startswith("hotsession.")]) == 1


def test_a_load_that_fails_tells_nothing(app: testing.App, caplog: pytest.LogCaptureFixture) -> None:
    """The class knows nothing of what a module says that never came to be."""
    app.client.get("/")
    app.write("told.py", STEP + "1 / 0\n")
    assert isinstance(app.save(), LoadFailed)
    assert not [message for message in caplog.messages if message.startswith("hotsession.migrate")]


def test_where_a_class_went_takes_effect_at_once(app: testing.App) -> None:
    """Objects whose class is gone follow when any module says where it is."""
    app.client.get("/")
    app.write("models.py", MODELS.replace("class Old", "class New"))
    app.edit("main.py", "models.Old()", "None")
    app.reload()
    assert app.client.get("/").json()[2] == "Old"
    app.write("told.py", TOLD + "hotsession.moved('models.Old', 'models.New')\n")
    app.reload()
    assert app.client.get("/").json()[2] == "New"
