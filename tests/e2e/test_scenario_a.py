"""Preview sessions that are asked for by many at once (scenario A): one session of a project, one creation."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Iterator
from typing import Any

import anyio
import httpx
import pytest

from tests.deadlines import DEADLINE
from tests.e2e.servers import Server, hotsession_run, uvicorn, wait_until, write_project

pytestmark = pytest.mark.e2e

CALLERS = 200
A_DAY = 24 * 60 * 60

MAIN = f"""
    import asyncio
    import logging

    import anyio
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route

    import hotsession
    from hotsession.errors import SessionError

    logging.basicConfig(level=logging.INFO, format="%(message)s", force=True)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    previews = hotsession.sessions("previews", storage=hotsession.open_storage(), idle_timeout={A_DAY})
    creations: list[str] = []
    gates: dict[str, asyncio.Future[bool]] = {{}}


    async def start(request: Request) -> JSONResponse:
        project, slowly = request.path_params["project"], "slowly" in request.query_params

        async def make() -> dict[str, object]:
            creations.append(project)
            if slowly:
                gates[project] = asyncio.get_running_loop().create_future()
                await gates[project]
            return {{"number": creations.count(project), "files": []}}

        fresh = "fresh" in request.query_params
        try:
            session = await previews.get_or_create(project, data=make, force_new=fresh)
        except RuntimeError as error:
            return JSONResponse({{"error": str(error)}}, 503)
        return shown(session)


    async def start_until_disconnected(request: Request) -> Response:
        async with anyio.create_task_group() as tasks:

            async def watch() -> None:
                while (await request.receive())["type"] != "http.disconnect":
                    pass
                tasks.cancel_scope.cancel()

            tasks.start_soon(watch)
            await start(request)
        logging.info("a caller has gone")
        return Response()


    async def open_gate(request: Request) -> Response:
        gate, error = gates.pop(request.path_params["project"]), await request.body()
        if error:
            gate.set_exception(RuntimeError(error.decode()))
        else:
            gate.set_result(True)
        return Response()


    async def waiting(request: Request) -> JSONResponse:
        project = request.path_params["project"]
        made = creations.count(project)
        return JSONResponse({{"waiting": previews.waiting(project), "gate": project in gates, "creations": made}})


    async def add_file(request: Request) -> JSONResponse:
        name = (await request.body()).decode()
        return shown(await previews.update(request.path_params["id"], lambda data: data["files"].append(name)))


    async def show(request: Request) -> JSONResponse:
        return shown(await previews.get(request.path_params["id"]))


    async def limit(request: Request) -> Response:
        previews.configure(idle_timeout=float(await request.body()))
        return Response()


    def shown(session: hotsession.Session) -> JSONResponse:
        names = ("id", "status", "reason", "reused", "expires_at", "data")
        return JSONResponse({{name: getattr(session, name) for name in names}})


    async def refused(request: Request, error: SessionError) -> JSONResponse:
        told = {{"error": str(error), "code": error.code, "age": error.age, "alternatives": error.alternatives}}
        return JSONResponse(told, 409)


    app = Starlette(
        routes=[
            Route("/", lambda request: Response()),
            Route("/start/{{project}}", start, methods=["POST"]),
            Route("/start_until_disconnected/{{project}}", start_until_disconnected, methods=["POST"]),
            Route("/open/{{project}}", open_gate, methods=["POST"]),
            Route("/waiting/{{project}}", waiting),
            Route("/files/{{id}}", add_file, methods=["POST"]),
            Route("/preview/{{id}}", show),
            Route("/limit", limit, methods=["POST"]),
        ],
        exception_handlers={{SessionError: refused}},
    )
