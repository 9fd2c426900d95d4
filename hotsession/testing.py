"""Test that an app survives a reload or a restart, without a server: take a project, edit it, reload, ask it again.

Needs an HTTP client (``pip install hotsession[testing]``), which Starlette's `TestClient` is made of.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from starlette.testclient import TestClient

from hotsession.asgi.host import Host, HostOptions
from hotsession.errors import ReloadError
from hotsession.events import Change, LoadFailed, Reloaded
from hotsession.registry import registry
from hotsession.reload.imports import Importer
from hotsession.snapshot.simulation import use_snapshot, write_snapshot
from hotsession.target import find_target


class App:
    """An app in a project of its own, served in this process.

    Attributes:
        path: the project's directory, whose files may be edited in any way.
        client: asks the app; a `starlette.testclient.TestClient` with the lifespan running.
    """

    client: TestClient

    def __init__(self, path: Path, target: str, options: HostOptions, client: Mapping[str, Any]) -> None:
        self.path = path
        self._target = target
        self._options = options
        self._client_options = client
        self._snapshot: Path | None = None
        self._seen: Mapping[str, tuple[int, bytes]] = {}
        self._process = contextlib.ExitStack()  # what has to be undone at the end of what stands for a process
        self._begin()

    def __repr__(self) -> str:
        return f"<App {self._host.target} in {self.path}>"

    @property
    def generation(self) -> int | None:
        """The number of the generation that serves, counting from 1; None when the code was broken from the start."""
        return self._host.generation

    def write(self, file: str, text: str) -> None:
        """Write a file of the project, whether it was there or not.

        Args:
            file: its path inside the project.
            text: all of its new content.
        """
        path = self.path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def edit(self, file: str, old: str, new: str) -> None:
        """Replace a piece of text in a file of the project.

        Args:
            file: its path inside the project.
            old: what is there; every occurrence is replaced.
            new: what is to be there.

        Raises:
            ValueError: `old` is not in the file, so the edit would change nothing.
        """
        text = (self.path / file).read_text(encoding="utf-8")
        if old not in text:
            raise ValueError(f"{file} does not contain {old!r}")
        self.write(file, text.replace(old, new))

    def delete(self, file: str) -> None:
        """Delete a file of the project."""
        (self.path / file).unlink()

    def save(self) -> Reloaded | LoadFailed | None:
        """Act on all that changed, as a running server does on a save.

        Returns:
            What came of it: `Reloaded`, `LoadFailed` when the new code is broken and the old goes on, or None when no
            file that the app has to do with has changed.
        """
        seen, self._seen = self._seen, _stamps(self.path)
        changes = {Change(file) for file, stamp in self._seen.items() if seen.get(file) != stamp}
        changes |= {Change(file, "deleted") for file in seen if file not in self._seen}
        return self._portal.call(self._host.act, frozenset(changes))  # type: ignore[no-any-return]

    def reload(self) -> Reloaded:
        """Act on all that changed, and insist on a new generation.

        Raises:
            ReloadError: nothing has changed, or the new code is broken; then its error is the cause.
        """
        outcome = self.save()
        if isinstance(outcome, Reloaded):
            return outcome
        if outcome is None:
            raise ReloadError("No file that the app imports has changed: edit one before you reload.")
        raise ReloadError(f"The new code failed at {outcome.stage}; the old code goes on serving.") from outcome.error

    def reset(self, name: str | None = None) -> str:
        """Drop what is kept under `name`, or everything, as `hotsession reset` does; return the line it prints.

        Raises:
            ConfigurationError: nothing is kept under that name.
            ReloadError: nothing was dropped, and why.
        """
        return self._portal.call(self._host.reset, name)  # type: ignore[no-any-return]

    def restart(self) -> Mapping[str, str]:
        """End the app and start it as a new process would, with what a snapshot carries over and nothing else.

        Objects are pickled and read again, modules are imported anew, services and lifespan begin again. Cookies stay.

        Returns:
            What could not be carried over: its path, as in ``session["client"].pool of 'chats'``, and its type.
        """
        cookies = self.client.cookies
        self._client.close()
        if self._snapshot is None:
            self._snapshot = self.path.with_name("snapshot")
            self._snapshot.mkdir(mode=0o700)
        left = write_snapshot(self._snapshot)
        self._process.close()
        self._begin()
        self.client.cookies = cookies
        return left

    def _begin(self) -> None:
        """Begin what stands for a process: import the app and start its lifespan."""
        self._process.enter_context(_own_process_state(self.path))
        if self._snapshot is not None:
            self._process.callback(use_snapshot(self._snapshot).close)
        self._host = Host(find_target(self._target, app_dir=str(self.path)), self._options)
        self._client = self._process.enter_context(contextlib.ExitStack())
        self.client = self._client.enter_context(TestClient(self._host, **self._client_options))
        self._seen = _stamps(self.path)

    def _end(self) -> None:
        self._process.close()

    @property
    def _portal(self) -> Any:
        return self.client.portal


@contextlib.contextmanager
def running(
    project: str | os.PathLike[str] | Mapping[str, str],
    target: str = "main:app",
    *,
    options: HostOptions | None = None,
    **client: Any,
) -> Iterator[App]:
    """Serve a copy of a project during the block, ready to be edited and reloaded.

    The registry is empty at the start and at the end of the block, and the modules that the project brings are
    gone from `sys.modules` afterwards; those of the same names that were there before are back.

    Args:
        project: a directory, which is copied, or the files themselves: path inside the project -> text.
        target: what `hotsession run` takes, inside the project.
        options: how to reload; nothing is watched, whatever they say.
        client: further arguments of Starlette's `TestClient`.

    Example:
        >>> with running({"main.py": HELLO}) as app:
        ...     app.client.get("/").text
        ...     app.edit("main.py", "hello", "goodbye")
        ...     app.reload()
        ...     app.client.get("/").text
        'hello'
        Reloaded(generation=2, modules=('main',), ...)
        'goodbye'
    """
    with tempfile.TemporaryDirectory(prefix="hotsession-") as directory:
        path = Path(directory).resolve() / "project"
        path.mkdir()
        _copy(project, path)
        app = App(path, target, replace(options or HostOptions(), watch_dirs=(path,), watch=False), client)
        try:
            yield app
        finally:
            app._end()


def _stamps(path: Path) -> dict[str, tuple[int, bytes]]:
    """Time of last change and content of every Python file below `path`."""
    return {str(file): (file.stat().st_mtime_ns, file.read_bytes()) for file in path.rglob("*.py")}


def _copy(project: str | os.PathLike[str] | Mapping[str, str], path: Path) -> None:
    if isinstance(project, Mapping):
        for file, text in project.items():
            (path / file).parent.mkdir(parents=True, exist_ok=True)
            (path / file).write_text(text, encoding="utf-8")
    else:
        shutil.copytree(
            project, path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__", ".venv", ".git")
        )


@contextlib.contextmanager
def _own_process_state(path: Path) -> Iterator[None]:
    """Keep what the block does to the process from those who come after it."""
    importer: Importer | None = None
    names = {entry.stem for entry in path.iterdir() if entry.is_dir() or entry.suffix == ".py"}
    hidden = {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] in names}
    before, search_path = set(sys.modules), list(sys.path)
    registry.clear()
    try:
        importer = registry.object("importer", Importer)
        yield
    finally:
        if importer is not None:
            importer.uninstall()
        registry.clear()
        sys.path[:] = search_path
        for name in set(sys.modules) - before:
            if _lies_in(sys.modules[name], path):
                del sys.modules[name]
        sys.modules.update(hidden)
        for cached in [each for each in sys.path_importer_cache if each.startswith(str(path))]:
            del sys.path_importer_cache[cached]


def _lies_in(module: ModuleType, path: Path) -> bool:
    places = [getattr(module, "__file__", None), *getattr(module, "__path__", ())]
    return any(place and Path(place).is_relative_to(path) for place in places)
