"""Options of uvicorn and kinds of targets under `hotsession run`: each as under uvicorn, before a save and after it."""

from __future__ import annotations

import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.sync.client import connect

from tests.deadlines import DEADLINE
from tests.e2e.servers import Server, hotsession_run, wait_until, write_project

pytestmark = pytest.mark.e2e

SHOW = """
    import json
    WORD = "old"

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            open("lifespan.txt", "a").write("asked\\n")
            raise RuntimeError("this app has no lifespan")
        seen = {"word": WORD, "root_path": scope["root_path"], "path": scope["path"], "scheme": scope["scheme"],
                "client": scope["client"] and scope["client"][0], "version": scope["http_version"]}
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps(seen).encode()})
"""


def shown(server: Server, **options: Any) -> dict[str, Any]:
    found: dict[str, Any] = server.get("/", **options).raise_for_status().json()
    return found


def word(server: Server) -> str:
    """The first word of the answer."""
    return server.get("/").raise_for_status().text.split()[0]


def save(server: Server, file: str = "main.py") -> None:
    """Turn old into new in a file and wait until the answer says so."""
    server.edit(file, '"old"', '"new"')
    wait_until(lambda: "new" in server.get("/").text)


def test_what_the_scope_says_comes_from_the_options(tmp_path: Path) -> None:
    """--root-path, --proxy-headers, --header, --no-server-header and --no-date-header, before and after a save."""
    project = write_project(tmp_path / "app", {"main.py": SHOW})
    options = ("--root-path", "/api", "--proxy-headers", "--forwarded-allow-ips", "127.0.0.1")
    headers = ("--header", "X-Of:tests", "--no-server-header", "--no-date-header")
    with Server(hotsession_run("main:app", *options, *headers), project) as server:
        for expected in ("old", "new"):
            if expected == "new":
                save(server)
            answer = server.get("/", headers={"x-forwarded-for": "10.1.2.3", "x-forwarded-proto": "https"})
            seen = answer.json()
            assert (seen["word"], seen["root_path"], seen["path"]) == (expected, "/api", "/api/")
            assert (seen["client"], seen["scheme"]) == ("10.1.2.3", "https")
            assert answer.headers["x-of"] == "tests"
            assert not {"server", "date"} & set(answer.headers)


@pytest.mark.parametrize(("mode", "asked"), [("off", False), ("auto", True), ("on", True)])
def test_the_lifespan_is_asked_as_the_option_says(tmp_path: Path, mode: str, asked: bool) -> None:
    """`off` never asks the app, `auto` takes an error for "has none", `on` shows it and waits for a save."""
    project = write_project(tmp_path / "app", {"main.py": SHOW})
    with Server(hotsession_run("main:app", "--lifespan", mode), project) as server:
        assert (project / "lifespan.txt").exists() is asked
        if mode == "on":
            assert server.get("/").status_code == 503
            server.wait_for_line("RuntimeError: this app has no lifespan")
            return
        save(server)


@pytest.mark.parametrize("http", ["h11", "httptools"])
def test_both_http_implementations_serve(tmp_path: Path, http: str) -> None:
    """--http, --loop and --ws with each implementation, over a save."""
    first = 'if scope["type"]'
    app = SHOW.replace(first, f'if scope["type"] == "websocket": return await talk(receive, send)\n        {first}')
    talk = """
    async def talk(receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": WORD})
        await receive()
    """
    loop, ws = {"h11": ("asyncio", "wsproto"), "httptools": ("uvloop", "websockets")}[http]
    project = write_project(tmp_path / "app", {"main.py": app + talk})
    with Server(hotsession_run("main:app", "--http", http, "--loop", loop, "--ws", ws), project) as server:
        save(server)
        with connect(f"{server.ws_url}/", open_timeout=DEADLINE) as socket:
            assert socket.recv(DEADLINE) == "new"


INTERFACES = {
    "wsgi": """
        def app(environ, start_response):
            start_response("200 OK", [("content-type", "text/plain")])
            return ["old".encode(), b" wsgi"]
    """,
    "asgi2": """
        class app:
            def __init__(self, scope):
                self.scope = scope

            async def __call__(self, receive, send):
                await send({"type": "http.response.start", "status": 200, "headers": []})
                await send({"type": "http.response.body", "body": "old".encode()})
    """,
}


