"""What the tests of sessions share: a clock, and storages of both kinds."""

from __future__ import annotations

import pytest

from hotsession.lifecycle.manager import SessionManager
from hotsession.storages.memory import MemoryStorage
from tests.lifecycle.byte_storage import ByteStorage
from tests.lifecycle.clock import Clock


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Both of anyio's backends."""
    return str(request.param)


@pytest.fixture
def clock() -> Clock:
    """A clock that the test moves."""
    return Clock()


@pytest.fixture(params=[MemoryStorage, ByteStorage])
def either(request: pytest.FixtureRequest) -> MemoryStorage:
    """A storage that shares live data, and one that keeps bytes."""
    storage: MemoryStorage = request.param()
    return storage


@pytest.fixture
def jobs(either: MemoryStorage, clock: Clock) -> SessionManager:
    """A manager over either storage whose sessions live 60 seconds idle."""
    return SessionManager("jobs", storage=either, idle_timeout=60, clock=clock)


@pytest.fixture
def others(either: MemoryStorage, clock: Clock) -> SessionManager:
    """The same as another process has it, where the storage is shared."""
    return SessionManager("jobs", storage=either, idle_timeout=60, clock=clock)
