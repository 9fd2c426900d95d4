"""One request or connection of a browser: what of its session is stored, when, and which cookie the answer carries."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
from starlette.types import Message, Send

from hotsession.asgi.cookies import SessionCookie
from hotsession.errors import InvalidTransition, SessionError, SessionNotFound, StorageError
from hotsession.lifecycle.current import Visit, current
from hotsession.lifecycle.data import SessionData
from hotsession.lifecycle.held import Held, at_end_of_task, current_task
from hotsession.lifecycle.manager import SessionManager
from hotsession.lifecycle.record import LIVE, Record
from hotsession.lifecycle.saving import changes_in, keep_changes
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
        "_copies",
        "_failed",
        "_forward",
        "_manager",
        "_record",
        "_renewed",
        "_session",
        "_started",
        "_token",
        "accessed",
        "data",
        "held",
        "is_over",
        "is_watched",
        "modified",
        "outer",
        "task",
        "unsaved",
    )

    def __init__(self, manager: SessionManager, cookie: SessionCookie, forward: Send) -> None:
        self._manager = manager
        self._cookie = cookie
        self._forward = forward
        self._token: bytes | None = None  # the browser's, of a session of ours
        self._record: Record | None = None  # of the browser's session; None if it has none yet
        self._session: Session | None = None  # made when somebody asks for it, and then the one to ask for the record
        self._started = self._renewed = self._failed = self.is_over = False
        self._copies = manager.keeps_copies  # whether changes are to be looked for in this session or others in hand
        self.outer: Visit | None = current.get()
        self.data: Any = None  # the session's
        self.accessed = self.modified = False  # by what this visit does with the data
        self.unsaved = False  # modified since it was last stored
        self.is_watched = False  # may need storing though nothing was noted: the session is new, or was asked for
        self.held: Held | None = None
        self.task = current_task()

    def __repr__(self) -> str:
        return f"<BrowserVisit cookie={self._cookie.name!r} session={self._session!r}>"

    @property
    def manager(self) -> str:
        """Name of the manager that the session belongs to."""
        return self._manager.name

    def hold_copies(self) -> None:
        """Look for changes in the sessions in hand, too, before the client is told anything."""
        self._copies = self.is_watched = True

    def go_on(self) -> None:
        """Have a task that outlives this visit, and uses its data, save at its end what it changed in a copy."""
        if self._manager.keeps_copies:
            at_end_of_task(self.finish, id(self))

    def open(self, token: bytes | None, record: Record) -> None:
        """Take the session that the browser's token opens."""
        self._token, self._record, self.data = token, record, record.payload

    async def open_again(self, known: BrowserVisit | tuple[bytes | None, str] | None) -> bool:
        """Take the session that the same connection had before it moved on; return whether there is one.

        Args:
            known: that earlier visit, or what it told of itself.
        """
        identity = known.identity() if isinstance(known, BrowserVisit) else known
        record = None if identity is None else await self._manager.find_carried(identity[1])
        if identity is None or record is None:
            return False
        self.open(identity[0], record)
        return True

    def identity(self) -> tuple[bytes | None, str] | None:
        """The browser's token and the id of its session; None if that is not stored."""
        record = self._record if self._session is None else self._session.record
        return (self._token, record.id) if record is not None and record.version else None

    async def begin(self) -> None:
        """Have data that knows whether it is used: new for a new session, else in place of what somebody put there."""
        if self._record is None:
            self.data, self.is_watched = SessionData(), True
        elif self._manager.keeps_copies:
            self.data, self.is_watched = SessionData(self._record.payload.load()), True
        else:
            self.data = SessionData(self._record.payload)
            self._record = await self._manager.ledger.save(self._record, self.data, None)

    @property
    def session(self) -> Session:
        """The browser's session; one with version 0 if it has none yet."""
        if self._session is None:
            self._session = Session(self._record or self._manager.draft(self.data), reused=self._record is not None)
            self._session.data = self.data
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

    def send(self, message: Message) -> Awaitable[None]:
        """Pass a message on to the client; the one with the headers takes along what they must say.

        Raises:
            StorageError: when it is awaited: what was changed can't be stored, and nothing is sent that could say that
                it is.
        """
        if not self._started and message["type"] in STARTS:
            self._started = True
            return self._begin_answer(message)
        if self._copies and _tells(message):
            return self._save_and_send(message)
        return self._forward(message)

    async def _begin_answer(self, message: Message) -> None:
        if self._copies and self.held is not None:
            await self._save_copies(self.held.save)
        cookie = await self._store() if self.unsaved or self.is_watched else None
        if cookie is not None or self.accessed:
            headers = [*message.get("headers", ())]
            if self.accessed:
                _vary_by_cookie(headers)
            if cookie is not None:
                headers.append((b"set-cookie", cookie))
            message = {**message, "headers": headers}  # an app may send one and the same dict to everybody
        await self._forward(message)

    async def _save_and_send(self, message: Message) -> None:
        await self._save_copies(self._save)
        await self._forward(message)

    async def finish(self) -> None:
        """Store what was written after the answer began, or without one; nobody is left to be told what goes wrong."""
        self._renewed = False  # the answer that would have brought the new token never began
        if not self._copies:
            return await self._finish()
        with anyio.CancelScope(shield=True):  # the client may have left
            if self.held is not None:
                await self.held.finish()
            try:
                await self._finish()
            except StorageError as error:
                logger.error("What was changed in %r could not be saved: %s", self.session, error)
        return None

    async def _finish(self) -> None:
        is_new = not self._known_version()
        await self._store()
        if is_new and self._started and self._known_version():
            logger.warning(
                "session %s was first written to after its answer had begun, so its browser has no cookie for it "
                "and won't find it again: write something before, in a WebSocket before accept()",
                short(self.session.id),
            )
        if self._session is not None:
            self._session._renew = None  # no answer is left to bring a token; and a circle takes long to be collected

    async def _save_copies(self, save: Callable[[], Awaitable[None]]) -> None:
        """Save before something is sent; after a failure what is sent is about that, and no other attempt is made."""
        try:
            await save()
        except StorageError:
            self._copies = False
            self._failed = True
            raise

    async def _save(self) -> None:
        """Save what was changed in copies since the answer began."""
        if self.held is not None:
            await self.held.save()
        if self._known_version():
            self._renewed = False  # the token has gone out with the headers
            await self._store()

    def _is_changed(self) -> bool:
        """Whether something was changed inside a copy, where it can't be noted."""
        return (
            self._manager.keeps_copies and self.accessed and changes_in(self._manager.ledger, self.session) is not None
        )

    async def _store(self) -> bytes | None:
        """Store what was written so far, before the client can know; return the Set-Cookie header that it calls for."""
        if self._failed:
            return None
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
            token = (record.token_hash, self._cookie.max_age) if self.unsaved or self._is_changed() else None
        if token is None:
            return None
        self.unsaved = False
        try:
            if self._manager.keeps_copies or (session is None and record is None):
                return await self._store_whole(token)
            if session is None and record is not None:
                self._record = await self._manager.ledger.save(record, self.data, token)
            elif session is not None:
                session._record = await self._manager.ledger.save(session.record, session.data, token)
        except (SessionNotFound, InvalidTransition) as error:
            # Another request ended it. Storing it anew would undo a logout, so what was written here goes with it.
            logger.info("a session was over before a request that wrote to it could store that: %s", error)
            return None
        return self._cookie.giving(self._token or b"")

    async def _store_whole(self, token: Token) -> bytes | None:
        """Store a session that is new or a copy, and return the Set-Cookie header."""
        session, manager = self.session, self._manager
        if not session.version and manager.on_create:
            await manager.on_create.call(session)
        if not manager.keeps_copies:
            session._record = await manager.ledger.save(session.record, session.data, token)
        else:
            try:
                if not await keep_changes(manager.ledger, session, token):
                    return None
            except StorageError:
                self._failed = True
                raise
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


def _tells(message: Message) -> bool:
    """Whether a message may tell the client that something is done: the last of an answer, each of a WebSocket."""
    if message["type"] == "http.response.body":
        return not message.get("more_body", False)
    return bool(message["type"] == "websocket.send")


def _vary_by_cookie(headers: list[tuple[bytes, bytes]]) -> None:
    """Say in the headers of an answer that it depends on the cookie."""
    for at, (name, value) in enumerate(headers):
        if name == b"vary":
            if b"cookie" not in value.lower():
                headers[at] = (name, value + b", Cookie")
            return
    headers.append((b"vary", b"Cookie"))
