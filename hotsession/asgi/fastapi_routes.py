"""The HTTP routes of sessions as a router of FastAPI's: imported only where FastAPI is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import overload

from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute, Match, Route, Router
from starlette.types import Receive, Scope, Send

from hotsession.asgi.session_openapi import OPERATIONS


class SessionAPIRoute(APIRoute):
    """A route that ends with a slash serves the path without it as well."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Whether it serves a request."""
        found = super().matches(scope)
        if found[0] is Match.NONE and self.path.endswith("/") and scope["type"] == "http":
            return super().matches({**scope, "path": scope["path"] + "/"})
        return found


class FastAPISessionRoutes(APIRouter, Sequence[BaseRoute]):
    """The routes for `include_router`, which shows them in the OpenAPI pages and heeds `dependencies`.

    As an ASGI app and as a sequence it is what Starlette needs: FastAPI's own routes work in its apps only.

    Args:
        plain: the routes for Starlette.
        prefix: before all paths.
        name: for the log.
    """

    def __init__(self, plain: Sequence[Route], prefix: str, name: str) -> None:
        super().__init__(prefix=prefix, route_class=SessionAPIRoute)
        self._plain = tuple(plain)
        self._mounted = Router(routes=self._plain)
        self._name = name
        for route, each in zip(plain, OPERATIONS, strict=True):
            self.add_api_route(
                each.path,
                route.endpoint,
                methods=[each.method],
                name=each.name,
                operation_id=None,
                summary=each.summary,
                tags=["sessions"],
                responses=each.responses,
                response_model=None,
                openapi_extra=each.extra or None,
                include_in_schema=each.endpoint != "script",
            )

    def __repr__(self) -> str:
        return f"<session_routes {self._name}>"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request where it is mounted."""
        await self._mounted(scope, receive, send)

    @overload
    def __getitem__(self, index: int) -> BaseRoute: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[BaseRoute]: ...

    def __getitem__(self, index: int | slice) -> BaseRoute | Sequence[BaseRoute]:
        return self._plain[index]

    def __len__(self) -> int:
        return len(self._plain)

    def __iter__(self) -> Iterator[BaseRoute]:
        return iter(self._plain)
