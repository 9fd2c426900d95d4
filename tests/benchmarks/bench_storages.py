"""Storages: what it takes to find a session, to save many of them, and to list a few of a million.

    python -m tests.benchmarks.bench_storages [--quick] [--markdown] [--part million] [--only sqlite] [--dir .]

Records have 1 KB of payload. Everything is awaited, in one event loop of asyncio. What the awaiting costs the loop is
shown as the longest time for which nothing else had a turn. Contender: the same file and the same statements through
aiosqlite, where it is installed, with a commit for each save.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import perf_counter
from typing import Any

from hotsession.lifecycle.limits import Limits
from hotsession.lifecycle.manager import SessionManager
from hotsession.lifecycle.record import Record, new_record, saved
from hotsession.storages.base import Storage
from hotsession.storages.memory import MemoryStorage
from hotsession.storages.sqlite import SQLiteStorage
from hotsession.storages.sqlite_rows import record_of, row_of
from hotsession.storages.sqlite_schema import open_database
from hotsession.storages.sqlite_statements import ADD, FIND, SAVE
from tests.benchmarks.figures import Table, Target, middle, number, parser, percentile, show

Result = tuple[Table, list[Target]]
PAYLOAD = json.dumps({"user": "ada", "messages": ["x" * 100] * 9}).encode()
STATUSES = (*["active"] * 3, "paused", *["completed"] * 9, "failed", "interrupted", *["ended"] * 4, "expired")
LIVE = {"active", "paused"}
NOW = 1_700_000_000.0


def record(name: object, **fields: Any) -> Record:
    """A record that is ready to be stored."""
    made = new_record(f"{name:0>32}", "bench", f"key {name}", PAYLOAD, NOW, Limits(idle_timeout=3600))
    return made._replace(version=1, **fields)


def following(before: Record) -> Record:
    """The next version."""
    made = saved(before, PAYLOAD, before.updated_at + 1, Limits(idle_timeout=3600))
    if made is None:
        raise AssertionError("it has expired")
    return made


class Aio:
    """The contender: one connection of aiosqlite."""

    def __init__(self, database: Any) -> None:
        self._database = database

    @classmethod
    async def opened(cls, path: Path) -> Aio | None:
        """Over a new database with our schema; None where aiosqlite is not installed."""
        try:
            import aiosqlite  # type: ignore[import-not-found, unused-ignore]
        except ImportError:
            return None
        open_database(path, 5).close()
        database = await aiosqlite.connect(path, isolation_level=None)
        await database.execute("PRAGMA synchronous = NORMAL")
        return cls(database)

    async def add(self, record: Record) -> None:
        """Store a record."""
        await self._database.execute(ADD, {**row_of(record), "number": 1})

    async def find(self, manager: str, key: Any) -> Record | None:
        """The live record of a key."""
        cursor = await self._database.execute(FIND, (manager, key))
        row = await cursor.fetchone()
        return None if row is None else record_of(row)

    async def replace(self, record: Record) -> bool:
        """Write the next version, in a transaction of its own."""
        cursor = await self._database.execute(SAVE, {**row_of(record), "number": 1})
        return bool(cursor.rowcount)

    async def aclose(self) -> None:
        """Close it."""
        await self._database.close()


async def opened(only: list[str] | None, directory: Path) -> dict[str, Any]:
    """The contenders, empty."""
    makers: dict[str, Callable[[], Awaitable[Any]]] = {
        "memory": _now(MemoryStorage),
        "sqlite": _now(lambda: SQLiteStorage(directory / "ours.db")),
        "aiosqlite": lambda: Aio.opened(directory / "aio.db"),
    }
    found = {name: await make() for name, make in makers.items() if not only or name in only}
    return {name: storage for name, storage in found.items() if storage is not None}


def _now(make: Callable[[], Storage]) -> Callable[[], Awaitable[Storage]]:
    async def made() -> Storage:
        return make()

    return made


async def time_finding(storage: Any, count: int) -> list[float]:
    """Microseconds of each of so many finds of a session, one after the other."""
    await storage.add(record("found"))
    times = []
    for _ in range(count):
        started = perf_counter()
        if await storage.find("bench", "key found") is None:
            raise AssertionError("it is lost")
        times.append((perf_counter() - started) * 1e6)
    return times


async def time_reusing(storage: Any, count: int) -> list[float]:
    """Microseconds of each of so many `get_or_create` of an existing session."""
    manager = SessionManager("reused", storage=storage, idle_timeout=3600)
    await manager.get_or_create("key", data=lambda: json.loads(PAYLOAD))
    times = []
    for _ in range(count):
        started = perf_counter()
        session = await manager.get_or_create("key")
        times.append((perf_counter() - started) * 1e6)
        if not session.reused:
            raise AssertionError("it was made again")
    return times


async def time_saving(storage: Any, tasks: int, each: int) -> tuple[float, float]:
    """Saves per second by so many tasks, each awaiting its own; the longest time between two turns of the loop, ms."""
    for task in range(tasks):
        await storage.add(record(f"{tasks}-{task}"))

    async def save(task: int) -> None:
        now = record(f"{tasks}-{task}")
        for _ in range(each):
            now = following(now)
            if not await storage.replace(now):
                raise AssertionError("a save was refused")

    lags: list[float] = []
    watching = asyncio.create_task(_watch(lags))
    started = perf_counter()
    await asyncio.gather(*(save(task) for task in range(tasks)))
    took = perf_counter() - started
    watching.cancel()
    return tasks * each / took, max(lags, default=0.0)


async def _watch(lags: list[float]) -> None:
    while True:
        started = perf_counter()
        await asyncio.sleep(0)
        lags.append((perf_counter() - started) * 1e3)
        await asyncio.sleep(0.001)


async def part_calls(only: list[str] | None, directory: Path, quick: bool) -> Result:
    """Finding and saving, for all contenders."""
    rows, reused, rates = [], {}, {}
    for name, storage in (await opened(only, directory)).items():
        count = 200 if quick else 3000
        times = await time_finding(storage, count)
        reused[name] = middle(await time_reusing(storage, count)) if isinstance(storage, Storage) else None
        saves = {tasks: await time_saving(storage, tasks, (200 if quick else 6000) // tasks) for tasks in (1, 10, 100)}
        rates[name] = saves[100][0]
        cells = [number(rate) for rate, _ in saves.values()]
        rows.append(
            [
                name,
                number(middle(times)),
                number(percentile(times, 0.99)),
                number(reused[name]),
                *cells,
                number(saves[100][1]),
            ]
        )
        await storage.aclose()
    heads = [
        "1 KB sessions",
        "find, µs",
        "p99",
        "get_or_create, µs",
        "saves/s, 1 task",
        "10 tasks",
        "100 tasks",
        "loop held, ms",
    ]
    targets = [
        Target("SQLite: get_or_create of an existing session", 300, reused.get("sqlite"), unit="µs"),
        Target("memory: get_or_create of an existing session", 10, reused.get("memory"), unit="µs"),
        Target("SQLite: saves by concurrent tasks", 5000, rates.get("sqlite"), unit="a second", at_least=True),
    ]
    return Table(heads, rows), targets


def fill(path: Path, count: int) -> None:
    """Write so many sessions in all states, of which every hundredth live one expired without being noticed."""
    database = open_database(path, 5)
    database.execute("PRAGMA cache_size = -400000")
    database.execute("BEGIN")
    database.executemany(ADD, (_row(place) for place in range(count)))
    database.execute("COMMIT")
    database.close()


def _row(place: int) -> dict[str, Any]:
    status = STATUSES[place * 7919 % len(STATUSES)]
    is_late = place % 100 == 0
    fields = {
        "status": status,
        "payload": PAYLOAD[:200],
        "expires_at": NOW + (-5 if is_late else 3600 + place),
        "completed_at": None if status in {*LIVE, "interrupted"} else NOW,
    }
    return {**row_of(record(place * 48271 % 2147483647, key=f"key {place}", **fields)), "number": place + 1}


async def time_listing(storage: Storage, rounds: int) -> dict[str, tuple[float, float]]:
    """Milliseconds of a list of 20 in each state together with its total: the median, and the worst."""
    figures = {}
    for status in (*dict.fromkeys(STATUSES), None):
        times = []
        for _ in range(rounds):
            started = perf_counter()
            listed = await storage.list("bench", NOW, status=status, limit=20)
            await storage.count("bench", status)
            times.append((perf_counter() - started) * 1e3)
            if len(listed) != 20:
                raise AssertionError(f"{len(listed)} of 20 sessions were listed")
        figures[status or "all"] = middle(times) or 0.0, max(times)
    return figures


async def part_million(only: list[str] | None, directory: Path, quick: bool) -> Result:
    """Listing a few of very many, in SQLite."""
    count, path = 20_000 if quick else 1_000_000, directory / "many.db"
    started = perf_counter()
    await asyncio.to_thread(fill, path, count)
    filled = perf_counter() - started
    storage = SQLiteStorage(path)
    figures = await time_listing(storage, 5 if quick else 50)
    places = itertools.count()
    times = [await _timed(storage.find("bench", f"key {next(places) * 7 % count}")) for _ in range(100)]
    overdue = await _timed(storage.expired("bench", NOW, 100))
    await storage.aclose()
    rows = [[f"list 20 and total, {status}", number(half), number(most)] for status, (half, most) in figures.items()]
    rows.append(["find a key", number(middle(times)), number(max(times))])
    rows.append(["100 expired", number(overdue), ""])
    rows.append([f"(to fill it took {number(filled)} s, {path.stat().st_size >> 20} MB)", "", ""])
    worst = max(half for half, _ in figures.values())
    return Table([f"among {count:,} sessions, ms", "median", "most"], rows), [
        Target("SQLite: list with status and limit=20, with total", 5, worst)
    ]


async def _timed(awaited: Awaitable[object]) -> float:
    started = perf_counter()
    await awaited
    return (perf_counter() - started) * 1e3


PARTS = {"calls": part_calls, "million": part_million}


async def measure(parts: list[str], only: list[str] | None, quick: bool, directory: Path) -> list[Result]:
    """The chosen parts, each in a new directory."""
    results = []
    for part in parts:
        with tempfile.TemporaryDirectory(dir=directory) as made:
            results.append(await PARTS[part](only, Path(made), quick))
    return results


def main() -> None:
    """Measure and print."""
    options = parser(__doc__)
    options.add_argument("--part", action="append", choices=list(PARTS), help="only this part")
    options.add_argument("--dir", type=Path, default=None, help="where the databases are made, on the disk to measure")
    chosen = options.parse_args()
    results = asyncio.run(measure(chosen.part or list(PARTS), chosen.only, chosen.quick, chosen.dir))
    targets = [target for _, found in results for target in found]
    show([table for table, _ in results], targets, markdown=chosen.markdown)


if __name__ == "__main__":
    main()
