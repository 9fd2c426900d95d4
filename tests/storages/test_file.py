"""What only the file storage does: a readable file for each session, and nothing lost that somebody else put there."""

from __future__ import annotations

import errno
import json
import os
import pickle
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from hotsession.errors import ConfigurationError, DataNotReadable, DataNotStorable, StorageError, StorageUnavailable
from hotsession.lifecycle.record import Record, moved
from hotsession.storages import journal
from hotsession.storages.directory_lock import DirectoryLock
from hotsession.storages.disk import Disk
from hotsession.storages.file import FileStorage
from hotsession.storages.recovery import Artefacts
from tests.deadlines import DEADLINE
from tests.storages.filed import Stopping, inside, quiet, state_of
from tests.storages.stored import record

pytestmark = pytest.mark.anyio

PROMPT = b'{"prompt":"a cat"}'


def render(id: str = "one", **fields: object) -> Record:
    """A job."""
    return record(id, **{"payload": PROMPT, **fields})  # type: ignore[arg-type]


async def test_a_session_is_a_readable_file(tmp_path: Path) -> None:
    """Its fields and the app's stand in DIR/{id}/session_state.json as soon as the write has returned."""
    storage = FileStorage(tmp_path)
    await storage.add(render(created_at=1e9))
    said = state_of(tmp_path)
    assert (said["id"], said["status"], said["prompt"], said["result"]) == ("one", "active", "a cat", None)
    done = moved(render(created_at=1e9), "completed", 1e9 + 60)._replace(result=b'["final.png"]')
    assert await storage.replace(done)
    said = state_of(tmp_path)
    assert (said["status"], said["completed_at"], said["result"]) == (
        "completed",
        "2001-09-09T01:47:40Z",
        ["final.png"],
    )


async def test_reserved_names_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    """At the first write and at later ones; what was stored stays."""
    storage = FileStorage(tmp_path)
    with pytest.raises(DataNotStorable, match='"status"'):
        await storage.add(render(payload=b'{"status":1}'))
    assert await storage.get("one") is None
    await storage.add(render())
    with pytest.raises(DataNotStorable, match='"hotsession"'):
        await storage.replace(render(version=2, payload=b'{"hotsession":1}'))
    assert await storage.get("one") == render()


@pytest.mark.parametrize(
    "id",
    [
        "..",
        ".",
        "../x",
        "/etc/x",
        "a/b",
        "a\\b",
        ".hotsession",
        "",
        "x\0",
        "a\nb",
        "x" * 300,
        "\ud800",
        ".hidden",
        "é" * 150,
    ],
)
async def test_an_id_that_leads_elsewhere_is_refused(tmp_path: Path, id: str) -> None:
    """Nothing goes by such an id, and nothing is made."""
    root = tmp_path / "root"
    storage = FileStorage(root)
    (tmp_path / "session_state.json").write_text("secret")
    with pytest.raises(StorageError, match="can't have the id"):
        await storage.add(render(id))
    assert await storage.get(id) is None
    assert await storage.touch(id, 1, None) is None
    assert not await storage.replace(render(id, version=2))
    assert await storage.add(render(), replacing=id) is None
    assert inside(root) == [".hotsession", "one"]
    assert inside(tmp_path) == ["root", "session_state.json"]


@pytest.mark.parametrize("id", ["job 1", "größe", "a:b", "-x", "a..b", "x" * 200])
async def test_other_ids_are_names_of_directories(tmp_path: Path, id: str) -> None:
    """Blanks and letters of all languages among them, and they are found again."""
    await FileStorage(tmp_path).add(render(id))
    assert (await FileStorage(tmp_path).list("manager", 0))[0].id == id


async def test_an_id_is_used_once(tmp_path: Path) -> None:
    """The session that has it stays."""
    storage = FileStorage(tmp_path)
    await storage.add(render())
    with pytest.raises(StorageError, match="there is a session one already"):
        await storage.add(render(key="other", payload=b"{}"))
    assert await storage.get("one") == render()


async def test_a_directory_may_be_there_before_its_session(tmp_path: Path) -> None:
    """The app makes it and puts files in; a state that can't be read is kept."""
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "input.png").touch()
    (tmp_path / "one" / "session_state.json").write_text("{torn")
    storage = FileStorage(tmp_path)
    await storage.add(render())
    assert await storage.get("one") == render()
    assert (tmp_path / "one" / "session_state.corrupt-1.json").read_text() == "{torn"
    assert (tmp_path / "one" / "input.png").exists()


