"""Records and processes for the tests of the store."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hotsession.lifecycle.record import Record

ROOT = Path(__file__).parents[2]
PRELUDE = """
import os, sys, time
from pathlib import Path
from hotsession.snapshot.store import open_store
from tests.snapshot.stores import record
directory = Path(sys.argv[1])
def say(text):
    print(text, flush=True)
"""


def record(id: str = "1", **fields: Any) -> Record:
    """A live record with these fields."""
    plain: dict[str, Any] = {
        "id": id,
        "manager": "sessions",
        "key": None,
        "status": "active",
        "reason": None,
        "version": 1,
        "created_at": 1000.0,
        "updated_at": 1000.0,
        "last_seen_at": 1000.0,
        "expires_at": None,
        "token_hash": None,
        "token_expires_at": None,
        "payload": None,
    }
    return Record(**(plain | fields))


@contextmanager
def process(code: str, directory: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that runs `code` after `PRELUDE`; it is killed at the end."""
    with subprocess.Popen(
        [sys.executable, "-c", PRELUDE + code, str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "HOTSESSION": "off"},
    ) as started:
        try:
            yield started
        finally:
            started.kill()


def line(started: subprocess.Popen[str]) -> str:
    """The next line that the process says; an error if it ends without."""
    assert started.stdout is not None
    text = started.stdout.readline()
    assert text, f"the process ended with status {started.wait()}"
    return text.strip()


@contextmanager
def mounted(where: Path, options: str) -> Iterator[Path]:
    """A tmpfs of its own; skips the test where that can't be."""
    where.mkdir()
    if (
        os.geteuid() != 0
        or subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", where], check=False).returncode
    ):
        pytest.skip("only root can mount a small tmpfs")
    try:
        where.chmod(0o700)
        yield where
    finally:
        subprocess.run(["umount", "-l", where], check=True)
