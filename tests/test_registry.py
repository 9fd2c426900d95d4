"""The registry: what it keeps, for whom, and that nothing of a load shows before its commit."""

from __future__ import annotations

import contextvars
import gc
import importlib
import sys
import threading
import types
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from hotsession import registry as registry_module
from hotsession.registry import Committed, Overtaken, Registry, Transaction, registry
from tests.deadlines import DEADLINE


def in_threads(*functions: Callable[[], object]) -> None:
    """Run the functions in a thread each, and wait for all of them."""
    threads = [threading.Thread(target=function) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
        assert not thread.is_alive()


def in_new_context(function: Callable[[], Any]) -> Any:
    """Call the function where no load and no scope is set: as other running code."""
    return contextvars.Context().run(function)


# kept values


def test_a_value_is_built_once_and_handed_out_ever_after() -> None:
    """The factory of a name runs the first time only, and everybody gets its value."""
    built: list[dict[str, int]] = []

    def factory() -> dict[str, int]:
        built.append({})
        return built[-1]

    first = registry.keep("history", factory)
    assert registry.keep("history", factory) is first
    assert len(built) == 1


def test_a_kept_none_is_a_value() -> None:
    """None can be kept like any other value."""
    calls: list[int] = []
    for _ in range(2):
        assert registry.keep("nothing", lambda: calls.append(1)) is None
    assert calls == [1]


def test_a_factory_that_fails_keeps_nothing() -> None:
    """An error of the factory reaches the caller, and the next call tries again."""
    with pytest.raises(ZeroDivisionError):
        registry.keep("ratio", lambda: 1 / 0)
    assert registry.entries() == {}
    assert registry.keep("ratio", lambda: 0.5) == 0.5


def test_threads_that_ask_at_once_share_one_value() -> None:
    """However many threads ask for a new name at once, it is built once."""
    started, go, built = threading.Semaphore(0), threading.Event(), list[object]()
    results: list[object] = []

    def factory() -> object:
        go.wait(DEADLINE)
        built.append(object())
        return built[-1]

    def ask() -> None:
        started.release()
        results.append(registry.keep("model", factory))

    def release() -> None:
        for _ in range(8):
            started.acquire(timeout=DEADLINE)
        go.set()

    in_threads(*[ask] * 8, release)
    assert len(built) == 1
    assert results == built * 8


def test_a_slow_factory_holds_up_no_other_name() -> None:
    """While one name is being built, others are built and found."""
    building, go = threading.Event(), threading.Event()

    def slow() -> str:
        building.set()
        go.wait(DEADLINE)
        return "slow"

    def other() -> None:
        building.wait(DEADLINE)
        assert registry.keep("fast", lambda: "fast") == "fast"
        go.set()

    in_threads(lambda: registry.keep("slow", slow), other)
    assert registry.keep("slow", str) == "slow"


def test_a_factory_may_ask_for_another_name() -> None:
    """A kept value can be made of another one."""
    assert registry.keep("outer", lambda: [registry.keep("inner", lambda: 1)]) == [1]
    assert list(registry.entries()) == ["inner", "outer"]


def test_a_factory_that_asks_for_its_own_name_is_an_error() -> None:
    """A factory that needs what it builds is told so instead of waiting for ever."""
    with pytest.raises(RuntimeError, match="the factory of 'a' asks for 'a'"):
        registry.keep("a", lambda: registry.keep("a", dict))
    assert registry.keep("a", dict) == {}


def test_factories_that_ask_for_each_other_are_an_error_also_in_two_threads() -> None:
    """Two threads that each build what the other one needs do not wait for ever: one is told."""
    both = threading.Barrier(2)
    errors: list[str] = []

    def build(name: str, other: str) -> Callable[[], None]:
        def factory() -> object:
            if name not in met:
                met.add(name)
                both.wait(DEADLINE)
            return registry.keep(other, factories[other])

        factories[name] = factory

        def run() -> None:
            try:
                registry.keep(name, factory)
            except RuntimeError as error:
                errors.append(str(error))

        return run

    met: set[str] = set()
    factories: dict[str, Callable[[], object]] = {}
    in_threads(build("a", "b"), build("b", "a"))
    assert len(errors) == 2
    assert all("build one without the other" in error for error in errors)


def test_a_name_has_one_kind() -> None:
    """Asking for a name as something else than it is kept as is an error that says how to go on."""
    registry.keep("chat", dict, kind="storage")
    with pytest.raises(TypeError, match=r"already kept as a storage.*hotsession reset chat"):
        registry.keep("chat", dict)
    with pytest.raises(TypeError, match="already kept as a storage"):
        registry.keep("chat", dict, fingerprint="new", reset_on_change=True)


def test_dropped_names_are_built_anew() -> None:
    """`drop` forgets one name or all, and says which."""
    for name in ("a", "b"):
        registry.keep(name, dict)
    assert registry.drop("a") == ("a",)
    assert registry.drop("unknown") == ()
    assert list(registry.entries()) == ["b"]
    assert registry.drop() == ("b",)


def test_a_changed_factory_resets_only_on_request() -> None:
    """A name whose factory changed keeps its value, unless `reset_on_change` asks for a new one."""
    registry.keep("limit", lambda: 1, fingerprint="old")
    assert registry.keep("limit", lambda: 2, fingerprint="new") == 1
    assert registry.keep("limit", lambda: 2, reset_on_change=True) == 1
    assert registry.keep("limit", lambda: 2, fingerprint="new", reset_on_change=True) == 2
    assert registry.keep("limit", lambda: 3, fingerprint="new", reset_on_change=True) == 2


def test_draining_code_does_not_reset_what_newer_code_built() -> None:
    """An old generation that still runs has the older factory, and gets the newer value all the same."""
    registry.serve_scope(2)
    registry.keep("limit", lambda: 2, fingerprint="new")
    with registry.running(1):
        assert registry.keep("limit", lambda: 1, fingerprint="old", reset_on_change=True) == 2
    with registry.running(2):
        assert registry.keep("limit", lambda: 3, fingerprint="newest", reset_on_change=True) == 3


# loads


@pytest.fixture
def load() -> Iterator[Transaction]:
    """Run the test as the code of a load."""
    transaction = Transaction()
    with registry.loading(transaction):
        yield transaction


def test_what_a_load_registers_shows_to_nobody_before_its_commit(load: Transaction) -> None:
    """Staged names are found by the load only, then by everybody."""
    value = registry.keep("new", dict)
    assert registry.keep("new", dict) is value
    assert in_new_context(lambda: list(registry.visible())) == []
    assert list(registry.visible()) == ["new"]
    assert registry.commit(load) == Committed(kept=(), created=("new",), replaced=(), stale=())
    assert in_new_context(lambda: registry.keep("new", list)) is value


def test_a_load_that_is_dropped_leaves_nothing() -> None:
    """Without a commit, names, values and module data are as they were."""
    registry.module_data("app")["count"] = 1
    with registry.loading(Transaction()):
        registry.keep("new", dict)
        registry.module_data("app")["count"] = 2
        registry.module_data("app")["more"] = 3
    assert registry.entries() == {}
    assert registry.module_data("app") == {"count": 1}


def test_a_load_finds_what_is_kept(load: Transaction) -> None:
    """A load gets the committed values, and the commit names them as kept."""
    value = in_new_context(lambda: registry.keep("history", list))
    assert registry.keep("history", list) is value
    assert registry.commit(load).kept == ("history",)


def test_what_runs_on_after_the_commit_registers_directly(load: Transaction) -> None:
    """A task born in a load, a lifespan for one, is ordinary code once the load is committed."""
    late = contextvars.copy_context()
    registry.commit(load)
    value = late.run(lambda: registry.keep("late", dict))
    late.run(lambda: registry.module_data("app").update(late=True))
    load.close()
    assert in_new_context(lambda: registry.keep("late", dict)) is value
    assert in_new_context(lambda: registry.module_data("app")) == {"late": True}


def test_a_closed_load_holds_nothing_it_staged(load: Transaction) -> None:
    """Tasks that were born in a load keep none of its values alive once it is over."""

    class Value:
        pass

    value = weakref.ref(registry.keep("value", Value))
    late = contextvars.copy_context()
    load.close()
    gc.collect()
    assert value() is None
    assert late.run(lambda: registry.transaction) is None


def test_a_stale_name_keeps_its_value_and_is_reported() -> None:
    """A factory that changed in the code is reported by the commit, and the old value stays."""
    registry.keep("limit", lambda: 1, fingerprint="old")
    transaction = Transaction()
    with registry.loading(transaction):
        assert registry.keep("limit", lambda: 2, fingerprint="new") == 1
    committed = registry.commit(transaction)
    assert committed == Committed(kept=("limit",), created=(), replaced=(), stale=("limit",))


def test_a_name_that_resets_on_change_is_replaced_by_the_commit() -> None:
    """The value built anew by the load shows to others from the commit on."""
    registry.keep("limit", lambda: 1, fingerprint="old")
    transaction = Transaction()
    with registry.loading(transaction):
        assert registry.keep("limit", lambda: 2, fingerprint="new", reset_on_change=True) == 2
    assert registry.keep("limit", dict) == 1
    committed = registry.commit(transaction)
    assert committed == Committed(kept=(), created=(), replaced=("limit",), stale=())
    assert registry.keep("limit", dict) == 2


def test_a_forgotten_name_is_replaced_by_the_commit() -> None:
    """A reset builds anew what the load asks for, and forgets the rest; a failed one forgets nothing."""
    registry.keep("asked", lambda: 1)
    registry.keep("unasked", lambda: 1)
    registry.keep("other", lambda: 1)
    transaction = Transaction(forget=frozenset({"asked", "unasked"}))
    with registry.loading(transaction):
        assert registry.keep("asked", lambda: 2) == 2
        assert sorted(registry.visible()) == ["asked", "other"]
    assert registry.keep("asked", dict) == 1
    committed = registry.commit(transaction)
    assert committed == Committed(kept=("other",), created=(), replaced=("asked", "unasked"), stale=())
    assert {name: entry.value for name, entry in registry.entries().items()} == {"asked": 2, "other": 1}


def test_a_load_is_overtaken_when_running_code_made_the_same_name(load: Transaction) -> None:
    """Two values by one name never come to be: the load is told to begin again, and then finds the other's value."""
    registry.keep("history", list)
    other = in_new_context(lambda: registry.keep("history", list))
    with pytest.raises(Overtaken):
        registry.commit(load)
    assert in_new_context(lambda: registry.keep("history", list)) is other
    assert not load.committed
    again = Transaction()
    with registry.loading(again):
        assert registry.keep("history", list) is other
    assert registry.commit(again).kept == ("history",)


def test_the_commit_runs_what_waited_for_it(load: Transaction) -> None:
    """Callbacks of `on_commit` run with the commit, after the values are in place."""
    seen: list[list[str]] = []
    load.on_commit.append(lambda: seen.append(list(registry.entries())))
    registry.keep("new", dict)
    assert seen == []
    registry.commit(load)
    assert seen == [["new"]]


# module data


def test_module_data_is_handed_from_generation_to_generation(load: Transaction) -> None:
    """The new generation gets what the old one left, and its own writes show from the commit on."""
    old = in_new_context(lambda: registry.module_data("app"))
    old["port"] = 1
    new = registry.module_data("app")
    assert new == {"port": 1}
    new["port"] = 2
    assert old == {"port": 1}
    registry.commit(load)
    assert in_new_context(lambda: registry.module_data("app")) is new


@pytest.mark.parametrize(
    ("base", "old", "new", "merged"),
    [
        ({}, {"a": 1}, {}, {"a": 1}),
        ({"a": 1}, {}, {"a": 1}, {}),
        ({"a": 1}, {"a": 2}, {"a": 1}, {"a": 2}),
        ({"a": 1}, {"a": 2}, {"a": 3}, {"a": 3}),
        ({"a": 1}, {"a": 2}, {}, {}),
        ({"a": 1}, {"a": 1}, {"a": 2}, {"a": 2}),
        ({}, {"a": None}, {}, {"a": None}),
        ({}, {"a": 1}, {"a": 2, "b": 3}, {"a": 2, "b": 3}),
    ],
    ids=["added", "removed", "changed", "changed by both", "removed by new", "changed by new", "None", "added by both"],
)
def test_module_data_of_both_generations_is_merged(
    base: dict[str, Any], old: dict[str, Any], new: dict[str, Any], merged: dict[str, Any]
) -> None:
    """What the old generation wrote during the load reaches the new one, where that has not written itself."""
    committed = registry.module_data("app")
    committed.update(base)
    transaction = Transaction()
    with registry.loading(transaction):
        staged = registry.module_data("app")
    for written, wanted in ((committed, old), (staged, new)):
        written.clear()
        written.update(wanted)
    registry.commit(transaction)
    assert registry.module_data("app") == merged


def test_what_the_old_generation_leaves_after_the_commit_reaches_the_new_one(load: Transaction) -> None:
    """Dispose hooks that hold the old dict still hand something over, once, until the load is closed."""
    old = in_new_context(lambda: registry.module_data("app"))
    new = registry.module_data("app")
    registry.commit(load)
    old["left"] = 1
    registry.merge_data(load)
    assert new == {"left": 1}
    new["left"] = 2
    registry.merge_data(load)
    assert new == {"left": 2}


# scopes


class Scope:
    """Something that code runs under."""


def test_code_belongs_to_the_scope_it_runs_under_else_to_the_one_that_serves() -> None:
    """Requests and tasks see their own generation, everything else the serving one."""
    assert registry.scope is None
    old, new = Scope(), Scope()
    registry.add_scope(1, old)
    registry.add_scope(2, new)
    registry.serve_scope(2)
    assert registry.scope is new
    assert registry.running_scope is None
    with registry.running(1):
        assert registry.scope is old
        assert registry.running_scope is old
        assert in_new_context(lambda: registry.scope) is new


def test_the_registry_keeps_no_scope_alive() -> None:
    """A generation that nothing else holds is gone, and code that ran under it belongs to the serving one."""
    old, new = Scope(), Scope()
    registry.add_scope(1, old)
    registry.add_scope(2, new)
    registry.serve_scope(2)
    gone = weakref.ref(old)
    with registry.running(1):
        del old
        gc.collect()
        assert gone() is None
        assert registry.scope is new
        assert registry.running_scope is None


def test_the_registry_keeps_no_factory_alive() -> None:
    """Neither a kept value nor a load that is over holds the code that built it."""

    class Factory:
        def __call__(self) -> dict[str, int]:
            return {}

    factory = Factory()
    gone = weakref.ref(factory)
    transaction = Transaction()
    with registry.loading(transaction):
        registry.keep("value", factory)
    registry.commit(transaction)
    del factory
    gc.collect()
    assert gone() is None


# survival


@pytest.fixture
def old_code() -> Iterator[None]:
    """Put the modules of hotsession back as they were, with the names they had."""
    ours = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "hotsession"}
    names = dict(vars(registry_module))
    yield
    throw_out()
    sys.modules.update(ours)
    vars(registry_module).update(names)


