from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from hotsession.run.process import command

SCRIPT = {"__spec__": None}
MODULE = {"__spec__": SimpleNamespace(name="hotsession.__main__")}


@pytest.fixture
def flags(monkeypatch: pytest.MonkeyPatch) -> Any:
    """An interpreter without -P."""
    monkeypatch.setattr(sys, "flags", SimpleNamespace(safe_path=False))
    monkeypatch.setattr("subprocess._args_from_interpreter_flags", lambda: ["-X", "dev"])


def test_a_worker_has_the_interpreter_its_flags_and_the_arguments(flags: None) -> None:
    """The same interpreter with the same flags, and the arguments for whoever reads `ps`."""
    argv = ["/bin/hotsession", "run", "main:app", "--port", "1"]
    flagged = [sys.executable, "-X", "dev", "-m", "hotsession.run.worker", "run", "main:app", "--port", "1"]
    assert command(argv, MODULE) == flagged


def test_under_the_console_script_the_users_files_shadow_nothing(flags: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `types.py` in the current directory harms the worker as little as the command itself; -P is given once."""
    assert command(["hotsession"], SCRIPT) == [sys.executable, "-X", "dev", "-P", "-m", "hotsession.run.worker"]
    monkeypatch.setattr(sys, "flags", SimpleNamespace(safe_path=True))
    monkeypatch.setattr("subprocess._args_from_interpreter_flags", lambda: ["-P"])
    assert command(["hotsession"], SCRIPT) == [sys.executable, "-P", "-m", "hotsession.run.worker"]
