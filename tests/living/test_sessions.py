"""Objects in sessions and kept values follow real edits: when they are touched, by the sweep, and what the log says."""

from __future__ import annotations

import gc
import logging
import sys
import threading
import time
import traceback
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from hotsession import kept, testing
from hotsession.errors import MigrationFailed
from hotsession.living.classes import Living
from hotsession.registry import registry
from hotsession.reload import living_objects

DEADLINE_SECONDS = 60
MODELS = """
from dataclasses import dataclass, field
import enum

@dataclass
class Cart:
    items: list
    def total(self):
        return len(self.items)
"""
MAIN = """
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import JSONResponse
from starlette.routing import Route
from hotsession import HotSessionMiddleware, MigrationFailed, keep, sessions
import models
from models import Cart

carts = keep("carts", dict)
chats = sessions("chats")

async def home(request):
    cart = request.session.setdefault("cart", Cart([1]))
    return JSONResponse([cart.total(), isinstance(cart, Cart), vars(cart)])

async def chat(request):
    found = await chats.get_or_create(request.path_params["key"], data=lambda: {"cart": Cart([])})
    cart = found.data["cart"]
    return JSONResponse([cart.total(), isinstance(cart, Cart)])

async def kept(request):
    cart = carts.setdefault("one", Cart([1, 2]))
    return JSONResponse([cart.total(), isinstance(cart, Cart)])

routes = [Route("/", home), Route("/chat/{key}", chat), Route("/kept", kept)]
app = Starlette(routes=routes, middleware=[Middleware(HotSessionMiddleware)])
"""


@pytest.fixture
def app() -> Iterator[testing.App]:
    """A shop with carts in a browser's session, in named sessions and in a kept value."""
    with testing.running({"main.py": MAIN, "models.py": MODELS}) as app:
        yield app


def wait_until(what: Callable[[], object]) -> None:
    """Return when something is true."""
    end = time.monotonic() + DEADLINE_SECONDS
    while not what():
        assert time.monotonic() < end, "that never came"
        time.sleep(0.005)


def data_of(key: str) -> Any:
    """The data of a named session as it is in memory, without touching it."""
    storage: Any = kept.sessions("chats").storage
    return next(storage.holds(each).payload for each in storage.ids() if storage.holds(each).key == key)


def test_a_touched_session_follows(app: testing.App) -> None:
    """The browser's session, a named one and a kept value have the new methods at the next request."""
    for path in ("/", "/chat/ada", "/kept"):
        app.client.get(path)
    cart = registry.entries("value")["carts"].value["one"]
    app.edit("models.py", "return len(self.items)", "return len(self.items) + 10")
    app.edit("models.py", "    items: list\n", "    items: list\n    note: str = 'none'\n")
    assert app.reload().converted == {"Cart": 1}
    assert app.client.get("/").json() == [11, True, {"items": [1], "note": "none"}]
    assert app.client.get("/chat/ada").json() == [10, True]
    assert app.client.get("/kept").json() == [12, True]
    assert registry.entries("value")["carts"].value["one"] is cart


def test_what_nobody_touches_follows_in_the_background(app: testing.App, caplog: pytest.LogCaptureFixture) -> None:
    """Soon all sessions are of the new classes, the log says how many, and the old module is gone."""
    for number in range(50):
        app.client.get(f"/chat/user{number}")
    cart = data_of("user7")["cart"]
    old = weakref.ref(sys.modules["models"])
    caplog.set_level(logging.INFO, "hotsession.reload")
    app.edit("models.py", "return len(self.items)", "return 5")
    app.reload()
    wait_until(lambda: type(cart).total(cart) == 5)
    wait_until(lambda: "In 50 sessions objects follow the code as it is now: 50 Cart." in caplog.messages)
    app.client.get("/chat/user1")
    wait_until(lambda: gc.collect() is None or old() is None)


