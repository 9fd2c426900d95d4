"""The middleware that gives every browser a session. Knows cookies and the manager, no storage."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Literal

from starlette.types import ASGIApp, Receive, Scope, Send

from hotsession.asgi.cookies import SessionCookie
from hotsession.asgi.standing import CARRIED, ensure_standing
from hotsession.asgi.visit import BrowserVisit
from hotsession.background.around import begin_tasks, live
from hotsession.kept import SESSIONS, sessions
from hotsession.lifecycle.current import current
from hotsession.lifecycle.manager import SessionManager
from hotsession.lifecycle.token import Signer, hash_token
from hotsession.registry import registry
from hotsession.snapshot.opening import carrier
from hotsession.storages.base import Storage

if TYPE_CHECKING:
    from hotsession.asgi.under_reloader import UnderReloader

BROWSERS = f"{SESSIONS}default"


class HotSessionMiddleware:
    """Gives HTTP requests and WebSockets a `session`: a dict that stays on the server and survives reloads.

    A drop-in for Starlette's `SessionMiddleware`, for Starlette, FastAPI and any other ASGI app, on asyncio and trio.
    The cookie holds a random token; what it opens is a session of the manager `hotsession.sessions()`, which
    `hotsession.current_session()` returns. A session is made, and the cookie sent, when something is written; clearing
    the dict ends it. Two of these middlewares with one cookie name, one inside the other, are one session.

    Args:
        app: the ASGI app.
        storage: where the sessions go; None for the one of `hotsession.sessions()`.
        session_cookie: name of the cookie.
        max_age: seconds after the last write when cookie and session expire; None for when the browser is closed.
        path: below which the browser sends the cookie.
        same_site: ``"lax"``, ``"strict"`` or ``"none"``.
        https_only: whether the browser sends it over HTTPS only.
        domain: that it is for, subdomains included; None for this host alone.
        partitioned: whether the browser keeps it apart per embedding site.
        secret_key: signs the cookie when given, so that a forged one is refused before the storage is asked.

    Example:
        ``app = Starlette(routes=..., middleware=[Middleware(HotSessionMiddleware)])``
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        storage: Storage | None = None,
        session_cookie: str = "session",
        max_age: int | None = 14 * 24 * 60 * 60,
        path: str = "/",
        same_site: Literal["lax", "strict", "none"] = "lax",
        https_only: bool = False,
        domain: str | None = None,
        partitioned: bool = False,
        secret_key: object | None = None,
    ) -> None:
        self.app = app
        self._storage = storage
        self._entry: object = None  # of the manager, in the registry
        self._reloader: UnderReloader | None = None
        self._scope_key = f"hotsession.visit.{session_cookie}"
        self._cookie = SessionCookie(
            session_cookie,
            signer=Signer(secret_key),
            max_age=max_age,
            path=path,
            same_site=same_site,
            https_only=https_only,
            domain=domain,
            partitioned=partitioned,
        )

    def __repr__(self) -> str:
        return f"<HotSessionMiddleware {self._cookie!r}>"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request or serve a connection with the session of its browser."""
        if scope["type"] in ("http", "websocket"):
            manager = self._manager()  # first: it finds out whether a reloader is above this process
            if self._reloader is None or self._reloader.surrounds(scope):
                await self._serve(manager, scope, receive, send)
            else:
                await self._reloader.run(partial(self._serve, manager), scope, receive, send)
        elif scope["type"] == "lifespan" and (reloader := _surroundings()) is not None:
            await reloader.live(partial(live, self.app), scope, receive, send)
        elif scope["type"] == "lifespan":
            await live(self.app, scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _serve(self, manager: SessionManager, scope: Scope, receive: Receive, send: Send) -> None:
        visit = scope.get(self._scope_key)
        if visit is not None:  # a middleware around this one has the same cookie
            scope["session"] = visit.data
            await self.app(scope, receive, send)
            return
        visit = BrowserVisit(manager, self._cookie, send)
        carried = scope.get(CARRIED)
        if carried is None or not await visit.open_again(carried.get(self._scope_key)):
            for token in self._cookie.tokens(scope["headers"]):
                record = await manager.find_token(hash_token(token))
                if record is not None:
                    visit.open(token, record)
                    break
        if not hasattr(visit.data, "mark_accessed"):
            await visit.begin()
        # As Starlette does, in the scope itself: middlewares around this one look there after the request.
        scope["session"] = visit.data
        scope[self._scope_key] = visit
        if scope["type"] == "websocket":
            ensure_standing(scope)
            if carried is not None:
                carried[self._scope_key] = visit  # the next handler may begin before this one has ended
        reset = current.set(visit)
        try:
            await self.app(scope, receive, visit.send)
        finally:
            current.reset(reset)
            # The server's own object, which the visit refers to, refers to the scope. Left to the garbage collector,
            # each request would hold on to what it was given, and take 2 microseconds more.
            scope.pop(self._scope_key, None)
            visit.is_over = True
            if visit.unsaved or visit.is_watched:
                await visit.finish()
            if carried is not None:
                carried[self._scope_key] = visit.identity()

    def _manager(self) -> SessionManager:
        """The kept manager. Looked for at each request, because `hotsession.reset()` drops it, and in little time."""
        entry = registry.find(BROWSERS)
        if entry is None or entry is not self._entry:
            sessions(storage=self._storage)
            self._entry = entry = registry.find(BROWSERS)
            self._reloader = _surroundings()
            begin_tasks()  # of a server that sends no lifespan
        manager: SessionManager = entry.value
        return manager


def _surroundings() -> UnderReloader | None:
    """What is put around the app under a reloader; in production it is not even imported."""
    if carrier() is None:
        return None
    from hotsession.asgi.under_reloader import under_reloader

    return under_reloader()
