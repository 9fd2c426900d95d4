"""Services from the user's side: what is built, for whom, of what, and what happens when that can't be."""

from __future__ import annotations

import asyncio
import gc
import importlib
import sys
import threading
import types
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest

from hotsession.container import Container, current_container
from hotsession.errors import MissingArgument, ServiceConflict, ServiceError
from hotsession.kept import sessions, storage
from hotsession.lifecycle.manager import SessionManager
from hotsession.registry import Transaction, registry
from hotsession.services import get_service, is_service, service
from hotsession.storages.base import Storage
from hotsession.storages.memory import MemoryStorage
from tests.deadlines import DEADLINE

pytestmark = pytest.mark.anyio


@service
class Tools:
    """What others use."""


@service
class Planner:
    """Uses everything there is."""

    def __init__(
        self,
        tools: Tools,
        plans: Storage,
        default: SessionManager,
        chats: Annotated[SessionManager, "chats"],
        api_key: str = "none",
    ) -> None:
        self.tools = tools
        self.plans = plans
        self.default = default
        self.chats = chats
        self.api_key = api_key


@service
class Chicken:
    """Needs what needs it."""

    def __init__(self, egg: Egg) -> None: ...


@service
class Egg:
    """Needs what needs it."""

    def __init__(self, hen: Chicken) -> None: ...


@service
class Needy:
    """Can't be built without configuration."""

    def __init__(self, words: int) -> None: ...


@service
class Neediest:
    """Can't be built because of what it needs."""

    def __init__(self, needy: Needy) -> None: ...


class Scope:
    """A generation, as far as services know it."""

    def __init__(self, number: int) -> None:
        self.container = Container()
        registry.add_scope(number, self)


async def test_arguments_come_from_storages_managers_and_services() -> None:
    """A service is built of what is known, by name and type."""
    plans = storage("plans")
    planner = await get_service(Planner, api_key="k")
    assert planner.tools is await get_service(Tools)
    assert planner.plans is plans
    assert planner.default is sessions()
    assert planner.chats is sessions("chats")
    assert planner.api_key == "k"


async def test_a_service_is_built_once_per_key() -> None:
    """The same key gives the same instance, over the same sessions as every other."""
    one = await get_service(Planner, "one", api_key="1")
    other = await get_service(Planner, key="two", api_key="2")
    assert await get_service(Planner, key="one", api_key="1") is one
    assert one is not other
    assert one.chats is other.chats
    assert current_container().names() == {"Tools": 1, "Planner": 2}


async def test_other_configuration_for_a_live_key_is_a_conflict() -> None:
    """The error names the service and what differs, and no values: they may be secrets."""
    await get_service(Planner, key="sk-very-secret", api_key="sk-very-secret")
    with pytest.raises(ServiceConflict, match="'api_key'") as error:
        await get_service(Planner, key="sk-very-secret", api_key="sk-other-secret")
    assert "Planner['sk-very…] is live with other configuration" in str(error.value)
    assert "secret" not in str(error.value)
    with pytest.raises(ServiceConflict):
        await get_service(Planner, key="sk-very-secret")


async def test_a_missing_argument_is_an_error_that_names_it() -> None:
    """So is one of a service that the service needs."""
    for cls in (Needy, Neediest):
        with pytest.raises(MissingArgument, match=r"Needy needs the argument 'words' \(int\)"):
            await get_service(cls)
    assert len(current_container()) == 0


async def test_services_that_need_each_other_are_an_error_that_names_the_circle() -> None:
    """From wherever it is entered, and without building any of them."""
    with pytest.raises(ServiceError, match="Chicken needs Egg needs Chicken"):
        await get_service(Chicken)
    with pytest.raises(ServiceError, match="Egg needs Chicken needs Egg"):
        await get_service(Egg)


async def test_what_is_no_service_is_an_error() -> None:
    """The decorator makes services, of classes only, and not of their subclasses."""

    class Plain:
        pass

    class Special(Tools):
        pass

    for cls in (Plain, Special):
        assert not is_service(cls)
        with pytest.raises(ServiceError, match=r"is no service: decorate it with @hotsession.service"):
            await get_service(cls)
    with pytest.raises(TypeError, match="makes a service of a class"):
        service(lambda: None)  # type: ignore[type-var]


