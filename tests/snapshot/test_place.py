"""Where the snapshot of a dev server lies, with real directories and processes."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hotsession.snapshot import place as tested
from hotsession.snapshot.janitor import OWNER
from hotsession.snapshot.place import (
    Place,
    PlaceUnusable,
    bases_of,
    has_room,
    open_place,
    place_name,
    remove_dead,
    remove_place_of,
)
from hotsession.surroundings.processes import process_started
from hotsession.surroundings.reloaders import DevServer


@pytest.fixture
def environ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A shared memory with room, a cache and a temporary directory of this test's."""
    for name in ("shm", "cache", "tmp"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    monkeypatch.setattr(tested, "SHARED_MEMORY", tmp_path / "shm")
    monkeypatch.setattr(tested, "has_room", lambda path: True)
    return {"XDG_CACHE_HOME": str(tmp_path / "cache")}


@pytest.fixture
def processes() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes that take the part of dev servers; those that are left end with the test."""
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def server(processes: list[subprocess.Popen[bytes]]) -> DevServer:
    return dev_server(processes)


def dev_server(processes: list[subprocess.Popen[bytes]]) -> DevServer:
    """A process that runs until it is ended."""
    process = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
    processes.append(process)
    return DevServer("uvicorn --reload", process.pid, process_started(process.pid) or "")


def end(processes: list[subprocess.Popen[bytes]], server: DevServer) -> None:
    (process,) = (each for each in processes if each.pid == server.pid)
    process.kill()
    process.wait()


def open_and_close(server: DevServer, environ: dict[str, str], lasting: Path | None = None) -> Place:
    place = open_place(server, lasting, environ)
    place.close()
    return place


def make_old(path: Path) -> None:
    for each in (path, *path.iterdir()):
        os.utime(each, (time.time() - 2 * 24 * 3600,) * 2)


def test_it_lies_in_shared_memory_closed_to_others(server: DevServer, environ: dict[str, str], tmp_path: Path) -> None:
    """Whatever the umask, nobody else may enter; inside it is written whose it is."""
    before = os.umask(0)
    try:
        place = open_and_close(server, environ)
    finally:
        os.umask(before)
    assert place.directory.parent == tmp_path / "shm" / f"hotsession-{os.geteuid()}"
    assert place.directory.name.startswith(f"{server.pid}-{server.started}-")
    assert [stat.S_IMODE(each.stat().st_mode) for each in (place.directory, place.directory.parent)] == [0o700] * 2
    assert (place.lasting, place.notes) == (False, ())
    owner = json.loads((place.directory / "owner.json").read_text())
    assert owner == {
        "kind": "uvicorn --reload",
        "pid": server.pid,
        "started": server.started,
        "directory": str(Path.cwd()),
    }


def test_the_next_worker_finds_it(
    server: DevServer, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Also when shared memory became full meanwhile, or has room only since."""
    place = open_and_close(server, environ)
    (place.directory / "data").touch()
    monkeypatch.setattr(tested, "has_room", lambda path: False)
    assert open_and_close(server, environ).directory == place.directory
    assert (place.directory / "data").exists()
    shutil.rmtree(place.directory)
    place = open_and_close(server, environ)
    assert place.directory.parent == tmp_path / "cache" / "hotsession"
    monkeypatch.setattr(tested, "has_room", lambda path: True)
    assert open_and_close(server, environ).directory == place.directory


def test_two_dev_servers_do_not_mix(
    environ: dict[str, str], processes: list[subprocess.Popen[bytes]], server: DevServer
) -> None:
    """Each has its own place, also one that got the number of another that ended."""
    places = {open_and_close(each, environ).directory for each in (server, dev_server(processes))}
    places.add(open_and_close(DevServer(server.kind, server.pid, "1"), environ).directory)
    assert len(places) == 3


def test_without_room_in_shared_memory_it_lies_in_the_cache(
    server: DevServer, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In the directory that XDG_CACHE_HOME names, else in ~/.cache; a relative one counts as unset."""
    monkeypatch.setattr(tested, "has_room", lambda path: False)
    assert open_and_close(server, environ).directory.parent == tmp_path / "cache" / "hotsession"
    for given in ({}, {"XDG_CACHE_HOME": "cache"}):
        assert bases_of({"HOME": "/home/me", **given})[1] == Path("/home/me/.cache/hotsession")
    home = {"HOME": str(tmp_path / "home")}
    assert open_and_close(server, home).directory.parent == tmp_path / "home" / ".cache" / "hotsession"


def test_shared_memory_that_others_may_enter(server: DevServer, environ: dict[str, str], tmp_path: Path) -> None:
    """It is not used, what is in it is not read, and a line says why and what to do."""
    inside = open_and_close(server, environ).directory
    inside.parent.chmod(0o755)
    place = open_and_close(server, environ)
    assert place.directory.parent == tmp_path / "cache" / "hotsession"
    (note,) = place.notes
    assert note == (
        f"The snapshot can't lie in {inside.parent}, others may enter it (mode 0755):"
        f" remove {inside.parent} if nobody needs it"
    )
    assert open_and_close(server, environ).notes == (), "it is said once"


def test_a_place_that_others_may_enter(server: DevServer, environ: dict[str, str], tmp_path: Path) -> None:
    """The place of this very dev server is checked as well."""
    inside = open_and_close(server, environ).directory
    inside.chmod(0o750)
    place = open_and_close(server, environ)
    assert place.directory.parent == tmp_path / "cache" / "hotsession"
    assert "others may enter it (mode 0750)" in place.notes[0]


def test_no_place_at_all(server: DevServer, environ: dict[str, str], tmp_path: Path) -> None:
    """The error says what is wrong with each, and what to do."""
    for base in bases_of(environ):
        base.touch()
    with pytest.raises(PlaceUnusable, match="it is no directory") as caught:
        open_place(server, None, environ)
    assert all(str(base) in str(caught.value) for base in bases_of(environ))
    assert str(caught.value).endswith(
        "Set HOTSESSION_STATE to a directory of yours, or HOTSESSION=off to do without it"
    )


def test_what_dead_dev_servers_left_is_removed(
    environ: dict[str, str],
    processes: list[subprocess.Popen[bytes]],
    server: DevServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At every opening, wherever places can be; those of living ones stay, and so does what is no place."""
    dead = dev_server(processes)
    left = open_and_close(dead, environ).directory
    monkeypatch.setattr(tested, "has_room", lambda path: False)
    shutil.copytree(left, cached := bases_of(environ)[1] / left.name)
    cached.parent.chmod(0o700)
    half = left.with_name(".removed-1-x")
    half.mkdir()
    (other := left.with_name("control")).mkdir()
    living = open_and_close(dev_server(processes), environ).directory
    assert left.exists()
    end(processes, dead)
    open_and_close(server, environ)
    assert [each.exists() for each in (left, cached, half, other, living)] == [False, False, False, True, True]


def test_a_reused_number_is_another_process(environ: dict[str, str], server: DevServer) -> None:
    """What the earlier process of a number left is removed though the number is in use."""
    earlier = DevServer(server.kind, server.pid, "1")
    left = open_and_close(earlier, environ).directory
    remove_dead(environ)
    assert not left.exists()


def test_what_another_container_has(
    environ: dict[str, str], server: DevServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Process numbers say nothing there: it stays while it is in use or was used today, and goes after that."""
    monkeypatch.setattr(tested, "pid_namespace", lambda: "elsewhere")
    place = open_place(DevServer(server.kind, 2**22 + 1, "1"), None, environ)
    monkeypatch.undo()
    monkeypatch.setattr("tempfile.tempdir", str(bases_of(environ)[-1].parent))
    monkeypatch.setattr(tested, "SHARED_MEMORY", place.directory.parent.parent)
    make_old(place.directory)
    remove_dead(environ)
    assert place.directory.exists(), "a worker has it"
    place.close()
    os.utime(place.directory)
    remove_dead(environ)
    assert place.directory.exists(), "it was used just now"
    waiting = "import fcntl, sys; f = open(sys.argv[1]); fcntl.flock(f, fcntl.LOCK_EX); print(flush=True); input()"
    command = [sys.executable, "-c", waiting, str(place.directory / OWNER)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        make_old(place.directory)
        remove_dead(environ)
        assert place.directory.exists(), "its janitor waits"
        process.communicate(b"\n")
    remove_dead(environ)
    assert not place.directory.exists()


def test_a_place_that_can_be_made_but_not_filled(
    server: DevServer, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where the disk is full nothing is left that the next worker would take for the place."""

    def full(path: Path, text: str) -> int:
        if path.is_relative_to(tmp_path / "shm"):
            raise OSError(28, "No space left on device")
        return len(text)

    monkeypatch.setattr(Path, "write_text", full)
    place = open_and_close(server, environ)
    assert place.directory.parent == tmp_path / "cache" / "hotsession"
    assert "No space left on device" in place.notes[0]
    assert not (tmp_path / "shm" / place.directory.parent.name).exists()
    assert open_and_close(server, environ).directory == place.directory


def test_the_end_of_our_own_parent(environ: dict[str, str], server: DevServer) -> None:
    """It removes its place itself, and the directory around it if that is empty then."""
    place = open_and_close(server, environ)
    remove_place_of(server, environ)
    assert not place.directory.parent.exists()
    remove_place_of(server, environ)


def test_a_lasting_place_is_made(server: DevServer, environ: dict[str, str], tmp_path: Path) -> None:
    """With the directories above it, closed to others, and found again by another dev server."""
    place = open_and_close(server, environ, tmp_path / "some" / "state")
    assert place == Place(tmp_path / "some" / "state", lasting=True)
    assert stat.S_IMODE(place.directory.stat().st_mode) == 0o700
    assert not any(path.exists() for path in bases_of(environ))
    assert open_and_close(DevServer("x", 1, "1"), environ, place.directory) == place


def test_a_lasting_place_that_was_just_made(server: DevServer, environ: dict[str, str], tmp_path: Path) -> None:
    """An empty directory of the user's is closed to others, with a link to it or not."""
    (tmp_path / "state").mkdir(mode=0o755)
    (tmp_path / "link").symlink_to(tmp_path / "state")
    assert open_and_close(server, environ, tmp_path / "link").directory == tmp_path / "state"
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700


def test_a_lasting_place_that_others_may_enter(server: DevServer, environ: dict[str, str], tmp_path: Path) -> None:
    """What they could have written is never read; nobody is told to remove a directory that may be the project's."""
    (tmp_path / "state").mkdir(mode=0o755)
    (tmp_path / "state" / "data.mdb").touch()
    with pytest.raises(
        PlaceUnusable, match=r"HOTSESSION_STATE=.*state can't be used, others may enter it \(mode 0755\)\. Name one"
    ):
        open_place(server, tmp_path / "state", environ)


def test_a_lasting_place_that_is_a_file(server: DevServer, environ: dict[str, str], tmp_path: Path) -> None:
    """It, or one of the directories above it."""
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "state"):
        with pytest.raises(PlaceUnusable, match="Name one that is yours alone"):
            open_place(server, path, environ)


def test_a_lasting_place_of_another_user(
    server: DevServer, environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever else owns it could have written what would be unpickled."""
    (tmp_path / "state").mkdir(mode=0o700)
    user = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: user + 1)
    with pytest.raises(PlaceUnusable, match=f"it belongs to user {user}"):
        open_place(server, tmp_path / "state", environ)


def test_the_name_of_a_place_is_fit_for_a_file(server: DevServer) -> None:
    """It has no separators in it, and is the same for whoever asks in this container."""
    assert "/" not in place_name(server)
    assert place_name(server) == place_name(DevServer("other words", server.pid, server.started))


def test_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is no tmpfs has none, nor a tmpfs that is small or full, nor a path where nothing is."""
    assert not has_room(tmp_path)
    assert not has_room(tmp_path / "nosuch")
    mounts = tmp_path / "mounts"
    mounts.write_text(f"disk {tmp_path} ext4 rw 0 0\nnone {tmp_path} tmpfs rw 0 0\n")
    monkeypatch.setattr(tested, "_MOUNTS", mounts)
    for total, free, room in ((512, 100, True), (64, 64, False), (512, 10, False)):
        sizes = os.statvfs_result((4096, 2**20, total, free, free, 1, 1, 1, 0, 255))
        monkeypatch.setattr(os, "statvfs", lambda path, sizes=sizes: sizes)
        assert has_room(tmp_path) == room


@pytest.mark.e2e
@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("unshare") is None, reason="only root can mount a small tmpfs")
def test_the_small_shared_memory_of_docker() -> None:
    """A tmpfs of 64 MB is there and has no room."""
    asking = f"import sys; sys.path.insert(0, {str(Path(tested.__file__).parents[2])!r}); from pathlib import Path;"
    asking += "from hotsession.snapshot.place import has_room; print(has_room(Path('/dev/shm')))"
    for size, room in (("64m", "False"), ("512m", "True")):
        command = f'mount -t tmpfs -o size={size} tmpfs /dev/shm && "$0" -c "$1"'
        done = subprocess.run(
            ["unshare", "-m", "sh", "-c", command, sys.executable, asking], capture_output=True, text=True
        )
        if "denied" in done.stderr:
            pytest.skip("this root may not mount")
        assert done.stdout.strip() == room, done.stderr
