"""What Linux tells about a running process and the processes below it: processor time, wake-ups."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.contenders import tree

TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Usage:
    """What a tree of processes has used since it began.

    Args:
        seconds: Processor time in user and system mode, as `/proc/PID/stat` counts it, in steps of 10 ms.
        running: The same as the scheduler counts it, in nanoseconds, of the threads that still live.
        wakeups: How often a thread gave up the processor of its own accord, and so was woken again.
        processes: How many processes there are.
    """

    seconds: float
    running: float
    wakeups: int
    processes: int

    def __sub__(self, earlier: Usage) -> Usage:
        return Usage(
            self.seconds - earlier.seconds,
            self.running - earlier.running,
            self.wakeups - earlier.wakeups,
            self.processes,
        )


def usage(leader: int) -> Usage:
    """The usage of the processes that the leader of a session started, and its own."""
    seconds, running, wakeups = 0.0, 0.0, 0
    found = tree(leader)
    for process in found:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        seconds += (int(fields[11]) + int(fields[12])) / TICK
        for task in Path(f"/proc/{process}/task").iterdir():
            running += int((task / "schedstat").read_text().split()[0]) / 1e9
            lines = (task / "status").read_text().splitlines()
            wakeups += next(int(line.split()[1]) for line in lines if line.startswith("voluntary"))
    return Usage(seconds, running, wakeups, len(found))
