"""What the system tells of processes, tried on real ones."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hotsession.surroundings import processes
from hotsession.surroundings.processes import (
    UNKNOWN,
    ProcessesHidden,
    ancestors,
    boot,
    pid_namespace,
    process_environ,
    process_started,
)
from tests.deadlines import DEADLINE

HAS_PROC = Path("/proc/self/stat").exists()


@pytest.fixture(params=["proc", "ps"])
def source(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """Where it is known from."""
    if request.param == "proc" and not HAS_PROC:
        pytest.skip("there is no /proc here")
    if request.param == "ps":
        if shutil.which("ps") is None:
            pytest.skip("there is no ps here")
        monkeypatch.setattr(processes, "_PROC", tmp_path / "nosuch")
    return str(request.param)


@pytest.fixture
def child() -> Iterator[subprocess.Popen[str]]:
    """A process that ends when its input does."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process


def test_a_process_has_one_start_time(source: str, child: subprocess.Popen[str]) -> None:
    """It is the same whenever one asks, and fit for the name of a file; nobody has it after the end."""
    started = process_started(child.pid)
    assert started is not None
    assert started.isalnum()
    assert process_started(child.pid) == started
    assert process_started(os.getpid()) is not None
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert process_started(child.pid) is None, "a zombie has ended"
    child.wait()
    assert process_started(child.pid) is None


@pytest.mark.parametrize("pid", [0, -1, 2**22 + 1, 2**70])
def test_numbers_that_no_process_has(source: str, pid: int) -> None:
    """They are no process's, and no error."""
    assert process_started(pid) is None


@pytest.mark.e2e
def test_the_processes_above(source: str) -> None:
    """They are told nearest first, with their commands and since when they run."""
    code = "from hotsession.surroundings.processes import ancestors; print(*[each.pid for each in ancestors()])"
    if source == "ps":
        code = f"from hotsession.surroundings import processes; processes._PROC = processes.Path('/nosuch'); {code}"
    between = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {code!r}])"
    with subprocess.Popen([sys.executable, "-c", between], stdout=subprocess.PIPE, text=True) as process:
        told = process.communicate()[0].split()
    assert told[:2] == [str(process.pid), str(os.getpid())]
    nearest = next(ancestors())
    assert (nearest.pid, nearest.started) == (os.getppid(), process_started(os.getppid()))


@pytest.mark.e2e
def test_a_command_is_told_with_its_arguments(source: str) -> None:
    """The words of the command line, as they were given."""
    code = "from hotsession.surroundings.processes import ancestors; print(*next(ancestors()).command, sep='|')"
    if source == "ps":
        code = f"from hotsession.surroundings import processes; processes._PROC = processes.Path('/nosuch'); {code}"
    shell = f'{sys.executable} -c "$0" x y; true'
    done = subprocess.run(["sh", "-c", shell, code], capture_output=True, text=True, check=True)
    assert done.stdout.split("|")[:2] == ["sh", "-c"]


def test_a_name_may_hold_anything(tmp_path: Path) -> None:
    """A program called ``a) S 1 (b`` does not confuse what follows its name."""
    if not HAS_PROC:
        pytest.skip("there is no /proc here")
    program = tmp_path / "a) S 1 (b"
    shutil.copy(shutil.which("cat") or "/bin/cat", program)
    with subprocess.Popen([program], stdin=subprocess.PIPE) as process:
        found = processes._from_proc(process.pid)
        assert found is not None
        assert found.parent == os.getpid()
        process.kill()


def test_where_the_system_does_not_tell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without /proc and ps it is said so, and a process that exists has a start time that says as much."""
    monkeypatch.setattr(processes, "_PROC", tmp_path / "nosuch")
    monkeypatch.setattr(processes, "_PS", str(tmp_path / "ps"))
    with pytest.raises(ProcessesHidden, match="there is no /proc here, and ps fails"):
        list(ancestors())
    assert process_started(os.getpid()) == UNKNOWN
    assert process_started(2**22 + 1) is None


def test_a_ps_that_knows_no_options(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """That of a small system prints how it is used, which is no list of processes."""
    ps = tmp_path / "ps"
    ps.write_text("#!/bin/sh\necho 'usage: ps' >&2\nexit 1\n")
    ps.chmod(0o755)
    monkeypatch.setattr(processes, "_PROC", tmp_path / "nosuch")
    monkeypatch.setattr(processes, "_PS", str(ps))
    with pytest.raises(ProcessesHidden, match=r"ps fails \(usage: ps\)"):
        list(ancestors())


HIDING = """
import os, subprocess, sys
sys.path.insert(0, {root!r})
from hotsession.surroundings.processes import ProcessesHidden, UNKNOWN, ancestors, process_started
subprocess.run(["mount", "-t", "proc", "-o", "hidepid=2", "proc", "/proc"], check=True)
parent = os.getpid()
if not os.fork():
    os.setgid(65534); os.setuid(65534)
    assert process_started(parent) == UNKNOWN, process_started(parent)
    try:
        list(ancestors())
    except ProcessesHidden as error:
        print(error, flush=True)
    os._exit(0)
os.wait()
"""


@pytest.mark.e2e
@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None, reason="only root can mount a /proc that hides"
)
def test_a_parent_that_is_hidden() -> None:
    """Where users don't see each other's processes, that of another user is not taken for one that does not exist."""
    hiding = HIDING.format(root=str(Path(processes.__file__).parents[1]))
    done = subprocess.run(["unshare", "-m", sys.executable, "-c", hiding], capture_output=True, text=True)
    if "mount" in done.stderr and "denied" in done.stderr:
        pytest.skip("this root may not mount")
    assert "the system does not show process" in done.stdout, done.stderr


def test_process_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In a container the reloader is process 1, which is looked at as well, and nothing is above it."""
    (tmp_path / "self").mkdir()
    (tmp_path / "self/stat").touch()
    (tmp_path / "1").mkdir()
    (tmp_path / "1/stat").write_text("1 (uvicorn) S 0 " + "7 " * 30)
    (tmp_path / "1/cmdline").write_bytes(b"uvicorn\0main:app\0--reload\0")
    monkeypatch.setattr(processes, "_PROC", tmp_path)
    monkeypatch.setattr(os, "getppid", lambda: 1)
    (only,) = ancestors()
    assert only.command == ("uvicorn", "main:app", "--reload")
    monkeypatch.setattr(os, "getppid", lambda: 0)
    assert list(ancestors()) == []


def test_the_variables_that_a_process_was_started_with() -> None:
    """Their names are told, where there is a /proc."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, env={"SOME": "thing", "MORE": ""}) as child:
        names = process_environ(child.pid)
        deadline = time.monotonic() + DEADLINE
        while names == frozenset() and time.monotonic() < deadline:  # the program is just being put in place
            names = process_environ(child.pid)
        child.kill()
    assert names == ({"SOME", "MORE"} if HAS_PROC else None)
    assert process_environ(2**22 + 1) is None


@pytest.mark.e2e
def test_where_numbers_count() -> None:
    """The run of the machine and the namespace are the same for a child."""
    code = "from hotsession.surroundings.processes import boot, pid_namespace; print(boot(), pid_namespace())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [*boot().split(), pid_namespace()]
