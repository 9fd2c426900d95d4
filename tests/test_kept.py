"""What outlives a reload: kept values, storages, session managers, and dropping them on purpose."""

from __future__ import annotations

import contextvars
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hotsession.errors import ConfigurationError
from hotsession.kept import emptier, flush, keep, names_for, reset, sessions, storage
from hotsession.lifecycle.codec import SignedPickleCodec
from hotsession.registry import Transaction, registry
from hotsession.storages.memory import MemoryStorage
from hotsession.storages.sqlite import SQLiteStorage

pytestmark = pytest.mark.anyio


class Scope:
    """A generation, as far as kept state knows it."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.resets: list[str | None] = []
        registry.add_scope(number, self)

    def request_reset(self, name: str | None) -> None:
        """Note what was asked for."""
        self.resets.append(name)


@pytest.fixture
def load() -> Iterator[Transaction]:
    """Run the test as the code of a load."""
    transaction = Transaction()
    with registry.loading(transaction):
        yield transaction


def elsewhere(function: Callable[[], Any]) -> Any:
    """Call the function as other running code, outside of the load."""
    return contextvars.Context().run(function)


# values


def test_a_value_is_kept() -> None:
    """The factory builds it once, and everybody gets the same object."""
    value: list[str] = keep("history", list)
    assert keep("history", list) is value


@pytest.mark.parametrize(
    ("name", "factory", "options", "message"),
    [
        ("a", dict, {"restart": "forget"}, "restart='forget': it is 'carry' or 'rebuild'"),
        ("a", {}, {}, "'a' needs a function that builds it, and got {}"),
        ("storage:a", dict, {}, "'storage:a' is what storages and session managers are kept as"),
        ("sessions:a", dict, {}, "'sessions:a' is what storages and session managers are kept as"),
    ],
)
def test_what_can_not_be_kept_is_an_error(name: str, factory: Any, options: dict[str, Any], message: str) -> None:
    """A name, factory or option of no use is told at once."""
    with pytest.raises(ConfigurationError, match=message):
        keep(name, factory, **options)


def test_a_coroutine_function_is_no_factory() -> None:
    """A kept value must not be a coroutine that can be awaited once."""

    async def connect() -> dict[str, str]:
        return {}

    with pytest.raises(ConfigurationError, match="the factory of 'pool' is a coroutine function"):
        keep("pool", connect)  # type: ignore[unused-coroutine]


def test_a_changed_factory_keeps_the_value_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    """Outside of a load the log says that the old value was kept, and how to build it anew."""
    caplog.set_level("INFO", "hotsession")
    assert keep("limit", lambda: 1) == 1
    assert keep("limit", lambda: 1) == 1
    assert caplog.messages == []
    for _ in range(3):
        assert keep("limit", lambda: 2) == 1
    assert caplog.messages == [
        "limit was kept although the code that builds it changed: hotsession.reset('limit') builds it anew."
    ]


def test_a_changed_factory_builds_anew_on_request(caplog: pytest.LogCaptureFixture) -> None:
    """With `reset_on_change` the new factory's value counts, and the log says so."""
    caplog.set_level("INFO", "hotsession")
    assert keep("limit", lambda: 1, reset_on_change=True) == 1
    assert keep("limit", lambda: 2, reset_on_change=True) == 2
    assert caplog.messages == ["limit was built anew: the code that builds it changed."]


def test_in_a_load_the_report_says_it(load: Transaction, caplog: pytest.LogCaptureFixture) -> None:
    """What a load finds changed is for the report of the swap, not for a line of its own."""
    caplog.set_level("INFO", "hotsession")
    elsewhere(lambda: keep("limit", lambda: 1))
    assert keep("limit", lambda: 2) == 1
    assert caplog.messages == []
    assert registry.commit(load).stale == ("limit",)


def test_draining_code_says_nothing_of_its_older_factory(caplog: pytest.LogCaptureFixture) -> None:
    """An old generation that still runs has the older factory: that is no change."""
    caplog.set_level("INFO", "hotsession")
    registry.serve_scope(2)
    keep("limit", lambda: 2)
    with registry.running(1):
        assert keep("limit", lambda: 1) == 2
    assert caplog.messages == []


# storages


