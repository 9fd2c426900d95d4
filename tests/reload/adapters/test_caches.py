"""What would keep old generations alive, or answer with their objects."""

from __future__ import annotations

import functools
import gc
import linecache
import logging
import sys
import typing
import weakref
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from hotsession.reload.adapters import release_all
from tests.reload.adapters.conftest import Project

APP = (Path(__file__).parent / "fastapi_app.txt").read_text()


def exercise(module: Any) -> None:
    """Send the app requests of all kinds."""
    anyio.run(_exercise, module.app)


async def _exercise(app: Any) -> None:
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://app") as client,
    ):
        assert (await client.post("/r/items", json={"name": "a"})).status_code == 200
        assert (await client.get("/r/page")).status_code == 200
        assert (await client.get("/r/either")).status_code == 200
        assert (await client.post("/r/both", json={"item": {"name": "a"}, "tree": {}})).status_code == 200
        assert (await client.get("/openapi.json")).status_code == 200
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message["type"])

    scope = {"type": "websocket", "path": "/r/ws", "query_string": b"", "headers": [], "subprotocols": []}
    await app(scope, receive, send)
    assert sent == ["websocket.accept", "websocket.send", "websocket.close"]


def watch(module: Any) -> dict[str, weakref.ref[Any]]:
    """Weak references to the module and all that it defines."""
    own = {name: value for name, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__}
    return {name: weakref.ref(value) for name, value in {**own, "module": module, "app": module.app}.items()}


def alive(watched: dict[str, weakref.ref[Any]]) -> list[str]:
    """The names of what is still there."""
    return sorted(name for name, each in watched.items() if each() is not None)


def test_no_generation_of_a_fastapi_app_is_kept_alive(project: Project) -> None:
    """Of an app that uses much of FastAPI, pydantic and typing, nothing is left after each of several reloads."""
    project.start(app=APP)
    for _ in range(3):
        exercise(sys.modules["app"])
        watched = watch(sys.modules["app"])
        project.reload(app=APP)
        gc.collect()
        assert alive(watched) == []


def test_release_lets_go_of_what_code_in_flight_cached(project: Project) -> None:
    """A generation that fills the caches again after the commit is gone after the release."""
    old = project.start(app=APP).app
    new = project.reload(app=APP).app
    watched = watch(old)
    exercise(old)
    del old
    release_all()
    gc.collect()
    assert alive(watched) == []
    exercise(new)


def test_failed_load_is_not_kept_alive(project: Project) -> None:
    """What a failed load defined is gone after the rollback, and the old app works on."""
    old = project.start(app=APP).app
    exercise(old)
    load = project.begin("app")
    new = load.run({"app": APP})
    exercise(new.app)
    watched = watch(new.app)
    load.rollback()
    del new, load.new
    gc.collect()
    assert alive(watched) == []
    exercise(old)


def test_names_in_annotations_mean_the_new_class(project: Project) -> None:
    """``Optional["Team"]`` in new code is the new class, though typing has it cached with the old one resolved."""
    source = 'from typing import Optional\nclass Team: pass\ndef find() -> Optional["Team"]: ...'
    for module in (project.start(app=source).app, project.reload(app=source).app, project.reload(app=source).app):
        assert typing.get_type_hints(module.find)["return"] == module.Team | None


def test_generic_models_of_carried_modules_stay_the_same(project: Project) -> None:
    """``Page[int]`` of a module that is carried over is the same class after a reload of another."""
    app = project.start(
        page="from typing import Generic, TypeVar\nfrom pydantic import BaseModel\nT = TypeVar('T')\n"
        "class Page(BaseModel, Generic[T]):\n    items: list[T]",
        views="from page import Page\nfrom pydantic import BaseModel\nclass Item(BaseModel): pass\nItems = Page[Item]",
    )
    numbers = app.page.Page[int]
    watched = weakref.ref(app.views.Item)
    del app.views
    project.reload(
        views="from page import Page\nfrom pydantic import BaseModel\nclass Item(BaseModel): pass\nItems = Page[Item]"
    )
    gc.collect()
    assert app.page.Page[int] is numbers
    assert watched() is None


def test_tracebacks_show_the_new_source(project: Project) -> None:
    """Lines of a replaced file are read anew, also where its size and time are the same."""
    app = project.start(app="")
    linecache.cache[app.app.__file__] = (1, None, ["old\n"], app.app.__file__)
    project.reload(app="")
    assert app.app.__file__ not in linecache.cache


def test_registrations_of_the_user_are_named_and_left_alone(project: Project, caplog: pytest.LogCaptureFixture) -> None:
    """A logging handler of replaced code is named in the log, and goes on handling."""
    app = project.start(
        app="import logging\nclass Mine(logging.NullHandler): pass\nlogging.getLogger('x').addHandler(Mine())"
    )
    with caplog.at_level(logging.INFO, "hotsession"):
        project.reload(app="")
    handler = logging.getLogger("x").handlers.pop()
    assert type(handler) is app.app.Mine
    assert "handler Mine of logger 'x'" in caplog.text


def test_internals_are_as_the_adapter_expects() -> None:
    """Typing still lists what clears its caches, pydantic still has its cache of generic models where we look."""
    from pydantic._internal import _generics

    assert typing._cleanups  # type: ignore[attr-defined]
    assert hasattr(_generics._GENERIC_TYPES_CACHE, "pop")
    assert type(functools.lru_cache(len)) is functools._lru_cache_wrapper
