"""Bad surroundings of a real server: code that is broken from the start, directories that vanish or refuse."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.e2e.servers import Server, hotsession_run, wait_until, write_project

pytestmark = pytest.mark.e2e

PROJECT = {
    "main.py": """
        import contextlib
        from starlette.applications import Starlette
        from starlette.middleware import Middleware
        from starlette.responses import JSONResponse
        from starlette.routing import Route
        from hotsession import HotSessionMiddleware
        import helper

        VERSION = 1

        @contextlib.asynccontextmanager
        async def lifespan(app):
            yield

        async def home(request):
            request.session["visits"] = request.session.get("visits", 0) + 1
            return JSONResponse({"version": VERSION, "visits": request.session["visits"], "helped": helper.help()})

        app = Starlette(routes=[Route("/", home)], lifespan=lifespan, middleware=[Middleware(HotSessionMiddleware)])
    """,
    "helper.py": "def help():\n    return 'helped'\n",
}


def version(server: Server) -> int:
    """Of the code that answers; 0 while it answers with an error."""
    answer = server.get("/")
    found: int = answer.json()["version"] if answer.is_success else 0
    return found


def test_a_vanished_directory_is_waited_for(tmp_path: Path) -> None:
    """The watched directory is renamed away and comes back with other content: said so, served on, taken up again."""
    project = write_project(tmp_path / "app", PROJECT)
    with Server(hotsession_run("main:app", "--no-access-log"), project) as server:
        assert version(server) == 1
        away = project.rename(tmp_path / "away")
        server.wait_for_line(r"The watched directory .* is gone; waiting for it to come back")
        assert version(server) == 1
        shutil.copytree(away, project, ignore=shutil.ignore_patterns("__pycache__"))
        server.edit("main.py", "VERSION = 1", "VERSION = 2")
        wait_until(lambda: version(server) == 2)
        server.edit("main.py", "VERSION = 2", "VERSION = 3")
        wait_until(lambda: version(server) == 3)
        assert server.get("/").json()["visits"] > 3


def as_ordinary_user() -> tuple[str, ...]:
    """What to put before a command so that permissions count for it even if the tests run as root."""
    setpriv = shutil.which("setpriv")
    return (setpriv, "--bounding-set=-dac_override,-dac_read_search") if setpriv and os.geteuid() == 0 else ()


def test_a_directory_that_cannot_be_written_to_is_no_obstacle(tmp_path: Path) -> None:
    """Nothing of ours is written into the project, and what can't be read below it does not stop the watcher."""
    project = write_project(tmp_path / "app", {**PROJECT, "secret/part.py": "", "package/part.py": ""})
    (project / "secret").chmod(0)
    project.chmod(0o555)
    before = sorted(project.rglob("*"))
    command = (*as_ordinary_user(), *hotsession_run("main:app", "--no-access-log"))
    try:
        with Server(command, project) as server:
            server.edit("main.py", "VERSION = 1", "VERSION = 2", atomic=False)
            wait_until(lambda: version(server) == 2)
            assert "ERROR" not in server.log
        assert sorted(project.rglob("*")) == before
    finally:
        project.chmod(0o755)
        (project / "secret").chmod(0o755)


def test_started_on_broken_code_it_says_so_and_comes_up(tmp_path: Path) -> None:
    """503 with a page for a local browser, JSON for a local program, nothing but the status for others; then a save."""
    broken = {**PROJECT, "helper.py": "def help(:\n    return 'secret text'\n"}
    project = write_project(tmp_path / "app", broken)
    with Server(hotsession_run("main:app", "--no-access-log"), project) as server:
        server.wait_for_line(r"(?s)Nothing serves yet; the next save tries again.*helper\.py.*SyntaxError")
        page = server.get("/", headers={"accept": "text/html,*/*"})
        assert (page.status_code, page.headers["content-type"]) == (503, "text/html; charset=utf-8")
        assert "SyntaxError" in page.text
        answer = server.get("/any/path")
        assert answer.status_code == 503
        assert "SyntaxError" in answer.json()["detail"]
        assert "save" in answer.json()["next"]
        for stranger in ({"host": "evil.example"}, {"origin": "http://evil.example"}):
            bare = server.get("/", headers={"accept": "text/html", **stranger})
            assert (bare.status_code, bare.content) == (503, b"")
        server.edit("helper.py", "(:", "():")
        wait_until(lambda: server.get("/").status_code == 200)
        assert server.get("/").json()["helped"] == "secret text"


def test_started_with_a_lifespan_that_fails_it_comes_up_with_the_next_save(tmp_path: Path) -> None:
    """A start-up that fails at first is shown, in the log and to the browser, and tried again after the save."""
    text = PROJECT["main.py"].replace("    yield", "    raise OSError('no database')\n            yield")
    project = write_project(tmp_path / "app", {**PROJECT, "main.py": text})
    with Server(hotsession_run("main:app", "--no-access-log"), project) as server:
        assert "no database" in server.get("/").json()["detail"]
        server.write("main.py", PROJECT["main.py"])
        wait_until(lambda: server.get("/").status_code == 200)


def test_what_the_app_writes_is_no_save(tmp_path: Path) -> None:
    """An app that logs all to a file, and writes databases and caches, beside its code is not reloaded for it."""
    app = """
        import json, logging, pathlib, sqlite3, time
        logging.basicConfig(filename="all.log", level=logging.INFO)
        LOADED = time.time()
        here = pathlib.Path(__file__).parent
        async def app(scope, receive, send):
            if scope["type"] != "http":
                return
            with sqlite3.connect(here / "app.db") as db:
                db.execute("create table if not exists t (n)")
                db.execute("insert into t values (1)")
            with (here / "app.log").open("a") as log:
                log.write("line\\n")
            (here / "__pycache__").mkdir(exist_ok=True)
            (here / "__pycache__" / "cached.py").write_text("x = 1")
            (here / "sessions").mkdir(exist_ok=True)
            (here / "sessions" / "one.json").write_text("{}")
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": json.dumps(LOADED).encode()})
    """
    project = write_project(tmp_path / "app", {"main.py": app, "used.py": ""})
    with Server(hotsession_run("main:app", "--no-access-log"), project) as server:
        loaded = {json.loads(server.get("/").content) for _ in range(50)}
        server.edit("main.py", "LOADED = ", "LOADED = 1 + ")
        wait_until(lambda: json.loads(server.get("/").content) not in loaded)
        assert len(loaded) == 1
        server.wait_for_line("Reloaded main")
        assert server.log.count("Reloaded") == 1
        assert "watchfiles" not in (project / "all.log").read_text()