async def test_managers_and_storages_can_be_asked_for_by_name() -> None:
    """They outlive services, and take no configuration."""
    assert await get_service(SessionManager) is sessions()
    assert await get_service(SessionManager, "chats") is sessions("chats")
    assert await get_service(Storage, "plans") is storage("plans")  # type: ignore[type-abstract]
    with pytest.raises(ServiceError, match="with its name as key, and no configuration"):
        await get_service(SessionManager, idle_timeout=3)


async def test_a_load_sees_its_own_storages() -> None:
    """A service that is built while new code starts gets what that code registered, and only that load does."""
    scope = Scope(1)
    with registry.loading(Transaction()), registry.running(1):
        plans = storage("plans")
        assert (await get_service(Planner)).plans is plans
    assert scope.container.names() == {"Tools": 1, "Planner": 1}
    assert len(current_container()) == 0


async def test_each_generation_has_its_own_services() -> None:
    """New code gets new services; old code that still runs keeps its own."""
    old, new = Scope(1), Scope(2)
    with registry.running(1):
        first = await get_service(Tools)
    with registry.running(2):
        second = await get_service(Tools)
    with registry.running(1):
        assert await get_service(Tools) is first
    assert first is not second
    assert [len(scope.container) for scope in (old, new)] == [1, 1]


# once, whoever asks


class Turnstile:
    """A service whose constructor waits until the test lets it go on."""

    def __init__(self) -> None:
        type(self).entered.set()
        assert type(self).go.wait(DEADLINE)
        type(self).built += 1
        if type(self).fails:
            raise OSError("no network")

    entered: threading.Event
    go: threading.Event
    built: int
    fails: bool


@pytest.fixture
def turnstile() -> type[Turnstile]:
    """The service, with nobody in it."""
    events = {"entered": threading.Event(), "go": threading.Event(), "built": 0, "fails": False}
    return service(type("Turnstile", (Turnstile,), events))


async def _ask_from_threads(cls: type, count: int) -> list[Any]:
    """What as many threads, each with an event loop of its own, get."""
    found: list[Any] = []

    async def ask() -> None:
        try:
            found.append(await get_service(cls))
        except OSError as error:
            found.append(error)

    async with anyio.create_task_group() as tasks:
        for _ in range(count):
            tasks.start_soon(anyio.to_thread.run_sync, lambda: anyio.run(ask))
        await anyio.to_thread.run_sync(cls.entered.wait)  # type: ignore[attr-defined]
        tasks.start_soon(_ask_into, cls, found)
        cls.go.set()  # type: ignore[attr-defined]
    return found


async def _ask_into(cls: type, found: list[Any]) -> None:
    try:
        found.append(await get_service(cls))
    except OSError as error:
        found.append(error)


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_threads_and_event_loops_share_one_instance(turnstile: type[Turnstile]) -> None:
    """Whoever comes while it is built waits in his own loop, and gets the same."""
    found = await _ask_from_threads(turnstile, 4)
    assert len(found) == 5
    assert len(set(map(id, found))) == 1
    assert turnstile.built == 1


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_a_constructor_that_fails_is_tried_again_by_the_next_call(turnstile: type[Turnstile]) -> None:
    """All who waited get the error; nothing of it stays."""
    turnstile.fails = True
    found = await _ask_from_threads(turnstile, 4)
    assert [str(error) for error in found] == ["no network"] * 5
    turnstile.fails = False
    assert isinstance(await get_service(turnstile), Turnstile)


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_a_caller_that_is_cancelled_cancels_nobody_else(turnstile: type[Turnstile]) -> None:
    """Not even the first one, who began to build it."""

    @service
    class Front:
        def __init__(self, turnstile: Turnstile) -> None:
            self.turnstile = turnstile

    Front.__init__.__annotations__["turnstile"] = turnstile
    found: list[Front] = []

    async def ask() -> None:
        found.append(await get_service(Front))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(anyio.to_thread.run_sync, lambda: anyio.run(get_service, turnstile))
        await anyio.to_thread.run_sync(turnstile.entered.wait)
        with anyio.CancelScope() as first:
            async with anyio.create_task_group() as impatient:
                impatient.start_soon(ask)
                await anyio.wait_all_tasks_blocked()
                first.cancel()
        tasks.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        turnstile.go.set()
    assert [type(front.turnstile) for front in found] == [turnstile]