async def test_what_is_deleted_by_hand_is_gone(tmp_path: Path) -> None:
    """Whatever the tables say; its key is free."""
    storage = FileStorage(tmp_path)
    await storage.add(render())
    shutil.rmtree(tmp_path / "one")
    assert await storage.get("one") is None
    assert await storage.find("manager", "key") is None
    assert await storage.count("manager") == 0
    await storage.add(render("two"))
    shutil.rmtree(tmp_path / "two")
    assert await storage.list("manager", 0) == []
    assert await storage.add(render("three")) is None


async def test_what_is_edited_by_hand_is_seen(tmp_path: Path) -> None:
    """An operator ends a session with an editor."""
    storage = FileStorage(tmp_path)
    await storage.add(render())
    path = tmp_path / "one" / "session_state.json"
    path.write_text(path.read_text().replace('"active"', '"ended"'))
    assert await storage.find("manager", "key") is None
    assert await storage.count("manager", "ended") == 1
    assert await storage.add(render("two")) is None


async def test_deleting_a_session_deletes_no_file_of_the_app(tmp_path: Path) -> None:
    """A directory with artefacts stays, and is no session any more, also after a restart; an empty one goes."""
    artefacts = Artefacts("final.png")
    storage = FileStorage(tmp_path, artefacts=artefacts)
    for each in ("one", "two"):
        await storage.add(render(each, key=None))
        await storage.replace(moved(render(each, key=None), "completed", 20))
    (tmp_path / "one" / "final.png").touch()
    assert await storage.remove("manager", 21, 10) == 2
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == ["final.png", "session_state.removed.json"]
    assert not (tmp_path / "two").exists()
    for asked in (storage, FileStorage(tmp_path, artefacts=artefacts)):
        assert await asked.recover("manager", 30, quiet) == 0
        assert await asked.list("manager", 30) == []
        assert await asked.get("one") is None


async def test_what_changed_before_a_deletion_is_incomplete_after_a_restart(tmp_path: Path) -> None:
    """Who resumes from before hears that only a list tells; who resumes from after hears all."""
    storage = FileStorage(tmp_path)
    await storage.add(render("one", key=None))
    before = (await storage.changes("manager", None)).position
    await storage.replace(moved(render("one", key=None), "ended", 20))
    await storage.remove("manager", 21, 10)
    after = (await storage.changes("manager", None)).position
    await storage.add(render("two"))
    again = FileStorage(tmp_path)
    assert not (await again.changes("manager", before)).complete
    changes = await again.changes("manager", after)
    assert (changes.complete, [each.id for _, each in changes.records]) == (True, ["two"])


@pytest.mark.parametrize("style", [b"\x80\x04pickled", b"hotsession-pickle-1:\x00", b"[1]", b""])
async def test_data_of_other_codecs_is_kept_as_it_is(tmp_path: Path, style: bytes) -> None:
    """In base64, and the result too."""
    storage = FileStorage(tmp_path)
    await storage.add(render(payload=style, result=style))
    assert await storage.get("one") == render(payload=style, result=style)
    assert isinstance(state_of(tmp_path)["data"], str)


async def test_a_state_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    """It is named, others are served, and recovery does not touch it."""
    storage = FileStorage(tmp_path)
    await storage.add(render())
    path = tmp_path / "one" / "session_state.json"
    path.write_text(path.read_text().replace('"format": 1', '"format": 2'))
    newer = path.read_text()
    again = FileStorage(tmp_path)
    with pytest.raises(StorageError, match="newer version"):
        await again.get("one")
    await again.add(render("two"))
    assert [each.id for each in await again.list("manager", 0)] == ["two"]
    assert await again.recover("manager", 30, quiet) == 0
    assert path.read_text() == newer


async def test_without_an_app_a_corrupt_state_is_named_and_left(tmp_path: Path) -> None:
    """A program that only lists does not know whose sessions they are."""
    (tmp_path / "one").mkdir()
    path = tmp_path / "one" / "session_state.json"
    path.write_text("{torn")
    with pytest.raises(DataNotReadable, match=r"session one can't be read.*session_state\.json"):
        await FileStorage(tmp_path).get("one")
    assert path.read_text() == "{torn"


