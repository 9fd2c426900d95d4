"""Bad saves under a real server: a clear error, the old code goes on serving, the sessions are intact, a fix takes."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Iterator

import httpx
import pytest

from tests.deadlines import DEADLINE
from tests.e2e.servers import Server, hotsession_run, wait_until, write_project

pytestmark = pytest.mark.e2e

PROJECT = {
    "main.py": """
        import contextlib, os
        from starlette.applications import Starlette
        from starlette.middleware import Middleware
        from starlette.responses import JSONResponse
        from starlette.routing import Route
        import hotsession
        import helper, services

        VERSION = 1
        hot = hotsession.module(__name__)

        @hot.on_dispose
        def say_goodbye():
            pass

        @contextlib.asynccontextmanager
        async def lifespan(app):
            yield

        async def home(request):
            request.session["visits"] = request.session.get("visits", 0) + 1
            planner = await hotsession.get_service(services.Planner)
            return JSONResponse({"pid": os.getpid(), "version": VERSION, "visits": request.session["visits"],
                                 "planner": planner.version, "helped": helper.help()})

        app = Starlette(routes=[Route("/", home)], lifespan=lifespan,
                        middleware=[Middleware(hotsession.HotSessionMiddleware)])
    """,
    "helper.py": "def help():\n    return 'helped'\n",
    "services.py": """
        import hotsession

        @hotsession.service
        class Planner:
            version = 1

            def __init__(self):
                self.ready = True
    """,
}

VERSIONS = itertools.count(1000)
ERROR = r"^ERROR: +Not reloaded: the new {} What ran before goes on serving; the next save tries again\.$"
NOT_RELOADED = ERROR.format(r"code could not be imported\.")
NOT_STARTED = ERROR.format(r"app could not start up\.")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all bad saves: it is the same process at the end."""
    project = write_project(tmp_path_factory.mktemp("bad") / "app", PROJECT)
    with Server(hotsession_run("main:app", "--no-access-log"), project) as server:
        first = server.get("/").json()["pid"]
        yield server
        assert server.get("/").json()["pid"] == first
        assert "Restarting" not in server.log


@pytest.fixture
def server(shared: Server) -> Iterator[Server]:
    """The server, with good files before and after the test."""
    yield shared
    for path in shared.directory.glob("*.py"):
        if path.name not in PROJECT:
            path.unlink()
    good_code(shared, next(VERSIONS))


def version(server: Server) -> int:
    """Of the code that answers; 0 while it answers with an error."""
    answer = server.get("/")
    found: int = answer.json()["version"] if answer.is_success else 0
    return found


def good_code(server: Server, number: int) -> None:
    """Save code that works, in a version of its own, and wait for it to answer."""
    main = PROJECT["main.py"].replace("VERSION = 1", f"VERSION = {number}")
    write_project(server.directory, {**PROJECT, "main.py": main})
    wait_until(lambda: version(server) == number)


def fails_and_serves_on(server: Server, *patterns: str, since: int) -> None:
    """The log shows what is wrong, once; the old code still answers with the session as it was."""
    for pattern in patterns:
        server.wait_for_line(pattern, since=since)
    before = server.get("/").raise_for_status().json()
    after = server.get("/").raise_for_status().json()
    assert after == {**before, "visits": before["visits"] + 1}
    assert len(re.findall("Not reloaded", server.log[since:])) <= 1


BROKEN = {
    "syntax error": ("helper.py", "def help():", "def help(:", [NOT_RELOADED, r'helper\.py", line 1', "SyntaxError: "]),
    "indentation": ("helper.py", "    return", "return", [NOT_RELOADED, "IndentationError: "]),
    "null byte": ("helper.py", "help", "he\x00lp", [NOT_RELOADED, r"SyntaxError: .*null bytes \(.*helper\.py\)"]),
    "exception at import": ("helper.py", "def help", "1 / 0\ndef help", [NOT_RELOADED, "ZeroDivisionError", "1 / 0"]),
    "sys.exit()": (
        "helper.py",
        "def help",
        "raise SystemExit('enough')\ndef help",
        [NOT_RELOADED, r"SystemExit: enough", r"A module called sys\.exit\(\)"],
    ),
    "KeyboardInterrupt": (
        "helper.py",
        "def help",
        "raise KeyboardInterrupt\ndef help",
        [NOT_RELOADED, "KeyboardInterr"],
    ),
    "missing module": ("main.py", "import helper", "import helpr", [NOT_RELOADED, "No module named 'helpr'"]),
    "missing name": ("main.py", "import helper", "from helper import hlp", [NOT_RELOADED, "cannot import name 'hlp'"]),
    "import cycle": (
        "helper.py",
        "def help",
        "from main import VERSION\ndef help",
        [NOT_RELOADED, "partially initialized module 'main'", r'helper\.py", line 1'],
    ),
    "no app": (
        "main.py",
        "app = Starlette",
        "application = 5\nx = Starlette",
        [NOT_RELOADED, "main has no 'app': type `main:x`"],
    ),
    "app that is none": (
        "main.py",
        "app = Starlette",
        "app = 5\nx = Starlette",
        [NOT_RELOADED, "main:app is an object of type int, which is no ASGI app: type `main:x`"],
    ),
    "lifespan": (
        "main.py",
        "    yield",
        "    raise OSError('no database')\n    yield",
        [NOT_STARTED, "no database"],
    ),
    "sys.exit() in the lifespan": (
        "main.py",
        "    yield",
        "    raise SystemExit('enough')\n    yield",
        [
            r"ERROR: +Not reloaded: the new app could not start up\. What ran before goes on serving",
            "SystemExit: enough",
        ],
    ),
}


