"""Storages by address, and which one counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from hotsession.errors import ConfigurationError
from hotsession.storages.memory import MemoryStorage
from hotsession.storages.opening import VARIABLE, open_storage
from hotsession.storages.sqlite import SQLiteStorage


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, and nothing said in the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(VARIABLE, raising=False)
    return tmp_path


def path_of(address: str) -> Path:
    """Where the SQLite storage at an address keeps its file."""
    storage = open_storage(address)
    assert isinstance(storage, SQLiteStorage)
    return storage.path


def test_nothing_said_is_memory() -> None:
    """As it is by its address."""
    assert isinstance(open_storage(), MemoryStorage)
    assert open_storage() is open_storage("memory:")


def test_three_slashes_lead_into_the_working_directory_and_four_to_the_root(place: Path) -> None:
    """As in the addresses of SQLAlchemy; blanks may be written as in other addresses."""
    assert path_of("sqlite:///sessions.db") == place / "sessions.db"
    assert path_of(f"sqlite:///{place}/other.db") == place / "other.db"
    assert path_of("sqlite:////nowhere/x.db") == Path("/nowhere/x.db")
    assert path_of("sqlite:///my%20sessions.db") == place / "my sessions.db"


def test_nothing_is_opened_before_it_is_used(place: Path) -> None:
    """An address at the top of a module costs nothing."""
    open_storage("sqlite:///sessions.db")
    assert list(place.iterdir()) == []


def test_an_address_is_one_storage(place: Path) -> None:
    """Also to code that was loaded anew, and written in another way."""
    first = open_storage("sqlite:///sessions.db")
    assert open_storage("sqlite:///sessions.db") is first
    assert open_storage(f"sqlite:///{place}/sessions.db") is first
    assert open_storage("sqlite:///others.db") is not first


def test_files_are_kept_by_the_file_storage(place: Path) -> None:
    """Its module is imported when it is asked for."""
    storage = open_storage("file:///jobs")
    assert type(storage).__name__ == "FileStorage"
    assert open_storage(f"file:///{place}/jobs") is storage


def test_the_environment_says_which_where_the_code_does_not(monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    """An empty variable says nothing."""
    monkeypatch.setenv(VARIABLE, "")
    assert isinstance(open_storage(), MemoryStorage)
    monkeypatch.setenv(VARIABLE, "sqlite:///sessions.db")
    assert open_storage() is open_storage("sqlite:///sessions.db")


def test_code_and_environment_must_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither is passed over in silence."""
    monkeypatch.setenv(VARIABLE, "sqlite:///sessions.db")
    with pytest.raises(ConfigurationError, match=f"asks for the storage 'memory:' and {VARIABLE} says 'sqlite:///sess"):
        open_storage("memory:")


@pytest.mark.parametrize(
    "address", ["", "sessions.db", "redis://host", "sqlite:", "sqlite://", "sqlite:///", "sqlite://x.db", "memory:x"]
)
def test_what_is_no_address_is_told_what_is_one(address: str) -> None:
    """With an example of each."""
    with pytest.raises(ConfigurationError, match=r"give 'sqlite:///sessions\.db' or 'file:///directory'"):
        open_storage(address)


@pytest.mark.parametrize("address", ["sqlite:///x.db?timeout=3", "sqlite:///x.db#1", "sqlite:///x%00.db"])
def test_options_in_an_address_are_refused(address: str) -> None:
    """Rather than to take them for a part of the name."""
    with pytest.raises(ConfigurationError, match="does not say where the storage is"):
        open_storage(address)


def test_a_slash_too_few_is_noticed(place: Path) -> None:
    """The path is there from the root and not from here, so four slashes were meant."""
    with pytest.raises(ConfigurationError, match=f"write four slashes for {place}/x.db"):
        open_storage(f"sqlite://{place}/x.db")


def test_a_path_below_a_directory_that_is_here_is_taken(place: Path) -> None:
    """No guessing where it is plain."""
    (place / "tmp").mkdir()
    assert path_of("sqlite:///tmp/x.db") == place / "tmp" / "x.db"


def test_a_database_in_memory_is_refused_with_what_to_write_instead(place: Path) -> None:
    """As others address one, it would be a file of that name here."""
    with pytest.raises(ConfigurationError, match="write 'memory:' for the memory"):
        open_storage("sqlite:///:memory:")
