"""One request or connection of a browser: what of its session is stored, when, and which cookie the answer carries."""

from __future__ import annotations

import logging
from typing import Any

from starlette.types import Message, Send

from hotsession.asgi.cookies import SessionCookie
from hotsession.errors import InvalidTransition, SessionError, SessionNotFound
from hotsession.lifecycle.current import Visit, current
from hotsession.lifecycle.data import SessionData
from hotsession.lifecycle.manager import SessionManager
from hotsession.lifecycle.record import LIVE, Record
from hotsession.lifecycle.session import Session
from hotsession.lifecycle.token import Token, hash_token, new_token
from hotsession.lifecycle.wording import short

logger = logging.getLogger("hotsession")

STARTS = frozenset({"http.response.start", "websocket.accept", "websocket.http.response.start"})
"""The messages that carry the headers of an answer: the last that a cookie can travel with."""


class BrowserVisit:
    """One request or connection of a browser.

    Args:
        manager: of the browsers' sessions.
        cookie: that the token travels in.
        forward: what takes the messages to the client.
    """

    __slots__ = (
        "_cookie",
        "_forward",
        "_manager",
        "_record",
        "_renewed",
        "_session",
        "_started",
        "_token",
        "accessed",
        "data",
        "is_watched",
        "modified",
        "outer",
        "unsaved",
    )

    def __init__(self, manager: SessionManager, cookie: SessionCookie, forward: Send) -> None:
        self._manager = manager
        self._cookie = cookie
        self._forward = forward
        self._token: bytes | None = None  # the browser's, of a session of ours
        self._record: Record | None = None  # of the browser's session; None if it has none yet
        self._session: Session | None = None  # made when somebody asks for it, and then the one to ask for the record
        self._started = self._renewed = False
        self.outer: Visit | None = current.get()
        self.data: Any = None  # the session's
        self.accessed = self.modified = False  # by what this visit does with the data
        self.unsaved = False  # modified since it was last stored
        self.is_watched = False  # may need storing though nothing was noted: the session is new, or was asked for

    def __repr__(self) -> str:
        return f"<BrowserVisit cookie={self._cookie.name!r} session={self._session!r}>"

    def open(self, token: bytes, record: Record) -> None:
        """Take the session that the browser's token opens."""
        self._token, self._record, self.data = token, record, record.payload

    async def begin(self) -> None:
        """Have data that knows whether it is used: new for a new session, else in place of what somebody put there."""
        if self._record is None:
            self.data, self.is_watched = SessionData(), True
        else:
            self.data = SessionData(self._record.payload)
            self._record = await self._manager.ledger.save(self._record, self.data, None)

    @property
    def session(self) -> Session:
        """The browser's session; one with version 0 if it has none yet."""
        if self._session is None:
            self._session = Session(self._record or self._manager.draft(self.data), reused=self._record is not None)
            self._session._renew = self.renew
            self.is_watched = True
        return self._session

    def renew(self) -> None:
        """Let this answer bring a new token, in place of the old one."""
        if self._started:
            raise SessionError(
                f"session {short(self.session.id)} can't get a new token: the response has begun, and no cookie can "
                f"reach the browser any more; call regenerate_token() before",
                id=self.session.id,
            )
        self._renewed = True

    async def send(self, message: Message) -> None:
        """Pass a message on to the client; the one with the headers takes along what they must say."""
        if not self._started and message["type"] in STARTS:
            self._started = True
            cookie = await self._store() if self.unsaved or self.is_watched else None
            if cookie is not None or self.accessed:
                headers = [*message.get("headers", ())]
                if self.accessed:
                    _vary_by_cookie(headers)
                if cookie is not None:
                    headers.append((b"set-cookie", cookie))
                message = {**message, "headers": headers}  # an app may send one and the same dict to everybody
        await self._forward(message)

    async def finish(self) -> None:
        """Store what was written after the answer began, or without one.

        Data in memory is stored as it is; for a storage of bytes this is where it is compared and saved.
        """
        self._renewed = False  # the answer that would have brought the new token never began
        is_new = not self._known_version()
        await self._store()
        if is_new and self._started and self._known_version():
            logger.warning(
                "session %s was first written to after its answer had begun, so its browser has no cookie for it "
                "and won't find it again: write something before, in a WebSocket before accept()",
                short(self.session.id),
            )

    async def _store(self) -> bytes | None:
        """Store what was written so far, before the client can know; return the Set-Cookie header that it calls for."""
        session = self._session
        record = self._record if session is None else session.record
        if record is None or not record.version:
            token = self._fresh_token() if self.data else None
        elif record.status not in LIVE or (self.unsaved and not self.data):
            await self._end()
            return None if self._token is None else self._cookie.taking()
        elif self._renewed or record.token_hash is None:
            token = self._fresh_token()
        else:
            token = (record.token_hash, self._cookie.max_age) if self.unsaved else None
        if token is None:
            return None
        self.unsaved = False
        try:
            if session is None and record is not None:
                self._record = await self._manager.ledger.save(record, self.data, token)
            else:
                session = self.session
                session._record = await self._manager.ledger.save(session.record, session.data, token)
        except (SessionNotFound, InvalidTransition) as error:
            # Another request ended it. Storing it anew would undo a logout, so what was written here goes with it.
            logger.info("a session was over before a request that wrote to it could store that: %s", error)
            return None
        return self._cookie.giving(self._token or b"")

    def _fresh_token(self) -> Token:
        self._token = new_token()
        return hash_token(self._token), self._cookie.max_age

    def _known_version(self) -> int:
        record = self._record if self._session is None else self._session.record
        return 0 if record is None else record.version

    async def _end(self) -> None:
        self.unsaved = False
        session = self.session
        if session.record.is_live:
            try:
                await self._manager.end(session, reason="cleared")
            except (SessionNotFound, InvalidTransition) as error:
                logger.debug("session %s was over already: %s", short(session.id), error)


def _vary_by_cookie(headers: list[tuple[bytes, bytes]]) -> None:
    """Say in the headers of an answer that it depends on the cookie."""
    for at, (name, value) in enumerate(headers):
        if name == b"vary":
            if b"cookie" not in value.lower():
                headers[at] = (name, value + b", Cookie")
            return
    headers.append((b"vary", b"Cookie"))
