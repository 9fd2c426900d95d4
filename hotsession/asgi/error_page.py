"""What a client gets while nothing serves because the code is broken: who sees how much of it.

Frames and source are for the developer's own machine. Loopback clients that speak to a local host name get them, as a
page or as JSON; all others get the status and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from html import escape
from importlib.resources import files
from typing import Any

from starlette.types import Receive, Scope, Send

from hotsession.asgi.connections import refuse
from hotsession.asgi.locality import is_local
from hotsession.events import LoadFailed
from hotsession.reload.report import error_text


async def answer_with_failure(
    scope: Scope, receive: Receive, send: Send, failure: LoadFailed | None, owns: Callable[[str], bool]
) -> None:
    """Answer a request that no app can answer.

    Args:
        scope: the request's or WebSocket's scope.
        receive: the server's.
        send: the server's.
        failure: why nothing serves; None when the app is only just starting.
        owns: whether a file is the user's own, for what the error shows.
    """
    if scope["type"] == "websocket":
        await refuse(receive, send, "the app's code is broken")
        return
    body, kind = _body(scope, failure, owns)
    headers = [(b"content-length", b"%d" % len(body)), (b"retry-after", b"1"), (b"cache-control", b"no-store")]
    if kind:
        headers.append((b"content-type", kind))
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


def _body(scope: Scope, failure: LoadFailed | None, owns: Callable[[str], bool]) -> tuple[bytes, bytes]:
    """The body and its content type, by who asks."""
    if not is_local(scope):
        return b"", b""
    what, text = "The app is starting", ""
    if failure is not None:
        what, text = f"The app's {failure.stage} failed", error_text(failure.error, owns)
    accept = next((value for name, value in scope["headers"] if name == b"accept"), b"")
    if b"text/html" in accept:
        return _page(what, text).encode(), b"text/html; charset=utf-8"
    answer: dict[str, Any] = {"error": what, "detail": text, "next": "mend the code and save: it comes up by itself"}
    return json.dumps(answer).encode(), b"application/json"


def _page(what: str, text: str) -> str:
    page = files("hotsession.asgi.pages").joinpath("failure.html").read_text(encoding="utf-8")
    return page.replace("{{what}}", escape(what)).replace("{{error}}", escape(text))