def throw_out() -> None:
    """Drop all modules of hotsession, as some reloaders do."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "hotsession"]:
        del sys.modules[name]


@pytest.mark.usefixtures("old_code")
def test_kept_state_survives_a_reload_of_the_registry() -> None:
    """`importlib.reload` makes new code, and it finds everything where it was."""
    value = registry.keep("history", list)
    data = registry.module_data("app")
    own = registry.object("container", dict)
    anew = importlib.reload(registry_module).registry
    assert anew is not registry
    assert anew.keep("history", list) is value
    assert anew.module_data("app") is data
    assert anew.object("container", dict) is own
    assert repr(anew) == "<Registry kept=['history'] current=0>"


@pytest.mark.usefixtures("old_code")
def test_kept_state_survives_when_hotsession_is_thrown_out_and_imported_anew() -> None:
    """A reloader that drops all of hotsession loses nothing: values, scope and load go on in the new code."""
    value = registry.keep("history", list)
    scope = Scope()
    registry.add_scope(3, scope)
    transaction = Transaction()
    with registry.running(3), registry.loading(transaction):
        throw_out()
        anew = importlib.import_module("hotsession.registry").registry
        assert type(anew) is not Registry
        assert anew.scope is scope
        assert anew.keep("history", list) is value
        anew.keep("staged", list)
    assert list(registry.entries()) == ["history"]
    anew.commit(transaction)
    assert list(registry.entries()) == ["history", "staged"]


def test_an_anchor_made_by_an_older_hotsession_is_completed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Newer code goes on with an older anchor, and adds the containers that it lacks."""
    anchor = types.ModuleType(registry_module.ANCHOR)
    kept: dict[str, Any] = {"history": types.SimpleNamespace(value=[1], kind="value", fingerprint=None)}
    anchor.state = {"kept": kept}  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, registry_module.ANCHOR, anchor)
    state = registry_module._anchored_state()
    assert state["kept"] is kept
    assert Registry(state).keep("history", list) == [1]
    assert Registry(state).keep("new", list) == []


def test_clear_forgets_everything() -> None:
    """A cleared registry is as a new one."""
    scope = Scope()
    registry.keep("history", list)
    registry.module_data("app")["count"] = 1
    registry.object("container", dict)["a"] = 1
    registry.add_scope(1, scope)
    registry.serve_scope(1)
    registry.clear()
    assert registry.entries() == {}
    assert registry.module_data("app") == {}
    assert registry.object("container", dict) == {}
    assert registry.scope is None


def test_a_stale_name_is_reported_once_per_change() -> None:
    """A factory that changed is spoken of at the reload that changed it, not at each one after."""
    registry.keep("limit", lambda: 1, fingerprint="old")

    def stale_after(fingerprint: str) -> tuple[str, ...]:
        load = Transaction()
        with registry.loading(load):
            registry.keep("limit", lambda: 2, fingerprint=fingerprint)
        return registry.commit(load).stale

    assert [stale_after(code) for code in ("new", "new", "newer", "old", "new")] == [("limit",), (), ("limit",), (), ()]
