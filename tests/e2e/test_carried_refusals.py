"""WebSockets that are not carried over: new code refuses them, or somebody has opted out; their clients get 1012."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from tests.e2e.sockets import ask, close_of, open_socket
from tests.e2e.versioned import serve

pytestmark = pytest.mark.e2e

REFUSING = """
    from fastapi import Depends, FastAPI, WebSocket, WebSocketException
    from starlette.responses import PlainTextResponse
    from leaf import version
    from tell import tell

    app = FastAPI()
    app.mount("/tell", tell)
    new = version() != "0.0"

    async def answer(socket):
        async for text in socket.iter_text():
            await socket.send_text(f"{text} {version()}")

    def refuse():
        if new:
            raise WebSocketException(4003, "not with this token")

    @app.websocket("/stays")
    async def stays(socket: WebSocket):
        await socket.accept()
        await answer(socket)

    if not new:
        @app.websocket("/gone")
        async def gone(socket: WebSocket):
            await socket.accept()
            await answer(socket)

    @app.websocket("/closes")
    async def closes(socket: WebSocket):
        if new:
            return await socket.close(4001, "not you")
        await socket.accept()
        await answer(socket)

    @app.websocket("/denies")
    async def denies(socket: WebSocket):
        if new:
            return await socket.send_denial_response(PlainTextResponse("not you", 402))
        await socket.accept()
        await answer(socket)

    @app.websocket("/depends", dependencies=[Depends(refuse)])
    async def depends(socket: WebSocket):
        await socket.accept()
        await answer(socket)

    @app.websocket("/fails")
    async def fails(socket: WebSocket):
        if new:
            raise RuntimeError("not today")
        await socket.accept()
        await answer(socket)

    @app.websocket("/returns")
    async def returns(socket: WebSocket):
        if not new:
            await socket.accept()
            await answer(socket)

    @app.websocket("/fails_later")
    async def fails_later(socket: WebSocket):
        await socket.accept()
        if new:
            raise RuntimeError("not any more")
        await answer(socket)

    @app.websocket("/closes_later")
    async def closes_later(socket: WebSocket):
        await socket.accept()
        if new:
            return await socket.close(4002, "that was it")
        await answer(socket)
"""

OPTED_OUT = """
    from fastapi import APIRouter, Depends, FastAPI, WebSocket
    from starlette.routing import Mount, WebSocketRoute
    from starlette.applications import Starlette
    import hotsession
    from leaf import version
    from tell import marks, tell

    out = Depends(hotsession.close_on_reload)

    async def answer(socket: WebSocket):
        await socket.accept()
        try:
            async for text in socket.iter_text():
                await socket.send_text(f"{text} {version()}")
        finally:
            marks.append(f"{socket.url.path} cleaned")

    async def by_hand(socket):
        hotsession.close_on_reload(socket)
        await answer(socket)

    app = FastAPI()
    app.mount("/tell", tell)
    app.websocket("/stays")(answer)
    app.websocket("/route", dependencies=[out])(answer)

    router = APIRouter(prefix="/router", dependencies=[out])
    router.websocket("/route")(answer)
    app.include_router(router)

    whole = FastAPI(dependencies=[out])
    whole.websocket("/route")(answer)
    app.mount("/whole", whole)

    app.mount("/by", Starlette(routes=[WebSocketRoute("/hand", by_hand)]))
"""


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/gone", ""),
        ("/closes", "4001|not you"),
        ("/denies", "402"),
        ("/depends", "4003|not with this token"),
        ("/fails", "not today"),
        ("/returns", ""),
    ],
)
def test_new_code_refuses(tmp_path: Path, path: str, why: str) -> None:
    """Its client gets 1012, so that it asks again and is refused as ever; the log says which connection and why."""
    with serve(tmp_path, REFUSING) as server, open_socket(server, path) as socket:
        with open_socket(server, "/stays") as other:
            assert ask(socket, "1") == "1 0.0"
            new = server.save()
            assert ask(other, "1") == f"1 {new}"
        assert close_of(socket)[0] == 1012
        server.wait_for_line(rf"(?s){path}\b.*(?:{why})")
        server.wait_until_alive(new)


@pytest.mark.parametrize(("path", "code"), [("/fails_later", 1006), ("/closes_later", 4002)])
def test_new_code_ends_what_it_has_taken_over(tmp_path: Path, path: str, code: int) -> None:
    """After it has accepted, its exception (uvicorn breaks off then) or its own close is as without hotsession."""
    with serve(tmp_path, REFUSING) as server, open_socket(server, path) as socket:
        assert ask(socket, "1") == "1 0.0"
        server.save()
        assert close_of(socket)[0] == code
        if path == "/fails_later":
            server.wait_for_line("RuntimeError: not any more")


def test_routes_routers_apps_and_handlers_opt_out(tmp_path: Path) -> None:
    """Their clients get 1012 at a save, and their handlers' cleanup runs; the route beside them goes on."""
    paths = ("/route", "/router/route", "/whole/route", "/by/hand")
    with (
        serve(tmp_path, OPTED_OUT) as server,
        contextlib.ExitStack() as stack,
        open_socket(server, "/stays") as other,
    ):
        sockets = {path: stack.enter_context(open_socket(server, path)) for path in paths}
        for path, socket in sockets.items():
            assert ask(socket, path) == f"{path} 0.0"
        new = server.save()
        for socket in sockets.values():
            assert close_of(socket)[0] == 1012
        assert ask(other, "1") == f"1 {new}"
        server.wait_until_alive(new)
        assert {f"{path} cleaned" for path in paths} <= {*server.marks}
        assert "Traceback" not in server.log


def test_an_app_opts_out_on_the_command_line(tmp_path: Path) -> None:
    """With `--no-carry` every client gets 1012 at a save, and its next connection is to new code."""
    with serve(tmp_path, OPTED_OUT, "--no-carry") as server:
        with open_socket(server, "/stays") as socket:
            assert ask(socket, "1") == "1 0.0"
            new = server.save()
            assert close_of(socket)[0] == 1012
        with open_socket(server, "/stays") as socket:
            assert ask(socket, "1") == f"1 {new}"
        server.wait_until_alive(new)
        assert "Traceback" not in server.log
