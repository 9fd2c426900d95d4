"""Makes an ASGI 3 callable of what a target module holds, by uvicorn's rules for ``--interface``."""

from __future__ import annotations

import inspect
from typing import Any, Literal, cast

from hotsession.asgi.lifespan import App

Interface = Literal["auto", "asgi3", "asgi2", "wsgi"]


def as_asgi3(app: Any, interface: Interface = "auto") -> App:
    """The app as an ASGI 3 callable.

    Args:
        app: an ASGI 3, ASGI 2 or WSGI app.
        interface: which of them it is; ``"auto"`` tells ASGI 2 from 3.
    """
    if interface == "wsgi":
        from uvicorn.middleware.wsgi import WSGIMiddleware  # type: ignore[attr-defined]  # what uvicorn uses itself

        return cast("App", WSGIMiddleware(app))
    if interface == "asgi2" or (interface == "auto" and not _is_asgi3(app)):
        from uvicorn.middleware.asgi2 import ASGI2Middleware

        return cast("App", ASGI2Middleware(app))
    return cast("App", app)


def _is_asgi3(app: Any) -> bool:
    if inspect.isclass(app):
        return hasattr(app, "__await__")
    return inspect.iscoroutinefunction(app if inspect.isfunction(app) else getattr(app, "__call__", None))  # noqa: B004
