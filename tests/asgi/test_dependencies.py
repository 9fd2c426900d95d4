"""`provide`: services in FastAPI endpoints, async, sync and WebSocket."""

# FastAPI resolves annotations in the module's globals, where the local classes of a test are not: no
# `from __future__ import annotations` here.

import functools
import gc
import weakref
from collections.abc import Iterator
from typing import Annotated, Any

import anyio.from_thread
import anyio.lowlevel
import pytest
from fastapi import Depends, FastAPI, WebSocket
from fastapi.testclient import TestClient
from starlette.requests import HTTPConnection

from hotsession.asgi.dependencies import provide
from hotsession.container import current_container
from hotsession.errors import MissingArgument, ServiceConflict
from hotsession.kept import sessions, storage
from hotsession.lifecycle.manager import SessionManager
from hotsession.services import get_service, service
from hotsession.storages.base import Storage


@service
class Planner:
    """Plans with the default sessions."""

    def __init__(self, sessions: SessionManager, greeting: str = "Hello") -> None:
        self.sessions = sessions
        self.greeting = greeting


@service
class Keyed:
    """One per API key."""

    def __init__(self, key: str) -> None:
        self.api_key = key


def api_key(connection: HTTPConnection) -> str:
    """The key that a client sends."""
    return connection.headers.get("x-api-key", "none")


async def slow_api_key(connection: HTTPConnection) -> str:
    """The same, as if it had to be looked up."""
    await anyio.lowlevel.checkpoint()
    return api_key(connection)


def make_app() -> FastAPI:
    """An app that uses services in every kind of endpoint."""
    app = FastAPI()

    @app.get("/async")
    async def async_endpoint(planner: Annotated[Planner, Depends(provide(Planner))]) -> int:
        return id(planner)

    @app.get("/sync")
    def sync_endpoint(planner: Annotated[Planner, Depends(provide(Planner))]) -> int:
        return id(planner)

    @app.get("/from-thread")
    def from_thread() -> int:
        return id(anyio.from_thread.run(get_service, Planner))

    @app.get("/session")
    def session(name: str) -> str:
        manager = anyio.from_thread.run(functools.partial(get_service, SessionManager))
        return str(anyio.from_thread.run(manager.get_or_create, name).id)

    @app.get("/greeting")
    async def greeting(planner: Annotated[Planner, Depends(provide(Planner, key="de", greeting="Hallo"))]) -> str:
        return planner.greeting

    @app.get("/keyed")
    async def keyed(found: Annotated[Keyed, Depends(provide(Keyed, key=api_key))]) -> str:
        return found.api_key

    @app.get("/looked-up")
    def looked_up(found: Annotated[Keyed, Depends(provide(Keyed, key=slow_api_key))]) -> str:
        return found.api_key

    @app.websocket("/socket")
    async def socket(websocket: WebSocket, found: Annotated[Keyed, Depends(provide(Keyed, key=api_key))]) -> None:
        await websocket.accept()
        await websocket.send_text(found.api_key)
        await websocket.close()

    return app


@pytest.fixture
def client() -> Iterator[TestClient]:
    """A client of the app, with one event loop for all of its requests."""
    with TestClient(make_app()) as client:
        yield client


def test_async_and_sync_endpoints_share_one_service(client: TestClient) -> None:
    """However an endpoint gets it, it is the same instance."""
    ids = {client.get(path).raise_for_status().json() for path in ("/async", "/sync", "/from-thread", "/async")}
    assert len(ids) == 1
    assert current_container().names() == {"Planner": 1}


def test_services_outlive_an_event_loop() -> None:
    """A test client that makes a loop for each request gets the same service in each."""
    client = TestClient(make_app())
    assert client.get("/async").json() == client.get("/sync").json() == client.get("/from-thread").json()


def test_sync_endpoints_get_sessions(client: TestClient) -> None:
    """From a thread of the pool, through anyio."""
    first = client.get("/session", params={"name": "anna"}).raise_for_status().json()
    assert client.get("/session", params={"name": "anna"}).json() == first
    assert client.get("/session", params={"name": "bert"}).json() != first


def test_configuration_reaches_the_constructor(client: TestClient) -> None:
    """What is given to `provide` is given to the service."""
    assert client.get("/greeting").json() == "Hallo"


