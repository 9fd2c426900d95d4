"""The page, the previews behind their links, the three that ask at once, and the chat."""

from __future__ import annotations

import asyncio
import html
import json
from pathlib import Path
from string import Template
from typing import Any

from starlette.requests import HTTPConnection, Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

import hotsession

from .bot import handle
from .managers import chats, previews
from .sites import SITES

PAGE = Path(__file__).parent / "page"
CALLERS = ("editor", "generator", "save button")
STATUS = {"session_not_found": 404, "session_expired": 410}


def may(connection: HTTPConnection, action: str) -> bool:
    """Whoever reaches this example may do everything; an app of yours returns the key of who is logged in."""
    return True


async def page(request: Request) -> Response:
    """The workbench."""
    return FileResponse(PAGE / "index.html", headers={"cache-control": "no-cache"})


async def projects(request: Request) -> Response:
    """What there is to preview."""
    return JSONResponse(list(SITES))


async def open_at_once(request: Request) -> Response:
    """Have three ask for the preview of a project at the same moment, as an editor, a generator and a button do."""
    project = request.path_params["project"]
    found = await asyncio.gather(*(previews.get_or_create(project) for _ in CALLERS))
    return JSONResponse(
        [{"by": by, "id": each.id, "reused": each.reused} for by, each in zip(CALLERS, found, strict=True)]
    )


async def count(request: Request) -> Response:
    """Count in a preview; one that is over refuses, and says which one is not."""

    def more(data: dict[str, Any]) -> None:
        data["counter"] += 1

    preview = await previews.update(request.path_params["id"], more)
    return JSONResponse({"id": preview.id, "counter": preview.data["counter"]})


async def show(request: Request) -> Response:
    """A preview behind its link. That of one that is over says so, and leads to the one that there is."""
    try:
        preview = await previews.get(request.path_params["id"])
        if preview.status not in ("active", "paused"):
            live = [each.id for each in await previews.list(key=preview.key) if each.status in ("active", "paused")]
            return _over(f"This preview of the {preview.key} is {preview.status}: {preview.reason}.", live, 410)
    except hotsession.SessionError as error:
        return _over(f"{error}", list(error.alternatives), STATUS.get(error.code, 409))
    filled = {"project": html.escape(str(preview.key)), "counter": preview.data["counter"], "id": preview.id}
    return HTMLResponse(Template((PAGE / "preview.html").read_text()).substitute(filled))


async def chat(request: Request) -> Response:
    """The chat of a user, without another message."""
    found = await chats.get_or_create(request.query_params.get("user") or "ada")
    return _shown(found)


async def say(request: Request) -> Response:
    """Send a message to the bot: a line that somebody wrote, or the label of a button."""
    match json.loads(await request.body() or b"null"):
        case {"user": str(user), "text": str(text)} if user and text.strip():
            return _shown(await handle(user, text.strip()[:500]))
    return JSONResponse({"code": "no_message", "detail": 'Send {"user": "...", "text": "..."}.'}, 400)


async def refused(request: Request, error: Exception) -> Response:
    """What can't be done with a session, with the sessions that it could be done with."""
    if not isinstance(error, hotsession.SessionError):
        raise error
    content = {"code": error.code, "detail": str(error), "id": error.id, "alternatives": error.alternatives}
    return JSONResponse(content, STATUS.get(error.code, 409))


def _over(text: str, live: list[str], status: int) -> Response:
    links = "".join(f'<p><a href="{html.escape(each)}">Go to the one that runs</a></p>' for each in live[:1])
    over = Template((PAGE / "over.html").read_text()).substitute(text=html.escape(text), links=links)
    return HTMLResponse(over, status)


def _shown(chat: hotsession.Session) -> Response:
    return JSONResponse({"session": chat.id, "messages": chat.data.get("messages", [])})


routes = [
    Route("/", page),
    Route("/api/projects", projects),
    Route("/api/projects/{project}/open", open_at_once, methods=["POST"]),
    Route("/api/preview/{id}/count", count, methods=["POST"]),
    Route("/preview/{id}", show),
    Route("/api/chat", chat),
    Route("/api/chat", say, methods=["POST"]),
    *hotsession.session_routes(previews, may, prefix="/api/sessions"),
    *hotsession.session_routes(previews, may, prefix="/api/session"),
    Mount("/page", StaticFiles(directory=PAGE)),
]