def test_a_touch_of_what_follows_already_looks_at_nothing(app: testing.App, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two saves a session is gone through once."""
    app.client.get("/chat/ada")
    app.edit("models.py", "return len(self.items)", "return 5")
    app.reload()
    assert app.client.get("/chat/ada").json() == [5, True]
    monkeypatch.setattr(Living, "follow", None)
    assert app.client.get("/chat/ada").json() == [5, True]


FAILING = """    def total(self):
        return 3
    def __hot_migrate__(self, old):
        self.items.append(self.nothing)
"""


def test_a_conversion_that_raises(
    app: testing.App, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who touches the session gets an error that says it all; after the fix it works; others are not harmed."""
    for limit in ("AT_ONCE", "SLICE"):
        monkeypatch.setattr(living_objects, limit, DEADLINE_SECONDS)  # a busy machine may put the kept value off
    app.client.get("/chat/ada")
    app.client.get("/kept")
    cart = data_of("ada")["cart"]
    app.edit("models.py", "    def total(self):\n        return len(self.items)\n", FAILING)
    outcome = app.reload()
    assert [failure.what for failure in outcome.failures] == ["Cart.__hot_migrate__"]
    with pytest.raises(MigrationFailed) as caught:
        app.client.get("/chat/ada")
    error = caught.value
    assert (error.path, error.cls, error.key, error.step) == ('session["cart"]', "Cart", "ada", "Cart.__hot_migrate__")
    assert isinstance(error.__cause__, AttributeError)
    [frame] = traceback.extract_tb(error.__cause__.__traceback__)
    assert frame.name == "__hot_migrate__"
    assert "Mend it and save, or undo the change of the class" in str(error)
    assert cart.total() == 0
    assert cart.items == []
    assert app.client.get("/chat/bob").json() == [3, True]
    wait_until(lambda: any('session["cart"] is a Cart that could not be' in message for message in caplog.messages))
    assert any("kept value 'carts': it[\"one\"] is a Cart that could" in message for message in caplog.messages)
    app.edit("models.py", "self.nothing", "7")
    app.reload()
    assert app.client.get("/chat/ada").json() == [3, True]
    assert cart.items == [7]
    assert app.client.get("/kept").json() == [3, True]
    assert app.client.get("/chat/bob").json() == [3, True]
    assert data_of("bob")["cart"].items == []


def test_undoing_the_edit_mends_it(app: testing.App) -> None:
    """With the class as it was the session can be used again."""
    app.client.get("/chat/ada")
    app.edit("models.py", "    def total(self):\n        return len(self.items)\n", FAILING)
    app.reload()
    with pytest.raises(MigrationFailed):
        app.client.get("/chat/ada")
    app.write("models.py", MODELS)
    app.reload()
    assert app.client.get("/chat/ada").json() == [0, True]


def test_a_step_that_raised_is_not_run_again_before_the_next_save(app: testing.App) -> None:
    """Each request gets the error, and the step that raises runs once for a session and a save."""
    app.client.get("/chat/ada")
    counting = FAILING.replace("self.items.append", "sys.runs.append(1); self.items.append")
    app.edit("models.py", "    def total(self):\n        return len(self.items)\n", counting)
    app.edit("models.py", "import enum\n", "import enum, sys\n")
    runs: list[int] = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, "runs", runs, raising=False)
        for saves in (1, 2):
            app.edit("models.py", "return 3", "return 3 ")
            app.reload()
            for _ in range(3):
                with pytest.raises(MigrationFailed) as caught:
                    app.client.get("/chat/ada")
                assert isinstance(caught.value.__cause__, AttributeError)
            assert len(runs) == saves


def test_a_session_that_can_not_be_converted_can_be_ended(app: testing.App) -> None:
    """Ending it looks at nothing in it."""
    app.client.get("/chat/ada")
    app.edit("models.py", "    def total(self):\n        return len(self.items)\n", FAILING)
    app.reload()
    manager = kept.sessions("chats")
    portal: Any = app.client.portal
    [session] = portal.call(manager.list)
    with pytest.raises(MigrationFailed):
        _ = session.data
    portal.call(manager.end, session.id)
    assert app.client.get("/chat/ada").json() == [3, True]


def test_what_can_not_follow_is_told_once(app: testing.App, caplog: pytest.LogCaptureFixture) -> None:
    """An object whose class became a function works as before, and the log says what would help, once."""
    app.client.get("/chat/ada")
    app.client.get("/chat/bob")
    app.write("models.py", "def Cart(items):\n    return None\n")
    app.edit("main.py", "isinstance(cart, Cart)", "False")
    app.reload()
    assert app.client.get("/chat/ada").json() == [0, False]
    assert app.client.get("/chat/bob").json() == [0, False]
    app.edit("models.py", "None", "0")
    app.reload()
    app.client.get("/chat/ada")
    told = [message for message in caplog.messages if "stays as it was" in message]
    assert len(told) == 1
    assert 'session["cart"], a Cart, stays as it was, with its old code: its class is a function now. Undo' in told[0]


