"""The app: its routes, and a session around each request, by which what runs below it has the session that it has."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.middleware import Middleware

import hotsession

from .managers import database
from .routes import refused, routes

app = Starlette(
    routes=routes,
    middleware=[Middleware(hotsession.HotSessionMiddleware, storage=database)],
    exception_handlers={hotsession.SessionError: refused},
)