def test_a_storage_is_kept_by_name() -> None:
    """Each name has its one storage; memory is the default."""
    assert isinstance(storage(), MemoryStorage)
    assert storage() is storage("default")
    assert storage("chat") is not storage()


def test_a_storage_may_be_anything() -> None:
    """A factory of one's own makes it, and it is found by its name alone, without any word of a change."""
    chats = storage("chats", dict[str, str])
    found: object = storage("chats")
    assert found is chats
    assert chats == {}


def test_one_name_can_be_a_value_a_storage_and_a_manager() -> None:
    """Kinds do not get in each other's way."""
    value, stored, manager = keep("chat", list[str]), storage("chat"), sessions("chat")
    assert keep("chat", list[str]) is value
    assert storage("chat") is stored
    assert sessions("chat") is manager


# managers


def test_a_manager_is_kept_by_name_over_the_default_storage() -> None:
    """The same manager each time; managers of other names share the storage."""
    assert sessions() is sessions("default")
    assert sessions("chat") is not sessions()
    assert sessions("chat").storage is sessions().storage is storage()


def test_the_newer_limits_count() -> None:
    """What a later call says counts, what it leaves out stays."""
    manager = sessions("chat", idle_timeout=60, max_age=600, reuse=False)
    assert sessions("chat", idle_timeout=30) is manager
    assert (manager.idle_timeout, manager.max_age, manager.reuse) == (30, 600, False)
    sessions("chat", reuse=True, max_age=float("inf"))
    sessions("chat")
    assert (manager.idle_timeout, manager.max_age, manager.reuse) == (30, None, True)


def test_limits_said_in_a_load_count_from_its_commit_on(load: Transaction) -> None:
    """Running code goes by the old limits until the new code is in place, and for ever if it never is."""
    manager = elsewhere(lambda: sessions("chat", idle_timeout=60))
    assert sessions("chat", idle_timeout=30) is manager
    assert manager.idle_timeout == 60
    registry.commit(load)
    assert manager.idle_timeout == 30


def test_a_wrong_limit_is_told_where_it_is_said(load: Transaction) -> None:
    """Also in a load, the call that says it raises."""
    elsewhere(lambda: sessions("chat"))
    with pytest.raises(ConfigurationError, match="idle_timeout=-1"):
        sessions("chat", idle_timeout=-1)
    assert load.on_commit == []


def test_another_storage_is_an_error() -> None:
    """A manager's sessions can't be in two places; the same storage, or none, is fine."""
    mine = storage("mine")
    manager = sessions("chat", storage=mine)
    assert sessions("chat", storage=mine) is manager
    assert sessions("chat") is manager
    with pytest.raises(ConfigurationError, match=r"the sessions 'chat' are in .* another storage"):
        sessions("chat", storage=MemoryStorage())


def test_a_storage_that_reloaded_code_makes_anew_loses_no_session(caplog: pytest.LogCaptureFixture) -> None:
    """`storage=MemoryStorage()` in the code is made anew by a reload: the first goes on, and the log says so."""
    scopes = Scope(1), Scope(2)
    first = MemoryStorage()
    with registry.running(1):
        manager = sessions("chat", storage=first)
        with pytest.raises(ConfigurationError, match="another storage"):
            sessions("chat", storage=MemoryStorage())
    with registry.running(2):
        for _ in range(3):
            assert sessions("chat", storage=MemoryStorage()) is manager
    assert manager.storage is first
    assert len(caplog.messages) == 1
    assert "make it with hotsession.storage('chat')" in caplog.messages[0]
    del scopes


# reset


async def test_reset_drops_everything_and_empties_storages() -> None:
    """Without a host, what is kept is gone at once, and who holds a storage sees it empty."""
    history, manager, held = keep("history", lambda: [1]), sessions("chat"), storage("chats", dict)
    held["a"] = 1
    session = await manager.get_or_create("anna")
    assert set(reset()) == {"history", "storage:default", "sessions:chat", "storage:chats"}
    assert keep("history", lambda: [1]) is not history
    assert held == {}
    assert await manager.storage.get(session.id) is None
    assert sessions("chat") is not manager


async def test_reset_of_a_manager_drops_its_sessions_alone() -> None:
    """Other managers over the same storage keep theirs."""
    chat, jobs = sessions("chat"), sessions("jobs")
    mine, other = await chat.get_or_create("anna"), await jobs.get_or_create("anna")
    assert reset("chat") == ("sessions:chat",)
    assert await storage().get(mine.id) is None
    assert (await jobs.get(other.id)).key == "anna"
    assert (await sessions("chat").get_or_create("anna")).id != mine.id