@pytest.mark.parametrize("path", ["/keyed", "/looked-up"])
def test_the_key_may_come_from_the_request(client: TestClient, path: str) -> None:
    """A function, or coroutine function, of the connection finds the key."""
    assert client.get(path, headers={"x-api-key": "one"}).json() == "one"
    assert client.get(path, headers={"x-api-key": "two"}).json() == "two"
    assert client.get(path, headers={"x-api-key": "one"}).json() == "one"
    assert current_container().names() == {"Keyed": 2}


def test_web_socket_routes_get_services(client: TestClient) -> None:
    """The dependency works where there is a WebSocket and no request."""
    with client.websocket_connect("/socket", headers={"x-api-key": "one"}) as socket:
        assert socket.receive_text() == "one"


def test_the_dependency_asks_the_client_for_nothing(client: TestClient) -> None:
    """It shows in the API's description as no parameter and no body."""
    described = client.get("/openapi.json").raise_for_status().json()["paths"]
    assert "parameters" not in described["/async"]["get"]
    assert "requestBody" not in described["/sync"]["get"]


def test_an_override_is_found() -> None:
    """Equal arguments are one callable, so that a test can replace the service."""
    app = make_app()
    app.dependency_overrides[provide(Planner)] = lambda: "instead"
    app.dependency_overrides[provide(Keyed, key=api_key)] = lambda: Keyed("overridden")
    client = TestClient(app)
    assert client.get("/async").json() == id("instead")
    assert client.get("/keyed").json() == "overridden"


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        (((Planner,), {}), ((Planner,), {}), True),
        (((Planner,), {"key": "a"}), ((Planner,), {"key": "a"}), True),
        (((Planner,), {"key": api_key}), ((Planner,), {"key": api_key}), True),
        (((Planner,), {"words": ["a"]}), ((Planner,), {"words": ["a"]}), True),
        (((Planner,), {}), ((Keyed,), {}), False),
        (((Planner,), {"key": "a"}), ((Planner,), {"key": "b"}), False),
        (((Planner,), {"words": ["a"]}), ((Planner,), {"words": ["b"]}), False),
        (((Planner,), {"words": ["a"]}), ((Planner,), {"names": ["a"]}), False),
    ],
)
def test_equal_arguments_give_the_same_callable(first: Any, second: Any, same: bool) -> None:
    """And others another one, also where the values are not hashable."""
    one, other = provide(*first[0], **first[1]), provide(*second[0], **second[1])
    assert (one is other) is same
    assert (one == other) is same


def test_no_class_is_kept_alive() -> None:
    """The memory of what was provided does not hold an old generation of the code."""

    @service
    class Old:
        pass

    def key(connection: HTTPConnection) -> str:
        return connection.url.path

    held = [provide(Old), provide(Old, key=key), provide(SessionManager, key=key)]
    gone = weakref.ref(Old), weakref.ref(key)
    held.clear()
    del Old, key
    gc.collect()
    assert [reference() for reference in gone] == [None, None]


def test_managers_and_storages_are_provided() -> None:
    """What outlives services can be asked for in the same way, by name."""
    app = FastAPI()

    @app.get("/")
    async def names(
        manager: Annotated[SessionManager, Depends(provide(SessionManager, key="chat"))],
        stored: Annotated[Any, Depends(provide(Storage))],
    ) -> bool:
        return manager is sessions("chat") and stored is storage()

    assert TestClient(app).get("/").json() is True


def test_errors_reach_the_server() -> None:
    """What can't be built, or is live otherwise, is an error that names the class."""
    app = FastAPI()

    @app.get("/missing")
    async def missing(found: Annotated[Keyed, Depends(provide(Keyed))]) -> None: ...

    @app.get("/conflict")
    async def conflict(
        one: Annotated[Planner, Depends(provide(Planner))],
        other: Annotated[Planner, Depends(provide(Planner, greeting="Hallo"))],
    ) -> None: ...

    client = TestClient(app)
    with pytest.raises(MissingArgument, match="Keyed needs the argument 'key'"):
        client.get("/missing")
    with pytest.raises(ServiceConflict, match="Planner is live with other configuration, of 'greeting'"):
        client.get("/conflict")