@pytest.mark.parametrize(
    ("number", "error", "message"),
    [
        (errno.ENOSPC, StorageUnavailable, "is full, so nothing was written: make room"),
        (errno.EMFILE, StorageUnavailable, "try again"),
        (errno.EROFS, StorageError, "may not read and write"),
        (errno.EIO, StorageError, "system's log"),
    ],
)
async def test_a_disk_that_refuses_is_told_and_nothing_is_lost(
    tmp_path: Path, number: int, error: type[StorageError], message: str
) -> None:
    """Each write says what happened and what to do; what was there stays, and it goes on when the disk does."""
    refusing: list[str] = []

    def refuse(operation: str, path: Path) -> None:
        if operation in refusing:
            raise OSError(number, os.strerror(number), str(path))

    storage = FileStorage(tmp_path, disk=Disk(refuse))
    await storage.add(render())
    for operation in ("append", "create", "write", "sync", "rename"):
        refusing[:] = [operation]
        with pytest.raises(error, match=message):
            await storage.add(render("two", key=None))
        with pytest.raises(error, match=message):
            await storage.replace(render(version=2))
        refusing.clear()
        assert await storage.get("one") == render()
        assert await storage.get("two") is None
        assert [each.id for each in await storage.list("manager", 0)] == ["one"]
        assert not inside(tmp_path, "*/.*") or operation == "rename"
    assert await storage.add(render("two", key=None)) is None


async def test_a_directory_that_is_a_file_is_named(tmp_path: Path) -> None:
    """Nothing is overwritten."""
    path = tmp_path / "jobs"
    path.write_text("x")
    with pytest.raises(StorageError, match="jobs"):
        await FileStorage(path).add(render())
    assert path.read_text() == "x"


async def test_opening_serves_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While thousands of states are read in, a session is got, written and touched by its id; a list waits."""
    await FileStorage(tmp_path).add(render())
    storage = FileStorage(tmp_path)
    go_on = threading.Event()
    ids = storage._sessions.directories.ids

    def slow_ids() -> list[str]:
        assert go_on.wait(DEADLINE)
        return ids()

    monkeypatch.setattr(storage._sessions.directories, "ids", slow_ids)
    listed: list[Record] = []

    async def list_all() -> None:
        listed.extend(await storage.list("manager", 0))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(list_all)
        assert await storage.get("one") == render()
        assert await storage.replace(render(version=2, payload=b'{"n":2}'))
        assert await storage.touch("one", 50, None) is not None
        assert listed == []
        go_on.set()
    assert [(each.payload, each.last_seen_at) for each in listed] == [(b'{"n":2}', 50)]


async def test_no_operation_on_files_is_done_in_the_event_loop(tmp_path: Path) -> None:
    """Each is done by another thread."""
    here = threading.get_ident()
    threads: set[int] = set()
    storage = FileStorage(tmp_path, disk=Disk(lambda operation, path: threads.add(threading.get_ident())))
    await storage.add(render())
    await storage.replace(moved(render(), "ended", 20))
    await storage.claim("manager", "key", "me", 0, 10)
    await storage.remove("manager", 30, 10)
    assert threads
    assert here not in threads


async def test_a_storage_in_use_forgets_and_goes_on(tmp_path: Path) -> None:
    """After `aclose` the next call reads everything in again; so does what was pickled."""
    storage = FileStorage(tmp_path, artefacts=Artefacts("final.png"))
    await storage.add(render())
    await storage.aclose()
    assert await storage.find("manager", "key") == render()
    other = pickle.loads(pickle.dumps(storage))  # noqa: S301 - our own
    assert other.artefacts.complete == ("final.png",)
    assert await other.find("manager", "key") == render()


@pytest.mark.parametrize("what", ["journal", "all"])
async def test_a_lost_journal_costs_only_time(tmp_path: Path, what: str) -> None:
    """Somebody deletes what the processes tell each other: all is read in again."""
    one, other = FileStorage(tmp_path), FileStorage(tmp_path)
    await one.add(render())
    assert await other.count("manager") == 1
    for path in (tmp_path / ".hotsession").glob("journal-*" if what == "journal" else "*"):
        path.unlink()
    await one.add(render("two", key="two"))
    assert await other.count("manager") == 2
    assert await one.count("manager") == 2


async def test_journals_follow_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who reads on finds what was written meanwhile, also if he missed more than one; old ones are removed."""
    monkeypatch.setattr(journal.Journal.__init__, "__defaults__", (40,))
    one, seldom = FileStorage(tmp_path), FileStorage(tmp_path)
    assert await seldom.count("manager") == 0
    numbers = []
    for number in range(9):
        await one.add(render(str(number), key=None))
        numbers.append((await one.changes("manager", None)).position)
        if number in (1, 2, 8):
            assert await seldom.count("manager") == number + 1
    assert numbers == sorted(set(numbers))
    assert len(list((tmp_path / ".hotsession").glob("journal-*"))) == 2