def test_a_name_stands_for_all_that_is_kept_by_it() -> None:
    """A bare name is the value, the storage and the manager; the full name is one of them."""
    for make in (functools.partial(keep, "chat", dict), functools.partial(storage, "chat"), lambda: sessions("chat")):
        make()
    assert names_for("chat") == ("chat", "storage:chat", "sessions:chat")
    assert names_for("sessions:chat") == ("sessions:chat",)
    assert set(names_for(None)) == {"chat", "storage:chat", "storage:default", "sessions:chat"}


def test_an_unknown_name_is_an_error_that_names_the_known_ones() -> None:
    """A typing error drops nothing and shows what there is."""
    with pytest.raises(ConfigurationError, match="nothing is kept as 'histroy'; kept are: no names yet"):
        reset("histroy")
    keep("history", list)
    storage()
    with pytest.raises(ConfigurationError, match="nothing is kept as 'histroy'; kept are: history, storage:default"):
        reset("histroy")


@pytest.mark.parametrize("name", [None, "history"])
def test_under_a_host_the_generation_is_asked(name: str | None) -> None:
    """Modules hold what they kept, so the host loads them anew; until then everything is there."""
    scope = Scope(1)
    value: list[str] = keep("history", list)
    with registry.running(1):
        assert reset(name) == ("history",)
    assert scope.resets == [name]
    assert keep("history", list) is value


def test_reset_in_a_load_is_an_error(load: Transaction) -> None:
    """A module that resets when it is loaded would do so at every load."""
    with pytest.raises(ConfigurationError, match="would reset at every load"):
        reset()
    assert load.on_commit == []


def test_a_storage_that_fails_to_empty_is_logged_and_the_others_are_emptied(caplog: pytest.LogCaptureFixture) -> None:
    """One broken storage does not keep the reset from the rest."""

    class Broken(dict[str, int]):
        def clear(self) -> None:
            raise OSError("disk full")

    storage("broken", Broken)
    held = storage("chats", dict)
    held["a"] = 1
    emptier(names_for(None))()
    assert held == {}
    assert caplog.messages == ["storage:broken could not be emptied"]
    assert "disk full" in caplog.text


def test_flush_without_a_snapshot_writes_nothing() -> None:
    """There is no snapshot in this process, and flush says so."""
    keep("history", list)
    assert flush() == 0


def test_the_environment_chooses_where_sessions_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """HOTSESSION_STORAGE says it where the code does not; a factory that is given has the say."""
    monkeypatch.setenv("HOTSESSION_STORAGE", f"sqlite:///{tmp_path}/sessions.db")
    assert isinstance(sessions("chats").storage, SQLiteStorage)
    assert isinstance(storage("mine", lambda: MemoryStorage()), MemoryStorage)


def test_a_storage_that_there_is_not_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """An address that names none is an error that says which there are."""
    monkeypatch.setenv("HOTSESSION_STORAGE", "redis://localhost")
    with pytest.raises(ConfigurationError, match="is no address of a storage that there is"):
        sessions("chats")


@dataclass
class Message:
    """What an app puts into its sessions."""

    text: str


async def test_grace_codec_and_types_are_said_as_limits_are(tmp_path: Path) -> None:
    """In the first call or in a later one; what is left out stays as it was."""
    kept = storage("jobs", lambda: SQLiteStorage(tmp_path / "jobs.db"))
    manager = sessions("jobs", storage=kept, grace=60)
    assert manager.grace == 60
    assert sessions("jobs", types=[Message]).grace == 60
    await manager.get_or_create("ada", data={"messages": [Message("hello")]})
    assert (await manager.get_or_create("ada")).data == {"messages": [Message("hello")]}
    sessions("jobs", codec=SignedPickleCodec("secret"))
    assert (await manager.get_or_create("bob", data={"number": 1j})).data == {"number": 1j}
    with pytest.raises(ConfigurationError, match="types= is for a JSONCodec"):
        sessions("jobs", types=[Message])
    with pytest.raises(ConfigurationError, match="grace=-1"):
        sessions("jobs", grace=-1)
    await kept.aclose()
