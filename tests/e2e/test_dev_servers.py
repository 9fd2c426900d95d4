"""Which dev server is found and whether the snapshot is on, under real servers as people start them.

The app writes down what was decided each time that it is imported; here it is read which process served in the end.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.deadlines import DEADLINE
from tests.e2e.servers import clean_environment, free_port, wait_until, write_project

pytestmark = pytest.mark.e2e

SCRIPTS = Path(sys.executable).parent
FILES = {
    "main.py": """
        import json
        import multiprocessing
        import os
        import sys
        from pathlib import Path

        from fastapi import FastAPI
        from hotsession.snapshot.decision import decide


        def decision():
            found = decide()
            server = found.server and [found.server.kind, found.server.pid]
            return {"name": __name__, "on": found.on, "server": server, "tell": found.tell, "why": found.why}


        with Path("../decisions").open("a") as file:  # where no reloader watches
            file.write(json.dumps(decision()) + "\\n")

        app = FastAPI()


        @app.get("/")
        def index():
            return {"pid": os.getpid(), **decision()}


        @app.get("/pool/{method}")
        def pool(method: str):
            with multiprocessing.get_context(method).Pool(1) as processes:
                return processes.apply(decision)


        def run():
            import uvicorn
            uvicorn.run(app, port=int(os.environ["PORT"]))


        if __name__ == "__main__":
            port = int(os.environ["PORT"])
            match sys.argv[1:]:
                case ["uvicorn", *words]:
                    import uvicorn
                    uvicorn.run("main:app", port=port, reload="reload" in words, workers=2 if "workers" in words else 1)
                case ["granian", *words]:
                    from granian import Granian
                    if "spawn" in words:
                        multiprocessing.set_start_method("spawn")
                    Granian("main:app", interface="asgi", port=port, reload="reload" in words).serve()
    """,
    "dev.py": """
        import sys
        import watchfiles
        import main

        if __name__ == "__main__":
            target = main.run if sys.argv[1] == "function" else f"{sys.executable} main.py uvicorn"
            watchfiles.run_process(".", target=target)
    """,
}


@dataclass
class Started:
    """An app that was started by a command."""

    process: subprocess.Popen[bytes]
    directory: Path
    client: httpx.Client

    def decisions(self) -> list[dict[str, object]]:
        """What was decided at each import of the app, in its order."""
        return [json.loads(line) for line in (self.directory.parent / "decisions").read_text().splitlines()]


@contextlib.contextmanager
def started(command: Sequence[str], directory: Path, **variables: str) -> Iterator[Started]:
    """Start a command, and wait until the app answers; ``PORT`` in its words is the port."""
    write_project(directory, FILES)
    port = str(free_port())
    words = [word.replace("PORT", port) for word in command]
    program = words[0] if words[0].startswith("/") else str(SCRIPTS / words[0])
    path = f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}"
    environ = clean_environment({"PORT": port, "PATH": path, **variables})
    with (directory.parent / "log").open("wb") as log:
        process = subprocess.Popen(
            [program, *words[1:]], cwd=directory, env=environ, stdout=log, stderr=log, start_new_session=True
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=DEADLINE) as client:
            wait_until(lambda: client.get("/"), what=f"{command} to answer")
            yield Started(process, directory, client)
    except BaseException:
        print((directory.parent / "log").read_text())
        raise
    finally:
        for each in (signal.SIGINT, signal.SIGKILL):  # as Ctrl+C; how fast that goes is not the question here
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, each)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5)


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        ("uvicorn main:app --reload --port PORT", "uvicorn --reload"),
        ("python -m uvicorn main:app --reload --port PORT", "uvicorn --reload"),
        ("python main.py uvicorn reload", "uvicorn with reload"),
        ("fastapi dev main.py --port PORT", "fastapi dev"),
        ("granian --interface asgi main:app --reload --port PORT", "granian --reload"),
        ("python main.py granian reload", "granian with reload"),
        ("hypercorn main:app --reload -b 127.0.0.1:PORT", "hypercorn --reload"),
        ("watchfiles main.run", "watchfiles"),
        ("python dev.py function", "watchfiles"),
        ("python dev.py command", "watchfiles"),
        ("python -m hotsession run main:app --port PORT", "hotsession run"),
    ],
)
def test_under_a_reloader_it_is_on(command: str, kind: str, tmp_path: Path) -> None:
    """The dev server is the process that was started; what only looks at the app, there or here, is told so."""
    with started(command.split(), tmp_path / "app") as app:
        served = app.client.get("/").json()
        assert (served["on"], served["server"]) == (True, [kind, app.process.pid])
        assert served["pid"] != app.process.pid
        imported = app.decisions()
        assert imported[-1]["server"] == served["server"], "it was known when the app was imported"
        assert not any(each["tell"] for each in imported)
        copies = [each for each in imported if each["name"] == "__mp_main__"]
        assert all(each["server"] == served["server"] for each in copies), "also as the main file of a spawned process"


@pytest.mark.parametrize(
    "words",
    [
        ["watchfiles", f"{SCRIPTS}/uvicorn main:app --port PORT"],
        ["watchfiles", f"sh -c '{SCRIPTS}/uvicorn main:app --port PORT; exit'"],
        ["watchfiles", f"{SCRIPTS}/granian --interface asgi main:app --port PORT"],
        ["/bin/sh", "-c", f"{SCRIPTS}/watchfiles '{SCRIPTS}/uvicorn main:app --port PORT'; exit"],
    ],
    ids=["directly", "in a shell", "with a parent of its own", "from a shell"],
)
def test_whatever_is_between_watchfiles_and_the_app(words: list[str], tmp_path: Path) -> None:
    """Shells and parents of workers are walked through."""
    with started(words, tmp_path / "app") as app:
        served = app.client.get("/").json()
        assert served["on"]
        kind, pid = served["server"]
        assert kind == "watchfiles"
        if words[0] == "watchfiles":
            assert pid == app.process.pid
        else:
            assert pid not in (app.process.pid, served["pid"])


@pytest.mark.parametrize(
    "command",
    [
        "uvicorn main:app --port PORT",
        "uvicorn main:app --workers 2 --port PORT",
        "python main.py uvicorn",
        "python main.py uvicorn workers",
        "fastapi run main.py --port PORT",
        "fastapi run main.py --workers 2 --port PORT",
        "fastapi dev --no-reload main.py --port PORT",
        "granian --interface asgi main:app --workers 2 --port PORT",
        "python main.py granian",
        "hypercorn main:app -w 2 -b 127.0.0.1:PORT",
    ],
)
def test_without_a_reloader_it_is_off(command: str, tmp_path: Path) -> None:
    """Production, several workers among it, has no snapshot and hears nothing of it."""
    with started(command.split(), tmp_path / "app") as app:
        assert {(each["on"], each["tell"]) for each in [app.client.get("/").json(), *app.decisions()]} == {
            (False, False)
        }


def test_where_it_cant_be_told(tmp_path: Path) -> None:
    """A granian that a program starts by spawning says nothing about reloading: off, and HOTSESSION=on decides."""
    command = ["python", "main.py", "granian", "spawn", "reload"]
    with started(command, tmp_path / "app") as app:
        served = app.client.get("/").json()
        assert (served["on"], served["tell"]) == (False, True)
        assert "granian was started by main.py and does not say whether it reloads" in served["why"]
    with started(command, tmp_path / "second" / "app", HOTSESSION="on") as app:
        assert app.client.get("/").json()["server"] == ["the process above", app.process.pid]


def test_a_switch_in_the_environment_of_the_server(tmp_path: Path) -> None:
    """Uvicorn and granian take their options from variables as well."""
    with started(["uvicorn", "main:app", "--port", "PORT"], tmp_path / "app", UVICORN_RELOAD="1") as app:
        assert app.client.get("/").json()["server"] == ["uvicorn --reload", app.process.pid]
    command = ["granian", "--interface", "asgi", "main:app", "--port", "PORT"]
    with started(command, tmp_path / "second" / "app", GRANIAN_RELOAD="true") as app:
        assert app.client.get("/").json()["server"] == ["granian --reload", app.process.pid]


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
@pytest.mark.parametrize(
    "words",
    [
        ["uvicorn", "main:app", "--reload", "--port", "PORT"],
        ["granian", "--interface", "asgi", "main:app", "--reload", "--port", "PORT"],
        ["watchfiles", f"{SCRIPTS}/uvicorn main:app --port PORT"],
    ],
    ids=["uvicorn", "granian", "watchfiles"],
)
def test_processes_that_the_app_starts(words: list[str], method: str, tmp_path: Path) -> None:
    """A pool of the app's is not what the reloader restarts: the app is imported there, and has no snapshot."""
    with started(words, tmp_path / "app") as app:
        assert app.client.get("/").json()["on"]
        before = len(app.decisions())
        assert app.client.get(f"/pool/{method}").json()["on"] is False
        assert {each["on"] for each in app.decisions()[before:]} == {False}
