"""A project whose answers tell which code made them, on a real server: saves of a module that all import, or one does.

    with serve(tmp_path, MAIN) as server:
        assert server.version == "0.0"
        assert server.save("leaf") == "0.1"  # and it has answered
        assert server.alive() == ["0.1"]     # of what came before nothing is in memory

The app in ``main.py`` is the test's own; it mounts `tell.tell` at ``/tell``. It knows nothing of connections.
"""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from tests.deadlines import DEADLINE
from tests.e2e.servers import Server, hotsession_run, wait_until, write_project

FILES = {
    "base.py": "BASE = 0\n",
    "leaf.py": """
        from base import BASE

        LEAF = 0

        def version():
            return f"{BASE}.{LEAF}"
    """,
    "tell.py": """
        import base, gc, json, os, weakref
        from urllib.parse import unquote
        import hotsession, leaf

        marks = hotsession.keep("marks", list)  # what handlers noted, and gates that a test has opened
        code = hotsession.keep("code", weakref.WeakSet, restart="rebuild")
        code.add(leaf.version)

        def alive():
            gc.collect()
            return sorted(version() for version in code)

        async def tell(scope, receive, send):
            query = unquote(scope["query_string"].decode())
            if query.startswith("mark="):
                marks.append(query.removeprefix("mark="))
            told = {"version": leaf.version(), "pid": os.getpid(), "marks": marks}
            if query == "alive":
                told["alive"] = alive()
            headers = [(b"content-type", b"application/json")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": json.dumps(told).encode()})
    """,
}


def write_versioned(directory: Path, main: str, files: Mapping[str, str] | None = None) -> Path:
    """Write a project whose app is `main`, with further `files`, and return the directory."""
    return write_project(directory, {**FILES, "main.py": main, **(files or {})})


class VersionedServer(Server):
    """A server of such a project.

    Args:
        command: as for `Server`.
        directory: of the project.
        certificate: a directory with `cert.pem` and `key.pem`: it serves over TLS.
        options: further ones of `Server`.
    """

    def __init__(
        self, command: Sequence[str], directory: Path, *, certificate: Path | None = None, **options: Any
    ) -> None:
        self.tls: ssl.SSLContext | None = None
        if certificate is None:
            super().__init__(command, directory, ready="/tell/", **options)
            return
        files = ("--ssl-certfile", str(certificate / "cert.pem"), "--ssl-keyfile", str(certificate / "key.pem"))
        super().__init__((*command, *files), directory, ready="/tell/", **options)
        self.tls = ssl.create_default_context(cafile=str(certificate / "cert.pem"))
        self.url, self.ws_url = f"https://127.0.0.1:{self.port}", f"wss://127.0.0.1:{self.port}"
        self.client.close()
        self.client = httpx.Client(base_url=self.url, trust_env=False, timeout=30, verify=self.tls)

    def tell(self, query: str = "") -> dict[str, Any]:
        """What the app tells about itself."""
        told: dict[str, Any] = self.get(f"/tell/?{query}").raise_for_status().json()
        return told

    @property
    def version(self) -> str:
        """The version of the code that answers requests."""
        version: str = self.tell()["version"]
        return version

    def mark(self, text: str) -> None:
        """Let the app see this mark."""
        self.tell(f"mark={text}")

    @property
    def marks(self) -> list[str]:
        """What was marked so far, by the app or for it."""
        marks: list[str] = self.tell()["marks"]
        return marks

    def alive(self) -> list[str]:
        """The versions whose code is in memory."""
        alive: list[str] = self.tell("alive")["alive"]
        return alive

    def save(self, module: str = "leaf") -> str:
        """Save the next version of ``base`` or ``leaf``, wait until it answers, and return it."""
        base, leaf = map(int, self.version.split("."))
        name, old = ("BASE", base) if module == "base" else ("LEAF", leaf)
        new = f"{base + 1}.{leaf}" if module == "base" else f"{base}.{leaf + 1}"
        self.edit(f"{module}.py", f"{name} = {old}", f"{name} = {old + 1}")
        wait_until(lambda: self.version == new, DEADLINE, f"version {new}")
        return new

    def wait_for_mark(self, mark: str, timeout: float = DEADLINE) -> None:
        """Wait until the app has made this mark."""
        wait_until(lambda: mark in self.marks, timeout, f"the mark {mark!r}")

    def wait_until_alive(self, *versions: str, timeout: float = DEADLINE) -> None:
        """Wait until the code of these versions is in memory, and of no other."""
        wait_until(lambda: self.alive() == sorted(versions), timeout, f"only {versions} to be alive")


def serve(
    directory: Path,
    main: str,
    *options: str,
    files: Mapping[str, str] | None = None,
    certificate: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> VersionedServer:
    """`hotsession run` of such a project.

    Args:
        directory: where the project is written.
        main: the app.
        options: of `hotsession run`.
        files: more of the project.
        certificate: as for `VersionedServer`.
        env: environment variables.
    """
    command = hotsession_run("main:app", "--no-access-log", *options)
    project = write_versioned(directory / "app", main, files)
    return VersionedServer(command, project, certificate=certificate, env=env)


def write_certificate(directory: Path) -> Path:
    """Make a certificate for 127.0.0.1 that nobody has signed, and return `directory`, which holds it."""
    directory.mkdir(parents=True, exist_ok=True)
    names = ("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1")
    command = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *names)
    subprocess.run((*command, "-keyout", "key.pem", "-out", "cert.pem"), cwd=directory, check=True, capture_output=True)
    return directory
