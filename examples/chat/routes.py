"""The page, the history over HTTP, and the chat over a WebSocket."""

from __future__ import annotations

import contextlib
import json
import secrets
from pathlib import Path
from typing import Any

from starlette.requests import HTTPConnection, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket, WebSocketDisconnect

import hotsession

from .models import Message, read
from .services import ACCOUNTS, Planner, UnknownKey, spoken, summary

PAGE = Path(__file__).parent / "page"
LONGEST_MESSAGE = 2_000

chats = hotsession.sessions("chats")
connections = hotsession.keep("connections", lambda: {"opened": 0})
# The pages that are open, by the id of their connection; sockets can't be pickled, so a new process begins with none.
here: dict[str, WebSocket] = hotsession.keep("here", dict, restart="rebuild")


async def page(request: Request) -> Response:
    """The chat page."""
    return FileResponse(PAGE / "index.html", headers={"cache-control": "no-cache"})


async def history(request: Request) -> Response:
    """The chat of this browser, from its first message."""
    return JSONResponse(_shown(request, await _chat_of(request)))


async def new_chat(request: Request) -> Response:
    """End the chat of this browser and begin another."""
    await chats.end((await _chat_of(request)).id)
    return JSONResponse(_shown(request, await _chat_of(request)))


async def talk(websocket: WebSocket) -> None:
    """Answer message after message until one side closes, or newer code goes on with the connection."""
    await _chat_of(websocket)  # before accept, which is where a new visitor gets the cookie
    await websocket.accept()
    connection: str = websocket.scope["hotsession"]["connection"]  # the same for old and new code
    here[connection] = websocket
    stays = False
    try:
        await _greet(websocket)
        while True:
            await _answer(websocket, await websocket.receive_text())
    except WebSocketDisconnect as disconnect:
        stays = disconnect.reason == hotsession.RELOADED  # the page is still there: nobody has left
    finally:
        if not stays:
            here.pop(connection, None)
            await _tell_everybody()


async def _greet(websocket: WebSocket) -> None:
    """Say which code answers from now on, and to a page that is new who it is and how many are here."""
    code = websocket.app.state.code
    if websocket.scope["hotsession"]["resumed"]:
        await websocket.send_json({"type": "code", "code": code})
        return
    connections["opened"] += 1
    await websocket.send_json({"type": "hello", "connection": connections["opened"], "code": code})
    await _tell_everybody()


async def _tell_everybody() -> None:
    for websocket in list(here.values()):
        with contextlib.suppress(RuntimeError, WebSocketDisconnect):  # it is leaving, and will say so itself
            await websocket.send_json({"type": "here", "pages": len(here)})


async def _answer(websocket: WebSocket, asked: str) -> None:
    """Answer a message word by word. The answer is in the session by then; `ack` lets the page forget the message."""
    reply = await _reply(websocket, asked)
    if reply["type"] == "answer":
        async for words in spoken(reply["message"]["text"]):
            await websocket.send_json({"type": "words", "to": reply["ack"], "text": words})
    await websocket.send_json(reply)


async def _reply(websocket: WebSocket, asked: str) -> dict[str, Any]:
    said: Message = {"role": "you", "text": ""}
    try:
        said, api_key = _understood(asked)
        planner = await hotsession.get_service(Planner, key=api_key, api_key=api_key)
    except (ValueError, UnknownKey) as error:
        return {"type": "error", "ack": said.get("id"), "text": str(error)}
    chat = await _chat_of(websocket)  # asked for each time: the page may have begun another chat meanwhile
    answer = await planner.answer(chat, said, websocket.app.state.code)
    return {"type": "answer", "ack": said.get("id"), "message": answer, "answers": planner.answers, "trip": _trip(chat)}


def _understood(asked: str) -> tuple[Message, str]:
    match json.loads(asked):
        case {"text": str(text), "api_key": str(api_key), "id": str(message_id)} if text.strip():
            if len(text) > LONGEST_MESSAGE:
                raise ValueError(f"That is {len(text)} characters; I read up to {LONGEST_MESSAGE}.")
            return Message(role="you", text=text.strip(), id=message_id), api_key
    raise ValueError('Send {"id": "...", "text": "...", "api_key": "..."} with a text that is not empty.')


async def _chat_of(connection: HTTPConnection) -> hotsession.Session:
    """The chat of the browser behind a connection: one per visitor, whoever asks and however often."""
    visitor = connection.session.get("visitor")
    if visitor is None:
        visitor = connection.session["visitor"] = secrets.token_hex(8)
    return await chats.get_or_create(visitor)


def _shown(request: Request, chat: hotsession.Session) -> dict[str, Any]:
    return {
        "id": chat.id,
        "messages": chat.data.get("messages", []),
        "trip": _trip(chat),
        "code": request.app.state.code,
        "accounts": {api_key: account.planner for api_key, account in ACCOUNTS.items()},
    }


def _trip(chat: hotsession.Session) -> str:
    return summary(read(chat.data.get("messages", [])).trip)


def may(connection: HTTPConnection, action: str) -> str | None:
    """Everybody may see the chat of their own."""
    return connection.session.get("visitor") if action in ("list", "get", "events") else None


routes = [
    Route("/", page),
    Route("/api/chat", history),
    Route("/api/chat", new_chat, methods=["POST"]),
    WebSocketRoute("/api/talk", talk),
    Mount("/api/sessions", hotsession.session_routes(chats, may)),  # brings hotsession.js
    Mount("/page", StaticFiles(directory=PAGE)),
]
