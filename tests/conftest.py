"""What every test starts with: an empty registry."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hotsession.registry import registry


@pytest.fixture(autouse=True)
def clean_registry() -> Iterator[None]:
    """Start every test with an empty registry, and leave none behind."""
    registry.clear()
    yield
    registry.clear()


@pytest.fixture
def anyio_backend() -> str:
    """Run asynchronous tests on asyncio unless a test asks for more."""
    return "asyncio"
