"""Fifty requests a second through thirty reloads: how many fail, and how long the slowest waits.

    python -m tests.benchmarks.bench_load [--quick] [--markdown] [--reloads 30] [--project small] [--only hotsession]

Requests are due on a fixed schedule over ten keep-alive connections and their latency counts from the moment they were
due. A save follows when the code of the save before has answered, after a pause. Contenders run one after the other:
two loads at once would measure each other. "Retried" had met a keep-alive connection that the server had closed, and
went well over a fresh one. "Client" is the most that the client itself was late: the noise of the machine.
"""

from __future__ import annotations

import gc
import random
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import product
from time import sleep

from tests.benchmarks.contenders import CONTENDERS, Server, available, start_all
from tests.benchmarks.figures import Table, Target, middle, number, parser, percentile, show
from tests.benchmarks.load import Load, LoadClient
from tests.benchmarks.projects import BUILDERS

PROJECTS = ["small", "slow", "bigfile"]
OURS = "hotsession"


@dataclass(frozen=True)
class Result:
    """What the requests met that one contender answered on one project."""

    project: str
    contender: str
    load: Load
    seen: int
    reloads: int

    @property
    def worst(self) -> float | None:
        """The longest latency in milliseconds."""
        return max(self.load.latencies, default=None) and max(self.load.latencies) * 1000


def run(project: str, server: Server, reloads: int, rate: float) -> Result:
    """Reload under load, and leave a pause after each reload."""
    seen = 0
    with LoadClient(server.port, server.project.path, rate=rate) as client:
        sleep(1.0)
        for turn in range(reloads):
            server.save(f"m{turn}")
            seen += client.wait_for(f"m{turn}", 10)
            if turn == 2 and not seen:
                break  # it does not see this edit at all
            sleep(random.uniform(0.4, 0.7))
    print(f"{project}, {server.contender.name}: {len(client.load.latencies)} requests", flush=True)
    return Result(project, server.contender.name, client.load, seen, reloads)


def table(results: Sequence[Result]) -> Table:
    """One row for each project and contender."""
    rows = [
        [
            f"{result.project}, {result.contender}",
            str(len(result.load.latencies) + len(result.load.failures)),
            str(len(result.load.failures)),
            str(result.load.retried),
            *[
                number(value and value * 1000)
                for value in (middle(result.load.latencies), percentile(result.load.latencies, 0.99))
            ],
            number(result.worst),
            number(result.load.lateness * 1000),
            f"{result.seen} of {result.reloads}",
        ]
        for result in results
    ]
    heads = [
        "latency under load, ms",
        "requests",
        "failed",
        "retried",
        "median",
        "p99",
        "worst",
        "client",
        "reloads seen",
    ]
    return Table(heads, rows)


def targets(results: Sequence[Result]) -> list[Target]:
    """What is to be reached, as far as it was measured in this run."""
    made = []
    for project, bound in (("small", 20), ("slow", 50)):
        if project not in {result.project for result in results}:
            continue
        ours = next((result for result in results if (result.project, result.contender) == (project, OURS)), None)
        failed = float(len(ours.load.failures) + ours.load.retried) if ours else None
        made.append(Target(f"{project}: failed or retried requests", 0, failed, unit=""))
        made.append(Target(f"{project}: worst latency", bound, ours.worst if ours else None))
    return made


def failures(results: Sequence[Result]) -> list[str]:
    """What went wrong, in words, for each contender."""
    return [
        f"{result.project}, {result.contender}: {count} × {text}"
        for result in results
        for text, count in Counter(result.load.failures).most_common(3)
    ]


def main() -> None:
    """Measure what the command line asks for and print it."""
    options = parser(__doc__)
    options.add_argument("--reloads", type=int, default=30, metavar="N", help="saves (default 30)")
    options.add_argument("--rate", type=float, default=50, help="requests in a second (default 50)")
    options.add_argument("--project", action="append", choices=list(BUILDERS), help="only this project")
    chosen = options.parse_args()
    contenders = available(chosen.only or list(CONTENDERS))
    gc.disable()
    reloads = 4 if chosen.quick else chosen.reloads
    results = []
    for project, contender in product(chosen.project or PROJECTS, contenders):
        with ExitStack() as stack:
            for server in start_all(stack, [contender], BUILDERS[project]):
                results.append(run(project, server, reloads, chosen.rate))  # noqa: PERF401 a server at a time
    show([table(results)], targets(results), markdown=chosen.markdown, notes=failures(results))


if __name__ == "__main__":
    main()
