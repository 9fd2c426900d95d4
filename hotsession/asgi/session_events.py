"""The event stream of sessions: what a client hears, from where it goes on, and how the stream ends.

Each event has an id, by which a browser that comes back goes on where it was, also over a restart of the server
(https://html.spec.whatwg.org/multipage/server-sent-events.html). Events:

* ``ready``: listening has begun, from here on nothing is missed. Who lists the sessions after it misses nothing.
* ``session``: one was written; the data is the session as it is now. Of several writes in a row the last is told.
* ``resync``: what happened in between can't be told, because the id is too old or of another storage: list them anew.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import secrets
from collections.abc import AsyncGenerator
from contextlib import aclosing

import anyio
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from hotsession.asgi.event_stream import RETRY
from hotsession.asgi.session_access import Reach
from hotsession.asgi.session_feed import Feed, feed_of
from hotsession.asgi.session_json import as_text, session_json
from hotsession.errors import StorageError
from hotsession.lifecycle.manager import SessionManager
from hotsession.lifecycle.record import Key
from hotsession.lifecycle.session import Session
from hotsession.loops import Waiter
from hotsession.registry import registry
from hotsession.snapshot.opening import carrier
from hotsession.surroundings.signals import before_the_end

logger = logging.getLogger("hotsession")

HEARTBEAT_SECONDS = 15.0  # proxies close what is silent for a minute, some for half of one
_RETRY = b"retry: 1000\n\n"  # milliseconds, after a loss of the network; the end of a stream says a shorter time
_HEARTBEAT = b": still here\n\n"
_ID = re.compile(r"([0-9a-f]{8})-([0-9]{1,18})")


class SessionEvents:
    """The events of a manager's sessions that one client may hear.

    Args:
        manager: whose.
        reach: which of them.
        key: only those of this key.
        last_id: that of the last event the client has had; None if it begins.
    """

    def __init__(
        self,
        manager: SessionManager,
        reach: Reach,
        *,
        key: Key | None = None,
        last_id: str | None = None,
    ) -> None:
        self._manager = manager
        self._reach = reach
        self._key = key
        self._tag = _tag(manager)
        self._last_id = last_id

    def __repr__(self) -> str:
        return f"<SessionEvents of {self._manager.name!r} after {self._last_id}>"

    async def begin(self) -> AsyncGenerator[bytes, None]:
        """Begin to listen, and return the stream: event by event, without end.

        Raises:
            StorageError: the storage does not tell what changes.
        """
        feed = feed_of(self._manager)
        position, first = self._told_before(), b""
        if position is None:
            position = await feed.position()
            first = self._event("ready" if self._last_id is None else "resync", position, "{}")
        return self._parts(feed, position, first)

    async def _parts(self, feed: Feed, position: int, first: bytes) -> AsyncGenerator[bytes, None]:
        yield _RETRY + first
        while True:
            news = None
            with anyio.move_on_after(HEARTBEAT_SECONDS):
                news = await feed.after(position)
            if news is None:
                yield _HEARTBEAT
            elif not news.changes.complete:
                position = await feed.position()
                yield self._event("resync", position, "{}")
            else:
                for number, session in news.changes.sessions:
                    if (told := await self._told(number, session, news.texts)) is not None:
                        yield told
                position = news.changes.position

    async def _told(self, number: int, session: Session, texts: dict[int, str]) -> bytes | None:
        """The event of a session that was written; None if this client does not hear of it."""
        if self._key not in (None, session.key) or not await self._reach.holds(session):
            return None
        if number not in texts:
            texts[number] = as_text(session_json(session, self._manager.clock()))
        return self._event("session", number, texts[number])

    def _told_before(self) -> int | None:
        """Up to where the client has heard; None if it has not, or not from this storage."""
        found = _ID.fullmatch(self._last_id or "")
        return int(found[2]) if found is not None and found[1] == self._tag else None

    def _event(self, name: str, position: int, data: str) -> bytes:
        return f"id: {self._tag}-{position}\nevent: {name}\ndata: {data}\n\n".encode()


class EventResponse(Response):
    """An event stream as a response. It ends when its client leaves, and when the server is told to end: a server
    that waits for its connections would wait for ever.

    Args:
        parts: the stream.
    """

    media_type = "text/event-stream"

    def __init__(self, parts: AsyncGenerator[bytes, None]) -> None:
        self.status_code = 200
        self.background = None
        self._parts = parts
        self.init_headers({"cache-control": "no-store", "x-accel-buffering": "no"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream."""
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        if scope["method"] == "HEAD":
            await send({"type": "http.response.body", "body": b""})
            return
        open_streams: OpenStreams = registry.object("open event streams", OpenStreams)
        end = open_streams.opened()
        is_left = False

        async def until_left(scope: anyio.CancelScope) -> None:
            nonlocal is_left
            while (await receive())["type"] != "http.disconnect":
                pass  # what a client sends with a GET is of no interest
            is_left = True
            scope.cancel()

        async def until_end(scope: anyio.CancelScope) -> None:
            await end.wait()
            scope.cancel()

        try:
            async with anyio.create_task_group() as group:
                group.start_soon(until_left, group.cancel_scope)
                group.start_soon(until_end, group.cancel_scope)
                is_left = not await self._send_all(send)
                group.cancel_scope.cancel()
        finally:
            open_streams.closed(end)
        if not is_left:
            await send({"type": "http.response.body", "body": RETRY + b"\n", "more_body": False})

    async def _send_all(self, send: Send) -> bool:
        """Send what there is, without end; False when the client is gone."""
        async with aclosing(self._parts) as parts:
            try:
                async for part in parts:
                    await send({"type": "http.response.body", "body": part, "more_body": True})
            except OSError:  # what the specification of ASGI has servers raise
                return False
            except StorageError as error:
                logger.warning("An event stream of sessions ends, and its client comes back: %s", error)
        return True


class OpenStreams:
    """The open event streams of this process; they end when it is told to end. One per process."""

    def __init__(self) -> None:
        self._ends: dict[Waiter, None] = {}
        self._is_told = False

    def __repr__(self) -> str:
        return f"<OpenStreams {len(self._ends)} told={self._is_told}>"

    def opened(self) -> Waiter:
        """Take note of one; what it returns is woken when it has to end."""
        before_the_end(self.end)  # each time: a server that began meanwhile would not let us hear of the end
        end = Waiter()
        self._ends[end] = None
        if self._is_told:
            end.wake()
        return end

    def closed(self, end: Waiter) -> None:
        """Forget one."""
        self._ends.pop(end, None)

    def end(self) -> None:
        """End them all, from a signal handler: nothing is locked or logged."""
        self._is_told = True
        for end in tuple(self._ends):
            end.wake()


def last_event_id(connection: HTTPConnection) -> str | None:
    """What a client has heard last: by the header of browsers, or in the query, where a page can set it itself."""
    return connection.headers.get("last-event-id") or connection.query_params.get("last_event_id") or None


def _tag(manager: SessionManager) -> str:
    """What tells ids of this manager in this storage from others; of another process, where nothing outlives one."""
    storage = manager.storage
    lasts = storage.is_shared or carrier() is not None
    nonce = "" if lasts else registry.object("event tag", lambda: secrets.token_hex(8))
    text = json.dumps([manager.name, type(storage).__name__, nonce])
    return hashlib.blake2s(text.encode(), digest_size=4).hexdigest()
