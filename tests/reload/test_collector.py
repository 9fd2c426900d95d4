"""The garbage collector waits while many connections move, and never longer."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from hotsession.reload import collector
from hotsession.reload.collector import MANY, CollectorPause
from tests.projects import until

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def enabled() -> Iterator[None]:
    """The collector is on before and after."""
    gc.enable()
    yield
    gc.enable()


async def test_it_goes_on_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pause is over after its time, however often it was begun anew."""
    monkeypatch.setattr(collector, "SECONDS", 0.01)
    pause = CollectorPause()
    pause.begin(MANY)
    pause.begin(MANY)
    assert not gc.isenabled()
    assert repr(pause) == "<CollectorPause on>"
    await until(gc.isenabled)
    assert repr(pause) == "<CollectorPause off>"


async def test_the_end_of_the_server_ends_it() -> None:
    """Nothing stays paused when the event loop ends."""
    pause = CollectorPause()
    pause.begin(MANY)
    pause.end()
    pause.end()
    assert gc.isenabled()


async def test_few_connections_are_not_worth_it() -> None:
    """The collector goes on."""
    CollectorPause().begin(MANY - 1)
    assert gc.isenabled()


async def test_an_app_that_turned_it_off_finds_it_off() -> None:
    """Who wants no collector gets none back."""
    gc.disable()
    pause = CollectorPause()
    pause.begin(MANY)
    pause.end()
    assert not gc.isenabled()
