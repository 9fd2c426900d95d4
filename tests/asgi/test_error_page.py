"""What a client gets while nothing serves: the developer the error, everybody else the status."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hotsession.asgi.error_page import answer_with_failure
from hotsession.events import LoadFailed
from tests.projects import Exchange

pytestmark = pytest.mark.anyio

HTML = (b"accept", b"text/html,application/xhtml+xml,*/*;q=0.8")
LOCAL = (b"host", b"localhost:8000")


def failure() -> LoadFailed:
    """An import that failed in the user's own code."""
    with pytest.raises(ValueError, match="secret") as caught:
        exec(compile("raise ValueError('<b>secret</b>')", "/p/main.py", "exec"), {})  # noqa: S102
    return LoadFailed("import", caught.value, ("main",))


async def ask(*headers: tuple[bytes, bytes], failed: LoadFailed | None = None, **options: Any) -> Exchange:
    """What a request is answered with."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answer_with_failure(scope, receive, send, failed, lambda path: path.startswith("/p/"))

    return await Exchange(app, headers=headers, **options).end()


async def test_a_local_browser_gets_a_page() -> None:
    """With the error and its frames, escaped; it asks again by itself and is not cached."""
    answer = await ask(LOCAL, HTML, failed=failure())
    assert answer.status == 503
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["retry-after"] == "1"
    assert int(answer.headers["content-length"]) == len(answer.text.encode())
    assert "The app&#x27;s import failed" in answer.text
    assert "ValueError: &lt;b&gt;secret&lt;/b&gt;" in answer.text
    assert "/p/main.py" in answer.text
    assert "{{" not in answer.text


async def test_other_local_clients_get_json() -> None:
    """With the same error and the next step."""
    answer = await ask(LOCAL, (b"accept", b"*/*"), failed=failure())
    assert answer.status == 503
    assert answer.headers["content-type"] == "application/json"
    body = json.loads(answer.text)
    assert body["error"] == "The app's import failed"
    assert body["detail"].splitlines()[-1] == "ValueError: <b>secret</b>"
    assert body["next"] == "mend the code and save: it comes up by itself"


@pytest.mark.parametrize(
    ("headers", "client"),
    [
        ((LOCAL, HTML), ("192.168.1.7", 1)),
        (((b"host", b"evil.example"), HTML), ("127.0.0.1", 1)),
        ((LOCAL, HTML, (b"origin", b"https://evil.example")), ("127.0.0.1", 1)),
        ((HTML,), ("127.0.0.1", 1)),
    ],
)
async def test_all_others_get_the_status(headers: Any, client: Any) -> None:
    """Nothing about the code, whoever they say they are."""
    answer = await ask(*headers, failed=failure(), client=client)
    assert (answer.status, answer.text) == (503, "")
    assert "content-type" not in answer.headers


async def test_head() -> None:
    """The headers of the page without the page."""
    answer = await ask(LOCAL, HTML, failed=failure(), method="HEAD")
    assert answer.text == ""
    assert int(answer.headers["content-length"]) > 100


async def test_before_the_first_load() -> None:
    """There is no error yet."""
    assert json.loads((await ask(LOCAL)).text)["error"] == "The app is starting"


async def test_a_websocket() -> None:
    """It is refused with the code that lets clients come back at once."""
    answer = await ask(LOCAL, failed=failure(), kind="websocket")
    assert [(message["type"], message["code"]) for message in answer.sent] == [("websocket.close", 1012)]
