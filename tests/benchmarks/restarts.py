"""Restarts of `uvicorn --reload` with few and many sessions in the snapshot: their time, and the memory after them."""

from __future__ import annotations

import json
import os
import random
import re
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, sleep

from tests.benchmarks import project_snapshot
from tests.benchmarks.client import Client, ask_patiently, wait_for_answer
from tests.benchmarks.contenders import CONTENDERS, Contender, Server, start_all
from tests.benchmarks.inprocess import SHARED_MEMORY
from tests.benchmarks.projects import Project, write_files

SESSIONS_OFF, SESSIONS_NONE = "snapshot off", "0"
BYTES_EACH = 3200  # in the snapshot, for a session of 2 KB
LEFT_FREE = 4 << 30
LONGEST_FILL = 60.0  # seconds


@dataclass
class Restarts:
    """What the restarts of one server were like: seconds and bytes, one of each restart.

    Args:
        first: from the save to the first answer by new code.
        opened: to open the snapshot in the new worker.
        touched: for the first use of one session in the new worker.
        pss: memory of the worker, where each shared page counts by the part that is its own.
        private: memory of the worker that it shares with nobody.
    """

    first: list[float]
    opened: list[float]
    touched: list[float]
    pss: list[float]
    private: list[float]


def build(root: Path) -> Project:
    """The project, with the snapshot or without; the name of its directory tells."""
    return written(root, project_snapshot.sources(snapshot=root.name != SESSIONS_OFF))


def written(root: Path, files: dict[str, str]) -> Project:
    """A project of these files, of which `main.py` is edited."""
    write_files(root, files)
    return Project(name=root.name, root=root, edited=root / "main.py", template=files["main.py"])


def uvicorn_as(name: str) -> Contender:
    """`uvicorn --reload` under another name."""
    return Contender(name, "uvicorn", CONTENDERS["uvicorn"].command)


def memory(pid: int) -> tuple[float, float]:
    """Bytes of a process: its share of all its pages, and what it shares with nobody."""
    lines = re.findall(r"(\w+): +(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text())
    sizes = {name: int(kilobytes) * 1024 for name, kilobytes in lines}
    return sizes["Pss"], sizes["Private_Clean"] + sizes["Private_Dirty"]


def restart_once(server: Server, found: Restarts, marker: str, sessions: int) -> None:
    """Save, wait for the first answer, use one session, look at the memory."""
    client = Client(server.port)
    saved = server.save(marker)
    answered = wait_for_answer(client, "/marker", marker, limit=30)
    if answered is None:
        raise RuntimeError(f"{server!r} did not come back:\n{server.log()[-2000:]}")
    found.first.append(answered - saved)
    worker = json.loads(ask_patiently(client, "/opened"))
    found.opened.append(worker["seconds"])
    if sessions:
        touched = json.loads(ask_patiently(client, f"/touch/{random.randrange(sessions)}"))
        if not touched["found"]:
            raise RuntimeError(f"a session was lost:\n{server.log()[-2000:]}")
        found.touched.append(touched["seconds"])
    pss, private = memory(worker["pid"])
    found.pss.append(pss)
    found.private.append(private)
    client.close()
    sleep(random.uniform(0.2, 0.4))  # so that a watcher that looks in steps is met anywhere in its step


def restarts(most: int, rounds: int) -> dict[str, Restarts]:
    """Restart servers with few and many sessions in turn."""
    counts = {SESSIONS_OFF: 0, SESSIONS_NONE: 0, **{f"{count:,}": count for count in (10, 100_000, 1_000_000)}}
    counts = {name: count for name, count in counts.items() if count <= most and has_room(count)}
    results = {name: Restarts([], [], [], [], []) for name in counts}
    with ExitStack() as stack:
        servers = start_all(stack, [uvicorn_as(name) for name in counts], build)
        took = 0.0
        for server in tuple(servers):
            name = server.contender.name
            if took * counts[name] > LONGEST_FILL * 100_000:  # `took` is for so many
                print(f"left out {name} sessions, which would take more than a minute to make", flush=True)
                servers.remove(server)
                del results[name]
            elif counts[name]:
                seconds = fill(server, counts[name])
                took = seconds if counts[name] == 100_000 else took
        for turn in range(rounds + 1):
            for server in servers:
                name = server.contender.name
                found = results[name] if turn else Restarts([], [], [], [], [])
                restart_once(server, found, f"save{turn}", counts[name])
    return results


def fill(server: Server, count: int) -> float:
    """Make the sessions, and return how many seconds that took."""
    client = Client(server.port, timeout=200)
    started = perf_counter()
    if client.get(f"/fill/{count}") != (200, str(count)):
        raise RuntimeError(f"the snapshot could not be filled:\n{server.log()[-2000:]}")
    client.close()
    took = perf_counter() - started
    print(f"made {count:,} sessions in {took:.1f} s", flush=True)
    return took


def has_room(sessions: int) -> bool:
    """Whether shared memory takes so many sessions, and there is memory left then."""
    disk = os.statvfs(SHARED_MEMORY)
    lines = Path("/proc/meminfo").read_text()
    available = int(re.findall(r"MemAvailable: +(\d+) kB", lines)[0]) * 1024
    return sessions * BYTES_EACH < min(disk.f_bavail * disk.f_frsize, available) - LEFT_FREE or sessions < 1000
