"""Idle: the processor time that a reloader uses while nothing happens.

    python -m tests.benchmarks.bench_idle [--quick] [--markdown] [--seconds 30] [--project chat] [--only hotsession]

All contenders run over the same seconds, each with its own copy of the project; parent and workers count together.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from time import perf_counter, sleep

from tests.benchmarks.contenders import CONTENDERS, Contender, available, start_all
from tests.benchmarks.figures import Table, Target, number, parser, show
from tests.benchmarks.processes import Usage, usage
from tests.benchmarks.projects import BUILDERS

OURS = "hotsession"


def run(project: str, contenders: Sequence[Contender], seconds: float) -> dict[str, Usage]:
    """What each contender uses in one second of doing nothing."""
    with ExitStack() as stack:
        servers = start_all(stack, contenders, BUILDERS[project])
        for number_of_save, server in enumerate(servers):
            server.save(f"warm{number_of_save}")  # idle after a reload is what a developer's machine mostly sees
        sleep(5)
        before, began = [usage(server.pid) for server in servers], perf_counter()
        sleep(seconds)
        after, lasted = [usage(server.pid) for server in servers], perf_counter() - began
    used = [late - early for early, late in zip(before, after, strict=True)]
    return {
        server.contender.name: Usage(
            usage_.seconds / lasted, usage_.running / lasted, round(usage_.wakeups / lasted), usage_.processes
        )
        for server, usage_ in zip(servers, used, strict=True)
    }


def table(project: str, results: dict[str, Usage]) -> Table:
    """One row for each contender."""
    rows = [
        [
            f"{project}, {name}",
            number(used.seconds * 1000),
            number(used.running * 1000),
            str(used.wakeups),
            str(used.processes),
        ]
        for name, used in results.items()
    ]
    return Table(["idle, in one second", "utime+stime, ms", "scheduler, ms", "wake-ups", "processes"], rows)


def main() -> None:
    """Measure what the command line asks for and print it."""
    options = parser(__doc__)
    options.add_argument("--seconds", type=float, default=30, help="how long to watch (default 30)")
    options.add_argument("--project", choices=list(BUILDERS), default="chat", help="what is served (default chat)")
    chosen = options.parse_args()
    contenders = available(chosen.only or list(CONTENDERS))
    results = run(chosen.project, contenders, 5 if chosen.quick else chosen.seconds)
    ours, theirs = results.get(OURS), results.get("uvicorn")
    made = []
    if theirs:
        figure = ours.running * 1000 if ours else None
        made = [Target("idle: processor time in a second, uvicorn's at most", theirs.running * 1000, figure)]
    show([table(chosen.project, results)], made, markdown=chosen.markdown)


if __name__ == "__main__":
    main()
