"""A storm of clicks of one user in eight processes (scenario E): one session, one creation, whatever dies meanwhile."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.deadlines import DEADLINE
from tests.e2e.servers import ROOT, clean_environment, wait_until

pytestmark = pytest.mark.e2e

PROCESSES = 8
CLICKS = 50
DUPLICATES = """
    SELECT key, count(*) FROM sessions WHERE status IN ('active', 'paused')
    GROUP BY manager, key HAVING count(*) > 1
"""

CLICKER = f"""
    import asyncio, json, os, sys
    from pathlib import Path
    from hotsession.lifecycle import leasing
    from hotsession.lifecycle.manager import SessionManager
    from hotsession.storages.opening import open_storage

    address, notes, first_hangs = sys.argv[1], Path(sys.argv[2]), sys.argv[3] == "first hangs"
    if first_hangs:
        leasing.SECONDS, leasing.RENEW_EVERY = 2.0, 0.5  # so that the test need not wait for so long
    manager = SessionManager("chats", storage=open_storage(address))


    async def make():
        mine = notes / str(os.getpid())
        mine.write_text(mine.read_text() + "+" if mine.exists() else "+")
        if first_hangs:
            try:
                (notes / "hangs").symlink_to(str(os.getpid()))
            except FileExistsError:
                pass
            else:
                await asyncio.Event().wait()
        return {{"made_by": os.getpid(), "clicks": 0}}


    def count(data):
        data["clicks"] += 1


    async def click():
        session = await manager.get_or_create("ada", data=make)
        found = session.id, session.reused
        await manager.update(session.id, count)
        return found


    async def main():
        answers = await asyncio.gather(*(click() for _ in range({CLICKS})))
        print(json.dumps({{"ids": sorted(set(id for id, _ in answers)), "made": [r for _, r in answers].count(False)}}))


    print("ready", flush=True)
    sys.stdin.readline()
    asyncio.run(main())
"""


class Storm:
    """Processes that click as soon as they are told to.

    Args:
        directory: where the storage is, and what they note.
        kind: ``sqlite`` or ``file``.
        first_hangs: whether the first one that makes a session never comes to the end of that.
    """

    def __init__(self, directory: Path, kind: str, *, first_hangs: bool) -> None:
        self.kind = kind
        self.place = directory / "sessions"
        self.notes = directory / "notes"
        self.notes.mkdir()
        arguments = [f"{kind}:///{self.place}", str(self.notes), "first hangs" if first_hangs else ""]
        self.processes = {process.pid: process for process in (_start(*arguments) for _ in range(PROCESSES))}

    def begin(self) -> None:
        """Let all click, when the last of them is ready."""
        for process in self.processes.values():
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in self.processes.values():
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()

    def outcomes(self) -> list[dict[str, Any]]:
        """What those say that were not killed."""
        return [self._outcome(process) for process in self.processes.values() if process.returncode is None]

    def _outcome(self, process: subprocess.Popen[str]) -> dict[str, Any]:
        printed, said = process.communicate(timeout=2 * DEADLINE)  # hundreds of processes on few cores
        assert (process.returncode, said) == (0, "")
        found: dict[str, Any] = json.loads(printed)
        return found

    def creations(self) -> dict[int, int]:
        """How often each process began to make a session."""
        notes = (note for note in self.notes.iterdir() if not note.is_symlink())
        return {int(note.name): len(note.read_text()) for note in notes}

    def kill_the_one_that_makes(self) -> int:
        """Kill -9 the process that is making the session, and return its number."""
        hangs = self.notes / "hangs"
        wait_until(hangs.is_symlink, what="a process to make the session")
        process = self.processes[int(hangs.readlink().name)]
        os.kill(process.pid, signal.SIGKILL)
        process.communicate(timeout=DEADLINE)
        return process.pid

    def live(self) -> list[dict[str, Any]]:
        """The data of the live sessions, as they lie on the disk."""
        if self.kind == "file":
            states = [json.loads(path.read_text()) for path in self.place.glob("*/session_state.json")]
            return [state for state in states if state["status"] == "active"]
        payloads = self.rows("SELECT payload FROM sessions WHERE status = 'active'")
        return [json.loads(payload) for (payload,) in payloads]

    def duplicates(self) -> list[Any]:
        """Keys with more than one live session."""
        if self.kind == "sqlite":
            return self.rows(DUPLICATES)
        return [key for key, count in Counter(str(state["key"]) for state in self.live()).items() if count > 1]

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What a query of the database gives."""
        with contextlib.closing(sqlite3.connect(self.place)) as connection:
            return connection.execute(query).fetchall()

    def end(self) -> None:
        """Kill whoever is left."""
        for process in self.processes.values():
            if process.returncode is None:
                process.kill()
                process.communicate(timeout=DEADLINE)


def _start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(CLICKER), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=clean_environment(),
    )


@contextlib.contextmanager
def storm(directory: Path, kind: str, *, first_hangs: bool = False) -> Iterator[Storm]:
    """A storm that leaves no process behind."""
    made = Storm(directory, kind, first_hangs=first_hangs)
    try:
        made.begin()
        yield made
    finally:
        made.end()


@pytest.mark.parametrize("kind", ["sqlite", "file"])
def test_a_storm_of_clicks_makes_one_session(tmp_path: Path, kind: str) -> None:
    """All get its id, one caller of one process made it, once, and what every click changed is in it."""
    with storm(tmp_path, kind) as clicks:
        outcomes = clicks.outcomes()
        (made_by, times), *others = clicks.creations().items()
    assert len(outcomes) == PROCESSES
    assert len({tuple(outcome["ids"]) for outcome in outcomes}) == len(outcomes[0]["ids"]) == 1
    assert sum(outcome["made"] for outcome in outcomes) == 1
    assert (times, others) == (1, [])
    assert clicks.duplicates() == []
    assert [(data["made_by"], data["clicks"]) for data in clicks.live()] == [(made_by, PROCESSES * CLICKS)]


@pytest.mark.parametrize("kind", ["sqlite", "file"])
def test_another_takes_over_when_the_one_that_makes_is_killed(tmp_path: Path, kind: str) -> None:
    """Until then the others wait; afterwards one of them makes the session, once, and all others get it."""
    with storm(tmp_path, kind, first_hangs=True) as clicks:
        killed = clicks.kill_the_one_that_makes()
        assert clicks.creations() == {killed: 1}
        outcomes = clicks.outcomes()
        creations = clicks.creations()
    assert len(outcomes) == PROCESSES - 1
    assert len({tuple(outcome["ids"]) for outcome in outcomes}) == len(outcomes[0]["ids"]) == 1
    assert sum(outcome["made"] for outcome in outcomes) == 1
    assert creations.pop(killed) == 1
    ((made_by, times),) = creations.items()
    assert times == 1
    assert clicks.duplicates() == []
    assert [(data["made_by"], data["clicks"]) for data in clicks.live()] == [(made_by, (PROCESSES - 1) * CLICKS)]
