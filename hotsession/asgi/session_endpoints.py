"""What the HTTP routes of sessions do: they ask the gate, call the manager and answer with JSON. Knows no paths."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Collection, Iterable
from functools import cache
from importlib.resources import files
from typing import Any

import anyio.lowlevel
from starlette.requests import Request
from starlette.responses import Response

from hotsession.asgi.session_access import Action, Gate, Reach, check_origin
from hotsession.asgi.session_events import EventResponse, SessionEvents, last_event_id
from hotsession.asgi.session_json import json_response, plain, session_json
from hotsession.asgi.session_query import key_in, limit_in, read_object, status_in
from hotsession.lifecycle.limits import Limits
from hotsession.lifecycle.manager import SessionManager
from hotsession.lifecycle.record import LIVE, NEXT, Key, new_record
from hotsession.lifecycle.session import Session

DEFAULT_LIMIT = 100


class SessionEndpoints:
    """The endpoints over one manager.

    Args:
        manager: whose sessions they are about.
        gate: says who may do what.
        origins: of further sites whose pages may change sessions.
    """

    def __init__(self, manager: SessionManager, gate: Gate, origins: Collection[str]) -> None:
        self.manager = manager
        self._gate = gate
        self._origins = frozenset(origins)

    def __repr__(self) -> str:
        return f"<SessionEndpoints of {self.manager.name!r} {self._gate!r}>"

    # seeing

    async def listing(self, request: Request) -> Response:
        """The sessions that the client may see, newest first, and how many there are in all."""
        reach = await self._gate.reach(request, "list")
        status, key = status_in(request.query_params), key_in(request.query_params)
        limit = limit_in(request.query_params, DEFAULT_LIMIT)
        found, total = await self._seen(reach, status, key, limit)
        return json_response({"sessions": [self._json(session) for session in found], "total": total})

    async def get(self, request: Request) -> Response:
        """One session, whatever its state."""
        return self._shown(await self.manager.get(await self._permitted(request, "get")))

    async def events(self, request: Request) -> Response:
        """What is written from now on, or since the last event that the client has had."""
        reach = await self._gate.reach(request, "events")
        key, last_id = key_in(request.query_params), last_event_id(request)
        events = SessionEvents(self.manager, reach, key=key, last_id=last_id)
        return EventResponse(await events.begin())

    async def metrics(self, request: Request) -> Response:
        """How often sessions are reused, how long they live, and so on."""
        await self._gate.admit_to_all(request, "metrics")
        return json_response(plain(await self.manager.metrics()))

    async def script(self, request: Request) -> Response:
        """The browser's side, a JavaScript module. It tells nothing of this app, so everybody may have it."""
        text, tag = _script(request.url.path.rsplit("/", 1)[-1])
        headers = {"etag": tag, "cache-control": "no-cache"}  # kept, and used when the server says it is still right
        if tag in (each.strip().removeprefix("W/") for each in request.headers.get("if-none-match", "").split(",")):
            return Response(status_code=304, headers=headers)
        return Response(text, headers=headers, media_type="text/javascript")

    # changing

    async def start(self, request: Request) -> Response:
        """The live session of a key, made if there is none: 201 if it was made, else 200."""
        check_origin(request, self._origins)
        wish = await read_object(request, {"key": None, "data": {}, "force_new": False})
        key: Key | None = wish["key"]
        known = None if key is None else await self._live(key)
        await self._gate.admit_to(request, "start", known or self._draft(key, wish["data"]), manager=self.manager.name)
        session = await self.manager.get_or_create(key, force_new=wish["force_new"], data=wish["data"])
        if session.reused and (known is None or known.id != session.id):  # made by somebody else meanwhile
            await self._gate.admit_to(request, "start", session, manager=self.manager.name)
        return json_response({**self._json(session), "reused": session.reused}, 200 if session.reused else 201)

    async def pause(self, request: Request) -> Response:
        """Let a session rest."""
        return await self._change(request, "pause", self.manager.pause)

    async def resume(self, request: Request) -> Response:
        """Go on with a session that rests."""
        return await self._change(request, "resume", self.manager.resume)

    async def end(self, request: Request) -> Response:
        """End a session for good."""
        return await self._change(request, "end", self.manager.end)

    async def _change(self, request: Request, action: Action, change: Callable[..., Awaitable[Session]]) -> Response:
        check_origin(request, self._origins)
        wish = await read_object(request, {} if action == "resume" else {"reason": None})
        return self._shown(await change(await self._permitted(request, action), **wish))

    # the parts

    async def _seen(self, reach: Reach, status: str | None, key: Key | None, limit: int) -> tuple[list[Session], int]:
        """Sessions that a client may see, and how many there are beyond the limit."""
        if reach.is_everything:
            found = await self.manager.list(status, key, limit)
            return found, len(found) if len(found) < limit else await self._count(status, key)
        if reach.keys is None:
            keys: Collection[Key | None] = [key]
        else:
            keys = reach.keys if key is None else reach.keys & {key}
        found = [session for each in keys for session in await self.manager.list(status, each)]
        found = await _within(reach, found)
        if len(keys) > 1:
            found.sort(key=lambda session: session.created_at, reverse=True)
        return found[:limit], len(found)

    async def _count(self, status: str | None, key: Key | None) -> int:
        if key is not None:
            return len(await self.manager.list(status, key))
        counts = [await self.manager.count(each) for each in ([status] if status else NEXT)]
        return sum(counts)

    async def _permitted(self, request: Request, action: Action) -> str:
        """The id that a request names, if its client may do this with the session, or may learn that there is none.

        Raises:
            SessionNotFound: the client should not know of it.
            Refusal: the client may not.
        """
        public_id = str(request.path_params["id"])
        record = await self.manager.ledger.storage.get(public_id)
        if record is None or record.manager != self.manager.name:
            await self._gate.admit(request, action)
        else:
            await self._gate.admit_to(request, action, Session(record, reused=True), manager=self.manager.name)
        return public_id

    async def _live(self, key: Key) -> Session | None:
        for status in LIVE:
            if found := await self.manager.list(status, key, 1):
                return found[0]
        return None

    def _draft(self, key: Key | None, data: dict[str, Any]) -> Session:
        """The session that would be made, for the app to judge."""
        record = new_record("", self.manager.name, key, data, self.manager.clock(), Limits())
        return Session(record, reused=False)

    def _json(self, session: Session) -> dict[str, Any]:
        return session_json(session, self.manager.clock())

    def _shown(self, session: Session) -> Response:
        return json_response(self._json(session))


async def _within(reach: Reach, sessions: Iterable[Session]) -> list[Session]:
    """Those that a client may see. There may be many, so others get their turn in between."""
    found = []
    for number, session in enumerate(sessions):
        if number % 100 == 99:
            await anyio.lowlevel.checkpoint()
        if await reach.holds(session):
            found.append(session)
    return found


@cache
def _script(name: str) -> tuple[str, str]:
    """A module of the browser's side, one that there is a route for, and its tag."""
    text = files("hotsession.asgi.pages").joinpath(name).read_text(encoding="utf-8")
    return text, f'"{hashlib.blake2s(text.encode(), digest_size=8).hexdigest()}"'
