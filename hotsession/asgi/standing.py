"""What an app may know of its connection, and say about it: ``scope["hotsession"]``."""

from __future__ import annotations

import itertools
import secrets
from typing import Any, TypedDict

from starlette.requests import HTTPConnection
from starlette.types import Scope

KEY = "hotsession"

# In the scope: what the sessions of a connection are, for the handlers that it moves on to. A dict that is its own.
CARRIED = "hotsession.carried"

# From somewhere, so that the connections of a restarted process get other ids.
_connections = map(hex, itertools.count(1 + (secrets.randbits(28) << 32)))


class Standing(TypedDict):
    """What ``scope["hotsession"]`` says.

    Attributes:
        resumed: whether the connection was open before this handler was called: its client has noticed nothing, and
            need not be greeted again.
        generation: counts the versions of the code in this process, from 1; None without `hotsession run`.
        connection: an id of the connection, the same for as long as it is open.
        close_on_reload: whether it is closed at a reload instead of carried over.
        state: a dict of the app's own that moves with the connection: what its first messages settled, say.
    """

    resumed: bool
    generation: int | None
    connection: str
    close_on_reload: bool
    state: dict[str, Any]


new_connection = _connections.__next__
"""Returns the id of a new connection. Every request asks for one, so no line of Python runs for it."""


def close_on_reload(connection: HTTPConnection) -> None:
    """Have a WebSocket or an event stream closed at a reload, instead of carried over to the new code.

    Its client then gets 1012 "Service Restart", or the end of the stream, and connects anew. Call it in a handler; in
    FastAPI it is a dependency too, of a route, a router or the whole app:
    ``@app.websocket("/ws", dependencies=[Depends(hotsession.close_on_reload)])``.

    Args:
        connection: the WebSocket or request.
    """
    own = connection.scope.get(KEY)
    if own is not None:
        own["close_on_reload"] = True


def ensure_standing(scope: Scope) -> None:
    """Have a scope say it where no host of ours serves the app."""
    if KEY not in scope:
        scope[KEY] = Standing(
            resumed=False, generation=None, connection=new_connection(), close_on_reload=False, state={}
        )
