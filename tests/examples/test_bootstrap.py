"""The commands that set everything up: they speak to whatever Python they meet, and to who mistypes."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from examples import bootstrap

FILES = ["examples/__main__.py", "examples/bootstrap.py", "tests/__main__.py"]


@pytest.mark.parametrize("file", FILES)
def test_older_pythons_understand_what_sets_things_up(file: str) -> None:
    """The commands are in the syntax of Python 3.6, so that an old one can say that it is too old."""
    tree = ast.parse((bootstrap.ROOT / file).read_text(encoding="utf-8"), feature_version=(3, 6))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    own = {"examples.bootstrap"}
    assert (imported | modules) - own <= sys.stdlib_module_names
    assert "__future__" not in modules


def test_a_python_that_will_do_is_used() -> None:
    """The Python that runs the command makes the environment, if it can."""
    assert bootstrap._suitable_python() == sys.executable


def test_another_python_takes_over_where_this_one_will_not_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the running Python is too old the next one that will do is taken, and the user is told."""
    monkeypatch.setattr(bootstrap, "_will_do", lambda python: python == "/opt/python3.12")
    monkeypatch.setattr(shutil, "which", lambda name: f"/opt/{name}" if name == "python3.12" else None)
    assert bootstrap._suitable_python() == "/opt/python3.12"
    assert capsys.readouterr().out.endswith(") won't do; going on with /opt/python3.12\n")


def test_where_no_python_will_do_it_says_what_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any suitable Python the command ends with what is needed and where to get it."""
    monkeypatch.setattr(bootstrap, "_will_do", lambda python: False)
    with pytest.raises(SystemExit, match=r"needs Python 3\.11 or newer with its venv module.*python\.org"):
        bootstrap._suitable_python()


def test_an_environment_that_is_up_to_date_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was installed once is installed again only when pyproject.toml has changed."""
    monkeypatch.setenv("HOTSESSION_VENV", str(tmp_path / "venv"))
    calls: list[list[str]] = []

    def run(command: list[str], *, check: bool) -> None:
        calls.append(command)
        if "venv" in command:
            (tmp_path / "venv" / "bin").mkdir(parents=True)
            (tmp_path / "venv" / "bin" / "python").touch()

    monkeypatch.setattr(bootstrap, "_suitable_python", lambda: "python")
    monkeypatch.setattr(subprocess, "run", run)
    python = bootstrap.environment("dev")
    made = len(calls)
    assert "--group" in calls[-1]
    assert bootstrap.environment("dev") == python == tmp_path / "venv" / "bin" / "python"
    assert len(calls) == made
    bootstrap.environment()
    assert len(calls) > made
    assert "--group" not in calls[-1]


def test_an_example_that_does_not_exist_is_answered_with_those_that_do() -> None:
    """A mistyped name lists the examples."""
    command = [sys.executable, "-m", "examples", "chatt"]
    result = subprocess.run(command, cwd=bootstrap.ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "no example called chatt; there are: agent, chat, jobs, preview" in result.stderr
