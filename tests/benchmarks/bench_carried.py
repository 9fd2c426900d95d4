"""What carrying connections over costs: throughput beside plain uvicorn, and 1,000 WebSockets through 50 saves.

    python -m tests.benchmarks.bench_carried [--quick] [--markdown] [--part throughput|crowd]
        [--rounds 30] [--sockets 1000] [--saves 50]

`hotsession run` and uvicorn serve the same app and are asked in turns of half a second, in one run; the ratio is the
median of those of neighbouring turns. "CPU" is the processor time of the server for one answer.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from time import sleep

from tests.benchmarks.client import Client, ask_patiently, wait_for_answer
from tests.benchmarks.contenders import QUIET, Contender, Server, start_all, tree
from tests.benchmarks.figures import Table, Target, middle, number, parser, show
from tests.benchmarks.lockstep import HELLO, Lockstep
from tests.benchmarks.processes import usage
from tests.benchmarks.project_carried import carried

OURS = "hotsession"
OPTIONS = [*QUIET, "--ws-ping-interval", "3600"]  # the clients here answer no pings
HOTSESSION = Contender(
    OURS, "hotsession.cli", lambda target, port: ["-m", "hotsession", "run", target, "--port", str(port), *OPTIONS]
)
PLAIN = Contender(
    "plain uvicorn", "uvicorn", lambda target, port: ["-m", "uvicorn", target, "--port", str(port), *OPTIONS]
)
KINDS = {
    "WebSocket echo, bare app": ("/echo", True),
    "WebSocket echo, Starlette": ("/starlette/echo", True),
    "request, bare app": ("/", False),
    "request, Starlette": ("/starlette", False),
}
CONNECTIONS = 20
SECONDS = 0.5
SETTLED = 5  # saves until memory is what it is
MEGABYTE = 1 << 20


@dataclass
class Rates:
    """What two servers reached in neighbouring turns.

    Args:
        ours: Answers in a second.
        theirs: Answers in a second.
        our_cpu: Processor seconds for an answer.
        their_cpu: Processor seconds for an answer.
    """

    ours: list[float] = field(default_factory=list)
    theirs: list[float] = field(default_factory=list)
    our_cpu: list[float] = field(default_factory=list)
    their_cpu: list[float] = field(default_factory=list)

    def less(self) -> float | None:
        """By how many percent ours is behind, in the median of the turns."""
        return middle([(1 - ours / theirs) * 100 for ours, theirs in zip(self.ours, self.theirs, strict=True)])

    def more_cpu(self) -> float | None:
        """How many percent more processor time ours takes for an answer."""
        return middle([(ours / theirs - 1) * 100 for ours, theirs in zip(self.our_cpu, self.their_cpu, strict=True)])


def throughput(ours: Server, theirs: Server, rounds: int) -> dict[str, Rates]:
    """The rates of both servers for each kind of message."""
    found = {name: Rates() for name in KINDS}
    for name, (path, is_socket) in KINDS.items():
        rates = found[name]
        with (
            Lockstep(ours.port, path, connections=CONNECTIONS, is_socket=is_socket) as first,
            Lockstep(theirs.port, path, connections=CONNECTIONS, is_socket=is_socket) as second,
        ):
            turns = [
                (ours, first, rates.ours, rates.our_cpu),
                (theirs, second, rates.theirs, rates.their_cpu),
            ]
            for _, clients, _, _ in turns:
                clients.rate(SECONDS)
            for place in range(rounds):
                for server, clients, answers, cpu in turns if place % 2 else turns[::-1]:
                    before = usage(server.pid)
                    answers.append(clients.rate(SECONDS))
                    cpu.append((usage(server.pid) - before).running / (answers[-1] * SECONDS))
    return found


@dataclass(frozen=True)
class Move:
    """What one save was to the crowd.

    Args:
        seconds: From the swap until the last connection was on new code.
        memory: The worker's, in bytes, where a page that others have too counts by its share.
    """

    seconds: float
    memory: int


def crowd(server: Server, sockets: int, saves: int) -> list[Move]:
    """Save again and again while so many WebSockets are open; each answers after each save."""
    found = []
    with (
        Lockstep(server.port, "/echo", connections=sockets, is_socket=True) as clients,
        closing(Client(server.port)) as client,
    ):
        clients.turn()
        for turn in range(1, saves + 1):
            server.save(f"m{turn}")
            if wait_for_answer(client, "/marker", f"m{turn}", limit=30, interval=0.05) is None:
                raise RuntimeError(f"save {turn} never showed:\n{server.log()[-2000:]}")
            seconds = all_moved(client, sockets)
            assert {answer[2:] for answer in clients.turn()} == {HELLO}
            sleep(0.2)
            found.append(Move(seconds, memory(server)))
    return found


def all_moved(client: Client, sockets: int) -> float:
    """Wait until the app says that all have moved, and return how long that took."""
    while True:
        told = json.loads(ask_patiently(client, "/moved"))
        if told["moved"] == sockets:
            return float(told["seconds"])
        assert told["moved"] < sockets
        sleep(0.05)


def memory(server: Server) -> int:
    """The memory of the process that serves."""
    lines = "".join(Path(f"/proc/{process}/smaps_rollup").read_text() for process in tree(server.pid)).splitlines()
    return max(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def throughput_table(found: dict[str, Rates]) -> Table:
    """One row for each kind of message."""
    heads = ["answers a second", "plain uvicorn", "hotsession", "less", "CPU, µs", "ours", "more"]
    rows = []
    for name, rates in found.items():
        cpu = [(middle(each) or 0) * 1e6 for each in (rates.their_cpu, rates.our_cpu)]
        rows.append(
            [
                name,
                *[number(round(middle(each) or 0)) for each in (rates.theirs, rates.ours)],
                f"{rates.less() or 0:.1f} %",
                *map(number, cpu),
                f"{rates.more_cpu() or 0:+.1f} %",
            ]
        )
    return Table(heads, rows)


def crowd_table(sockets: int, moves: Sequence[Move]) -> Table:
    """The time and the memory of all the saves."""
    seconds = sorted(move.seconds * 1000 for move in moves)
    early, late = moves[min(SETTLED, len(moves)) - 1].memory, moves[-1].memory
    heads = ["carried over", "saves", "ms, median", "most", f"MB after save {SETTLED}", "at the end", "growth"]
    row = [f"{sockets:,} WebSockets", str(len(moves)), number(middle(seconds)), number(seconds[-1])]
    row += [number(each / MEGABYTE) for each in (early, late)]
    return Table(heads, [[*row, f"{(late / early - 1) * 100:+.1f} %"]])


def crowd_targets(sockets: int, moves: Sequence[Move]) -> list[Target]:
    """Quick, and without anything left behind."""
    early, late = moves[min(SETTLED, len(moves)) - 1].memory, moves[-1].memory
    return [
        Target(f"{sockets:,} WebSockets: carried over, median", 100, middle([move.seconds * 1000 for move in moves])),
        Target(f"{sockets:,} WebSockets: carried over, most", 100, max(move.seconds * 1000 for move in moves)),
        Target(f"memory through {len(moves)} saves: growth", 5, max(0.0, (late / early - 1) * 100), "%"),
    ]


def main() -> None:
    """Measure what the command line asks for and print it."""
    options = parser(__doc__)
    options.add_argument("--part", action="append", choices=["throughput", "crowd"], help="only this")
    options.add_argument("--rounds", type=int, default=30, metavar="N", help="turns of each server (default 30)")
    options.add_argument("--sockets", type=int, default=1000, metavar="N", help="open WebSockets (default 1000)")
    options.add_argument("--saves", type=int, default=50, metavar="N", help="saves (default 50)")
    chosen = options.parse_args()
    parts = chosen.part or ["throughput", "crowd"]
    tables, targets = [], []
    if "throughput" in parts:
        with ExitStack() as stack:
            first, second = start_all(stack, [HOTSESSION, PLAIN], carried)
            rates = throughput(first, second, 4 if chosen.quick else chosen.rounds)
        tables.append(throughput_table(rates))
        targets += [Target(f"{name}: less than plain uvicorn", 5, each.less(), "%") for name, each in rates.items()]
    if "crowd" in parts:
        with ExitStack() as stack:
            (server,) = start_all(stack, [HOTSESSION], carried)
            moves = crowd(server, chosen.sockets, 8 if chosen.quick else chosen.saves)
        tables.append(crowd_table(chosen.sockets, moves))
        targets += crowd_targets(chosen.sockets, moves)
    show(tables, targets, markdown=chosen.markdown)


if __name__ == "__main__":
    main()
