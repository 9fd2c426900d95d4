"""Living objects: what a reload costs with many sessions, and what it costs to touch one after it.

    python -m tests.benchmarks.bench_living [--quick] [--markdown] [--rounds 15]

An app is reloaded in this process, without a server, while a manager has 10 sessions in memory, or 100,000, of 20
objects each, all of a class that the reload replaces; in turns, three times. A reload is timed from the save to its
report, in time of the processor, of which the lower quartile counts; a touch is what `get_or_create` does about
objects, the first time after a reload (of a method, or with a field that is new) and ever after.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import statistics
import sys
from time import perf_counter, process_time
from typing import Any

from hotsession import kept, testing
from hotsession.lifecycle.following import Following
from hotsession.lifecycle.manager import SessionManager
from hotsession.lifecycle.record import Record, new_record
from hotsession.living.classes import living
from tests.benchmarks.figures import Table, Target, number, parser, show

OBJECTS = 20
PROJECT = {
    "main.py": """
from starlette.applications import Starlette
import models

app = Starlette()
""",
    "models.py": """
from dataclasses import dataclass

@dataclass
class Message:
    role: str
    text: str
    number: int = 0

    def shout(self):
        return self.text.upper() + "1"
""",
}


def fill(manager: SessionManager, count: int, cls: Any) -> list[Record]:
    """Give a manager sessions with objects of a class."""
    storage: Any = manager.storage
    records = []
    for at in range(count):
        data = {"messages": [cls("user", f"message {turn}", turn) for turn in range(OBJECTS)]}
        record = new_record(f"{at:032x}", manager.name, f"user {at}", data, manager.clock(), manager.ledger.limits)
        record = record._replace(version=1)
        storage._write(record, None)
        records.append(record)
    return records


def touch(following: Following, record: Record) -> float:
    """Seconds that a touch takes."""
    begin = perf_counter()
    following.touch(record)
    return perf_counter() - begin


def first_touches(following: Following, records: list[Record]) -> list[float]:
    """Seconds of each first touch after a reload; the sweep may have been faster with some."""
    untouched = [each for each in records if following._marks.get(each.id) != living().epoch]
    return [touch(following, record) for record in untouched]


def reloaded(app: testing.App, turn: int) -> float:
    """Seconds of the processor that a reload takes."""
    app.edit("models.py", f'"{turn + 1}"', f'"{turn + 2}"')
    began = process_time()
    app.reload()
    return process_time() - began


def measured(count: int, rounds: int) -> tuple[float, float, float, float, float]:
    """Seconds of a reload with so many sessions, of first touches, of a further one, and of a sweep's longest slice."""
    with testing.running(PROJECT) as app:
        manager = kept.sessions("many")
        records = fill(manager, count, sys.modules["models"].Message)
        following = manager.ledger.following
        gc.freeze()
        firsts, agains = [], []
        reloads = [reloaded(app, turn) for turn in range(rounds)]
        for turn in range(rounds, rounds + 5):
            reloaded(app, turn)
            some = records[-200:]
            firsts += first_touches(following, some)
            begin = perf_counter()
            for record in some:
                following.touch(record)
            agains.append((perf_counter() - begin) / len(some))
        fields = []
        for turn in range(5):
            app.edit("models.py", "    number: int = 0\n", f"    number: int = 0\n    more{turn}: int = {turn}\n")
            app.reload()
            fields += first_touches(following, records[-200:])
        reloaded(app, rounds + 5)
        portal: Any = app.client.portal
        held_up = portal.call(longest_pause) if count > 1000 else 0.0
        gc.unfreeze()
    touches = (statistics.median(firsts or [0.0]), statistics.median(fields or [0.0]), statistics.median(agains))
    return statistics.quantiles(reloads)[0], *touches, held_up


async def longest_pause() -> float:
    """How long the event loop was held up at most, in half a second of the sweep."""
    longest, end = 0.0, perf_counter() + 0.5
    while perf_counter() < end and any("converts objects" in task.get_name() for task in asyncio.all_tasks()):
        begin = perf_counter()
        await asyncio.sleep(0)
        longest = max(longest, perf_counter() - begin)
    return longest


def main() -> None:
    """Measure and print."""
    options = parser(__doc__)
    options.add_argument("--rounds", type=int, default=15, help="how often the app is reloaded")
    chosen = options.parse_args()
    logging.disable(logging.WARNING)
    rounds = 5 if chosen.quick else chosen.rounds
    turns = [(measured(10, rounds), measured(100_000, rounds)) for _ in range(3)]
    few, many = ([statistics.median(values) for values in zip(*each, strict=True)] for each in zip(*turns, strict=True))
    rows = [
        [f"{count:,} sessions of {OBJECTS} objects", *(number(seconds * scale) for seconds, scale in figures)]
        for count, figures in (
            (10, tuple(zip(few, (1e3, 1e6, 1e6, 1e6), strict=False))),
            (100_000, tuple(zip(many, (1e3, 1e6, 1e6, 1e6), strict=False))),
        )
    ]
    table = Table(["", "reload, ms", "first touch, µs", "with a new field", "further touch, µs"], rows)
    targets = [
        Target("reload with 100,000 sessions, times that with 10", 1.1, many[0] / few[0], unit="×"),
        Target("first touch of a session", 200, many[1] * 1e6, unit="µs"),
        Target("first touch of a session whose objects get a field", 200, many[2] * 1e6, unit="µs"),
        Target("touch when no class changed", 1, many[3] * 1e6, unit="µs"),
    ]
    held_up = f"While the sweep went on, the event loop was held up for {many[4] * 1e3:.1f} ms at most."
    show([table], targets, markdown=chosen.markdown, notes=[held_up])


if __name__ == "__main__":
    main()