# other reloaders


@pytest.fixture
def run_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], types.ModuleType]]:
    """Import a module with the given source, then reload it with another one."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def run(source: str) -> types.ModuleType:
        (tmp_path / "served.py").write_text(source)
        importlib.invalidate_caches()
        if "served" in sys.modules:
            return importlib.reload(sys.modules["served"])
        return importlib.import_module("served")

    yield run
    sys.modules.pop("served", None)


SOURCE = """
from hotsession.kept import keep
from hotsession.services import service

closed = keep("closed", list)

@service
class Pool:
    version = VERSION
    async def aclose(self): closed.append(f"Pool {self.version}")

@service
class Repository:
    def __init__(self, pool: Pool): self.pool = pool
    def close(self): closed.append(f"Repository of Pool {self.pool.version}")
"""


async def _until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(DEADLINE):
        while not condition():
            await anyio.lowlevel.checkpoint()


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_a_class_that_is_run_again_drops_what_was_built_of_the_older(
    run_module: Callable[[str], types.ModuleType],
) -> None:
    """After importlib.reload new code answers, and the old instances are closed in reverse order."""
    module = run_module(SOURCE.replace("VERSION", "1"))
    assert (await get_service(module.Repository)).pool.version == 1
    module = run_module(SOURCE.replace("VERSION", "22"))
    assert (await get_service(module.Repository)).pool.version == 22
    await _until(lambda: len(module.closed) == 2)
    assert module.closed == ["Repository of Pool 1", "Pool 1"]
    assert current_container().names() == {"Pool": 1, "Repository": 1}


async def test_what_was_given_an_older_instance_is_dropped_with_it(
    run_module: Callable[[str], types.ModuleType],
) -> None:
    """A service of a module that was not run again does not go on with what is closed."""
    module = run_module(SOURCE.replace("VERSION", "1"))

    @service
    class Elsewhere:
        def __init__(self, pool: object) -> None:
            self.pool = pool

    first = await get_service(Elsewhere, pool=await get_service(module.Pool))
    module = run_module(SOURCE.replace("VERSION", "22"))
    assert await get_service(Elsewhere, pool=await get_service(module.Pool)) is not first
    await _until(lambda: len(module.closed) == 1)


def test_where_the_event_loop_is_over_the_next_one_closes_them(
    run_module: Callable[[str], types.ModuleType],
) -> None:
    """A REPL that runs one loop per call loses no disposal."""
    module = run_module(SOURCE.replace("VERSION", "1"))
    asyncio.run(get_service(module.Repository))
    module = run_module(SOURCE.replace("VERSION", "22"))
    assert module.closed == []

    async def next_loop() -> None:
        await get_service(module.Pool)
        await _until(lambda: len(module.closed) == 2)

    asyncio.run(next_loop())


async def test_no_older_class_is_kept_alive(run_module: Callable[[str], types.ModuleType]) -> None:
    """When its instances are closed, nothing holds the old code of a module that was run again."""
    module = run_module(SOURCE.replace("VERSION", "1"))
    await get_service(module.Repository)
    gone = weakref.ref(module.Pool), weakref.ref(module.Repository), weakref.ref(module.Pool.aclose)
    module = run_module(SOURCE.replace("VERSION", "22"))
    await get_service(module.Repository)
    await _until(lambda: len(module.closed) == 2)
    await anyio.wait_all_tasks_blocked()
    gc.collect()
    assert [reference() for reference in gone] == [None, None, None]


async def test_the_registry_keeps_no_generation_alive() -> None:
    """A generation's services, classes and key functions go with it."""
    scope = Scope(1)
    with registry.running(1):

        @service
        class Old:
            def __init__(self, plans: MemoryStorage) -> None:
                self.plans = plans

        storage("plans")
        await get_service(Old, key=("a", 1))
    gone = weakref.ref(Old), weakref.ref(scope), weakref.ref(scope.container)
    del Old, scope
    gc.collect()
    assert [reference() for reference in gone] == [None, None, None]
