"""The host: the one stable ASGI callable in front of generation after generation of an app."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from typing import Any

import pytest

from hotsession import HotApp
from hotsession.asgi.host import Host, HostOptions
from hotsession.errors import ConfigurationError, ReloadError
from hotsession.registry import registry
from hotsession.target import Target
from tests.projects import Exchange, Project, barrier, lines, trace, until

pytestmark = pytest.mark.anyio

APP = """
import asyncio, hotsession
from tests.projects import answering, barrier, trace
app = answering(globals())
VERSION = 1

def index(): return VERSION
async def held():
    await barrier.wait_async()
    return VERSION
def fails(): raise ValueError(VERSION)
async def socket(scope, receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": f"{VERSION} {message['text']}"})
    trace.append(message.get("code"))
async def deaf(scope, receive, send):
    await send({"type": "websocket.accept"})
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        trace.append("cancelled")
        raise
async def events(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
    await send({"type": "http.response.body", "body": b"data: 1\\n\\n", "more_body": True})
    while (await receive())["type"] != "http.disconnect":
        pass
    trace.append("stream ended")
"""
LOCAL = (b"host", b"localhost")


def version(number: int) -> dict[str, str]:
    """The app at this version."""
    return {"main.py": APP.replace("VERSION = 1", f"VERSION = {number}")}


async def open_socket(project: Project, path: str = "/socket") -> Exchange:
    """A WebSocket that is open."""
    socket = project.open(path, kind="websocket")
    assert (await socket.next())["type"] == "websocket.accept"
    return socket


async def open_stream(project: Project) -> Exchange:
    """An event stream that has begun."""
    stream = project.open("/events")
    await stream.next()
    await stream.next()
    return stream


# connections across a swap


async def test_what_old_code_still_works_on_is_in_the_line(project: Project, caplog: pytest.LogCaptureFixture) -> None:
    """Requests by method and path, and how many connections go on with new code."""
    caplog.set_level(logging.INFO)
    await project.start(version(1))
    socket = await open_socket(project)
    barrier.close()
    request = project.open("/held")
    await barrier.reached()
    await project.reload(version(2))
    assert lines(caplog)[-1].endswith("1 connection carried over; old code still has work: GET /held.")
    barrier.open()
    await request.end()
    socket.say({"type": "websocket.disconnect", "code": 1000})
    await socket.end()


async def test_the_drain_timeout(project: Project, caplog: pytest.LogCaptureFixture) -> None:
    """It ends event streams that can't be resumed, with a complete response; an ordinary request goes on."""
    caplog.set_level(logging.INFO)
    await project.start(version(1), drain_timeout=0.01)
    stream = await open_stream(project)
    barrier.close()
    request = project.open("/held")
    await barrier.reached()
    await project.reload(version(2))
    assert (await stream.end()).sent[-1] == {
        "type": "http.response.body",
        "body": b"retry: 250\n\n",
        "more_body": False,
    }
    assert trace == ["stream ended"]
    assert not request.task.done()
    assert any(line.startswith("Generation 1, replaced 0 s ago, still has work:") for line in lines(caplog))
    barrier.open()
    assert (await request.end()).text == "1"
    await project.drained()


async def test_a_request_that_fails(project: Project) -> None:
    """Its error reaches the server as it would without us, and its generation has no work left."""
    await project.start(version(1))
    request = project.open("/fails")
    with pytest.raises(ValueError, match="1"):
        await request.end()
    await project.reload(version(2))
    await project.drained()


# another process takes over


async def test_begin_drain(project: Project) -> None:
    """Connections that never end are ended, responses ask for a new connection, and running requests finish."""
    await project.start(version(1))
    assert await project.host.drained(0)
    socket, stream = await open_socket(project), await open_stream(project)
    barrier.close()
    running = project.open("/held")
    await barrier.reached()
    assert not await project.host.drained(0)
    project.host.begin_drain()
    assert (await socket.end()).sent[-1]["code"] == 1012
    await stream.end()
    late = await project.open().end()
    assert (late.text, late.headers["connection"]) == ("1", "close")
    barrier.open()
    assert (await running.end()).headers["connection"] == "close"
    assert await project.host.drained(None)


async def test_connections_during_the_drain(project: Project) -> None:
    """A WebSocket or event stream that is opened while another process takes over is told to come back at once."""
    await project.start(version(1))
    project.host.begin_drain()
    socket = await project.open("/socket", kind="websocket").end()
    assert socket.sent[-1]["code"] == 1012
    stream = await project.open("/events").end()
    assert stream.sent[-1] == {"type": "http.response.body", "body": b"retry: 250\n\n", "more_body": False}
    assert await project.host.drained(1)


# nothing serves


async def test_while_the_code_is_broken(project: Project) -> None:
    """503 with the error for the developer, until a save mends it; a WebSocket is refused with 1012."""
    assert not await project.start({"main.py": "1/0"})
    answer = await project.open(headers=(LOCAL,)).end()
    assert answer.status == 503
    assert "ZeroDivisionError" in json.loads(answer.text)["detail"]
    assert (await project.open().end()).text == ""
    socket = await project.open(kind="websocket", headers=(LOCAL,)).end()
    assert socket.sent[-1]["code"] == 1012
    await project.reload(version(1))
    assert await project.get() == "1"


async def test_the_page_shows_the_newest_error(project: Project) -> None:
    """Each save that fails replaces it."""
    await project.start({"main.py": "1/0"})
    await project.fail({"main.py": "{}['key']"})
    answer = await project.open(headers=(LOCAL,)).end()
    assert "KeyError: 'key'" in json.loads(answer.text)["detail"]


async def test_hold_off(project: Project) -> None:
    """Code that brought the process down is not imported before a file changes; the page says why."""
    project.write({"main.py": "import os\nos.abort()"})
    host = Host(Target("main", "app", False, project.path), HostOptions(watch=False, watch_dirs=(project.path,)))
    project.host = host
    host.hold_off("The code crashed the process (SIGSEGV)")
    answer = await Exchange(host, headers=(LOCAL,)).end()
    assert answer.status == 503
    assert "SIGSEGV" in json.loads(answer.text)["detail"]
    await project.reload(version(1))
    assert await project.get() == "1"
    await host._stop()


# servers


async def test_a_server_without_lifespan(project: Project) -> None:
    """The first request starts the app, however many come at once; the app's lifespan runs once."""
    startup = APP + "\nasync def startup(state):\n    trace.append('start')\n    await asyncio.sleep(0)\n"
    project.write({"main.py": startup})
    project.host = Host(
        Target("main", "app", False, project.path), HostOptions(watch=False, watch_dirs=(project.path,))
    )
    assert [(await each.end()).text for each in [project.open() for _ in range(3)]] == ["1", "1", "1"]
    assert trace == ["start"]
    await project.host._stop()


async def test_the_scope_of_a_request(project: Project) -> None:
    """`root_path`, headers and what else the server says reach the app; what it writes there is its own."""
    text = (
        APP
        + """
async def scope_of(scope, receive, send):
    scope["app"] = app
    trace.append(scope)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body"})
"""
    )
    await project.start({"main.py": text})
    answer = await project.open("/scope_of", root_path="/api", headers=((b"x", b"y"),), extensions={"e": {}}).end()
    (seen,) = trace
    assert (seen["root_path"], seen["headers"], seen["extensions"]) == ("/api", ((b"x", b"y"),), {"e": {}})
    assert "app" not in answer.scope
    assert seen["state"] == {}


async def test_mounted_and_nested(project: Project) -> None:
    """A real framework with a mounted app, `root_path` included, before and after a reload."""
    text = """
        from starlette.applications import Starlette
        from starlette.responses import PlainTextResponse
        from starlette.routing import Mount, Route
        async def index(request): return PlainTextResponse(f"{request.url.path} {request.scope['root_path']} 1")
        inner = Starlette(routes=[Route("/x", index)])
        app = Starlette(routes=[Mount("/inner", inner)])
    """
    await project.start({"main.py": text})
    options: dict[str, Any] = {"root_path": "/api", "headers": (LOCAL,), "scheme": "http", "server": ("localhost", 80)}
    assert (await project.open("/api/inner/x", **options).end()).text == "/api/inner/x /api/inner 1"
    await project.reload({"main.py": text.replace(" 1", " 2")})
    assert (await project.open("/api/inner/x", **options).end()).text == "/api/inner/x /api/inner 2"


async def test_stop_ends_everything(project: Project) -> None:
    """Services are closed and the lifespan ends with the server; WebSockets that are still open are closed."""
    text = (
        APP
        + """
def shutdown(): trace.append("end")
@hotsession.service
class Mailer:
    def close(self): trace.append("closed")
async def use(): await hotsession.get_service(Mailer)
"""
    )
    await project.start({"main.py": text})
    await project.get("/use")
    socket = await open_socket(project)
    await project.stop()
    assert socket.sent[-1]["code"] == 1012
    assert trace == [1012, "closed", "end"]
    assert project.host.generation is None


async def test_a_restart_that_nobody_makes(project: Project, caplog: pytest.LogCaptureFixture) -> None:
    """Without a parent the reason is logged, with the next step."""
    host = Host(Target("main", "app", False, project.path))
    host.restart("fast is a compiled extension")
    assert "A restart is needed: fast is a compiled extension. Restart the server by hand" in caplog.text
    assert await host.act(frozenset()) is None
    assert host.generation is None
    assert "serving None" in repr(host)


async def test_reset(project: Project) -> None:
    """It drops what is kept under a name, or everything, by loading all own modules anew."""
    text = APP.replace("VERSION = 1", "VERSION = 1\na = hotsession.keep('a', list)\nb = hotsession.keep('b', list)")
    text += "\ndef add():\n    a.append(1)\n    b.append(1)\n    return a, b\n"
    await project.start({"main.py": text})
    assert await project.get("/add") == "([1], [1])"
    assert await project.host.reset("a") == "Built anew: a."
    assert await project.get("/add") == "([1], [1, 1])"
    await project.host.reset(None)
    assert await project.get("/add") == "([1], [1])"
    with pytest.raises(ConfigurationError, match="'c'"):
        await project.host.reset("c")


async def test_a_reset_of_broken_code(project: Project, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is dropped, and the error says what to do; who only looks at the log reads it there."""
    await project.start({"main.py": APP + "\na = hotsession.keep('a', list)\n"})
    project.write({"main.py": "1/0"})
    with pytest.raises(ReloadError, match="What was kept is still there; mend the code and reset again"):
        await project.host.reset("a")
    await project.host.reset_and_say("a")
    assert [each.levelname for each in caplog.records if "Not reset: ZeroDivisionError" in each.message] == ["ERROR"]
    assert registry.entries()["a"].value == []
    assert await project.get() == "1"


# watching


@pytest.fixture
async def watched(project: Project) -> Project:
    """A project whose files are really watched."""
    await project.start(version(1), watch=True)
    return project


async def test_a_save_is_seen(watched: Project) -> None:
    """From the file to the answer, with a real watcher."""
    watched.write(version(2))
    await until(lambda: watched.host.generation == 2)
    assert await watched.get() == "2"


async def test_a_save_between_import_and_watching(project: Project) -> None:
    """What was saved after it was read and before anybody watched is acted on."""
    project.write(version(1))
    project.host = Host(Target("main", "app", False, project.path), HostOptions(watch_dirs=(project.path,)))
    await project.host.load()
    project.write(version(2))
    assert await project.get() == "1"
    await until(lambda: project.host.generation == 2)
    assert await project.get() == "2"
    await project.host._stop()


async def test_a_hundred_saves(watched: Project, caplog: pytest.LogCaptureFixture) -> None:
    """The last one is what serves in the end, and no request failed meanwhile."""
    for number in range(2, 102):
        watched.write(version(number))
        assert int(await watched.get()) <= number
    reloader = watched.host._reloader
    assert reloader is not None
    await until(lambda: reloader._sources.is_current(str(watched.path / "main.py")) and not reloader.feed)
    async with reloader._one_at_a_time:
        assert await watched.get() == "101"
    assert lines(caplog, logging.ERROR) == []


async def test_a_checkout(watched: Project, caplog: pytest.LogCaptureFixture) -> None:
    """A hundred files at once end as one line, the states between being nobody's business."""
    caplog.set_level(logging.INFO)
    modules = {f"module{i}.py": f"X = {i}" for i in range(100)}
    imports = "".join(f"import module{i}\n" for i in range(100))
    watched.write({"main.py": imports + version(2)["main.py"]})
    watched.write(modules)
    await until(lambda: bool(lines(caplog)))
    assert await watched.get() == "2"
    assert len(lines(caplog)) == 1
    assert lines(caplog)[0].startswith("Reloaded main")


async def test_an_editor_that_truncates(watched: Project, caplog: pytest.LogCaptureFixture) -> None:
    """An emptied file is not believed: no error is shown when the content follows."""
    caplog.set_level(logging.INFO)
    path = watched.path / "main.py"
    descriptor = os.open(path, os.O_WRONLY | os.O_TRUNC)
    await asyncio.sleep(0.01)  # the watcher has seen it, in most runs
    os.write(descriptor, version(2)["main.py"].encode())
    os.close(descriptor)
    await until(lambda: bool(lines(caplog)))
    assert await watched.get() == "2"
    assert [line.partition(" in ")[0] for line in lines(caplog)] == ["Reloaded main"]


async def test_what_the_app_writes_itself(watched: Project, caplog: pytest.LogCaptureFixture) -> None:
    """Databases, logs and Python files that nobody imports cause nothing."""
    caplog.set_level(logging.INFO)
    for name in ("app.db", "app.log", "sessions/1/session_state.json", "generated/preview.py"):
        watched.write({name: "x"})
    watched.write(version(2))
    await until(lambda: bool(lines(caplog)))
    assert watched.host.generation == 2
    assert len(lines(caplog)) == 1


async def test_a_bad_save_and_its_fix(watched: Project, caplog: pytest.LogCaptureFixture) -> None:
    """The error is shown once, the old code serves, the fix takes effect."""
    caplog.set_level(logging.INFO)
    watched.write({"main.py": "x ="})
    await until(lambda: bool(lines(caplog)))
    assert await watched.get() == "1"
    watched.write(version(2))
    await until(lambda: len(lines(caplog)) == 2)
    assert [line.partition(" ")[0] for line in lines(caplog)] == ["Not", "Reloaded"]
    assert await watched.get() == "2"


# HotApp


async def test_hot_app(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The host as an ASGI app of its own: it finds its target, watches and reloads."""
    monkeypatch.chdir(project.path)
    project.write(version(1))
    app = project.host = HotApp("main:app")
    assert str(project.path) in app.watched
    assert await project.get() == "1"
    project.write(version(2))
    await until(lambda: app.generation == 2)
    assert await project.get() == "2"
    await app._stop()


async def test_hot_app_under_a_reloader(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """It watches nothing: the reloader restarts the process."""
    monkeypatch.chdir(project.path)
    monkeypatch.setattr("hotsession.asgi.hot_app.under_reloader", lambda: True)
    project.write(version(1))
    assert HotApp("main:app").watched == ()


async def test_hot_app_with_a_factory(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """A factory is called once per generation."""
    monkeypatch.chdir(project.path)
    project.write({"main.py": APP + "\ndef make():\n    trace.append('made')\n    return app\n"})
    app = project.host = HotApp("main:make", factory=True, options=HostOptions(watch=False))
    assert await project.get() == "1"
    await app.act(project.write({"main.py": (project.path / "main.py").read_text() + "\n"}))
    assert trace == ["made", "made"]
    await app._stop()
