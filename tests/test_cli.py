from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import hotsession.cli
from hotsession import __version__
from hotsession.cli import main


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project as the current directory; nothing is served."""
    (tmp_path / "main.py").write_text("app = None\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(hotsession.cli, "serve", lambda *args: 0)
    return tmp_path


def invoke(*args: str, **options: Any) -> Result:
    """Run the command line in this process."""
    return CliRunner().invoke(main, args, prog_name="hotsession", **options)


def test_versions_of_ours_and_of_uvicorn_are_shown() -> None:
    """--version names both, on the group and on `run`."""
    for line in (["--version"], ["run", "--version"]):
        result = invoke(*line)
        assert result.exit_code == 0
        assert result.output.startswith(f"hotsession {__version__} with uvicorn ")


def test_help_shows_uvicorns_options_and_ours() -> None:
    """`hotsession run --help` lists everything there is."""
    result = invoke("run", "--help")
    assert "TARGET" in result.output
    assert all(each in result.output for each in ("--ssl-keyfile", "--handover", "--drain-timeout", "--reload-scope"))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (["run", "main:app", "--prot", "1"], "--prot"),
        (["run"], "no target: type `hotsession run main.py`"),
        (["run", "nosuch:app"], "there is no module 'nosuch'"),
        (["run", "nosuch.py"], "there is no file 'nosuch.py'"),
        (["run", "main:app", "--workers", "4"], "leave it out"),
        (["run", "main:app", "--reload-dir", "nosuch"], "nosuch"),
        (["main:app", "--port", "0"], "'main:app' is no command: type `hotsession run main:app --port 0`"),
        (["main.py"], "'main.py' is no command: type `hotsession run main.py`"),
        (["walk"], "No such command 'walk'"),
    ],
)
def test_bad_input_is_a_clear_error(project: Path, line: list[str], message: str) -> None:
    """What can't be meant ends with status 2 and a sentence that says what to do, and no traceback."""
    result = invoke(*line)
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())
    assert isinstance(result.exception, SystemExit)


def test_without_a_target_in_an_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing can be suggested the message shows the form of a target."""
    monkeypatch.chdir(tmp_path)
    assert "type `hotsession run main:app`" in invoke("run").output


def test_the_target_may_come_from_the_environment(project: Path) -> None:
    """UVICORN_APP is read as uvicorn reads it."""
    assert invoke("run", env={"UVICORN_APP": "main:app"}).exit_code == 0


def test_reset_without_a_server_says_so(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where no dev server runs, the error says how to start one."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    result = invoke("reset")
    assert result.exit_code == 2
    assert "start one with `hotsession run`" in result.output
