"""Programs that start an ASGI app anew when a file is saved, as people start them, for end-to-end tests.

    @pytest.mark.parametrize("reloader", RELOADERS, ids=str)
    def test_a_save_shows(reloader: Reloader, tmp_path: Path) -> None:
        project = write_project(tmp_path / "app", {"counter.py": "...app..."})
        with ReloadedServer(reloader, "counter:app", project) as server:
            server.edit("counter.py", ...)

It knows command lines and how long a server needs to begin watching, and nothing about what hotsession does.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeVar

import httpx
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from tests.e2e.servers import Server, wait_until, write_project
from tests.e2e.visitor import Visitor

SCRIPTS = Path(sys.executable).parent

T = TypeVar("T")


@dataclass(frozen=True)
class Reloader:
    """A command that starts an app, and the app again when its files change.

    Args:
        name: as people call it.
        command: its words; ``{app}`` stands for the target, ``{port}`` for the port.
        files: what the project needs beside the app; ``{module}`` and ``{attribute}`` for its parts.
        polls: it looks at the files from time to time, rather than being told by the system.
        in_place: it loads code without a new process, unless the code asks for one.
        may_hang: when it is stopped while a worker starts, it may wait for that for ever.
    """

    name: str
    command: tuple[str, ...]
    files: Mapping[str, str] = field(default_factory=dict)
    polls: bool = False
    in_place: bool = False
    may_hang: bool = False

    def __str__(self) -> str:
        return self.name

    def words(self, app: str, port: int) -> tuple[str, ...]:
        """The command for an app on a port."""
        return tuple(word.replace("{app}", app).replace("{port}", str(port)) for word in self.command)

    def prepare(self, app: str, project: Path) -> None:
        """Write what the project needs beside the app."""
        module, _, attribute = app.partition(":")
        for name, text in self.files.items():
            filled = textwrap.dedent(text).replace("{module}", module).replace("{attribute}", attribute)
            write_project(project, {name: filled})


def _script(name: str) -> str:
    return str(SCRIPTS / name)


UVICORN = Reloader("uvicorn --reload", (_script("uvicorn"), "{app}", "--reload", "--port", "{port}"))
PYTHON_MAIN = Reloader(
    "python main.py",
    (sys.executable, "main.py", "{port}"),
    {
        "main.py": """
            import sys
            import uvicorn
            from {module} import {attribute} as app

            if __name__ == "__main__":
                uvicorn.run("main:app", port=int(sys.argv[1]), reload=True)
        """
    },
)
FASTAPI = Reloader(
    "fastapi dev",
    (_script("fastapi"), "dev", "main.py", "--port", "{port}"),
    {  # it takes nothing but a FastAPI; so the app is mounted, and never sees lifespan
        "main.py": """
            from fastapi import FastAPI
            from {module} import {attribute} as mounted

            app = FastAPI()
            app.mount("/", mounted)
        """
    },
)
GRANIAN = Reloader(
    "granian --reload",
    (_script("granian"), "--interface", "asgi", "{app}", "--reload", "--port", "{port}"),
    may_hang=True,
)
HYPERCORN = Reloader(
    "hypercorn --reload", (_script("hypercorn"), "{app}", "--reload", "--bind", "127.0.0.1:{port}"), polls=True
)
WATCHFILES = Reloader("watchfiles", (_script("watchfiles"), f"{_script('uvicorn')} {{app}} --port {{port}}", "."))
HOTSESSION = Reloader(
    "hotsession run", (sys.executable, "-P", "-m", "hotsession", "run", "{app}", "--port", "{port}"), in_place=True
)
PROCESS_RELOADERS = (UVICORN, PYTHON_MAIN, FASTAPI, GRANIAN, HYPERCORN, WATCHFILES)
RELOADERS = (*PROCESS_RELOADERS, HOTSESSION)


class ReloadedServer(Server):
    """A `Server` under a reloader: entering waits until a save would be seen.

    Args:
        reloader: which one.
        app: the target, in the project.
        directory: the project.
        more: further words of the command.
        options: as of `Server`.
    """

    def __init__(
        self, reloader: Reloader, app: str, directory: Path, *, more: tuple[str, ...] = (), **options: Any
    ) -> None:
        super().__init__((), directory, may_hang=reloader.may_hang, **options)
        self.reloader = reloader
        self.command = (*reloader.words(app, self.port), *more)
        reloader.prepare(app, directory)

    def __enter__(self) -> Self:
        super().__enter__()
        if "--reload" not in self.command and self._ready is not None:
            try:
                wait_until(self._watches, what=f"{self} to watch its files")
            except BaseException as error:
                self.__exit__(type(error), error, None)
                raise
        return self

    def _watches(self) -> bool:
        return self.reloader.polls or self.reloader.in_place or super()._watches()

    def patiently(self, ask: Callable[[], T]) -> T:
        """What `ask` returns; while it can't connect because no worker is up, it is called again."""

        def asked() -> tuple[T] | None:
            try:
                return (ask(),)
            except httpx.TransportError:
                return None

        return wait_until(asked, what=f"an answer of {self}")[0]  # type: ignore[index]


class PatientVisitor(Visitor):
    """A visitor who comes back, and asks again, while the server is starting anew. As the chat's page does."""

    def connect(self) -> None:
        def connected() -> bool:
            try:
                super(PatientVisitor, self).connect()
            except (OSError, InvalidHandshake, ConnectionClosed, EOFError):
                return False
            return True

        wait_until(connected, what=f"a WebSocket of {self.server}")

    def history(self) -> dict[str, Any]:
        return wait_until(super().history, what=f"the history from {self.server}")

    def send(self, message: object) -> dict[str, Any]:
        def answered() -> dict[str, Any] | None:
            try:
                return super(PatientVisitor, self).send(message)
            except ConnectionClosed:
                self.connect()
                return None

        answer = wait_until(answered, what=f"an answer to {message}")
        assert answer is not None
        return answer

    def come_back(self) -> int | None:
        """Wait for the WebSocket to be closed, connect until other code greets, and return what it was closed with."""
        before, code = self.hello["code"], None
        while self.hello["code"] == before:
            code = self.wait_for_close()
            self.connect()
        return code
