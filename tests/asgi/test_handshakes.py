"""Protocols whose clients say once, at the beginning, what a new handler would have to know."""

from __future__ import annotations

import pytest

from hotsession.asgi.handshakes import begins_with_handshake


@pytest.mark.parametrize(
    ("subprotocol", "query", "begins"),
    [
        (None, b"", False),
        ("chat", b"", False),
        ("graphql-transport-ws", b"", True),
        ("graphql-ws", b"", True),
        ("mqtt", b"", True),
        ("v12.stomp", b"", True),
        ("wamp.2.json", b"", True),
        (None, b"EIO=4&transport=websocket", True),
        (None, b"transport=websocket&EIO=4", True),
        (None, b"token=EIO=4", False),
    ],
)
def test_which_do(subprotocol: str | None, query: bytes, begins: bool) -> None:
    """GraphQL, MQTT, STOMP and WAMP by their subprotocol, Socket.IO by its query."""
    accept = {"type": "websocket.accept", "subprotocol": subprotocol}
    assert begins_with_handshake({"type": "websocket", "query_string": query}, accept) is begins
