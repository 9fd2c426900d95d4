"""Directories as a crash, a disk or a person leaves them: every state with every set of artefacts becomes a session."""

from __future__ import annotations

import itertools
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from hotsession.lifecycle.record import Record
from hotsession.lifecycle.worker import this_worker
from hotsession.storages.file import FileStorage
from hotsession.storages.recovery import REASON_STUCK, Artefacts
from hotsession.storages.state_file import Stored, encoded
from tests.storages.filed import quiet, state_of
from tests.storages.stored import record

pytestmark = pytest.mark.anyio

RENDER = Artefacts(complete=["final.png", "meta.json"], begun="draft.png", stuck_after=1800)
NOW = 1e9
YOUNG, OLD = NOW - 60, NOW - 3600
PROMPT = b'{"prompt":"a cat"}'


def job(status: str, updated_at: float = YOUNG, **fields: Any) -> bytes:
    """A state file that can be read."""
    completed_at = None if status in ("active", "paused", "interrupted") else updated_at
    values: dict[str, Any] = {
        "created_at": OLD,
        "updated_at": updated_at,
        "completed_at": completed_at,
        "payload": PROMPT,
        **fields,
    }
    return encoded(Stored(record("job", status=status, **values), 7, 5))


WHOLE = job("active")
MISSING = {"missing": None}
CORRUPT = {
    "empty": b"",
    "torn": WHOLE[: len(WHOLE) // 2],
    "zeros": bytes(500),
    "no object": b"[]",
    "no status of ours": WHOLE.replace(b'"active"', b'"in_progress"'),
    "not ours": b'{"id": "job", "status": "active", "prompt": "a cat"}',
    "another's": WHOLE.replace(b'"id": "job"', b'"id": "other"'),
}
PRESENT = {
    "active": WHOLE,
    "active, old": job("active", OLD),
    "active, of a dead process": job("active", worker="nowhere"),
    "active, under work": job("active", OLD, worker=this_worker()),
    "paused": job("paused"),
    "paused, old": job("paused", OLD),
    "interrupted": job("interrupted", OLD),
    "completed": job("completed"),
    "failed": job("failed", reason="no memory"),
    "stuck": job("failed", reason=REASON_STUCK),
    "ended": job("ended"),
    "expired": job("expired"),
}
STATES: dict[str, bytes | None] = {**MISSING, **CORRUPT, **PRESENT}
ARTEFACTS = {
    "none": [],
    "begun": ["draft.png"],
    "partly": ["draft.png", "final.png"],
    "only a result": ["final.png"],
    "complete": ["draft.png", "final.png", "meta.json"],
    "results only": ["final.png", "meta.json"],
}


def expected(state: str, artefacts: str, time: float) -> str | None:
    """What the job is, as the scenario says it; None for no job."""
    is_complete = artefacts in ("complete", "results only")
    if state in PRESENT:
        status = json.loads(PRESENT[state])["status"]
        if state == "active, under work":
            return "active"
        if is_complete and (status in ("active", "paused", "interrupted") or state == "stuck"):
            return "completed"
        return "failed" if state == "active, old" else str(status)
    if is_complete:
        return "completed"
    if artefacts != "none":
        return "active" if time == YOUNG else "failed"
    return None if state == "missing" else "failed"


def lay_out(root: Path, state: bytes | None, artefacts: list[str], time: float) -> Path:
    """A job's directory."""
    directory = root / "job"
    directory.mkdir(parents=True)
    if state is not None:
        (directory / "session_state.json").write_bytes(state)
    for name in artefacts:
        (directory / name).write_text(name)
        os.utime(directory / name, (time, time))
    return directory


@pytest.mark.parametrize(
    ("state", "artefacts", "time"), list(itertools.product(STATES, ARTEFACTS, [YOUNG, OLD])), ids=str
)
async def test_each_state_with_all_artefacts(tmp_path: Path, state: str, artefacts: str, time: float) -> None:
    """It is listed as what it is, marked if that is not what its state said, and no file is lost; once is enough."""
    content = STATES[state]
    directory = lay_out(tmp_path, content, ARTEFACTS[artefacts], time)
    files = {path.name: path.read_bytes() for path in directory.iterdir()}
    storage = FileStorage(tmp_path, artefacts=RENDER)
    count = await storage.recover("manager", NOW, quiet)
    status = expected(state, artefacts, time)
    found = await storage.get("job")
    said = json.loads(content)["status"] if state in PRESENT and content is not None else None
    is_changed = status is not None and status != said
    assert count == is_changed
    assert (None if found is None else found.status) == status
    listed = await storage.list("manager", 0)
    assert listed == ([] if found is None else [found])
    if found is not None:
        assert found.recovered == is_changed
        assert state_of(tmp_path, "job")["recovered_from_disk"] == is_changed
        assert (found.completed_at is None) == (found.status in ("active", "paused", "interrupted"))
    if state in PRESENT:
        assert found is not None
        assert found.payload == PROMPT
        del files["session_state.json"]
    elif state in CORRUPT:
        files["session_state.corrupt-1.json"] = files.pop("session_state.json")
    assert files.items() <= {path.name: path.read_bytes() for path in directory.iterdir()}.items()
    again = FileStorage(tmp_path, artefacts=RENDER)
    assert await again.recover("manager", NOW, quiet) == 0
    assert await again.get("job") == found


@pytest.mark.parametrize("state", STATES)
async def test_without_rules_only_unreadable_states_are_recovered(tmp_path: Path, state: str) -> None:
    """An app that says nothing of artefacts has its states as they are."""
    lay_out(tmp_path, STATES[state], ARTEFACTS["complete"], OLD)
    storage = FileStorage(tmp_path)
    assert await storage.recover("manager", NOW, quiet) == (state in CORRUPT)
    listed = await storage.list("manager", 0)
    assert len(listed) == (state != "missing")
    if state in CORRUPT:
        assert listed[0].status == "failed"


@pytest.mark.parametrize("state", ["no status of ours", "not ours"])
async def test_what_can_be_read_of_an_unusable_state_is_in_the_session(tmp_path: Path, state: str) -> None:
    """The app's data, though not the status."""
    lay_out(tmp_path, STATES[state], ["draft.png"], YOUNG)
    storage = FileStorage(tmp_path, artefacts=RENDER)
    await storage.recover("manager", NOW, quiet)
    found = await storage.get("job")
    assert found is not None
    assert json.loads(found.payload)["prompt"] == "a cat"


async def test_a_state_that_is_a_directory_is_set_aside(tmp_path: Path) -> None:
    """With all that is in it."""
    directory = lay_out(tmp_path, None, ["draft.png"], YOUNG)
    (directory / "session_state.json").mkdir()
    (directory / "session_state.json" / "x").touch()
    storage = FileStorage(tmp_path, artefacts=RENDER)
    assert await storage.recover("manager", NOW, quiet) == 1
    assert (directory / "session_state.corrupt-1.json" / "x").exists()


async def test_a_state_that_breaks_while_it_is_used_is_rebuilt_when_it_is_asked_for(tmp_path: Path) -> None:
    """By id, in a list and by its key, which is known; each broken one is kept under a name of its own."""
    storage = FileStorage(tmp_path, artefacts=RENDER)
    await storage.add(record("job", payload=PROMPT, updated_at=NOW * 3))
    directory = tmp_path / "job"
    (directory / "draft.png").touch()
    asked: list[Record | None] = []
    for number in (1, 2, 3):
        (directory / "session_state.json").write_text(f"broken {number}")
        if number == 1:
            asked.append(await storage.get("job"))
        elif number == 2:
            asked += await storage.list("manager", 0)
        else:
            asked.append(await storage.find("manager", "key"))
        assert (directory / f"session_state.corrupt-{number}.json").read_text() == f"broken {number}"
    assert [each and (each.status, each.recovered) for each in asked] == [("active", True)] * 3


async def test_a_state_that_is_deleted_while_it_is_used_is_rebuilt(tmp_path: Path) -> None:
    """The app's artefacts are there, so there is a job."""
    storage = FileStorage(tmp_path, artefacts=RENDER)
    lay_out(tmp_path, job("active", NOW * 3), ["final.png", "meta.json"], YOUNG)
    assert await storage.recover("manager", NOW, quiet) == 1
    (tmp_path / "job" / "session_state.json").unlink()
    found = await storage.get("job")
    assert found is not None
    assert (found.status, found.completed_at) == ("completed", YOUNG)


async def test_recovery_tells_how_far_it_is(tmp_path: Path) -> None:
    """First what needed no look, then step by step to the end; what is other managers' is counted and left."""
    root = tmp_path / "jobs"
    storage = FileStorage(root, artefacts=RENDER)
    await storage.add(record("theirs", manager="other", payload=PROMPT))
    for number in range(45):
        lay_out(tmp_path / "one", None, ["draft.png"], OLD).rename(root / f"job-{number}")
    steps: list[tuple[int, int]] = []
    again = FileStorage(root, artefacts=RENDER)
    assert await again.recover("manager", NOW, lambda done, total: steps.append((done, total))) == 45
    assert steps[0] == (1, 46)
    assert steps[-1] == (46, 46)
    assert steps == sorted(steps)
    assert len(steps) > 2
    assert (await again.get("theirs")) == record("theirs", manager="other", payload=PROMPT)
    assert await again.count("manager", "failed") == 45


async def test_two_processes_that_recover_at_once_do_it_once(tmp_path: Path) -> None:
    """Whoever comes second finds it done."""
    lay_out(tmp_path, b"{torn", ["draft.png"], YOUNG)
    one, other = FileStorage(tmp_path, artefacts=RENDER), FileStorage(tmp_path, artefacts=RENDER)
    await other.count("manager")
    assert await one.recover("manager", NOW, quiet) == 1
    assert await other.recover("manager", NOW, quiet) == 0
    assert len(await other.list("manager", 0)) == 1


async def test_a_rebuilt_job_goes_on(tmp_path: Path) -> None:
    """The app saves and completes it as any other."""
    lay_out(tmp_path, None, ["draft.png"], YOUNG)
    storage = FileStorage(tmp_path, artefacts=RENDER)
    await storage.recover("manager", NOW, quiet)
    found = await storage.get("job")
    assert found is not None
    assert await storage.replace(found._replace(version=2, payload=PROMPT))
    assert state_of(tmp_path, "job")["prompt"] == "a cat"
    assert await storage.expired("manager", YOUNG + 1801, 10) != []


async def foreseen(root: Path) -> FileStorage:
    """A storage that has judged some jobs without states, and written nothing yet."""
    for name in ("begun", "done", "gone"):
        files = ["draft.png"] if name == "begun" else ["final.png", "meta.json"]
        lay_out(root / "one", None, files, YOUNG).rename(root / name)
    (root / "one").rmdir()
    storage = FileStorage(root, artefacts=RENDER)
    await storage.count("manager")
    await storage._do(lambda sessions: sessions.repair.foresee(["begun", "done", "gone"], "manager", NOW))
    assert list(root.glob("*/session_state.json")) == []  # noqa: ASYNC240
    return storage


async def test_what_is_to_be_written_can_be_listed_before_it_is(tmp_path: Path) -> None:
    """Writing thousands of files takes seconds, which no list waits for; then they are the same."""
    storage = await foreseen(tmp_path)
    listed = await storage.list("manager", NOW)
    assert {each.id: each.status for each in listed} == {"begun": "active", "done": "completed", "gone": "completed"}
    assert [await storage.get(each.id) for each in listed] == listed
    assert await storage.count("manager") == 1
    assert await storage.remove("manager", NOW + 1, 10) == 0
    assert await storage.recover("manager", NOW, quiet) == 3
    assert sorted(await storage.list("manager", NOW)) == sorted(listed)
    assert sorted(await FileStorage(tmp_path).list("manager", NOW)) == sorted(listed)


async def test_what_is_to_be_written_can_be_changed_before_it_is(tmp_path: Path) -> None:
    """It is written first then, by whoever changes it."""
    storage = await foreseen(tmp_path)
    found = await storage.get("begun")
    assert found is not None
    assert await storage.replace(found._replace(version=2, payload=PROMPT))
    assert await storage.touch("done", NOW, None) is not None
    assert await storage.recover("manager", NOW, quiet) == 1
    assert await storage.get("begun") == found._replace(version=2, payload=PROMPT)


async def test_what_vanishes_before_it_is_written_is_no_session(tmp_path: Path) -> None:
    """Its artefacts were deleted meanwhile."""
    storage = await foreseen(tmp_path)
    shutil.rmtree(tmp_path / "gone")
    assert await storage.recover("manager", NOW, quiet) == 2
    assert {each.id for each in await storage.list("manager", NOW)} == {"begun", "done"}
    assert await storage.get("gone") is None
