"""What users test their apps with: a project that is edited, reloaded and restarted in the test's own process."""

from __future__ import annotations

import sys

import pytest

from hotsession import testing
from hotsession.registry import registry

PROJECT = {
    "main.py": """
import socket
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import JSONResponse
from starlette.routing import Route
import hotsession
from models import Note

notes = hotsession.keep("notes", list)
model = hotsession.keep("model", object, restart="rebuild")

async def add(request):
    notes.append(Note(request.path_params["text"]))
    request.session["count"] = request.session.get("count", 0) + 1
    if request.path_params["text"] == "socket":
        request.session["line"] = socket.socket()
    chat = await hotsession.sessions("chats").get_or_create("alice")
    chat.data["n"] = chat.data.get("n", 0) + 1
    return JSONResponse({
        "notes": [note.text for note in notes], "new": [isinstance(note, Note) for note in notes],
        "count": request.session["count"], "line": "line" in request.session, "chat": chat.data["n"],
    })

app = Starlette(routes=[Route("/{text}", add)], middleware=[Middleware(hotsession.HotSessionMiddleware)])
""",
    "models.py": """
class Note:
    def __init__(self, text):
        self.text = text
""",
}


def test_a_restart_takes_along_what_is_kept_in_new_objects() -> None:
    """Kept values and sessions come back as equal objects of new classes; the browser's cookie opens its session."""
    with testing.running(PROJECT) as app:
        app.client.get("/one")
        before = sys.modules["models"].Note
        assert app.restart() == {}
        assert sys.modules["models"].Note is not before
        assert app.client.get("/two").json() == {
            "notes": ["one", "two"],
            "new": [True, True],
            "count": 2,
            "line": False,
            "chat": 2,
        }
        app.restart()
        assert app.client.get("/three").json()["count"] == 3


@pytest.mark.filterwarnings("ignore:.*socket:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_restart_names_what_is_left_out() -> None:
    """A socket in a session does not come along, by its path and type, and everything beside it does."""
    with testing.running(PROJECT) as app:
        app.client.get("/socket")
        left = app.restart()
        assert list(left.values()) == ["socket.socket"]
        (place,) = left
        assert place.startswith('session["line"]')
        answer = app.client.get("/more").json()
        assert answer["count"] == 2
        assert not answer["line"]


def test_a_reload_after_a_restart_works_as_before() -> None:
    """Edits go on to take effect, in place, and the next restart has the edited code."""
    with testing.running(PROJECT) as app:
        app.restart()
        app.edit("models.py", "self.text = text", "self.text = text.upper()")
        app.reload()
        assert app.client.get("/one").json()["notes"] == ["ONE"]
        app.restart()
        assert app.client.get("/two").json()["notes"] == ["ONE", "TWO"]


def test_nothing_is_left_of_it() -> None:
    """After the block the registry is empty and the project's modules are gone."""
    with testing.running(PROJECT) as app:
        app.client.get("/one")
        app.restart()
    assert registry.entries() == {}
    assert "models" not in sys.modules
