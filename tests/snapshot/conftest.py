"""What tests of the snapshot share: processes that follow each other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.snapshot.carriers import Start, restarts


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts a process with a carrier; the one before is killed by that."""
    with restarts(tmp_path / "snapshot", monkeypatch) as found:
        yield found
