"""The page, the history over HTTP, and the chat over a WebSocket."""

from __future__ import annotations

import asyncio
import json
import secrets
from pathlib import Path
from typing import Any

from starlette.requests import HTTPConnection, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket

import hotsession

from .models import Message, read
from .services import ACCOUNTS, Planner, UnknownKey, summary

PAGE = Path(__file__).parent / "page"
SERVICE_RESTART = 1012
LONGEST_MESSAGE = 2_000

chats = hotsession.sessions("chats")
connections = hotsession.keep("connections", lambda: {"opened": 0})
sockets: dict[WebSocket, asyncio.Lock] = {}


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
    """Answer message after message until one side closes."""
    await _chat_of(websocket)  # before accept, which is where a new visitor gets the cookie
    await websocket.accept()
    connections["opened"] += 1
    await websocket.send_json({"type": "hello", "connection": connections["opened"], "code": websocket.app.state.code})
    answering = sockets[websocket] = asyncio.Lock()
    try:
        async for asked in websocket.iter_text():
            async with answering:
                if websocket not in sockets:
                    break  # `say_goodbye` has closed it: the page asks again, and the new code answers
                await websocket.send_json(await _reply(websocket, asked))
    finally:
        sockets.pop(websocket, None)


async def say_goodbye() -> None:
    """Close every open socket once it has given the answer it is working on; the page comes back at once."""
    for websocket, answering in list(sockets.items()):
        async with answering:
            if sockets.pop(websocket, None) is not None:
                await websocket.close(SERVICE_RESTART, "new code")


async def _reply(websocket: WebSocket, asked: str) -> dict[str, Any]:
    try:
        said, api_key = _understood(asked)
        planner = await hotsession.get_service(Planner, key=api_key, api_key=api_key)
    except (ValueError, UnknownKey) as error:
        return {"type": "error", "text": str(error)}
    chat = await _chat_of(websocket)  # asked for each time: the page may have begun another chat meanwhile
    answer = await planner.answer(chat, said, websocket.app.state.code)
    return {"type": "answer", "to": said.get("id"), "message": answer, "answers": planner.answers, "trip": _trip(chat)}


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


routes = [
    Route("/", page),
    Route("/api/chat", history),
    Route("/api/chat", new_chat, methods=["POST"]),
    WebSocketRoute("/api/talk", talk),
    Mount("/page", StaticFiles(directory=PAGE)),
]