def test_a_class_that_is_gone_and_back(app: testing.App) -> None:
    """Objects live on without their class, and follow when it is back."""
    app.client.get("/chat/ada")
    cart = data_of("ada")["cart"]
    app.write("models.py", "Cart = None\n")
    app.edit("main.py", "isinstance(cart, Cart)", "False")
    app.reload()
    assert app.client.get("/chat/ada").json() == [0, False]
    app.write("models.py", MODELS.replace("len(self.items)", "8"))
    app.write("main.py", MAIN)
    app.reload()
    assert app.client.get("/chat/ada").json() == [8, True]
    assert data_of("ada")["cart"] is cart


def test_hot_data_follows_too(app: testing.App) -> None:
    """What a module hands to its next version is of the new classes when its hooks run."""
    hot = "import hotsession\nhot = hotsession.module(__name__)\nhot.data.setdefault('cart', Cart([1]))\n"
    app.edit("main.py", "app = Starlette", f"{hot}app = Starlette")
    app.reload()
    app.edit("models.py", "return len(self.items)", "return 5")
    assert app.reload().converted == {"Cart": 1}
    cart = registry.module_data("main")["cart"]
    assert cart.total() == 5


HELD = """
import anyio

async def slow(request):
    cart = request.session.setdefault("cart", Cart([1]))
    gate.reached.set()
    await anyio.to_thread.run_sync(gate.go_on.wait)
    request.session["late"] = Cart([1, 2])
    return JSONResponse([cart.total(), isinstance(cart, Cart)])

routes.append(Route("/slow", slow))
"""


def test_an_old_request_on_the_same_object(app: testing.App) -> None:
    """While old code still works on an object, the new class wins; what it makes anew follows when it is done."""
    reached, go_on = threading.Event(), threading.Event()
    app.write("gate.py", "reached = go_on = None\n")
    app.edit("main.py", "routes = [", "import gate\nroutes = [")
    app.edit("main.py", "\napp = Starlette", f"{HELD}\napp = Starlette")
    app.reload()
    sys.modules["gate"].reached, sys.modules["gate"].go_on = reached, go_on  # type: ignore[attr-defined]
    app.client.get("/")
    answers: list[Any] = []
    asking = threading.Thread(target=lambda: answers.append(app.client.get("/slow").json()))
    asking.start()
    assert reached.wait(DEADLINE_SECONDS)
    app.edit("models.py", "return len(self.items)", "return 5")
    app.reload()
    assert app.client.get("/").json() == [5, True, {"items": [1]}]
    go_on.set()
    asking.join(DEADLINE_SECONDS)
    assert answers == [[5, False]]
    manager = kept.sessions()
    storage: Any = manager.storage
    [data] = [storage.holds(each).payload for each in storage.ids()]
    wait_until(lambda: dict.__getitem__(data, "late").total() == 5)


def test_after_a_restart_the_same(app: testing.App) -> None:
    """The same edit with a restart in place of the reload gives the same answers."""
    for path in ("/", "/chat/ada", "/kept"):
        app.client.get(path)
    app.edit("models.py", "return len(self.items)", "return len(self.items) + 10")
    app.edit("models.py", "    items: list\n", "    items: list\n    note: str = 'none'\n")
    assert app.restart() == {}
    assert app.client.get("/").json() == [11, True, {"items": [1], "note": "none"}]
    assert app.client.get("/chat/ada").json() == [10, True]
    assert app.client.get("/kept").json() == [12, True]


def test_production_has_nothing_to_look_at() -> None:
    """Where nothing was reloaded a touch compares one number."""
    manager = kept.sessions("some")
    assert manager.ledger.following._living.epoch == 0
    record = manager.draft({"x": object()})
    manager.ledger.following.touch(record)
    assert manager.ledger.following._marks == {}
    assert manager.ledger.following.lazily(record) is record


@pytest.mark.e2e
def test_a_large_kept_value_follows_in_slices(app: testing.App) -> None:
    """The swap does not wait for it, and others don't either: it goes on between requests, to the end."""
    app.client.get("/kept")
    cart = registry.entries("value")["carts"].value["one"]
    many = kept.keep("many", list)
    many += [type(cart)([number]) for number in range(30_000)]
    entries = registry._state["kept"]
    entries["carts"] = entries.pop("carts")  # its turn comes behind the large one
    app.edit("models.py", "return len(self.items)", "return 5")
    assert app.reload().converted == {"Cart": 1}
    assert app.client.get("/kept").json() == [5, True]
    wait_until(lambda: type(many[-1]) is type(cart) and all(type(each) is type(cart) for each in many))
    assert cart.total() == many[0].total() == many[-1].total() == 5
