"""The HTTP routes of sessions, for Starlette and FastAPI. Knows paths; what they do is in `session_endpoints`."""

# No `from __future__ import annotations`: FastAPI reads the annotation of the functions that are made here.

import sys
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any, overload

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route, Router
from starlette.types import Scope

from hotsession.asgi.session_access import Authorize, Gate
from hotsession.asgi.session_endpoints import SessionEndpoints
from hotsession.asgi.session_json import error_response
from hotsession.asgi.session_openapi import OPERATIONS
from hotsession.errors import ConfigurationError, HotsessionError
from hotsession.lifecycle.manager import SessionManager

if TYPE_CHECKING:
    # One object serves both frameworks, and type checkers are told of the one that asks for more.
    from hotsession.asgi.fastapi_routes import FastAPISessionRoutes as SessionRoutes

Endpoint = Callable[[Request], Awaitable[Response]]


def session_routes(
    manager: SessionManager,
    authorize: Authorize | None = None,
    *,
    prefix: str = "",
    origins: Collection[str] = (),
) -> "SessionRoutes":
    """HTTP routes for the sessions of a manager: what a page needs to list, start, pause, resume and end them.

    ======================== =========================================================================================
    ``GET /``                ``{"sessions": [...], "total": N}``, newest first; ``?status=&key=&limit=`` (100)
    ``GET /{id}``            one session
    ``POST /``               ``{"key", "data", "force_new"}``: the live session of the key, or a new one
    ``POST /{id}/pause``     likewise ``/resume`` and ``/end``; ``{"reason"}``
    ``GET /events``          an event stream of changes, that goes on after ``Last-Event-ID``; see `session_events`
    ``GET /metrics``         figures
    ``GET /hotsession.js``   the browser's side, with ``/connection.js``
    ======================== =========================================================================================

    What goes wrong is answered with JSON: a ``code`` for programs, and a ``detail`` for people.

    What is returned can be mounted anywhere, and more than once::

        app.include_router(session_routes(manager, authorize), prefix="/api/sessions")       # FastAPI: in its docs, too
        app.mount("/api/sessions", session_routes(manager, authorize))                       # any app
        Starlette(routes=[*session_routes(manager, authorize, prefix="/api/sessions")])      # or beside other routes
        Starlette(routes=[Mount("/api/sessions", routes=session_routes(manager, authorize))])

    Under a mount, Starlette sends who asks for ``/api/sessions`` on to ``/api/sessions/``; the others answer both.

    Args:
        manager: whose sessions they are.
        authorize: a function or coroutine function that says who may do what. It gets the request, the action
            (``"list"``, ``"get"``, ``"start"``, ``"pause"``, ``"resume"``, ``"end"``, ``"events"`` or ``"metrics"``),
            and the session, or None where it is about no one session: then its answer says who may ask at all, and each
            session that would be shown is asked about. For ``"start"`` the session is the live one of the key, or what
            would be made. It returns True, False, or the keys whose sessions the client may see and change: one key, or
            a list or set of them. It may raise an `HTTPException`. A function of request and action alone answers for
            all sessions at once, which is faster where there are many::

                def authorize(request: HTTPConnection, action: str) -> str | None:
                    return request.session.get("user")  # the sessions whose key is the user; none without one

            Without it all is denied, except to clients on this machine while a reloader runs the app.
        prefix: before all paths, as ``/api/sessions``.
        origins: what the pages of other sites send as ``Origin``, which may change sessions: ``https://example.com``.

    Returns:
        An ASGI app, and a sequence of Starlette's routes; a FastAPI `APIRouter` if FastAPI is imported.

    Raises:
        ConfigurationError: authorize takes other arguments, or the prefix is no path.
    """
    if prefix and (not prefix.startswith("/") or prefix.endswith("/")):
        raise ConfigurationError(f"prefix={prefix!r}: it begins with a slash and does not end with one")
    endpoints = SessionEndpoints(manager, Gate(authorize), origins)
    plain = [
        SessionRoute(
            prefix + each.path, _answering(getattr(endpoints, each.endpoint)), methods=[each.method], name=each.name
        )
        for each in OPERATIONS
    ]
    if "fastapi" in sys.modules:
        from hotsession.asgi.fastapi_routes import FastAPISessionRoutes

        return FastAPISessionRoutes(plain, prefix, repr(endpoints))
    return StarletteSessionRoutes(plain, repr(endpoints))  # type: ignore[return-value]


class SessionRoute(Route):
    """A route that ends with a slash serves the path without it as well."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Whether it serves a request."""
        found = super().matches(scope)
        if found[0] is Match.NONE and self.path.endswith("/") and scope["type"] == "http":
            return super().matches({**scope, "path": scope["path"] + "/"})
        return found


class StarletteSessionRoutes(Router, Sequence[BaseRoute]):
    """The routes as an ASGI app and as a sequence, where FastAPI is not imported.

    Args:
        routes: the routes.
        name: for the log.
    """

    def __init__(self, routes: Sequence[Route], name: str) -> None:
        super().__init__(routes=routes)
        self._name = name

    def __repr__(self) -> str:
        return f"<session_routes {self._name}>"

    def __getattr__(self, name: str) -> Any:
        if "fastapi" in sys.modules and not name.startswith("__"):  # include_router() asks for what a router has there
            raise AttributeError(
                f"{self!r} has no {name!r}: it was made before FastAPI was imported, so it is no router of FastAPI's. "
                f"Import fastapi before session_routes() is called, or mount it: app.mount(path, routes)"
            )
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    @overload
    def __getitem__(self, index: int) -> BaseRoute: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[BaseRoute]: ...

    def __getitem__(self, index: int | slice) -> BaseRoute | Sequence[BaseRoute]:
        return self.routes[index]

    def __len__(self) -> int:
        return len(self.routes)

    def __iter__(self) -> Iterator[BaseRoute]:
        return iter(self.routes)


def _answering(endpoint: Endpoint) -> Endpoint:
    """An endpoint that answers with our errors as JSON."""

    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except HotsessionError as error:
            return error_response(error)

    answer.__doc__ = endpoint.__doc__
    return answer
