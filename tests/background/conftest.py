"""What tests of named tasks share: a project to serve."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.projects import Project


@pytest.fixture
async def project(tmp_path: Path) -> AsyncIterator[Project]:
    """An empty project, stopped and forgotten after the test."""
    async with Project(tmp_path) as found:
        yield found
