"""Module handles: data, hooks and the wish for a restart, with a host and without."""

from __future__ import annotations

import asyncio
import gc
import importlib
import sys
import types
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hotsession.handles import ModuleHandle, module
from hotsession.registry import Transaction, registry

pytestmark = pytest.mark.anyio


class Scope:
    """A generation, as far as handles know it."""

    def __init__(self, number: int) -> None:
        self.handles: dict[str, ModuleHandle] = {}
        self.reasons: list[str] = []
        registry.add_scope(number, self)

    def invalidate(self, why: str) -> None:
        """Note why a restart was asked for."""
        self.reasons.append(why)


async def test_data_is_handed_on_and_read_anew_each_time() -> None:
    """An old handle sees what the new generation committed, and a load that fails leaves no trace."""
    old = ModuleHandle("app")
    old.data["count"] = 1
    with registry.loading(Transaction()):
        new = ModuleHandle("app")
        new.data["count"] = 5
    assert old.data == {"count": 1}
    transaction = Transaction()
    with registry.loading(transaction):
        new.data["count"] += 1
    registry.commit(transaction)
    old.data["left"] = True
    assert new.data == {"count": 2, "left": True}


async def test_dispose_hooks_run_in_reverse_and_reload_hooks_in_order() -> None:
    """Several of each, functions and coroutine functions."""
    seen: list[str] = []
    hot = ModuleHandle("app")

    @hot.on_dispose
    def opened_first() -> None:
        seen.append("opened first")

    @hot.on_dispose
    async def opened_last() -> None:
        seen.append("opened last")

    hot.on_reload(lambda: seen.append("reloaded"))
    hot.on_reload(lambda: seen.append("reloaded too"))
    assert await hot.dispose() == ()
    assert await hot.reloaded() == ()
    assert seen == ["opened last", "opened first", "reloaded", "reloaded too"]


async def test_a_failing_hook_is_named_with_its_module(caplog: pytest.LogCaptureFixture) -> None:
    """The log and the result say which hook of which module failed."""
    hot = ModuleHandle("app.db")

    @hot.on_dispose
    def close_pool() -> None:
        raise OSError("gone")

    [failure] = await hot.dispose()
    assert failure.what.startswith("on_dispose hook ")
    assert failure.what.endswith("close_pool of app.db")
    assert "close_pool of app.db failed: OSError: gone" in caplog.text


def test_a_generation_has_one_handle_per_module() -> None:
    """Asking twice gives one handle; the next generation has its own."""
    first, second = Scope(1), Scope(2)
    with registry.running(1):
        one = module("app")
        assert module("app") is one
    with registry.running(2):
        assert module("app") is not one
    assert first.handles == {"app": one}
    assert list(second.handles) == ["app"]


def test_invalidate_tells_the_host() -> None:
    """The reason is on the handle, and the generation hears of it."""
    scope = Scope(1)
    with registry.running(1):
        hot = module("app")
        hot.invalidate("the C library has global state")
    assert hot.invalidated == "the C library has global state"
    assert scope.reasons == ["the C library has global state"]


def test_invalidate_without_a_host_warns(caplog: pytest.LogCaptureFixture) -> None:
    """Where nothing restarts the process, the log says so; in a load, whoever loads reads the reason."""
    with registry.loading(Transaction()):
        ModuleHandle("app").invalidate("why")
    assert caplog.text == ""
    ModuleHandle("app").invalidate("why")
    assert "app asks for a restart (why), and nothing here restarts the process." in caplog.text


# without a host

Importer = Callable[[str], types.ModuleType]


@pytest.fixture
def run_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Importer]:
    """Import a module with the given source, then reload it with another one."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def run(source: str) -> types.ModuleType:
        (tmp_path / "handled.py").write_text(source)
        importlib.invalidate_caches()
        if "handled" in sys.modules:
            return importlib.reload(sys.modules["handled"])
        return importlib.import_module("handled")

    yield run
    sys.modules.pop("handled", None)


SOURCE = """
import hotsession.handles
hot = hotsession.handles.module(__name__)
hot.data.setdefault("seen", []).append("run")

@hot.on_dispose
def gone(): hot.data["seen"].append("disposed")

@hot.on_reload
async def reloaded(): hot.data["seen"].append(WORD)

def late(): return hotsession.handles.module(__name__)

WORD = "reloaded"
"""


async def test_a_reloaded_module_disposes_of_the_older_and_hears_of_it(run_module: Importer) -> None:
    """After importlib.reload in an event loop the hooks run when the whole module is there."""
    run_module(SOURCE)
    data = run_module(SOURCE).hot.data
    assert data["seen"] == ["run", "run"]
    for _ in range(10):
        await asyncio.sleep(0)
    assert data["seen"] == ["run", "run", "disposed", "reloaded"]


def test_without_an_event_loop_the_older_is_disposed_of_at_once(run_module: Importer) -> None:
    """After importlib.reload elsewhere the older handle's hooks have run."""
    run_module(SOURCE)
    assert run_module(SOURCE).hot.data["seen"] == ["run", "disposed", "run"]


def test_a_function_gets_the_handle_of_its_module(run_module: Importer) -> None:
    """Asking for the handle from running code replaces nothing."""
    loaded = run_module(SOURCE)
    assert loaded.late() is loaded.hot
    assert loaded.hot.data["seen"] == ["run"]


def test_no_older_handle_is_kept_alive(run_module: Importer) -> None:
    """When a module was run again nothing holds its older handle."""
    gone = weakref.ref(run_module(SOURCE).hot)
    run_module(SOURCE)
    gc.collect()
    assert gone() is None
