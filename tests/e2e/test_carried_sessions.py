"""The session of a WebSocket across saves: the one it had, also for a client that came without a cookie."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.sockets import ask, open_socket
from tests.e2e.versioned import serve

pytestmark = pytest.mark.e2e

APP = """
    import json
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.middleware.base import BaseHTTPMiddleware
    from starlette.responses import JSONResponse
    from starlette.routing import Mount, Route, WebSocketRoute
    import hotsession
    from leaf import version
    from tell import tell

    async def count(socket):
        async for text in socket.iter_text():
            socket.session["count"] = socket.session.get("count", 0) + 1
            session = hotsession.current_session()
            told = {"count": socket.session["count"], "id": session and session.id, "version": version()}
            await socket.send_text(json.dumps(told))

    async def late(socket):
        await socket.accept()
        await count(socket)

    async def early(socket):
        socket.session.setdefault("count", 100)
        await socket.accept()
        await count(socket)

    async def look(request):
        return JSONResponse(dict(request.session))

    async def visit(request):
        request.session["count"] = 10
        return JSONResponse({})

    async def pass_on(request, call_next):
        return await call_next(request)

    app = Starlette(
        routes=[
            Mount("/tell", tell), Route("/look", look), Route("/visit", visit),
            WebSocketRoute("/late", late), WebSocketRoute("/early", early),
        ],
        middleware=[Middleware(BaseHTTPMiddleware, dispatch=pass_on), Middleware(hotsession.HotSessionMiddleware)],
    )
"""


@pytest.mark.parametrize("storage", ["memory", "sqlite"])
@pytest.mark.parametrize(("path", "first"), [("/early", 101), ("/late", 1)])
def test_a_client_without_a_cookie_keeps_its_session(tmp_path: Path, path: str, first: int, storage: str) -> None:
    """Whether it was made before the handshake was answered or only afterwards, each save finds it as it was."""
    env = {"HOTSESSION_STORAGE": f"sqlite:///{tmp_path / 'sessions.db'}"} if storage == "sqlite" else {}
    with serve(tmp_path, APP, env=env) as server, open_socket(server, path) as socket:
        told = [json.loads(ask(socket, "count"))]
        for _ in range(3):
            version = server.save()
            told.append(json.loads(ask(socket, "count")))
            assert told[-1]["version"] == version
        assert [each["count"] for each in told] == [*range(first, first + 4)]
        assert len({each["id"] for each in told}) == 1
        cookie = socket.response.headers.get("set-cookie") if socket.response else None
        if path == "/early":
            assert cookie is not None
            session = server.get("/look", headers={"cookie": cookie.partition(";")[0]}).json()
            assert session == {"count": first + 3}
        assert "Traceback" not in server.log


def test_a_browser_and_its_socket_share_a_session(tmp_path: Path) -> None:
    """Before and after a save, whoever writes."""
    with serve(tmp_path, APP) as server:
        cookie = server.get("/visit").headers["set-cookie"].partition(";")[0]
        with open_socket(server, "/late", additional_headers={"cookie": cookie}) as socket:
            assert json.loads(ask(socket, "count"))["count"] == 11
            server.save()
            assert json.loads(ask(socket, "count"))["count"] == 12
            assert server.get("/look", headers={"cookie": cookie}).json() == {"count": 12}
            server.get("/visit", headers={"cookie": cookie})
            server.save("base")
            assert json.loads(ask(socket, "count"))["count"] == 11
        assert "Traceback" not in server.log
