"""The HTTP routes of sessions, in apps of Starlette and FastAPI."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from fastapi import Depends, FastAPI, HTTPException
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

import hotsession
from hotsession import ConfigurationError, Session, SessionManager, Storage, session_routes
from hotsession.asgi import session_access, session_endpoints
from hotsession.asgi.session_query import LARGEST_BODY

pytestmark = pytest.mark.anyio


def everybody(connection: HTTPConnection, action: str) -> bool:
    """Anything goes."""
    return True


def by_header(connection: HTTPConnection, action: str) -> str | None:
    """The sessions of the user that a header names."""
    return connection.headers.get("x-user")


def mounted(routes: Any) -> ASGIApp:
    return Starlette(routes=[Mount("/api/sessions", routes=routes)])


def mounted_as_app(routes: Any) -> ASGIApp:
    return Starlette(routes=[Mount("/api/sessions", app=routes)])


def mounted_in_fastapi(routes: Any) -> ASGIApp:
    app = FastAPI()
    app.mount("/api/sessions", routes)
    return app


def included(routes: Any) -> ASGIApp:
    app = FastAPI()
    app.include_router(routes, prefix="/api/sessions")
    return app


def client(app: ASGIApp, address: str = "127.0.0.1", host: str = "test") -> httpx.AsyncClient:
    """A client of an app, at an address of its own."""
    transport = httpx.ASGITransport(app, client=(address, 1234))
    return httpx.AsyncClient(transport=transport, base_url=f"http://{host}/api/sessions")


@pytest.fixture
def jobs() -> SessionManager:
    return hotsession.sessions("jobs")


@pytest.fixture(params=[mounted, mounted_as_app, mounted_in_fastapi, included])
async def http(request: pytest.FixtureRequest, jobs: SessionManager) -> AsyncIterator[httpx.AsyncClient]:
    """A client that may do everything, of each kind of app."""
    async with client(request.param(session_routes(jobs, everybody))) as found:
        yield found


@pytest.fixture
async def app(jobs: SessionManager) -> AsyncIterator[httpx.AsyncClient]:
    """A client that may do everything."""
    async with client(included(session_routes(jobs, everybody))) as found:
        yield found


# what there is


async def test_a_session_is_started_and_shown(http: httpx.AsyncClient) -> None:
    """With all that is known of it; the second start finds it."""
    started = await http.post("/", json={"key": "ann", "data": {"prompt": "a cat"}})
    again = await http.post("/", json={"key": "ann"})
    shown = await http.get(f"/{started.json()['id']}")
    assert (started.status_code, again.status_code, shown.status_code) == (201, 200, 200)
    assert (started.json()["reused"], again.json()["reused"]) == (False, True)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", shown.json()["created_at"])
    expected = {"key": "ann", "status": "active", "attempt": 1, "result": None, "data": {"prompt": "a cat"}}
    assert {**shown.json(), **expected} == shown.json()
    assert shown.headers["cache-control"] == "no-store"


async def test_the_list_has_the_newest_first_and_a_total(http: httpx.AsyncClient, jobs: SessionManager) -> None:
    """The total counts beyond the limit; what is empty in the query is as good as left out."""
    for number in range(5):
        await jobs.get_or_create(f"job {number}")
    found = (await http.get("/?status=&key=&limit=2")).json()
    assert [each["key"] for each in found["sessions"]] == ["job 4", "job 3"]
    assert found["total"] == 5
    assert (await http.get("/?limit=0")).json() == {"sessions": [], "total": 5}


async def test_the_list_is_filtered(http: httpx.AsyncClient, jobs: SessionManager) -> None:
    """By state and by key; a key of several parts is given part by part."""
    await jobs.end(await jobs.get_or_create("ann"))
    await jobs.get_or_create(("ann", "cats"))
    for query, keys in {
        "status=active": [["ann", "cats"]],
        "status=ended": ["ann"],
        "status=failed": [],
        "key=ann": ["ann"],
        "key=ann&key=cats": [["ann", "cats"]],
        "key=nobody": [],
        "key=ann&status=active": [],
    }.items():
        found = (await http.get(f"/?{query}")).json()
        assert [each["key"] for each in found["sessions"]] == keys, query
        assert found["total"] == len(keys), query


async def test_a_total_beyond_the_limit_is_of_what_was_asked_for(app: httpx.AsyncClient, jobs: SessionManager) -> None:
    """By state it is counted where it costs nothing, by key by looking."""
    for _ in range(3):
        await jobs.end(await jobs.get_or_create("ann"))
        await jobs.get_or_create(None)
    assert (await app.get("/?limit=1")).json()["total"] == 6
    assert (await app.get("/?limit=1&status=ended")).json()["total"] == 3
    assert (await app.get("/?limit=1&key=ann")).json()["total"] == 3


async def test_the_list_needs_no_slash(jobs: SessionManager) -> None:
    """Included in FastAPI, or as routes with a prefix, it answers both ways, and one router may serve two paths."""
    routes = session_routes(jobs, everybody)
    fastapi = FastAPI()
    fastapi.include_router(routes, prefix="/api/sessions")
    fastapi.include_router(routes, prefix="/api/session")
    starlette = Starlette(
        routes=[
            *session_routes(jobs, everybody, prefix="/api/sessions"),
            *session_routes(jobs, everybody, prefix="/api/session"),
        ]
    )
    session = await jobs.get_or_create("ann")
    for each in (fastapi, starlette):
        async with client(each) as http:
            for url in ("http://test/api/sessions", "http://test/api/sessions/", "http://test/api/sessions?limit=1"):
                assert (await http.get(url)).json()["total"] == 1
            assert (await http.get(f"http://test/api/session/{session.id}")).json()["id"] == session.id
            assert (await http.post("http://test/api/sessions", json={"key": "ann"})).status_code == 200


async def test_a_session_is_paused_resumed_and_ended(http: httpx.AsyncClient, jobs: SessionManager) -> None:
    """With a reason, if one is said."""
    session = await jobs.get_or_create("ann", data={"counter": 2})
    paused = await http.post(f"/{session.id}/pause", json={"reason": "lunch"})
    assert (paused.status_code, paused.json()["status"], paused.json()["reason"]) == (200, "paused", "lunch")
    resumed = await http.post(f"/{session.id}/resume")
    assert (resumed.json()["status"], resumed.json()["data"]) == ("active", {"counter": 2})
    ended = await http.post(f"/{session.id}/end", json={})
    assert (ended.json()["status"], ended.json()["completed_at"] is None) == ("ended", False)


@pytest.mark.parametrize(
    "storage", [lambda path: hotsession.SQLiteStorage(path / "jobs.db"), lambda path: hotsession.FileStorage(path)]
)
async def test_storages_of_bytes_serve_them_as_well(storage: Callable[[Path], Storage], tmp_path: Path) -> None:
    """What is shown and judged is the data, not how it is stored."""

    def owned(connection: HTTPConnection, action: str, session: Session | None) -> bool:
        return session is None or session.data["owner"] == "ann"

    lasting = hotsession.sessions("lasting", storage=storage(tmp_path))
    await lasting.get_or_create("theirs", data={"owner": "bob"})
    async with client(included(session_routes(lasting, owned))) as http:
        started = (await http.post("/", json={"key": ["a", "b"], "data": {"owner": "ann", "n": [1, 2.5]}})).json()
        assert (await http.get(f"/{started['id']}")).json()["data"] == {"owner": "ann", "n": [1, 2.5]}
        assert (await http.post(f"/{started['id']}/pause")).json()["status"] == "paused"
        found = (await http.get("")).json()
        assert ([each["status"] for each in found["sessions"]], found["total"]) == (["paused"], 1)
        again = (await http.post("/", json={"key": ["a", "b"]})).json()
        assert (again["id"], again["status"], again["data"]["owner"]) == (started["id"], "active", "ann")
        assert (await http.post("/", json={"key": "theirs"})).status_code == 403
        assert (await http.post(f"/{started['id']}/end")).json()["status"] == "ended"
    await lasting.storage.aclose()


@dataclass
class Step:
    title: str


async def test_what_can_not_be_read_hides_no_other_session(tmp_path: Path) -> None:
    """It is listed without its data, and why is said."""
    storage = hotsession.SQLiteStorage(tmp_path / "jobs.db")

    async def make() -> None:
        before = SessionManager("lasting", storage=storage, types=[Step])
        await before.get_or_create("ann", data={"step": Step("go")})
        await before.get_or_create("bob", data={"step": 1})

    async with anyio.create_task_group() as group:  # who has a session in hand is given that one
        group.start_soon(make)
    after = SessionManager("lasting", storage=storage)
    async with client(included(session_routes(after, everybody))) as http:
        bob, ann = (await http.get("")).json()["sessions"]
        assert (ann["data"], "Step" in ann["unreadable"]) == (None, True)
        assert (bob["data"], "unreadable" in bob) == ({"step": 1}, False)
        assert (await http.get(f"/{ann['id']}")).json() == ann
        assert (await http.post(f"/{ann['id']}/end")).json()["status"] == "ended"
    await storage.aclose()


async def test_start_fresh_ends_the_old_one(app: httpx.AsyncClient, jobs: SessionManager) -> None:
    """With the reason `replaced`."""
    old = await jobs.get_or_create("ann", data={"counter": 2})
    new = await app.post("/", json={"key": "ann", "force_new": True, "data": {"counter": 0}})
    assert (new.status_code, new.json()["data"]) == (201, {"counter": 0})
    shown = (await app.get(f"/{old.id}")).json()
    assert (shown["status"], shown["reason"]) == ("ended", "replaced")


async def test_a_key_may_have_parts_and_none_is_needed(app: httpx.AsyncClient) -> None:
    """A list is a tuple; without a key it is an anonymous one, of which each call makes its own."""
    assert (await app.post("/", json={"key": ["ann", "cats"]})).json()["key"] == ["ann", "cats"]
    first, second = await app.post("/"), await app.post("/", json={})
    assert first.json()["key"] is None
    assert first.json()["id"] != second.json()["id"]


async def test_metrics_are_shown(http: httpx.AsyncClient, jobs: SessionManager) -> None:
    """As an object of figures."""
    await jobs.get_or_create("ann")
    await jobs.get_or_create("ann")
    found = (await http.get("/metrics")).json()
    assert (found["created"], found["reused"], found["reuse_rate"]) == (1, 1, 0.5)


async def test_the_script_is_kept_by_browsers(
    app: httpx.AsyncClient, jobs: SessionManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They ask whether it is still right; everybody may have it."""
    monkeypatch.setattr(session_endpoints, "_script", lambda name: ("export {}", f'"{name}"'))
    found = await app.get("/hotsession.js")
    assert (found.text, found.headers["content-type"]) == ("export {}", "text/javascript; charset=utf-8")
    assert found.headers["cache-control"] == "no-cache"
    again = await app.get("/hotsession.js", headers={"if-none-match": f'"other", W/{found.headers["etag"]}'})
    assert (again.status_code, again.content) == (304, b"")
    async with client(included(session_routes(jobs))) as stranger:
        assert (await stranger.get("/hotsession.js")).status_code == 200