@pytest.mark.parametrize(("file", "old", "new", "patterns"), BROKEN.values(), ids=BROKEN)
def test_broken_code_changes_nothing(server: Server, file: str, old: str, new: str, patterns: list[str]) -> None:
    """Code that can't be loaded is shown once with the user's own line, and nothing else happens."""
    since = len(server.log)
    server.edit(file, old, new)
    fails_and_serves_on(server, *patterns, since=since)
    visits = server.get("/").json()["visits"]
    good_code(server, next(VERSIONS))
    assert server.get("/").json()["visits"] > visits


def test_a_failing_service_is_told_to_who_asked(server: Server) -> None:
    """A constructor that raises: the code is in place, who asks for the service sees the error, the fix is enough."""
    visits = server.get("/").json()["visits"]
    server.edit("services.py", "self.ready = True", "raise LookupError('no planner today')")
    wait_until(lambda: server.get("/").status_code == 500)
    server.wait_for_line("LookupError: no planner today")
    server.edit("services.py", "raise LookupError('no planner today')", "self.ready = 1")
    wait_until(lambda: server.get("/").status_code == 200)
    assert server.get("/").json()["visits"] > visits


def test_a_failing_hook_is_named_and_stops_nothing(server: Server) -> None:
    """An on_dispose hook that raises, when its generation goes: named in the log, the new code serves."""
    since = len(server.log)
    server.edit("main.py", "    pass", "    raise ValueError('no goodbye')")
    server.wait_for_line("Reloaded", since=since)
    server.edit("main.py", "VERSION = ", "VERSION = 10000 + ")
    wait_until(lambda: version(server) >= 10000)
    server.wait_for_line(r"on_dispose hook say_goodbye of main", since=since)
    server.wait_for_line(r"ValueError: no goodbye", since=since)
    server.wait_for_line(r"Reloaded main .*failed on the way: on_dispose hook say_goodbye of main", since=since)


def test_a_deleted_target_is_waited_for(server: Server) -> None:
    """The target's file goes away and comes back: the old code serves meanwhile, the log names what is missing."""
    since = len(server.log)
    target = server.directory / "main.py"
    text = target.read_text()
    target.unlink()
    fails_and_serves_on(server, NOT_RELOADED, "No module named 'main'", since=since)
    server.write("main.py", text.replace("VERSION = ", "VERSION = 10000 + "))
    wait_until(lambda: version(server) >= 10000)


def test_a_save_in_the_middle_of_a_load_wins(server: Server) -> None:
    """Saves while an import takes its time end as the last one, with one line, and requests go on meanwhile."""
    slow = "import time; [time.sleep(0.02) for _ in range(100)]\ndef help"
    since = len(server.log)
    server.edit("helper.py", "def help", slow)
    server.edit("helper.py", "'helped'", "'overtaken'")
    server.get("/").raise_for_status()
    server.edit("helper.py", "'overtaken'", "'last'")
    wait_until(lambda: server.get("/").json()["helped"] == "last")
    server.wait_for_line("Reloaded", since=since)
    assert server.log[since:].count("Reloaded") == 1
    assert "overtaken" not in server.log[since:]


def test_a_hundred_saves_end_as_the_last(server: Server) -> None:
    """A hundred saves within five seconds, under requests: none fails, and the last is what answers."""
    text = (server.directory / "main.py").read_text()

    async def ask(client: httpx.AsyncClient, saving: asyncio.Task[None]) -> list[int]:
        versions = []
        while not saving.done():
            versions.append((await client.get("/")).raise_for_status().json()["version"])
        return versions

    async def save() -> None:
        for number in range(100, 200):
            server.write("main.py", re.sub(r"VERSION = \d+", f"VERSION = {number}", text))
            await asyncio.sleep(0.04)  # how fast the files are saved is what is tested

    async def both() -> list[int]:
        async with httpx.AsyncClient(base_url=server.url, trust_env=False, timeout=DEADLINE) as client:
            saving = asyncio.create_task(save())
            return await ask(client, saving)

    versions = asyncio.run(both())
    wait_until(lambda: version(server) == 199)
    met = list(dict.fromkeys(versions))[1:]  # without the one before the saves
    assert met == sorted(met)
    assert len(met) > 1, "who saves without a pause gets no answer by new code"
