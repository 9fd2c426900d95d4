"""What a target may hold: ASGI 3, ASGI 2 or WSGI, as uvicorn takes them."""

from __future__ import annotations

import functools
from typing import Any

import pytest
from starlette.applications import Starlette

from hotsession.asgi.interface import as_asgi3
from tests.projects import Exchange

pytestmark = pytest.mark.anyio


async def answer(send: Any) -> None:
    """Say hello."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


async def function3(scope: Any, receive: Any, send: Any) -> None:
    """Answer as ASGI 3."""
    await answer(send)


class Instance3:
    """Its instances are ASGI 3 apps."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await answer(send)


class Class3:
    """It is an ASGI 3 app itself: its instances are awaited."""

    def __init__(self, scope: Any, receive: Any, send: Any) -> None:
        self.send = send

    def __await__(self) -> Any:
        return answer(self.send).__await__()


def function2(scope: Any) -> Any:
    """Answer as ASGI 2."""

    async def instance(receive: Any, send: Any) -> None:
        await answer(send)

    return instance


class Class2:
    """An ASGI 2 app: a class whose instances are called."""

    def __init__(self, scope: Any) -> None:
        self.scope = scope

    async def __call__(self, receive: Any, send: Any) -> None:
        await answer(send)


def wsgi(environ: Any, start_response: Any) -> list[bytes]:
    """Answer as WSGI."""
    start_response("200 OK", [])
    return [b"hello"]


APPS = {"function": function3, "instance": Instance3(), "class": Class3, "ASGI 2": function2, "ASGI 2 class": Class2}


@pytest.mark.parametrize("name", APPS)
async def test_auto(name: str) -> None:
    """ASGI 3 and ASGI 2 are told apart."""
    assert (await Exchange(as_asgi3(APPS[name])).end()).text == "hello"


async def test_asgi_3_apps_are_taken_as_they_are() -> None:
    """Nothing is put around them."""
    app = Starlette()
    assert as_asgi3(app) is app
    assert as_asgi3(function3, "asgi3") is function3


@pytest.mark.parametrize("app", [functools.partial(function3), functools.partial(Instance3())])
async def test_partials(app: Any) -> None:
    """An app with some arguments bound, as decorators and factories return it, is ASGI 3 when it is said."""
    assert (await Exchange(as_asgi3(app, "asgi3")).end()).text == "hello"


async def test_asgi_2_when_it_is_said() -> None:
    """What can't be told apart is what the user says."""
    assert (await Exchange(as_asgi3(function2, "asgi2")).end()).text == "hello"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_wsgi() -> None:
    """Only when it is said."""
    exchange = Exchange(as_asgi3(wsgi, "wsgi"), scheme="http", http_version="1.1", server=("127.0.0.1", 80))
    assert (await exchange.end()).text == "hello"