async def test_fastapi_documents_them(jobs: SessionManager) -> None:
    """With parameters, bodies and answers, each under a name of its own."""
    app = FastAPI()
    app.include_router(session_routes(jobs, everybody), prefix="/api/sessions")
    paths = app.openapi()["paths"]
    assert {path: sorted(methods) for path, methods in paths.items()} == {
        "/api/sessions/": ["get", "post"],
        "/api/sessions/events": ["get"],
        "/api/sessions/metrics": ["get"],
        "/api/sessions/{id}": ["get"],
        "/api/sessions/{id}/pause": ["post"],
        "/api/sessions/{id}/resume": ["post"],
        "/api/sessions/{id}/end": ["post"],
    }
    operations = [each for methods in paths.values() for each in methods.values()]
    assert len({each["operationId"] for each in operations}) == len(operations)
    assert [each["name"] for each in paths["/api/sessions/"]["get"]["parameters"]] == ["status", "key", "limit"]
    start = paths["/api/sessions/"]["post"]
    assert set(start["requestBody"]["content"]["application/json"]["schema"]["properties"]) == {
        "key",
        "data",
        "force_new",
    }
    assert {"200", "201", "403", "409"} <= set(start["responses"])


async def test_dependencies_of_the_app_are_heeded(jobs: SessionManager) -> None:
    """What FastAPI's `include_router` is told to ask first is asked first."""

    def no_entry() -> None:
        raise HTTPException(401, "log in")

    app = FastAPI()
    app.include_router(session_routes(jobs, everybody), prefix="/api/sessions", dependencies=[Depends(no_entry)])
    async with client(app) as http:
        assert (await http.get("")).status_code == 401
        assert (await http.post("/", json={"key": "ann"})).status_code == 401
    assert await jobs.list() == []


