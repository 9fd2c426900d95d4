"""The snapshot: what it adds to a request, to a restart, to a long answer, and to a worker that does nothing.

    python -m tests.benchmarks.bench_snapshot [--quick] [--markdown] [--part requests] [--most 1000000]

Requests and long answers are asked in child processes, without a server, with the messages of `bench_middleware`; the
rest is measured under `uvicorn --reload`. Contenders take turns in short rounds, and figures are medians of the rounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from time import sleep

from tests.benchmarks import project_snapshot
from tests.benchmarks.contenders import start_all
from tests.benchmarks.figures import Table, Target, middle, number, parser, ratio, show
from tests.benchmarks.inprocess import KEPT, MANY, OFF, ON, STARLETTE, STREAM, Child
from tests.benchmarks.processes import usage
from tests.benchmarks.projects import Project
from tests.benchmarks.restarts import SESSIONS_NONE, SESSIONS_OFF, fill, restarts, uvicorn_as, written

Result = tuple[Table, list[Target]]
Figures = dict[tuple[str, str], float | None]

PARTS = ("requests", "restart", "streams", "idle")
KINDS = ("/read", "/change", "/inside")


# requests


def take_turns(children: Sequence[Child], wanted: Sequence[tuple[str, str]], rounds: int, times: int) -> Figures:
    """Medians by contender and kind, of those that are wanted."""
    by_name = {child.name: child for child in children}
    figures: dict[tuple[str, str], list[float]] = {which: [] for which in wanted}
    for _ in range(rounds + 1):
        for (name, kind), values in figures.items():
            values.append(by_name[name].ask(kind, times))
    return {which: middle(values[1:]) for which, values in figures.items()}


def requests(*, quick: bool) -> Result:
    """Microseconds of a request over the bare app."""
    with ExitStack() as stack:
        children = [stack.enter_context(Child(name)) for name in (OFF, ON, KEPT, MANY, STARLETTE)]
        wanted = [(child.name, kind) for child in children for kind in ("/bare", "/pickle", *KINDS)]
        found = take_turns(children, wanted, 5 if quick else 60, 100)

    def over(name: str, kind: str) -> float | None:
        mine, bare = found[name, kind], found[name, "/bare"]
        return None if mine is None or bare is None else mine - bare

    labels = {ON: "hotsession, snapshot", KEPT: "the same, and a kept value", MANY: "the same, among 100,000 sessions"}
    rows = []
    for child in children:
        cells = [labels.get(child.name, child.name)]
        for kind in KINDS:
            is_kept = not (child.name == STARLETTE and kind == "/inside")  # it loses such a change
            compared = ratio(over(child.name, kind), over(ON, kind)) if is_kept else None
            cells += [number(over(child.name, kind)) if is_kept else "lost", number(compared)]
        rows.append(cells)
    pickling = found[ON, "/pickle"]
    rows.append(["pickling alone", "0", "–", number(pickling), number(ratio(pickling, over(ON, "/change"))), "–", "–"])
    heads = ["2 KB session, µs over the bare app", "read", "× ours", "changed", "× ours", "changed inside", "× ours"]
    targets = [
        Target("a changed session, over the bare app", 30, over(ON, "/change"), unit="µs"),
        Target("the same, changed inside of a value", 30, over(ON, "/inside"), unit="µs"),
    ]
    return Table(heads, rows), targets


# a restart


def restart(*, quick: bool, most: int) -> Result:
    """A restart with many sessions beside one with none."""
    found = restarts(100_000 if quick else most, 2 if quick else 10)
    none = found[SESSIONS_NONE]
    rows = []
    for name, each in found.items():
        first = middle(each.first)
        opened = None if name == SESSIONS_OFF else _times(middle(each.opened), 1e3)
        rows.append(
            [
                name,
                number(_times(first, 1e3)),
                number(_times(min(each.first), 1e3)),
                more_or_less(each.first, none.first),
                number(opened),
                number(_times(middle(each.touched), 1e3)),
                number(_times(max(each.touched, default=None), 1e3)),
                number(_times(middle(each.pss), 1e-6)),
                more_or_less(each.pss, none.pss),
                number(_times(middle(each.private), 1e-6)),
            ]
        )
    heads = ["sessions of 2 KB", "first answer, ms", "least", "to none", "opening, ms", "first touch, ms", "most"]
    heads += ["PSS, MB", "to none", "private, MB"]
    targets = []
    for name in ("100,000", "1,000,000"):
        if (many := found.get(name)) is not None:
            first, pss = more(many.first, none.first), more(many.pss, none.pss)
            targets += [
                Target(f"{name} sessions: first answer after a restart, more than with none", 10, first, unit="%"),
                Target(f"{name} sessions: first touch of one", 1, _times(middle(many.touched), 1e3)),
                Target(f"{name} sessions: PSS of the new worker, more than with none", 10, pss, unit="%"),
            ]
    return Table(heads, rows), targets


def more(these: Sequence[float], than: Sequence[float]) -> float | None:
    """By how many per cent the median of the ones is above that of the others."""
    compared = ratio(middle(these), middle(than))
    return None if compared is None else (compared - 1) * 100


def more_or_less(these: Sequence[float], than: Sequence[float]) -> str:
    """The same for a table."""
    compared = more(these, than)
    return "–" if compared is None else f"{compared:+.1f} %"


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


# long answers


def streams(*, quick: bool) -> Result:
    """The share of the time that writing takes while something big changes all the time."""
    cases = {
        "long answer, session of 1 MB": (ON, f"{STREAM}/session"),
        "requests, kept value of 1 MB": (KEPT, f"{STREAM}/value"),
    }
    with ExitStack() as stack:
        children = [stack.enter_context(Child(name)) for name in (ON, KEPT)]
        found = take_turns(children, list(cases.values()), 3 if quick else 8, 700 if quick else 3000)
    rows = [[label, f"{number(found[which])} %"] for label, which in cases.items()]
    targets = [
        Target(f"{label}: share of the time for writing, about 5 %", 7, found[which], unit="%")
        for label, which in cases.items()
    ]
    return Table(["changed with each part or request", "share of the time for writing"], rows), targets


# doing nothing


def idle(*, quick: bool) -> Result:
    """Processor time under `uvicorn --reload` while nothing happens."""
    without, with_it = "without hotsession", "with HotSessionMiddleware"

    def project(root: Path) -> Project:
        return written(root, project_snapshot.sources(hotsession=root.name == with_it))

    seconds = 5 if quick else 20
    with ExitStack() as stack:
        servers = start_all(stack, [uvicorn_as(name) for name in (without, with_it)], project)
        fill(servers[1], 10)
        sleep(6)
        before = [usage(server.pid) for server in servers]
        sleep(seconds)
        used = [usage(server.pid) - earlier for server, earlier in zip(servers, before, strict=True)]
    milliseconds = [each.running / seconds * 1e3 for each in used]
    heads = ["idle under uvicorn --reload, in one second", "scheduler, ms", "× without", "wake-ups", "processes"]
    rows = [
        [name, number(took), number(ratio(took, milliseconds[0])), number(each.wakeups / seconds), str(each.processes)]
        for name, took, each in zip((without, with_it), milliseconds, used, strict=True)
    ]
    more = milliseconds[1] - milliseconds[0]
    return Table(heads, rows), [Target("idle: processor time in a second that the middleware adds", 0.5, more)]


def main() -> None:
    """Measure what the command line asks for and print it."""
    options = parser(__doc__)
    options.add_argument("--part", action="append", choices=PARTS, help="only this part (may be given more than once)")
    options.add_argument("--most", type=int, default=1_000_000, help="the most sessions to restart with")
    chosen = options.parse_args()
    measured: list[Result] = []
    for part in chosen.part or PARTS:
        print(f"{part} ...", flush=True)
        if part == "requests":
            measured.append(requests(quick=chosen.quick))
        elif part == "restart":
            measured.append(restart(quick=chosen.quick, most=chosen.most))
        elif part == "streams":
            measured.append(streams(quick=chosen.quick))
        else:
            measured.append(idle(quick=chosen.quick))
    targets = [target for _, some in measured for target in some]
    show([table for table, _ in measured], targets, markdown=chosen.markdown)


if __name__ == "__main__":
    main()
