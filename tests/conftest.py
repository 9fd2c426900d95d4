"""What every test starts with: an empty registry."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import hypothesis
import pytest

from hotsession.registry import registry
from tests.effort import times

hypothesis.settings.register_profile("hotsession", max_examples=times(20, 200), deadline=None)
hypothesis.settings.load_profile("hotsession")


def pytest_collection_finish() -> None:
    """Keep thousands of collected tests out of each `gc.collect()`: they live as long as the process anyway."""
    gc.collect()
    gc.freeze()


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