async def test_urls_are_found_by_name(jobs: SessionManager) -> None:
    """As of any other route."""
    app = Starlette(routes=[Route("/", lambda request: None), Mount("/s", app=session_routes(jobs, everybody))])
    assert app.url_path_for("get_session", id="x") == "/s/x"


@pytest.mark.e2e
def test_starlette_apps_import_no_fastapi() -> None:
    """And who imports it too late for the routes is told so."""
    code = """if True:
        import sys, hotsession
        routes = hotsession.session_routes(hotsession.sessions("jobs"))
        print("fastapi" in sys.modules, len(routes), list(routes) == routes.routes, routes[0].path)
        import fastapi
        try:
            fastapi.FastAPI().include_router(routes)
        except AttributeError as error:
            print(error)
    """
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    first, second = output.splitlines()
    assert first == "False 10 True /"
    assert "Import fastapi before session_routes() is called" in second


# what is wrong


async def test_bad_queries_are_refused(http: httpx.AsyncClient) -> None:
    """With a code for programs and a sentence for people."""
    for query, code in {
        "limit=-1": "invalid_limit",
        "limit=many": "invalid_limit",
        "limit=1.5": "invalid_limit",
        "limit=%D9%A1": "invalid_limit",
        "status=asleep": "unknown_status",
        "status=ACTIVE": "unknown_status",
    }.items():
        answer = await http.get(f"/?{query}")
        assert (answer.status_code, answer.json()["code"]) == (400, code), query
        assert answer.json()["detail"]
    assert (await http.get(f"/?limit={'9' * 5000}")).json() == {"sessions": [], "total": 0}


