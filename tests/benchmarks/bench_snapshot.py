"""The snapshot: what it adds to a request, to a restart, to a long answer, and to a worker that does nothing.

    python -m tests.benchmarks.bench_snapshot [--quick] [--markdown] [--part requests] [--most 1000000]

Requests and long answers are asked in child processes, without a server, with the messages of `bench_middleware`; the
rest is measured under `uvicorn --reload`. Contenders take turns in short rounds, and figures are medians of the rounds.
"""

from __future__ import annotations

import json
import os
import random
import re
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, sleep

from tests.benchmarks import inprocess, project_snapshot
from tests.benchmarks.client import Client, ask_patiently, wait_for_answer
from tests.benchmarks.contenders import CONTENDERS, Contender, Server, start_all
from tests.benchmarks.figures import Table, Target, middle, number, parser, ratio, show
from tests.benchmarks.inprocess import KEPT, MANY, OFF, ON, STARLETTE, STREAM, Child
from tests.benchmarks.processes import usage
from tests.benchmarks.projects import Project, write_files

Result = tuple[Table, list[Target]]
Figures = dict[tuple[str, str], float | None]

PARTS = ("requests", "restart", "streams", "idle")
KINDS = ("/read", "/change", "/inside")
SESSIONS_OFF, SESSIONS_NONE = "snapshot off", "0"
BYTES_EACH = 3200  # in the snapshot, for a session of 2 KB
LEFT_FREE = 4 << 30


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
    return _written(root, project_snapshot.sources(snapshot=root.name != SESSIONS_OFF))


def _written(root: Path, files: dict[str, str]) -> Project:
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
        for server in servers:
            if count := counts[server.contender.name]:
                fill(server, count)
        for turn in range(rounds + 1):
            for server in servers:
                name = server.contender.name
                found = results[name] if turn else Restarts([], [], [], [], [])
                restart_once(server, found, f"save{turn}", counts[name])
    return results


def fill(server: Server, count: int) -> None:
    """Make the sessions."""
    client = Client(server.port, timeout=200)
    started = perf_counter()
    if client.get(f"/fill/{count}") != (200, str(count)):
        raise RuntimeError(f"the snapshot could not be filled:\n{server.log()[-2000:]}")
    client.close()
    print(f"made {count:,} sessions in {perf_counter() - started:.1f} s", flush=True)


def has_room(sessions: int) -> bool:
    """Whether shared memory takes so many sessions, and there is memory left then."""
    disk = os.statvfs(inprocess.SHARED_MEMORY)
    lines = Path("/proc/meminfo").read_text()
    available = int(re.findall(r"MemAvailable: +(\d+) kB", lines)[0]) * 1024
    return sessions * BYTES_EACH < min(disk.f_bavail * disk.f_frsize, available) - LEFT_FREE or sessions < 1000


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
                number(ratio(first, middle(none.first))),
                number(opened),
                number(_times(middle(each.touched), 1e3)),
                number(_times(max(each.touched, default=None), 1e3)),
                number(_times(middle(each.pss), 1e-6)),
                number(ratio(middle(each.pss), middle(none.pss))),
                number(_times(middle(each.private), 1e-6)),
            ]
        )
    heads = ["sessions of 2 KB", "first answer, ms", "least", "× none", "opening, ms", "first touch, ms", "most"]
    heads += ["PSS, MB", "× none", "private, MB"]
    targets = []
    for name in ("100,000", "1,000,000"):
        if (many := found.get(name)) is not None:
            first, pss = (ratio(middle(many.first), middle(none.first)), ratio(middle(many.pss), middle(none.pss)))
            targets += [
                Target(
                    f"{name} sessions: first answer after a restart, times that with none", 1.1, first, unit="times"
                ),
                Target(f"{name} sessions: first touch of one", 1, _times(middle(many.touched), 1e3)),
                Target(f"{name} sessions: PSS of the new worker, times that with none", 1.1, pss, unit="times"),
            ]
    return Table(heads, rows), targets


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
        Target(f"{label}: share of the time for writing, about 5 %", 6, found[which], unit="%")
        for label, which in cases.items()
    ]
    return Table(["changed with each part or request", "share of the time for writing"], rows), targets


# doing nothing


def idle(*, quick: bool) -> Result:
    """Processor time under `uvicorn --reload` while nothing happens."""
    without, with_it = "without hotsession", "with HotSessionMiddleware"

    def project(root: Path) -> Project:
        return _written(root, project_snapshot.sources(hotsession=root.name == with_it))

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
