"""The project of `bench_carried`: an echo and a trivial request, as bare ASGI and with Starlette, that tell what moved.

`/moved` answers when connections were carried over: how many, and how long after the swap the last of them was.
"""

from __future__ import annotations

from pathlib import Path

from tests.benchmarks.projects import Project, write_files

APP = '''\
"""Echoes, and trivial requests."""

import json
from time import perf_counter

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute

from marker import marker

moved = []
state = {"swapped": 0.0}


async def live(receive, send):
    await receive()
    state["swapped"] = perf_counter()  # the swap follows as soon as this is known
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


async def echo(scope, receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    if scope.get("hotsession", {}).get("resumed"):
        moved.append(perf_counter())
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})


async def answer(send, body):
    headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def told():
    took = moved[-1] - state["swapped"] if moved else 0.0
    return json.dumps({"moved": len(moved), "seconds": took}).encode()


async def starlette_echo(socket):
    await socket.accept()
    async for text in socket.iter_text():
        await socket.send_text(text)


async def starlette_request(request):
    return PlainTextResponse("hello")


starlette = Starlette(routes=[
    Route("/starlette", starlette_request), WebSocketRoute("/starlette/echo", starlette_echo)
])


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await live(receive, send)
    elif scope["path"].startswith("/starlette"):
        await starlette(scope, receive, send)
    elif scope["type"] == "websocket":
        await echo(scope, receive, send)
    elif scope["path"] == "/marker":
        await answer(send, marker().encode())
    elif scope["path"] == "/moved":
        await answer(send, told())
    else:
        await answer(send, b"hello")
'''

MARKER = """
def marker():
    return "@MARKER@"
"""


def carried(root: Path) -> Project:
    """Write the project into a directory; its marker is saved, and the app with it is loaded anew."""
    write_files(root, {"main.py": APP, "marker.py": MARKER})
    return Project(name="carried", root=root, edited=root / "marker.py", template=MARKER)