async def test_a_torn_line_of_the_journal_hides_no_other(tmp_path: Path) -> None:
    """The disk was full in the middle of it."""
    one, other = FileStorage(tmp_path), FileStorage(tmp_path)
    assert await other.count("manager") == 0
    await one.add(render())
    (path,) = (tmp_path / ".hotsession").glob("journal-*")
    with path.open("ab") as file:
        file.write(b"17637")
    assert await other.count("manager") == 1
    await one.add(render("two", key=None))
    assert await other.count("manager") == 2


async def test_claims_that_cannot_be_read_hold_nobody_up(tmp_path: Path) -> None:
    """A power cut leaves them empty, and those who held them are gone."""
    storage = FileStorage(tmp_path)
    assert await storage.claim("manager", ("a", "b"), "me", 0, 10)
    assert not await storage.claim("manager", ("a", "b"), "you", 5, 15)
    (tmp_path / ".hotsession" / "claims.json").write_bytes(b"\0\0")
    assert await storage.claim("manager", ("a", "b"), "you", 5, 15)


def test_a_lock_that_another_holds_for_too_long_is_named(tmp_path: Path) -> None:
    """With the file, and it is free for others afterwards."""
    path = tmp_path / "lock"
    with (
        DirectoryLock(path).held(),
        pytest.raises(StorageUnavailable, match=r"locked by another process for 0\.05 s.*fuser"),
        DirectoryLock(path, 0.05).held(),
    ):
        pytest.fail("two hold it")
    with DirectoryLock(path, 5).held():
        pass


def test_a_lock_has_one_holder_at_a_time(tmp_path: Path) -> None:
    """Of threads with a lock object each, also when the file is deleted meanwhile."""
    path = tmp_path / "lock"
    inside: list[int] = []

    def work() -> None:
        for _ in range(50):
            with DirectoryLock(path).held():
                inside.append(1)
                assert len(inside) == 1
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert inside == []


def test_a_storage_needs_a_directory() -> None:
    """The working directory is not taken by accident."""
    with pytest.raises(ConfigurationError, match="path of a directory"):
        FileStorage("")


async def test_a_copied_directory_is_no_second_session(tmp_path: Path) -> None:
    """`cp -r one two`: the copy's state is set aside, and the copy is judged by its artefacts."""
    storage = FileStorage(tmp_path)
    await storage.add(render())
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    (tmp_path / "two" / "final.png").touch()
    again = FileStorage(tmp_path, artefacts=Artefacts("final.png"))
    assert await again.recover("manager", 30, quiet) == 1
    assert [(each.id, each.status) for each in await again.list("manager", 0, key="key")] == [("one", "active")]
    copy = await again.get("two")
    assert copy is not None
    assert (copy.status, copy.key, json.loads(copy.payload)) == ("completed", None, {"prompt": "a cat"})


async def test_of_two_live_states_of_a_key_the_later_stays(tmp_path: Path) -> None:
    """Somebody edited a copy well: reading in ends the older one."""
    storage = FileStorage(tmp_path)
    await storage.add(render())
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    path = tmp_path / "two" / "session_state.json"
    said = json.loads(path.read_text())
    said["id"] = "two"
    said["hotsession"]["written"] += 1
    path.write_text(json.dumps(said))
    again = FileStorage(tmp_path)
    found = await again.find("manager", "key")
    assert found is not None
    assert found.id == "two"
    assert state_of(tmp_path, "one")["status"] == "ended"
    assert await again.count("manager") == 1


async def test_a_load_that_fails_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All who waited hear of it, and the next call succeeds."""
    storage = FileStorage(tmp_path)
    await storage.add(render())
    await storage.aclose()
    directories = storage._sessions.directories
    working: Callable[[], list[str]] = directories.ids

    def broken() -> list[str]:
        raise OSError(errno.EMFILE, "Too many open files", str(tmp_path))

    monkeypatch.setattr(directories, "ids", broken)
    with pytest.raises(StorageUnavailable, match="Too many open files"):
        await storage.count("manager")
    monkeypatch.setattr(directories, "ids", working)
    assert await storage.count("manager") == 1


def test_operations_are_counted() -> None:
    """The tests of crashes rely on it: a count, and no stop without a limit."""
    stopping = Stopping()
    stopping("write", Path("x"))
    assert stopping.count == 1