async def test_bad_bodies_are_refused(http: httpx.AsyncClient, jobs: SessionManager) -> None:
    """And nothing is made."""
    as_json = {"content-type": "application/json"}
    for body, status, code in [
        (b"{", 400, "malformed_json"),
        (b"\xff\xfe", 400, "malformed_json"),
        (b'{"data": {"a": NaN}}', 400, "malformed_json"),
        (b'{"data": {"a": 1e999}}', 400, "malformed_json"),
        (b'{"key": "\\ud800"}', 400, "malformed_json"),
        (b"[" * 100_000, 400, "malformed_json"),
        (b"[]", 400, "invalid_body"),
        (b"null", 400, "invalid_body"),
        (b'{"forceNew": true}', 400, "unknown_field"),
        (b'{"force_new": "yes"}', 400, "invalid_body"),
        (b'{"key": ""}', 400, "invalid_key"),
        (b'{"key": []}', 400, "invalid_key"),
        (b'{"key": 7}', 400, "invalid_key"),
        (b'{"key": ["ann", 7]}', 400, "invalid_key"),
        (b'{"data": [1]}', 400, "invalid_data"),
        (b'{"data": {"a": "' + b"x" * LARGEST_BODY + b'"}}', 413, "body_too_large"),
    ]:
        answer = await http.post("/", content=body, headers=as_json)
        assert (answer.status_code, answer.json()["code"]) == (status, code), body[:40]
    assert await jobs.list() == []


