"""Save to first answer by new code: the median of N saves for each project and contender.

    python -m tests.benchmarks.bench_reload [--quick] [--markdown] [-n 20] [--project small] [--only hotsession]

All contenders of a project run at once, each on its own copy, and take turns: one save each per round. While a wait is
on, and only then, a client asks over one keep-alive connection, 0.7 ms after each answer. The clock starts right before
the write of the file. "Settled" is when the last refused, failed or old answer was over, seen over fresh connections.
"""

from __future__ import annotations

import gc
import random
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from time import sleep

from tests.benchmarks.client import Client, ask_patiently, wait_for_answer, watch_settling
from tests.benchmarks.contenders import CONTENDERS, Contender, Server, available, start_all
from tests.benchmarks.figures import Table, Target, middle, number, parser, percentile, ratio, show
from tests.benchmarks.projects import BUILDERS

PROJECTS = ["small", "chat", "heavy", "heavy50", "leaf300", "base300"]
OURS = "hotsession"


@dataclass
class Result:
    """What was measured of one contender on one project, in milliseconds."""

    project: str
    contender: str
    first: list[float] = field(default_factory=list)
    settled: list[float] = field(default_factory=list)
    failed: int = 0
    never: int = 0

    @property
    def median(self) -> float | None:
        """The median of save to first answer by new code."""
        return middle(self.first)


def measure(server: Server, result: Result, marker: str, limit: float) -> None:
    """Save once, wait for the first answer by new code, and see when the server has settled."""
    client = Client(server.port)
    ask_patiently(client, server.project.path)  # the connection is open before the save
    started = server.save(marker)
    seen = wait_for_answer(client, server.project.path, marker, limit=limit)
    client.close()
    if seen is None:
        result.never += 1
        return
    settled, failed = watch_settling(server.port, server.project.path, marker)
    result.first.append((seen - started) * 1000)
    result.settled.append(((settled or seen) - started) * 1000)
    result.failed += failed


def run_project(name: str, contenders: Sequence[Contender], rounds: int, limit: float = 12.0) -> list[Result]:
    """Measure all contenders on one project, in turns."""
    with ExitStack() as stack:
        servers = start_all(stack, contenders, BUILDERS[name])
        results = [Result(name, server.contender.name) for server in servers]
        for turn in range(-1, rounds):
            for server, result in zip(servers, results, strict=True):
                if result.never >= 3:
                    continue
                # Watchers that poll do it in steps: a random pause meets them at any point of a step.
                sleep(random.uniform(0.2, 0.4))
                target = Result(name, "warm-up") if turn < 0 else result
                measure(server, target, f"m{turn}", limit)
            print(".", end="", flush=True)
    print(f" {name}")
    return results


def table(results: Sequence[Result]) -> Table:
    """One row for each contender and project, with the ratio to ours."""
    ours = {result.project: result.median for result in results if result.contender == OURS}
    rows = []
    for result in results:
        times = ratio(result.median, ours.get(result.project))
        rows.append(
            [
                f"{result.project}, {result.contender}",
                number(result.median, "never"),
                *[number(value) for value in (min(result.first, default=None), percentile(result.first, 0.9))],
                number(max(result.first, default=None)),
                number(middle(result.settled)),
                str(result.failed) if result.first else "–",
                f"{len(result.first)} of {len(result.first) + result.never}",
                f"{number(times)}×" if times else "–",
            ]
        )
    heads = [
        "save to first new answer, ms",
        "median",
        "least",
        "p90",
        "most",
        "settled",
        "failed",
        "seen",
        "times ours",
    ]
    return Table(heads, rows)


def targets(results: Sequence[Result]) -> list[Target]:
    """What is to be reached, as far as it was measured in this run."""
    found = {(result.project, result.contender): result.median for result in results}
    measured = {result.project for result in results}
    bounds = {"small": 10, "chat": 10, "leaf300": 15, "base300": 100, "heavy": 50}
    ratios = [
        ("small", "uvicorn", 30),
        ("heavy", "uvicorn", 35),
        ("small", "uvicorn-hmr", 6),
        ("heavy", "uvicorn-hmr", 2),
    ]
    made = [
        Target(f"{project}: save to first new answer", bound, found.get((project, OURS)))
        for project, bound in bounds.items()
        if project in measured
    ]
    made += [
        Target(
            f"{project}: faster than {other}",
            bound,
            ratio(found.get((project, other)), found.get((project, OURS))),
            unit="times",
            at_least=True,
        )
        for project, other, bound in ratios
        if (project, other) in found
    ]
    return made


def main() -> None:
    """Measure what the command line asks for and print it."""
    options = parser(__doc__)
    options.add_argument(
        "-n", type=int, default=20, metavar="N", help="saves of each contender and project (default 20)"
    )
    options.add_argument("--project", action="append", choices=list(BUILDERS), help="only this project")
    chosen = options.parse_args()
    contenders = available(chosen.only or list(CONTENDERS))
    gc.disable()
    results = [
        result
        for project in chosen.project or PROJECTS
        for result in run_project(project, contenders, 3 if chosen.quick else chosen.n)
    ]
    show([table(results)], targets(results), markdown=chosen.markdown)


if __name__ == "__main__":
    main()
