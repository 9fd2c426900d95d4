"""Snapshots that can't be trusted: each failure provoked for real."""

from __future__ import annotations

import json
import os
import random
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import lmdb
import pytest

from hotsession.snapshot import integrity, probing
from hotsession.snapshot.errors import SnapshotDamaged, SnapshotUnusable
from hotsession.snapshot.integrity import judged
from hotsession.snapshot.store import Store, open_store
from tests.deadlines import DEADLINE
from tests.snapshot.stores import line, mounted, process, record

PAGE = 4096
ABRUPT = """
store = open_store(directory)
for i in range(300):
    store.write(record(str(i), key=f"k{i}", expires_at=float(i)), b"x" * (i * 20))
os.kill(os.getpid(), 9)
"""
READ_ALL = """
store = open_store(directory, server="next")
for each in store.list("sessions", 0.0):
    store.read(each.id)
    store.write(each, b"new")
store.delete(str(i) for i in range(100))
store.write_many((record(f"new{i}"), b"y" * 3000) for i in range(300))
for note in store.notes:
    say(note)
say("served")
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    path = tmp_path / "snapshot"
    path.mkdir(mode=0o700)
    return path


@pytest.fixture
def data(directory: Path) -> Path:
    """The data file of a snapshot with a few hundred records that was left tidily, in no lasting place."""
    store = open_store(directory)
    store.write_many((record(str(i), key=f"k{i}"), b"x" * (i * 20)) for i in range(300))
    store.close()
    return directory / "data.mdb"


@pytest.fixture
def abrupt(directory: Path) -> Path:
    """The data file of a snapshot whose only worker was killed."""
    with process(ABRUPT, directory) as killed:
        killed.wait()
    return directory / "data.mdb"


@pytest.fixture
def probes(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """The probes that are made before an opening: for each whether the file was at rest."""
    made: list[bool] = []

    def noted(data: Path, *, at_rest: bool) -> str | None:
        made.append(at_rest)
        return probing.probed(data, at_rest=at_rest)

    monkeypatch.setattr(integrity, "probed", noted)
    return made


def overwrite(path: Path, start: int, noise: bytes) -> None:
    """Put noise over a part of a file."""
    with path.open("r+b") as file:
        file.seek(start)
        file.write(noise)


def moved_aside(directory: Path, *, number: int = 1) -> bool:
    """Whether a data file was moved aside."""
    return (directory / f"data.mdb.broken-{number}").exists()


def assert_serves(store: Store) -> None:
    """A new snapshot took the place of the broken one, and works."""
    assert store.count("sessions") == 0
    assert store.write(record(), b"payload")
    assert store.read("1") == (record(), b"payload", 1)
    store.close()


DAMAGES: dict[str, Callable[[Path], object]] = {
    "cut in the first page": lambda data: os.truncate(data, 100),
    "cut behind the first page": lambda data: os.truncate(data, PAGE),
    "cut in the middle": lambda data: os.truncate(data, data.stat().st_size // 2),
    "the last page is cut": lambda data: os.truncate(data, data.stat().st_size - PAGE),
    "noise all over": lambda data: data.write_bytes(random.Random(1).randbytes(data.stat().st_size)),
    "zeros all over": lambda data: data.write_bytes(bytes(data.stat().st_size)),
    "noise in the first page": lambda data: overwrite(data, 0, random.Random(2).randbytes(PAGE)),
    "noise in the second page": lambda data: overwrite(data, PAGE, random.Random(3).randbytes(PAGE)),
    "another file": lambda data: data.write_bytes(b"SQLite format 3\0" * 1000),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_broken_file_is_moved_aside(directory: Path, data: Path, damage: str) -> None:
    """Truncated or overwritten, it is not read but kept under another name, one line says so, and the app serves."""
    DAMAGES[damage](data)
    broken = data.read_bytes()
    store = open_store(directory)
    assert moved_aside(directory)
    assert (directory / "data.mdb.broken-1").read_bytes() == broken
    (note,) = store.notes
    assert "is damaged" in note
    assert "moved aside to" in note
    assert "data.mdb.broken-1" in note
    assert_serves(store)


def test_broken_files_are_numbered(directory: Path, data: Path) -> None:
    """A second one does not take the place of the first."""
    for number in (1, 2, 3):
        data.write_bytes(b"noise" * PAGE)
        open_store(directory).close()
        assert moved_aside(directory, number=number)
        assert not moved_aside(directory, number=number + 1)


def test_an_empty_file_is_a_new_snapshot(directory: Path) -> None:
    """A process that was killed before it wrote anything leaves nothing to be moved aside."""
    (directory / "data.mdb").touch(0o600)
    store = open_store(directory)
    assert store.notes == ()
    assert_serves(store)


def test_a_sound_file_is_judged_sound(data: Path) -> None:
    """The look at the first pages finds nothing wrong, and not that it is short, after many kinds of transactions."""
    store = open_store(data.parent)
    rng = random.Random(5)
    for _ in range(300):
        step = rng.randrange(4)
        if step == 0:
            store.write_many((record(str(rng.randrange(400))), b"x" * rng.randrange(9000)) for _ in range(20))
        elif step == 1:
            store.delete(str(rng.randrange(400)) for _ in range(30))
        elif step == 2:
            store.put({b"%d" % rng.randrange(10): b"x" * rng.randrange(200_000)})
        else:
            store.put({b"%d" % rng.randrange(10): None})
        assert judged(data) == (None, False)
    store.close()


def test_noise_in_the_lock_file_does_no_harm(directory: Path, data: Path) -> None:
    """The lock file is made anew by the first that opens it."""
    lock = directory / "lock.mdb"
    lock.write_bytes(random.Random(6).randbytes(lock.stat().st_size))
    store = open_store(directory)
    assert store.notes == ()
    assert store.count("sessions") == 300
    assert store.write(record("0"), b"")
    store.close()
    assert data.exists()


@pytest.mark.e2e
@pytest.mark.parametrize("seed", range(12))
def test_noise_in_a_part_never_takes_the_app_down(directory: Path, abrupt: Path, seed: int) -> None:
    """Wherever a lasting file was overwritten while nobody had it open, the next dev server serves, crashes never."""
    rng = random.Random(seed)
    size = abrupt.stat().st_size
    length = rng.choice([16, 200, PAGE, 10 * PAGE])
    overwrite(abrupt, rng.randrange(size - length), rng.randbytes(length))
    with process(READ_ALL, directory) as started:
        output, _ = started.communicate(timeout=DEADLINE)
    assert started.returncode == 0
    assert output.endswith("served\n")


@pytest.mark.e2e
def test_noise_in_the_tree_is_found_by_reading_through(directory: Path, abrupt: Path, probes: list[bool]) -> None:
    """A page of the tree that was overwritten is found in another process before the file is opened."""
    noise_in_the_tree(abrupt)
    store = open_store(directory, server="next")
    assert probes == [True]
    assert moved_aside(directory)
    assert "is damaged" in store.notes[0]
    assert_serves(store)


def noise_in_the_tree(data: Path) -> None:
    """Overwrite the page in which the entries of single records stand, far from what an opening reads."""
    content = data.read_bytes()
    page = content.rindex(b"r150") // PAGE  # the newest copy of the leaf; those of workers and of the table are others
    overwrite(data, page * PAGE + 8, random.Random(7).randbytes(PAGE - 8))


def test_a_tidy_file_of_another_dev_server_is_believed(directory: Path, probes: list[bool]) -> None:
    """What a lasting place was left as by its last worker needs no reading through, however large it is."""
    for server in ("one", "two", "three"):
        store = open_store(directory, server=server)
        store.write(record(server), b"")
        store.close()
    assert probes == []
    store = open_store(directory, server="four")
    assert store.count("sessions") == 3
    store.close()


def test_a_tidy_file_that_changed_since_is_read_through(directory: Path, probes: list[bool]) -> None:
    """A file with another time than it was left with may hold anything; a sound one is used then."""
    store = open_store(directory, server="one")
    store.write(record(), b"")
    store.close()
    os.utime(directory / "data.mdb")
    store = open_store(directory, server="two")
    assert probes == [True]
    assert store.count("sessions") == 1
    store.close()


@pytest.mark.e2e
def test_an_untidy_file_is_read_through_once(directory: Path, abrupt: Path, probes: list[bool]) -> None:
    """A new dev server reads what another one's killed worker left; its own later workers don't."""
    open_store(directory, server="two").close()
    with process(
        "open_store(directory, server='two').write(record(), b'')\nos.kill(os.getpid(), 9)", directory
    ) as killed:
        killed.wait()
    store = open_store(directory, server="two")
    assert probes == [True]
    assert store.previous == "abrupt"
    store.close()
    assert abrupt.exists()


@pytest.mark.e2e
def test_a_file_that_somebody_has_open_is_not_verified_at_rest(directory: Path, probes: list[bool]) -> None:
    """Two dev servers at one lasting place: the second reads through it beside the first, and finds it sound."""
    with process("store = open_store(directory, server='one')\nsay('open')\nsys.stdin.readline()", directory) as other:
        assert line(other) == "open"
        store = open_store(directory, server="two")
        assert probes == [False]
        assert store.notes == ()
        assert len(store.others()) == 1
        store.close()
        left = json.loads((directory / "left.json").read_text())
        assert left == {"server": "two"}  # not left: the other goes on
    assert not moved_aside(directory)


@pytest.mark.e2e
def test_an_abrupt_end_is_followed_by_a_probe_in_the_background(directory: Path, abrupt: Path) -> None:
    """The worker after a crash begins at once; what is found wrong meanwhile makes the next opening move it aside."""
    noise_in_the_tree(abrupt)
    store = open_store(directory)
    assert store.previous == "abrupt"
    assert store.notes == ()
    wait_for((directory / "verdict.json").exists)
    store.close()
    store = open_store(directory)
    assert moved_aside(directory)
    assert not (directory / "verdict.json").exists()
    assert_serves(store)


@pytest.mark.e2e
def test_a_sound_snapshot_stays_after_an_abrupt_end(directory: Path, abrupt: Path) -> None:
    """A probe while records are being written finds nothing wrong."""
    code, verdict = 0, directory / "verdict.json"
    store = open_store(directory)
    command = probing._command(abrupt, at_rest=False)
    assert command is not None
    for i in range(3):
        with subprocess.Popen([*command, str(verdict)]) as probe:
            while probe.poll() is None:
                store.write_many((record(str(j)), b"%d" % i * (j * 10)) for j in range(300))
            code += probe.returncode
    assert code == 0
    assert not verdict.exists()
    store.close()


def test_a_verdict_is_for_one_file_only(directory: Path, data: Path) -> None:
    """What was found wrong with an older file does not condemn the one that took its place; noise in it is ignored."""
    (directory / "verdict.json").write_text(json.dumps({"inode": data.stat().st_ino + 1, "problem": "noise"}))
    (directory / "verdict.json").chmod(0o600)
    open_store(directory).close()
    (directory / "verdict.json").write_bytes(b"\xff noise")
    store = open_store(directory)
    assert store.notes == ()
    assert store.count("sessions") == 300
    store.close()


def test_damage_that_is_met_while_running_is_remembered(directory: Path, data: Path) -> None:
    """LMDB meets a page that is none: that is said, and the next opening moves the file aside."""
    store = open_store(directory)
    content = data.read_bytes()
    page = content.rindex(b"r150") // PAGE
    overwrite(data, page * PAGE + 10, b"\0\0")  # no kind of page
    with pytest.raises(SnapshotDamaged, match="is damaged"):
        store.list("sessions", 0.0)
    store.close()
    store = open_store(directory)
    assert moved_aside(directory)
    assert_serves(store)


def test_another_format_is_moved_aside(directory: Path, data: Path) -> None:
    """A snapshot of a later version of hotsession is not read, and not lost."""
    write_raw(directory, {b"mabout": b'{"format": 99, "python": [3, 12]}'})
    store = open_store(directory)
    assert moved_aside(directory)
    assert "format 99" in store.notes[0]
    assert_serves(store)
    assert data.exists()


def test_nonsense_about_itself_is_damage(directory: Path, data: Path) -> None:
    """What is no description of a snapshot makes it a broken one."""
    for number, about in enumerate([b"\xff", b"[]", b'{"format": 1}'], 1):
        write_raw(directory, {b"mabout": about})
        store = open_store(directory)
        assert moved_aside(directory, number=number)
        assert "is damaged" in store.notes[0]
        assert_serves(store)
    assert data.exists()


def test_another_python_is_noted(directory: Path, data: Path) -> None:
    """A snapshot of another minor version is read, and says which that was."""
    write_raw(directory, {b"mabout": b'{"format": 1, "python": [3, 9]}'})
    store = open_store(directory)
    assert store.python == (3, 9)
    assert store.notes == ()
    assert store.count("sessions") == 300
    store.close()
    assert data.exists()


def write_raw(directory: Path, items: dict[bytes, bytes]) -> None:
    """Write as LMDB does, past the store."""
    with lmdb.open(str(directory), mode=0o600) as engine, engine.begin(write=True) as transaction:
        for key, value in items.items():
            transaction.put(key, value)


@pytest.mark.parametrize("name", ["data.mdb", "lock.mdb"])
def test_a_file_that_others_may_write_is_not_read(directory: Path, data: Path, name: str) -> None:
    """Wider permissions than 0600: somebody else may have put a pickle there."""
    (directory / name).chmod(0o640)
    store = open_store(directory)
    assert moved_aside(directory)
    assert "others may use it (mode 0640)" in store.notes[0]
    assert_serves(store)
    assert data.stat().st_mode & 0o777 == 0o600
    assert (directory / "lock.mdb").stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_file_of_another_user_is_not_read(directory: Path, data: Path) -> None:
    """It is moved aside even by somebody who could read it."""
    os.chown(data, 12345, 12345)
    store = open_store(directory)
    assert "belongs to user 12345" in store.notes[0]
    assert_serves(store)


def test_a_link_is_not_followed(directory: Path, data: Path, tmp_path: Path) -> None:
    """A data file that is a symbolic link is moved aside, what it points to stays as it is."""
    elsewhere = data.rename(tmp_path / "elsewhere")
    content = elsewhere.read_bytes()
    data.symlink_to(elsewhere)
    store = open_store(directory)
    assert "no regular file" in store.notes[0]
    assert_serves(store)
    assert elsewhere.read_bytes() == content


def test_a_directory_that_others_may_enter_is_refused(directory: Path, data: Path) -> None:
    """Nothing in it is touched; the message says what to do, and after that it is read."""
    directory.chmod(0o755)
    with pytest.raises(SnapshotUnusable, match=r"others may enter it \(mode 0755\).*chmod 700"):
        open_store(directory)
    directory.chmod(0o700)
    store = open_store(directory)
    assert store.count("sessions") == 300
    store.close()
    assert data.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give directories away")
def test_a_directory_of_another_user_is_refused(directory: Path) -> None:
    """Whoever owns it could put anything there."""
    os.chown(directory, 12345, 12345)
    with pytest.raises(SnapshotUnusable, match="belongs to user 12345"):
        open_store(directory)


def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    """The message has its path."""
    with pytest.raises(SnapshotUnusable, match=r"/missing is not there"):
        open_store(tmp_path / "missing")


def test_a_directory_that_can_not_be_written_is_named(tmp_path: Path) -> None:
    """On a read-only file system the message says so."""
    with mounted(tmp_path / "readonly", "size=1m") as directory:
        subprocess.run(["mount", "-o", "remount,ro", directory], check=True)
        with pytest.raises(SnapshotUnusable, match="can't be written"):
            open_store(directory)


def test_one_process_opens_it_once(directory: Path) -> None:
    """A second opening in the same process is refused, and the first goes on."""
    store = open_store(directory)
    with pytest.raises(SnapshotUnusable, match="already open"):
        open_store(directory)
    assert store.write(record(), b"")
    store.close()


def test_a_store_closes_after_its_directory_was_removed(directory: Path) -> None:
    """Whoever removes the place while it is in use gets no errors from the end of the worker."""
    store = open_store(directory, server="one")
    for path in directory.iterdir():
        path.unlink()
    directory.rmdir()
    assert store.write(record(), b"")
    store.close()


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until the condition holds, at most twenty seconds."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