@pytest.mark.parametrize("interface", INTERFACES)
def test_older_interfaces_serve(tmp_path: Path, interface: str) -> None:
    """--interface wsgi and asgi2 wrap each generation of the app."""
    project = write_project(tmp_path / "app", {"main.py": INTERFACES[interface]})
    options = ("--interface", interface, "--lifespan", "off")
    with Server(hotsession_run("main:app", *options), project) as server:
        assert word(server) == "old"
        save(server)


STATEFUL = """
    import contextlib, os, sys
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse
    from starlette.routing import Mount, Route

    WORD = "old"
    count = 0

    @contextlib.asynccontextmanager
    async def lifespan(app):
        app.state.word = WORD
        yield {"lent": WORD}

    async def show(request):
        return JSONResponse({"word": WORD, "app.state": getattr(request.app.state, "word", None),
                             "lifespan state": request.state.lent, "url": str(request.url_for("inside")),
                             "root_path": request.scope["root_path"], "env": os.environ.get("FROM_FILE"),
                             "path": sys.path[0], "name": __name__})

    async def inside(request):
        request.state.lent = "changed by one request"
        return JSONResponse([WORD, request.scope["root_path"]])

    class Settings:
        @staticmethod
        def create_app():
            mounted = Starlette(routes=[Route("/", inside, name="inside")])
            return Starlette(routes=[Route("/", show), Mount("/sub", mounted), Mount("/", routes=mounted.routes)],
                             lifespan=lifespan)

    def create_app():
        return Settings.create_app()

    if __name__ == "__main__":
        import uvicorn
        uvicorn.run("main:app", reload=True)
"""


@pytest.mark.parametrize(
    "target",
    [
        ("main:create_app", "--factory"),
        ("main:create_app",),
        ("main:Settings.create_app", "--factory"),
        ("main",),
        ("main.py",),
        ("./src/main.py",),
        ("src.main:create_app", "--factory"),
    ],
    ids=" ".join,
)
def test_targets_are_found_and_hold_their_state(tmp_path: Path, target: tuple[str, ...]) -> None:
    """Factories, modules, files, `__main__` parts: app.state, lifespan state and mounts belong to each generation."""
    folder = "src/" if "src" in target[0] else ""
    name = "src.main" if target[0].startswith("src.") else "main"
    project = write_project(tmp_path / "app", {f"{folder}main.py": STATEFUL, "settings.env": "FROM_FILE=yes\n"})
    with Server(hotsession_run(*target, "--env-file", "settings.env"), project) as server:
        for expected in ("old", "new"):
            if expected == "new":
                save(server, f"{folder}main.py")
            assert server.get("/sub/").json() == [expected, "/sub"]
            seen = shown(server)
            assert (seen["word"], seen["app.state"], seen["lifespan state"]) == (expected,) * 3
            assert (seen["env"], seen["name"]) == ("yes", name)
            assert seen["path"] == str(project if "." in name else project / folder)


def test_a_file_with_its_own_server_call_is_only_imported(tmp_path: Path) -> None:
    """A file that starts a server when it is run as `__main__` is imported as a module, and starts none."""
    guarded = SHOW + '\n    if __name__ == "__main__":\n        import uvicorn\n        uvicorn.run(app, port=1)\n'
    project = write_project(tmp_path / "app", {"main.py": guarded})
    with Server(hotsession_run("main.py"), project) as server:
        save(server)


def test_the_target_may_lie_in_nested_namespaces(tmp_path: Path) -> None:
    """No __init__.py anywhere: the dotted name is found below --app-dir, and edited."""
    project = write_project(tmp_path / "app", {"src/outer/inner/main.py": SHOW})
    with Server(hotsession_run("outer.inner.main:app", "--app-dir", "src"), project) as server:
        save(server, "src/outer/inner/main.py")


def test_the_log_survives_a_logging_configuration(tmp_path: Path) -> None:
    """A dictConfig at import, which disables all loggers there are: reloads and errors are shown all the same."""
    configuring = 'import logging.config\nlogging.config.dictConfig({"version": 1})\n'
    project = write_project(tmp_path / "app", {"main.py": SHOW, "settings.py": configuring})
    with Server(hotsession_run("main:app", "--no-access-log"), project) as server:
        server.edit("main.py", "import json", "import json, settings")
        save(server)
        server.wait_for_line("Reloaded .*main")
        server.edit("main.py", "import json", "import jsn")
        server.wait_for_line("No module named 'jsn'")


