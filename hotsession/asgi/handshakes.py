"""Which WebSockets speak a protocol whose first messages settle something that a new handler would not know of.

Carried over, they would be open and dead: the new handler waits for the first messages, which the client has sent long
ago. Closed with 1012, their clients connect anew and say them again.
"""

from __future__ import annotations

from starlette.types import Message, Scope

# By the subprotocol that the server chooses, up to its version.
# (https://www.iana.org/assignments/websocket/websocket.xhtml#subprotocol-name)
_SUBPROTOCOLS = ("graphql-", "mqtt", "v10.stomp", "v11.stomp", "v12.stomp", "wamp.", "xmpp")

# Engine.IO, that Socket.IO is made of, has none, but says its version in the query.
_ENGINE_IO = b"EIO="


def begins_with_handshake(scope: Scope, accept: Message) -> bool:
    """Whether the messages of a WebSocket that is being accepted begin with a handshake.

    Args:
        scope: the ASGI scope.
        accept: the app's ``websocket.accept``.
    """
    subprotocol = accept.get("subprotocol") or ""
    query: bytes = scope.get("query_string", b"")
    return subprotocol.lower().startswith(_SUBPROTOCOLS) or any(
        each.startswith(_ENGINE_IO) for each in query.split(b"&")
    )
