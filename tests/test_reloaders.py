"""Whether another program restarts this process when files change."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hotsession import reloaders
from hotsession.reloaders import is_reloader, under_reloader


@pytest.mark.parametrize(
    "command",
    [
        "/venv/bin/python /venv/bin/uvicorn main:app --reload",
        "python3.12 -m uvicorn main:app --port 8000 --reload",
        "python -X dev -m uvicorn main:app --reload",
        "uvicorn --reload main:app",
        "/venv/bin/python /venv/bin/fastapi dev main.py",
        "python -m fastapi dev",
        "fastapi run --reload",
        "granian --interface asgi main:app --reload",
        "hypercorn main:app --reload",
        "gunicorn -k uvicorn.workers.UvicornWorker main:app --reload",
        "/venv/bin/python /venv/bin/watchfiles main.run",
        "watchmedo auto-restart python main.py",
    ],
)
def test_reloaders(command: str) -> None:
    """The parents that restart their child on a save."""
    assert is_reloader(command.split())


@pytest.mark.parametrize(
    "command",
    [
        "uvicorn main:app",
        "uvicorn main:app --reload-dir src",
        "fastapi run main.py",
        "python main.py --reload",
        "hotsession run main:app --reload",
        "vim uvicorn.py --reload.py",
        "bash",
        "/sbin/init",
        "",
    ],
)
def test_other_programs(command: str) -> None:
    """Servers that do not reload, our own parent, shells and editors."""
    assert not is_reloader(command.split())


def test_the_parent_is_looked_at(tmp_path: Path) -> None:
    """A process that a reloader started finds it above itself, also with another process between them."""
    child = "from hotsession.reloaders import under_reloader; print(under_reloader())"
    parent = tmp_path / "uvicorn"
    parent.write_text(f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {child!r}])\n")
    between = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    (tmp_path / "watchfiles").write_text(
        f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {between!r}])\n"
    )
    for script, arguments, expected in (
        ("uvicorn", ["--reload"], "True"),
        ("uvicorn", [], "False"),
        ("watchfiles", [], "True"),
    ):
        done = subprocess.run(
            [sys.executable, str(tmp_path / script), *arguments], capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == expected, done.stderr


def test_process_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container the reloader is process 1, which is looked at as well."""
    asked: list[str] = []

    def read_bytes(path: Path) -> bytes:
        asked.append(str(path))
        return b"uvicorn\0main:app\0--reload\0"

    monkeypatch.setattr(os, "getppid", lambda: 1)
    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    monkeypatch.setattr(Path, "read_text", lambda path: "1 (uvicorn) S 0 1 1 0")
    assert under_reloader()
    assert asked == ["/proc/1/cmdline"]


def test_where_the_system_does_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without `/proc` nothing is known, and nothing is assumed."""

    def refuse(path: Path) -> bytes:
        raise FileNotFoundError(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert not under_reloader()
    assert list(reloaders._commands_above()) == []