def test_app_dir_and_log_level(tmp_path: Path) -> None:
    """--app-dir puts a directory first on the path and watches it; --log-level warning leaves errors only."""
    project = write_project(tmp_path / "app", {"code/main.py": SHOW})
    with Server(hotsession_run("main:app", "--app-dir", "code", "--log-level", "warning"), project) as server:
        save(server, "code/main.py")
        assert server.log == ""
        server.edit("code/main.py", "import json", "import jsn")
        server.wait_for_line("ERROR: +Not reloaded")


def test_tls_serves_and_reloads(tmp_path: Path) -> None:
    """--ssl-certfile and --ssl-keyfile: HTTPS, the line says so, and a save shows over the same connection."""
    project = write_project(tmp_path / "app", {"main.py": SHOW})
    subject = ("-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1")
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-keyout", "key.pem")
    made = ("openssl", "req", "-x509", "-nodes", "-days", "1", *key, "-out", "cert.pem", *subject)
    subprocess.run(made, cwd=project, check=True, capture_output=True)
    options = ("--ssl-certfile", "cert.pem", "--ssl-keyfile", "key.pem")
    with Server(hotsession_run("main:app", *options), project, ready=None) as server:
        server.wait_for_line(r"running on https://127\.0\.0\.1:\d+")
        trust = ssl.create_default_context(cafile=str(project / "cert.pem"))
        base = server.url.replace("http:", "https:")
        with httpx.Client(base_url=base, verify=trust, trust_env=False, timeout=DEADLINE) as client:
            wait_until(lambda: client.get("/").json()["scheme"] == "https")
            server.edit("main.py", '"old"', '"new"')
            wait_until(lambda: client.get("/").json()["word"] == "new")


def test_what_is_watched_can_be_chosen(tmp_path: Path) -> None:
    """--reload-dir, --reload-include and --reload-exclude: other files reload everything, excluded ones nothing."""
    app = """
        import json, pathlib
        import inside.part, left.part
        TEXT = pathlib.Path("page.html").read_text()

        async def app(scope, receive, send):
            if scope["type"] == "http":
                seen = [TEXT, inside.part.WORD, left.part.WORD]
                await send({"type": "http.response.start", "status": 200, "headers": []})
                await send({"type": "http.response.body", "body": json.dumps(seen).encode()})
    """
    files = {"main.py": app, "page.html": "page 1", "inside/part.py": "WORD = 1\n", "left/part.py": "WORD = 1\n"}
    project = write_project(tmp_path / "app", files)
    options = ("--reload-dir", ".", "--reload-include", "*.html", "--reload-exclude", "left/*")
    with Server(hotsession_run("main:app", *options), project) as server:
        server.write("left/part.py", "WORD = 2\n")
        server.write("page.html", "page 2")
        wait_until(lambda: server.get("/").json() in (["page 2", 1, 1], ["page 2", 1, 2]))
        server.write("inside/part.py", "WORD = 2\n")
        wait_until(lambda: server.get("/").json()[1] == 2)
        assert server.log.count("Reloaded") <= 2


def test_a_stale_pyc_is_not_believed(tmp_path: Path) -> None:
    """A .pyc of other code with the size and time stamp of the source, before the start and after a save."""
    project = write_project(tmp_path / "app", {"main.py": SHOW + "\n    import part\n    WORD = part.WORD\n"})
    part = project / "part.py"

    def leave_stale(stale: str, real: str) -> None:
        part.write_text(f'WORD = "{stale}"\n')
        code = "import os, py_compile, sys; os.utime(sys.argv[1], (1e9, 1e9)); py_compile.compile(sys.argv[1])"
        subprocess.run([sys.executable, "-c", code, str(part)], check=True)
        part.write_text(f'WORD = "{real}"\n')
        subprocess.run([sys.executable, "-c", code.partition(" py_compile.")[0], str(part)], check=True)

    leave_stale("bad", "one")
    program = "import sys; sys.path[:0] = ['.']; import part; print(part.WORD)"
    plain = subprocess.run([sys.executable, "-c", program], cwd=project, capture_output=True, text=True, check=True)
    assert plain.stdout == "bad\n", "the .pyc is no trap at all"
    with Server(hotsession_run("main:app"), project) as server:
        assert shown(server)["word"] == "one"
        leave_stale("bad", "two")
        wait_until(lambda: shown(server)["word"] == "two")
