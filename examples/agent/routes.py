"""The page, the event stream that tells what happens, and the WebSocket that questions come by."""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request, WebSocket, WebSocketDisconnect
from fastapi.responses import FileResponse, StreamingResponse
from starlette.requests import HTTPConnection

import hotsession

from .answering import ask, stop, take_up
from .journal import conversations, follow, ring
from .tools import TOOLS

PAGE = Path(__file__).parent / "page"
LONGEST_QUESTION = 1_000
LONGEST_ID = 100
REFUSAL = 'Send {"id": "...", "text": "..."} with a question, or {"id": "...", "stop": true}.'

router = APIRouter()
connections = hotsession.keep("agent connections", lambda: {"opened": 0})


def may(connection: HTTPConnection, action: str) -> str | None:
    """Everybody may see the conversations of their own."""
    return connection.session.get("visitor") if action in ("list", "get", "events") else None


@router.get("/", include_in_schema=False)
async def page(request: Request) -> FileResponse:
    """The page; it brings the cookie, so that the stream and the socket are of the same visitor."""
    _visitor(request)
    return FileResponse(PAGE / "index.html", headers={"cache-control": "no-cache"})


@router.get("/api/events")
async def events(request: Request, last_event_id: Annotated[str, Header()] = "") -> StreamingResponse:
    """What happens in the conversation, from its beginning, or from after the event that was heard last."""
    conversation = await _conversation_of(request)
    code = request.app.state.code
    if not request.scope.get("hotsession", {}).get("resumed"):
        await take_up(conversation.id, code)
    name, _, number = last_event_id.rpartition("-")
    after = int(number) if name == conversation.id and number.isdecimal() else 0
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(_stream(conversation.id, after, code), media_type="text/event-stream", headers=headers)


@router.post("/api/conversation", status_code=204)
async def begin_anew(request: Request) -> None:
    """End the conversation; its stream ends, and the page that comes back gets a new one."""
    before = await _conversation_of(request)
    await conversations.get_or_create(before.key, force_new=True)
    ring(before.id)


@router.websocket("/api/ask")
async def talk(websocket: WebSocket) -> None:
    """Hear questions, and the stop button, until one side closes. A message that arrived is acknowledged by its id."""
    _visitor(websocket)
    code = websocket.app.state.code
    await websocket.accept()
    if not websocket.scope.get("hotsession", {}).get("resumed"):
        connections["opened"] += 1
        await websocket.send_json({"type": "hello", "connection": connections["opened"], "tools": _tools()})
    try:
        while True:
            message = _understood(await websocket.receive_text())
            if message is None:
                await websocket.send_json({"type": "refused", "text": REFUSAL})
                continue
            conversation = (await _conversation_of(websocket)).id
            if "text" in message:
                await ask(conversation, message["id"], message["text"], code)
            else:
                await stop(conversation)
            await websocket.send_json({"type": "heard", "ack": message["id"], "conversation": conversation})
    except WebSocketDisconnect:
        return  # the page was closed, or newer code goes on with this connection: the answer depends on neither


def _understood(text: str) -> dict[str, str] | None:
    with contextlib.suppress(ValueError):
        match json.loads(text):
            case {"id": str(id), "stop": True}:
                return {"id": id}
            case {"id": str(id), "text": str(question)} if question.strip() and len(id) <= LONGEST_ID:
                return {"id": id, "text": question.strip()[:LONGEST_QUESTION]}
    return None


async def _stream(conversation: str, after: int, code: str) -> AsyncGenerator[bytes]:
    """The events in the format of event streams. The first has an id, too: it says that the stream can be resumed."""
    yield b"retry: 250\n" + _event(conversation, after, {"type": "begin", "conversation": conversation, "code": code})
    async for event in follow(conversation, after):
        yield b": listening\n\n" if event is None else _event(conversation, event["id"], event)


def _event(conversation: str, number: int, data: dict[str, Any]) -> bytes:
    return f"id: {conversation}-{number}\ndata: {json.dumps(data)}\n\n".encode()


def _tools() -> list[dict[str, str]]:
    return [{"purpose": tool.purpose, "example": tool.example} for tool in TOOLS.values()]


def _visitor(connection: HTTPConnection) -> str:
    visitor: str = connection.session.setdefault("visitor", secrets.token_hex(8))
    return visitor


async def _conversation_of(connection: HTTPConnection) -> hotsession.Session:
    """The conversation of the browser behind a connection."""
    return await conversations.get_or_create(_visitor(connection))
