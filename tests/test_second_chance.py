"""Tests that fail once are tried again, and never in silence."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.e2e.servers import ROOT, clean_environment

TESTS = """
    import pathlib
    import pytest

    def attempts(name):
        path = pathlib.Path(name)
        path.write_text(path.read_text() + "." if path.exists() else ".")
        return len(path.read_text())

    @pytest.mark.e2e
    def test_slow():
        assert attempts("slow") > {slow}

    @pytest.fixture
    def server():
        assert attempts("server") > {server}

    @pytest.mark.e2e
    def test_served(server):
        pass

    def test_fast():
        assert attempts("fast") > {fast}

    @pytest.mark.parametrize("number", range(6 if {many} else 0))
    def test_one_of_many(number):
        assert attempts(f"many{{number}}") > {many}
"""


def run(
    directory: Path, *options: str, slow: int = 0, server: int = 0, fast: int = 0, many: int = 0
) -> tuple[int, str]:
    """The exit status and output of tests that fail as often as is said."""
    (directory / "pytest.ini").write_text("[pytest]\nmarkers = e2e\n")
    (directory / "test_it.py").write_text(textwrap.dedent(TESTS).format(slow=slow, server=server, fast=fast, many=many))
    command = [sys.executable, "-m", "pytest", "-p", "tests.second_chance", *options]
    env = {**clean_environment(), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=directory, env=env, capture_output=True, text=True, timeout=300, check=False)
    return done.returncode, done.stdout


@pytest.mark.e2e
@pytest.mark.parametrize("options", [(), ("-n", "2")], ids=["alone", "in two processes"])
def test_what_passes_the_second_time_has_passed_and_is_named(tmp_path: Path, options: tuple[str, ...]) -> None:
    """The run succeeds, says which tests needed it and of what they failed, and ends in one summary."""
    status, output = run(tmp_path, *options, slow=1, server=1, fast=1)
    assert status == 0
    for name in ("test_slow", "test_served", "test_fast"):
        assert f"SECOND ATTEMPT, alone: test_it.py::{name}" in output
        assert f"FAILED AT FIRST, PASSED ALONE: test_it.py::{name}" in output
    assert "assert 1 > 1" in output
    assert "3 passed, 1 skipped, 3 rerun in" in output.splitlines()[-1]


@pytest.mark.e2e
def test_what_fails_twice_has_failed(tmp_path: Path) -> None:
    """Another that passes the second time does not hide it."""
    status, output = run(tmp_path, slow=2, server=1)
    assert status == 1
    assert "1 failed, 2 passed, 1 skipped, 1 rerun in" in output.splitlines()[-1]
    assert "FAILED again" in output
    assert "FAILED test_it.py::test_slow" in output


@pytest.mark.e2e
def test_when_many_fail_none_is_tried_again(tmp_path: Path) -> None:
    """Six at once are no accident of the machine."""
    status, output = run(tmp_path, many=1)
    assert status == 1
    assert "6 failed, 3 passed in" in output.splitlines()[-1]
    assert "SECOND ATTEMPT" not in output
