"""Whether another program restarts this process when files change."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hotsession.reloaders import reloader_kind


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
    assert reloader_kind(command.split(), {})


@pytest.mark.parametrize(
    "command",
    [
        "uvicorn main:app",
        "uvicorn main:app --reload-dir src",
        "fastapi run main.py",
        "python main.py --reload",
        "vim uvicorn.py --reload.py",
        "bash",
        "/sbin/init",
        "",
    ],
)
def test_other_programs(command: str) -> None:
    """Servers that do not reload, our own parent, shells and editors."""
    assert reloader_kind(command.split(), {}) is None


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
