"""Nothing is left behind at the end of a dev server, with real processes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hotsession.snapshot import janitor
from hotsession.snapshot.janitor import OWNER, remove, remove_when_ended
from hotsession.surroundings.processes import process_started
from hotsession.surroundings.reloaders import RUN, DevServer
from tests.deadlines import DEADLINE


def wait_until(predicate: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE
    while not predicate():
        assert time.monotonic() < deadline, f"waited for {what}"
        time.sleep(0.01)  # the pause of a poll with a deadline


def janitors(directory: Path) -> list[int]:
    """The processes that wait for the end of a place."""
    done = subprocess.run(["ps", "-A", "-ww", "-o", "pid=,command="], capture_output=True, text=True, check=True)
    lines = [line.split(None, 1) for line in done.stdout.splitlines() if str(directory) in line and "janitor" in line]
    return [int(pid) for pid, _ in lines]


def opened_by(pid: int) -> set[str]:
    """What a process has open, which may just be opening and closing the files that it starts from."""
    found = set()
    for each in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.add(str(each.readlink()))
    return found


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A place with something in it."""
    directory = tmp_path / "shm" / "hotsession-1" / "1-2-3"
    directory.mkdir(parents=True)
    (directory / "data.mdb").write_bytes(b"data")
    return directory


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    """What takes the part of a dev server."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


@pytest.fixture
def server(process: subprocess.Popen[bytes]) -> DevServer:
    return DevServer("uvicorn --reload", process.pid, process_started(process.pid) or "")


def test_the_place_goes_when_the_dev_server_ends(
    place: Path, server: DevServer, process: subprocess.Popen[bytes]
) -> None:
    """One small process waits for that, however many workers end before, and then ends as well."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(3):
            remove_when_ended(server, place)
    assert len(janitors(place)) == 1
    assert (place / "data.mdb").exists()
    process.kill()
    process.wait()
    wait_until(lambda: not place.parent.exists(), "the place to be removed")
    wait_until(lambda: not janitors(place), "the janitor to end")


def test_it_waits_though_the_dev_server_is_not_waited_for(
    place: Path, server: DevServer, process: subprocess.Popen[bytes]
) -> None:
    """A zombie has ended."""
    remove_when_ended(server, place)
    process.kill()
    wait_until(lambda: not place.exists(), "the place to be removed")


def test_it_is_not_in_the_group_of_the_dev_server(
    place: Path, server: DevServer, process: subprocess.Popen[bytes]
) -> None:
    """Ctrl+C reaches a whole group; the janitor has a session of its own, no terminal and none of our pipes."""
    remove_when_ended(server, place)
    (pid,) = janitors(place)
    assert os.getsid(pid) == pid
    if sys.platform == "linux":
        assert {each for each in opened_by(pid) if each.startswith("pipe:")} == set()
        assert Path(f"/proc/{pid}/cwd").resolve() == Path("/")
    process.kill()
    process.wait()
    wait_until(lambda: not place.exists(), "the place to be removed")


@pytest.mark.skipif(sys.platform != "linux", reason="its memory is read from /proc")
def test_it_is_small(place: Path, server: DevServer) -> None:
    """It imports neither hotsession nor anything large, and sleeps without waking."""
    remove_when_ended(server, place)
    (pid,) = janitors(place)
    status = Path(f"/proc/{pid}/status")
    wait_until(lambda: "State:\tS" in status.read_text(), "it to sleep")
    (used,) = (int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmRSS"))
    assert used < 20_000, "kB"


def test_a_janitor_that_was_killed_is_replaced(place: Path, server: DevServer) -> None:
    """By the next worker that ends."""
    remove_when_ended(server, place)
    (first,) = janitors(place)
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: process_started(first) is None, "it to be gone, with the lock that it held")
    remove_when_ended(server, place)
    assert [pid for pid in janitors(place) if pid != first]


def test_a_dev_server_that_has_ended(place: Path, server: DevServer, process: subprocess.Popen[bytes]) -> None:
    """What a worker leaves that outlived it is removed at once, without a process."""
    process.kill()
    process.wait()
    remove_when_ended(server, place)
    assert not place.exists()


def test_a_reused_number(place: Path, server: DevServer) -> None:
    """A later process of the same number is not waited for."""
    remove_when_ended(DevServer(server.kind, server.pid, "1"), place)
    assert not place.exists()


def test_our_own_parent_needs_no_janitor(place: Path, server: DevServer, process: subprocess.Popen[bytes]) -> None:
    """It removes the place itself; when it was killed, its worker does."""
    ours = DevServer(RUN, server.pid, server.started)
    remove_when_ended(ours, place)
    assert janitors(place) == []
    assert place.exists()
    process.kill()
    process.wait()
    remove_when_ended(ours, place)
    assert not place.exists()


def test_without_descriptors_of_processes(
    place: Path, server: DevServer, process: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the system has none, it looks now and then."""
    monkeypatch.setattr(janitor, "_descriptor", lambda pid: -1)
    monkeypatch.setattr(janitor, "_PAUSE", 0.01)
    remove_when_ended(server, place)
    (pid,) = janitors(place)
    os.kill(pid, signal.SIGKILL)  # it would look every five seconds
    process.kill()
    process.wait()
    janitor._wait(server.pid, -1)


def test_a_place_that_is_gone(place: Path, server: DevServer) -> None:
    """Somebody removed it: there is nothing to wait for, and no error."""
    remove(place)
    remove(place)
    remove_when_ended(server, place)
    assert janitors(place) == []


def test_others_in_the_directory_stay(place: Path) -> None:
    """Removing one place leaves the others and the directory in which they are."""
    (other := place.with_name("4-5-6")).mkdir()
    remove(place)
    assert other.exists()


def test_nobody_finds_half_of_it(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The place is renamed before it is emptied, so that a worker that comes just then begins a new one."""
    seen = []
    monkeypatch.setattr("shutil.rmtree", lambda path, ignore_errors: seen.append((path.name, place.exists())))
    remove(place)
    assert seen == [(f".removed-{os.getpid()}-1-2-3", False)]


def test_the_lock_is_held_as_long_as_it_waits(place: Path, server: DevServer) -> None:
    """Others see by it that the place is not forgotten."""
    import fcntl

    remove_when_ended(server, place)
    with (place / OWNER).open() as lock, pytest.raises(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
