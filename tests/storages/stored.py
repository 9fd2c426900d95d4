"""Records to store, for tests of single storages, and what processes of their own do with them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from hotsession.lifecycle.limits import Limits
from hotsession.lifecycle.record import Key, Record, new_record
from tests.deadlines import DEADLINE

ROOT = Path(__file__).parents[2]
PROLOGUE = """
import os, sys
import anyio
from hotsession.storages.sqlite import SQLiteStorage
from tests.storages.stored import record
storage = SQLiteStorage(sys.argv[1])
"""


def record(id: str = "one", key: Key | None = "key", **fields: Any) -> Record:
    """A record that is ready to be stored, of a manager called ``manager``."""
    made = new_record(id, "manager", key, b"payload", 10, Limits())
    return made._replace(**{"version": 1, **fields})


def start_python(code: str, *arguments: object, **options: Any) -> subprocess.Popen[str]:
    """Start a process that has a `storage` at the path of the first argument, and runs `code`."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", PROLOGUE + code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        **options,
    )


def output(process: subprocess.Popen[str], seconds: float = DEADLINE) -> str:
    """Wait for a process to end well; what it printed."""
    try:
        printed, said = process.communicate(timeout=seconds)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # and whom it forked
        process.communicate()
    assert process.returncode == 0, said
    assert not said
    return printed


def rest(process: subprocess.Popen[str]) -> tuple[str, str]:
    """What a process that was killed had printed, and said, since somebody read single lines of it.

    `communicate` would leave out what was read ahead.
    """
    assert process.stdout is not None
    assert process.stderr is not None
    left = process.stdout.read(), process.stderr.read()
    process.communicate()
    return left


def run_python(code: str, *arguments: object) -> str:
    """What a process with a `storage` prints that runs `code`."""
    return output(start_python(code, *arguments))


def all_outputs(processes: Sequence[subprocess.Popen[str]]) -> list[str]:
    """What they printed, one after the other."""
    return [output(process) for process in processes]
