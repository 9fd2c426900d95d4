"""Functions of tasks: which are the same, and which one follows when the module was run again."""

from __future__ import annotations

import asyncio
import sys
import types
from collections.abc import Callable, Coroutine, Generator, Iterator
from functools import partial, wraps
from typing import Any

import pytest

from hotsession.background.functions import (
    has_run_again,
    is_coroutine_function,
    is_same,
    name_of,
    successor,
    whereabouts,
)

pytestmark = pytest.mark.anyio

SOURCE = """
from functools import wraps

async def work(user="ann"): ...

def block(): ...

class Poller:
    async def run(self): ...
    @classmethod
    async def run_all(cls): ...
    async def __call__(self): ...

def marked(function):
    @wraps(function)
    async def inner():
        return await function()
    return inner

@marked
async def decorated(): ...

def begin(user):
    async def inner():
        return user
    return inner

blocking = block
"""


@pytest.fixture
def module() -> Iterator[types.ModuleType]:
    """A module that can be run again."""
    name = "module_of_tasks"
    sys.modules[name] = types.ModuleType(name)
    run(sys.modules[name])
    yield sys.modules[name]
    del sys.modules[name]


def run(module: types.ModuleType, source: str = SOURCE) -> None:
    exec(compile(source, "/app/module_of_tasks.py", "exec"), module.__dict__)  # noqa: S102


async def one(*items: object, **named: object) -> int:
    return 1


async def other() -> int:
    return 1


def made(value: object) -> Callable[[], Coroutine[Any, Any, object]]:
    """A function that is made anew at each call."""

    async def inner(more: object = value) -> object:
        return value, more

    return inner


class Poller:
    async def run(self) -> None: ...

    async def __call__(self) -> None: ...


@pytest.mark.parametrize("function", [one, partial(one), Poller().run, Poller(), made(1), partial(partial(one))])
def test_what_gives_a_coroutine_is_a_coroutine_function(function: object) -> None:
    """Functions, methods, partials and objects that are called."""
    assert is_coroutine_function(function)


@pytest.mark.parametrize("function", [len, partial(len, []), Poller, 1, None, lambda: one()])
def test_what_gives_something_else_is_none(function: object) -> None:
    """It would block the event loop, or do nothing."""
    assert not is_coroutine_function(function)


def test_a_function_that_is_made_anew_is_the_same() -> None:
    """As long as it is made of the same: a request that asks for a task defines its function each time."""
    poller, items = Poller(), [1]
    assert is_same(made("ann"), made("ann"))
    assert is_same(partial(one, "ann", by=1), partial(one, "ann", by=1))
    assert is_same(partial(one, items), partial(one, items))
    assert is_same(poller.run, poller.run)


def test_what_means_other_objects_is_another() -> None:
    """The second request would believe that its own user's task runs."""
    assert not is_same(one, other)
    assert not is_same(made("ann"), made("bob"))
    assert not is_same(made(1), made(True))
    assert not is_same(partial(one, "ann"), partial(one, "bob"))
    assert not is_same(partial(one, by="ann"), partial(one, by="bob"))
    assert not is_same(partial(one, by="ann"), partial(one, to="ann"))
    assert not is_same(partial(one, [1]), partial(one, [1]))
    assert not is_same(Poller().run, Poller().run)


def test_a_function_that_closes_over_itself_can_be_compared() -> None:
    """It begins itself again, for one."""

    def begin() -> Callable[[], Coroutine[Any, Any, object]]:
        async def again() -> object:
            return again

        return again

    assert is_same(begin(), begin())


def test_a_module_that_ran_again_has_other_functions_in_the_same_places(module: types.ModuleType) -> None:
    """That is how newer code is known where no host counts generations."""
    work, method = module.work, module.Poller().run
    run(module)
    assert has_run_again(work, module.work)
    assert has_run_again(partial(work, "ann"), partial(module.work, "ann"))
    assert has_run_again(method, module.Poller().run)
    assert not has_run_again(work, work)
    assert not has_run_again(work, module.decorated)
    assert not has_run_again(made(1), made(2))


def test_the_successor_has_the_same_name_and_arguments(module: types.ModuleType) -> None:
    """Functions, partials, class methods and what a decorator made."""
    old = module.work, partial(module.work, "bob"), module.Poller.run_all, module.decorated
    run(module)
    assert successor(old[0]) is module.work
    found: Any = successor(old[1])
    assert (found.func, found.args) == (module.work, ("bob",))
    assert successor(old[2]) == module.Poller.run_all
    assert successor(old[3]) is module.decorated


def test_a_method_of_an_object_of_an_old_class_has_none(module: types.ModuleType) -> None:
    """It would run the old code; of a class that did not change it is the same method."""
    poller = module.Poller()
    assert successor(poller.run) == poller.run
    run(module)
    assert successor(poller.run) is None


@pytest.mark.parametrize("name", ["gone", "work", "decorated"])
def test_what_is_not_there_any_more_has_none(module: types.ModuleType, name: str) -> None:
    """Its name, its module, or that it is a coroutine function."""
    old = getattr(module, name, None)
    run(module, SOURCE + "del work\ndecorated = block")
    assert successor(old) is None
    assert successor(module.begin("ann")) is None
    assert successor(partial(module.begin("ann"))) is None


def test_it_is_named_by_where_it_is_defined(module: types.ModuleType) -> None:
    """Also inside of a partial or an object."""
    assert name_of(partial(module.work, "ann")) == "module_of_tasks.work"
    assert name_of(module.Poller().run) == "module_of_tasks.Poller.run"
    assert name_of(module.Poller()) == "module_of_tasks.Poller"


def test_the_line_where_a_coroutine_waits_is_found() -> None:
    """The innermost one: that is what does not end."""

    class Wait:
        def __await__(self) -> Generator[None, None, None]:
            yield

    async def inner() -> None:
        await Wait()

    @wraps(inner)
    async def outer() -> None:
        await inner()

    coroutine = outer()
    coroutine.send(None)
    assert whereabouts(coroutine) == f"{__file__}:{Wait.__await__.__code__.co_firstlineno + 1}"
    coroutine.close()


async def test_the_line_is_the_apps_and_not_asyncios() -> None:
    """Where in `asyncio.sleep` it sleeps helps nobody."""

    async def sleeps() -> None:
        await asyncio.sleep(60)

    coroutine = sleeps()
    task = asyncio.create_task(coroutine)
    await asyncio.sleep(0)
    assert whereabouts(coroutine) == f"{__file__}:{sleeps.__code__.co_firstlineno + 1}"
    task.cancel()