"""

COMMANDS = {"uvicorn": uvicorn("main:app"), "hotsession run": hotsession_run("main:app")}


@pytest.fixture(scope="module", params=["memory:", "sqlite:///previews.db"])
def address(request: pytest.FixtureRequest) -> str:
    """Where the sessions are."""
    return str(request.param)


@pytest.fixture(scope="module", params=COMMANDS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, address: str) -> Iterator[Server]:
    """A server of previews."""
    directory = write_project(tmp_path_factory.mktemp("project"), {"main.py": MAIN})
    with Server(COMMANDS[request.param], directory, env={"HOTSESSION_STORAGE": address}) as running:
        yield running


@pytest.fixture
def project() -> str:
    """A project that no other test has."""
    return f"museum-{secrets.token_hex(4)}"


class Clients:
    """Callers at once, each over a connection of its own."""

    def __init__(self, server: Server) -> None:
        self.server = server
        limits = httpx.Limits(max_connections=None)
        self.client = httpx.AsyncClient(base_url=server.url, trust_env=False, timeout=DEADLINE, limits=limits)

    def start(self, project: str, count: int = CALLERS) -> list[asyncio.Task[httpx.Response]]:
        """Ask for the session of a project so many times."""
        return [asyncio.create_task(self.client.post(f"/start/{project}?slowly")) for _ in range(count)]

    async def wait_until_waiting(self, project: str, count: int) -> None:
        """Wait until so many callers wait for a creation that has begun."""
        found = None
        with anyio.move_on_after(DEADLINE):
            while (  # noqa: ASYNC110 - the server is another process
                found := await self._waiting(project)
            ) != {"waiting": count, "gate": True, "creations": 1}:
                await asyncio.sleep(0.01)  # the pause of a poll with a deadline
            return
        raise AssertionError(f"not {count} callers wait: {found}")

    async def _waiting(self, project: str) -> dict[str, Any]:
        found: dict[str, Any] = (await self.client.get(f"/waiting/{project}")).json()
        return found

    async def open(self, project: str, error: str = "") -> None:
        """Let the creation go on, or fail with an error."""
        (await self.client.post(f"/open/{project}", content=error)).raise_for_status()


def start(server: Server, project: str, query: str = "") -> dict[str, Any]:
    """The session of a project."""
    found: dict[str, Any] = server.post(f"/start/{project}{query}").raise_for_status().json()
    return found


def test_two_hundred_at_once_get_one_session(server: Server, project: str) -> None:
    """One is told that he made it, all get his id, and who comes later gets it too."""

    async def ask() -> list[httpx.Response]:
        clients = Clients(server)
        async with clients.client:
            calls = clients.start(project)
            await clients.wait_until_waiting(project, CALLERS)
            await clients.open(project)
            return await asyncio.gather(*calls)

    answers = [answer.raise_for_status().json() for answer in asyncio.run(ask())]
    assert len(answers) == CALLERS
    assert len({answer["id"] for answer in answers}) == 1
    assert sorted(answer["reused"] for answer in answers) == [False] + [True] * (CALLERS - 1)
    later = start(server, project)
    assert (later["id"], later["reused"]) == (answers[0]["id"], True)
    assert server.get(f"/waiting/{project}").json()["creations"] == 1
    short = later["id"][:8]
    assert server.log.count(f"created session {short} of {project!r}, 0 s old, expires in 24 h") == 1
    assert f"reused session {short} of {project!r}, " in server.log


def test_a_creation_that_fails_fails_for_all_and_the_next_call_succeeds(server: Server, project: str) -> None:
    """Nobody waits for ever, nobody makes another behind the first one's back, and nothing half made stays."""

    async def ask() -> list[httpx.Response]:
        clients = Clients(server)
        async with clients.client:
            calls = clients.start(project)
            await clients.wait_until_waiting(project, CALLERS)
            await clients.open(project, "no disk left")
            return await asyncio.gather(*calls)

    answers = asyncio.run(ask())
    assert [(answer.status_code, answer.json()) for answer in answers] == [(503, {"error": "no disk left"})] * CALLERS
    made = start(server, project)
    assert (made["status"], made["reused"], made["data"]["number"]) == ("active", False, 2)


def test_a_first_caller_who_goes_cancels_nobody(server: Server, project: str) -> None:
    """His connection ends and his call is cancelled, while the creation goes on for those who wait with him."""

    async def ask() -> list[httpx.Response]:
        clients = Clients(server)
        async with clients.client:
            first = asyncio.create_task(clients.client.post(f"/start_until_disconnected/{project}?slowly"))
            await clients.wait_until_waiting(project, 1)
            calls = clients.start(project, 20)
            await clients.wait_until_waiting(project, 21)
            first.cancel()
            await clients.wait_until_waiting(project, 20)
            assert not any(call.done() for call in calls)
            await clients.open(project)
            return await asyncio.gather(*calls)

    answers = [answer.raise_for_status().json() for answer in asyncio.run(ask())]
    assert {answer["id"] for answer in answers} == {start(server, project)["id"]}
    assert {answer["data"]["number"] for answer in answers} == {1}
    server.wait_for_line("a caller has gone")


def test_an_update_of_an_expired_session_says_what_to_do(server: Server, project: str) -> None:
    """It re-reads the session: the error names it, its age, when it expired and the live one; so does its link."""
    server.post("/limit", content="0.3").raise_for_status()
    old = start(server, project)["id"]
    wait_until(lambda: server.get(f"/preview/{old}").status_code == 409, what="the session to expire")
    lost = server.post(f"/files/{old}", content="index.html")
    assert f"{project!r} has no live session: get_or_create({project!r}) makes one" in lost.json()["error"]

    server.post("/limit", content=str(A_DAY)).raise_for_status()
    new = start(server, project)["id"]
    assert new != old
    for refused in (server.post(f"/files/{old}", content="index.html"), server.get(f"/preview/{old}")):
        assert refused.status_code == 409
        told = refused.json()
        assert told["error"].startswith(f"session {old[:8]} of {project!r} expired ")
        assert told["error"].endswith(f" s; the live session of {project!r} is {new[:8]}")
        assert " s ago, at an age of " in told["error"]
        assert told["code"] == "session_expired"
        assert told["alternatives"] == [new]
        assert 0.3 <= told["age"] < 60
    added = server.post(f"/files/{new}", content="index.html").raise_for_status().json()
    assert added["data"]["files"] == ["index.html"]


def test_a_replaced_session_refuses_updates_and_its_link_says_so(server: Server, project: str) -> None:
    """An update never goes to a session that another took the place of."""
    old = start(server, project)["id"]
    new = start(server, project, query="?fresh")["id"]
    link = server.get(f"/preview/{old}").json()
    assert (link["status"], link["reason"]) == ("ended", "replaced")
    refused = server.post(f"/files/{old}", content="index.html")
    assert refused.status_code == 409
    assert refused.json()["alternatives"] == [new]
    assert "is ended (replaced) and can't be updated" in refused.json()["error"]
    assert server.get(f"/preview/{new}").json()["data"]["files"] == []


def test_reuse_extends_the_expiry(server: Server, project: str) -> None:
    """It expires a day after it was last reused."""
    first = start(server, project)
    assert 0 < time.time() + A_DAY - first["expires_at"] < DEADLINE
    wait_until(lambda: start(server, project)["expires_at"] > first["expires_at"], what="the expiry to be put off")