async def test_a_body_in_parts_has_the_same_limit(app: httpx.AsyncClient) -> None:
    """Nobody need say beforehand how much comes."""
    sent = 0

    async def parts() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(100):
            sent += 1
            yield b" " * (LARGEST_BODY // 10)

    answer = await app.post("/", content=parts(), headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", None])
async def test_only_json_is_read(app: httpx.AsyncClient, kind: str | None) -> None:
    """A form of another site can send what it likes as plain text."""
    headers = {} if kind is None else {"content-type": kind}
    answer = await app.post("/", content=b'{"key": "ann"}', headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")


async def test_an_unknown_id_is_not_found(http: httpx.AsyncClient) -> None:
    """Whatever it is made of, and whatever is to be done with it."""
    for unknown in ("0" * 32, "..", "%2e%2e", "%00", "a" * 3000):
        for answer in (await http.get(f"/{unknown}"), await http.post(f"/{unknown}/end")):
            assert answer.status_code == 404
            if unknown.isalnum():
                assert answer.json()["code"] == "session_not_found"


async def test_a_session_of_another_manager_is_not_found(app: httpx.AsyncClient) -> None:
    """Though it is in the same storage."""
    other = await hotsession.sessions("others").get_or_create("ann")
    assert (await app.get(f"/{other.id}")).status_code == 404


async def test_an_expired_session_is_gone(jobs: SessionManager) -> None:
    """It is told from one that never was, in the list as well."""
    now = 1000.0
    manager = SessionManager("brief", storage=hotsession.storage(), idle_timeout=60, clock=lambda: now)
    session = await manager.get_or_create("ann")
    now += 61
    async with client(included(session_routes(manager, everybody))) as http:
        answer = await http.get(f"/{session.id}")
        assert (answer.status_code, answer.json()["code"]) == (410, "session_expired")
        assert (answer.json()["id"], answer.json()["key"], answer.json()["status"]) == (session.id, "ann", "expired")
        found = (await http.get("")).json()["sessions"]
        assert [each["status"] for each in found] == ["expired"]
        assert (await http.get("?status=active")).json()["total"] == 0


async def test_a_forbidden_transition_names_the_state(app: httpx.AsyncClient, jobs: SessionManager) -> None:
    """And the states that it could go to."""
    session = await jobs.get_or_create("ann")
    await jobs.end(session)
    for verb in ("end", "pause", "resume"):
        answer = await app.post(f"/{session.id}/{verb}")
        assert (answer.status_code, answer.json()["code"]) == (409, "invalid_transition")
        assert (answer.json()["status"], "can go" in answer.json()["detail"]) == ("ended", True)


async def test_a_hook_that_fails_is_no_fault_of_the_request(app: httpx.AsyncClient, jobs: SessionManager) -> None:
    """The session stays as it was."""

    @jobs.on_pause
    def broken(session: Session) -> None:
        raise RuntimeError("no such container")

    session = await jobs.get_or_create("ann")
    answer = await app.post(f"/{session.id}/pause")
    assert (answer.status_code, answer.json()["code"], answer.json()["status"]) == (500, "hook_failed", "active")
    assert (await app.get(f"/{session.id}")).json()["status"] == "active"


async def test_a_storage_that_fails_is_told_from_a_wrong_request(app: httpx.AsyncClient, jobs: SessionManager) -> None:
    """It may help to try again, and when is said."""

    async def broken(*_: object, **__: object) -> None:
        raise hotsession.StorageUnavailable("the disk is full")

    jobs.storage.list = broken  # type: ignore[assignment]
    answer = await app.get("")
    assert (answer.status_code, answer.json()) == (503, {"code": "storage_unavailable", "detail": "the disk is full"})
    assert answer.headers["retry-after"] == "1"


async def test_any_data_can_be_shown(app: httpx.AsyncClient, jobs: SessionManager) -> None:
    """What JSON has no form for is shown as text; of what has no text worth showing, the type and not its `repr`."""

    class Client:
        def __repr__(self) -> str:
            return "the secret"

    circle: list[Any] = []
    circle.append(circle)
    data: dict[Any, Any] = {"client": Client(), "numbers": {1}, "pair": (1, b"\x00"), 7: float("nan"), "circle": circle}
    session = await jobs.get_or_create("ann", data=data)
    answer = await app.get(f"/{session.id}")
    shown = json.loads(answer.text, parse_constant=pytest.fail)["data"]
    assert (shown["numbers"], shown["pair"], shown["7"]) == ([1], [1, "AA=="], None)
    assert shown["client"].endswith(".Client>")
    assert "secret" not in answer.text


# who may


async def test_without_authorize_all_is_denied(jobs: SessionManager) -> None:
    """Also to clients on this machine, in production; the answer says what to do."""
    session = await jobs.get_or_create("ann")
    async with client(included(session_routes(jobs)), host="localhost") as http:
        for method, path in [
            ("GET", ""),
            ("GET", "/events"),
            ("GET", "/metrics"),
            ("GET", f"/{session.id}"),
            ("GET", "/unknown"),
            ("POST", "/"),
            ("POST", f"/{session.id}/pause"),
            ("POST", f"/{session.id}/resume"),
            ("POST", f"/{session.id}/end"),
        ]:
            answer = await http.request(method, path)
            assert (answer.status_code, answer.json()["code"]) == (403, "not_allowed"), path
            assert "authorize=" in answer.json()["detail"]
    assert (await jobs.get(session.id)).status == "active"
    assert await jobs.count() == 1


@pytest.mark.parametrize(
    ("address", "host", "status"),
    [
        ("127.0.0.1", "localhost", 200),
        ("::1", "127.0.0.1:8000", 200),
        ("192.0.2.1", "localhost", 403),
        ("127.0.0.1", "attacker.example", 403),
    ],
)
async def test_while_it_is_developed_this_machine_is_let_in(
    jobs: SessionManager, monkeypatch: pytest.MonkeyPatch, address: str, host: str, status: int
) -> None:
    """Under a reloader, by a local name: a page of another site can have its visitor's browser ask."""
    monkeypatch.setattr(session_access, "dev_server", lambda: "uvicorn --reload")
    async with client(included(session_routes(jobs)), address, host) as http:
        assert (await http.get("")).status_code == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 201),
        ({"origin": "http://test"}, 201),
        ({"origin": "http://TEST"}, 201),
        ({"origin": "https://pages.example"}, 201),
        ({"sec-fetch-site": "same-origin"}, 201),
        ({"origin": "http://test.example"}, 403),
        ({"origin": "http://test:8001"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://["}, 403),
        ({"origin": ""}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
    ],
)
async def test_pages_of_other_sites_change_nothing(jobs: SessionManager, headers: dict[str, str], status: int) -> None:
    """Every POST looks at where it comes from; the app may name further sites."""
    async with client(mounted(session_routes(jobs, everybody, origins=["https://pages.example"]))) as http:
        answer = await http.post("/", json={"key": "ann"}, headers=headers)
        assert answer.status_code == status
        if status == 403:
            assert answer.json()["code"] == "origin_not_allowed"
            session = await jobs.get_or_create("ann")
            for verb in ("pause", "resume", "end"):
                assert (await http.post(f"/{session.id}/{verb}", headers=headers)).status_code == 403
            assert (await http.get("/", headers=headers)).status_code == 200


def own(connection: HTTPConnection, action: str, session: Session | None) -> bool:
    """The sessions of a user, and who is none may not even ask."""
    user = connection.headers.get("x-user")
    return user is not None and (session is None or session.key == user)


async def own_later(connection: HTTPConnection, action: str, session: Session | None) -> bool:
    """The same as a coroutine function."""
    return own(connection, action, session)


def own_keys(connection: HTTPConnection, action: str) -> list[str]:
    """The same as a list of keys."""
    return [connection.headers["x-user"]] if "x-user" in connection.headers else []


@pytest.mark.parametrize("authorize", [by_header, own, own_later, own_keys])
async def test_a_client_sees_and_changes_its_own_alone(jobs: SessionManager, authorize: Callable[..., Any]) -> None:
    """However the app says which these are. Of others it is not told that they exist."""
    ann, bob = await jobs.get_or_create("ann"), await jobs.get_or_create("bob")
    await jobs.get_or_create(None)
    async with client(included(session_routes(jobs, authorize))) as http:
        http.headers["x-user"] = "ann"
        found = (await http.get("?limit=20")).json()
        assert ([each["id"] for each in found["sessions"]], found["total"]) == ([ann.id], 1)
        assert (await http.get("?limit=0")).json() == {"sessions": [], "total": 1}
        assert (await http.get("?key=bob")).json() == {"sessions": [], "total": 0}
        assert (await http.get(f"/{ann.id}")).status_code == 200
        hidden, missing = await http.get(f"/{bob.id}"), await http.get(f"/{'0' * 32}")
        assert hidden.status_code == missing.status_code == 404
        assert hidden.json().keys() == missing.json().keys()
        assert hidden.json()["key"] is hidden.json()["status"] is None
        assert (await http.post(f"/{bob.id}/end")).status_code == 404
        for body in ({"key": "bob"}, {"key": "bob", "force_new": True}, {"key": "carl"}, {}):
            assert (await http.post("/", json=body)).status_code == 403
        assert (await http.post("/", json={"key": "ann"})).json()["id"] == ann.id
        assert (await http.post(f"/{ann.id}/end")).status_code == 200
    assert (await jobs.get(bob.id)).status == "active"
    assert await jobs.count() == 2


@pytest.mark.parametrize("authorize", [by_header, own, own_later])
async def test_who_is_nobody_may_nothing(jobs: SessionManager, authorize: Callable[..., Any]) -> None:
    """Neither see what there is nor learn whether it is there."""
    session = await jobs.get_or_create("ann")
    async with client(included(session_routes(jobs, authorize))) as http:
        for path in ("", "/events", "/metrics", f"/{session.id}", "/unknown"):
            answer = await http.get(path)
            assert (answer.status_code, answer.json()["code"]) == (403, "not_allowed"), path
        assert (await http.post("/", json={"key": "ann"})).status_code == 403


async def test_the_browser_s_session_tells_who_asks(jobs: SessionManager) -> None:
    """`authorize` gets the request, with all that middlewares have put there."""

    async def log_in(request: Request) -> Response:
        request.session["user"] = "ann"
        return Response()

    def logged_in(connection: HTTPConnection, action: str) -> str:
        return str(connection.session.get("user", ""))

    routes = [
        Route("/log-in", log_in),
        *session_routes(jobs, logged_in, prefix="/jobs"),
    ]
    app = Starlette(routes=routes, middleware=[Middleware(hotsession.HotSessionMiddleware)])
    await jobs.get_or_create("ann")
    await jobs.get_or_create("bob")
    async with client(app) as http:
        assert (await http.get("http://test/jobs")).status_code == 403
        await http.get("http://test/log-in")
        assert [each["key"] for each in (await http.get("http://test/jobs")).json()["sessions"]] == ["ann"]


async def test_figures_of_all_are_for_who_may_see_all(jobs: SessionManager) -> None:
    """Not for who may see some."""
    async with client(included(session_routes(jobs, by_header))) as http:
        assert (await http.get("/metrics", headers={"x-user": "ann"})).status_code == 403


async def test_each_action_is_asked_about(jobs: SessionManager) -> None:
    """By its name, with the session; for a start with the one that is there or would be."""
    asked: list[tuple[str, object]] = []

    def note(connection: HTTPConnection, action: str, session: Session | None) -> bool:
        asked.append((action, session and (session.key, session.version)))
        return True

    async with client(included(session_routes(jobs, note))) as http:
        started = (await http.post("/", json={"key": "ann"})).json()
        await http.post("/", json={"key": "ann"})
        await http.get("")
        await http.get(f"/{started['id']}")
        await http.get("/unknown")
        await http.post(f"/{started['id']}/end")
    assert asked == [
        ("start", ("ann", 0)),
        ("start", ("ann", 1)),
        ("list", None),
        ("list", ("ann", 1)),
        ("get", ("ann", 1)),
        ("get", None),
        ("end", ("ann", 1)),
    ]


async def test_an_action_may_be_denied_alone(jobs: SessionManager) -> None:
    """Who may look need not be able to touch."""
    session = await jobs.get_or_create("ann")
    async with client(included(session_routes(jobs, lambda connection, action: action in ("list", "get")))) as http:
        assert (await http.get(f"/{session.id}")).status_code == 200
        answer = await http.post(f"/{session.id}/end")
        assert (answer.status_code, answer.json()["code"]) == (403, "not_allowed")
        assert "end this session" in answer.json()["detail"]


async def test_authorize_may_answer_by_itself(jobs: SessionManager) -> None:
    """With an HTTPException, as any endpoint."""

    def log_in(connection: HTTPConnection, action: str) -> bool:
        raise HTTPException(401, "log in")

    async with client(included(session_routes(jobs, log_in))) as http:
        assert (await http.get("")).status_code == 401


async def test_a_judge_that_fails_shows_nothing(jobs: SessionManager, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged by its name, and the other sessions are shown."""
    await jobs.get_or_create("ann", data={"owner": "ann"})
    await jobs.get_or_create("bob")

    def fragile(connection: HTTPConnection, action: str, session: Session | None) -> bool:
        return session is None or session.data["owner"] == "ann"

    async with client(included(session_routes(jobs, fragile))) as http:
        with caplog.at_level(logging.ERROR, "hotsession"):
            found = (await http.get("")).json()
    assert ([each["key"] for each in found["sessions"]], found["total"]) == (["ann"], 1)
    assert "fragile failed" in caplog.text


async def test_authorize_returns_what_is_understood(jobs: SessionManager) -> None:
    """A user object is true as well, and would let everybody see everything."""
    async with client(included(session_routes(jobs, lambda connection, action: object()))) as http:  # type: ignore[arg-type]
        answer = await http.get("")
    assert answer.status_code == 500
    assert "returned object" in answer.json()["detail"]


def test_authorize_takes_two_or_three_arguments(jobs: SessionManager) -> None:
    """What takes others is refused at once."""
    with pytest.raises(ConfigurationError, match=r"should take \(connection, action, session\)"):
        session_routes(jobs, lambda connection: True)  # type: ignore[arg-type]


@pytest.mark.parametrize("prefix", ["api", "/api/", "/"])
def test_a_prefix_is_a_path(jobs: SessionManager, prefix: str) -> None:
    """Beginning with a slash, and not ending with one."""
    with pytest.raises(ConfigurationError, match="slash"):
        session_routes(jobs, everybody, prefix=prefix)
