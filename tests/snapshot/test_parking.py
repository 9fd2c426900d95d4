"""What can't be read now: kept as bytes, and given back when it can."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import pytest

from hotsession.snapshot.notices import Notices
from hotsession.snapshot.parking import Parking
from hotsession.snapshot.store import Store, open_store
from hotsession.snapshot.turn import Turn
from hotsession.snapshot.unpickling import Parked, unpickled
from tests.snapshot.carriers import CountingStore

GONE = pickle.dumps("gone")[:-1]  # no pickle
WHERE = b"parked/here"


class Lot:
    """A place to park in, whose writes are counted."""

    def __init__(self, store: Store) -> None:
        self.store = CountingStore(store)
        self.turn = Turn()
        self.notices = Notices()
        self.parking = Parking(cast("Store", self.store), self.notices, self.turn)
        self.written = 0
        self.writable = True

    def settle(self, value: Any, *new: tuple[bytes | None, Parked]) -> Any:
        """Settle, and return the value."""
        self.parking.settle(WHERE, "it", value, new, self._write)
        return value

    @property
    def keys(self) -> list[Any]:
        """The keys of what is parked."""
        return [unpickled(each.key or b"").value for _, each in self.parking.find(WHERE)]

    def _write(self) -> bool:
        self.written += 1
        return self.writable


@pytest.fixture
def lot(tmp_path: Path) -> Iterator[Lot]:
    """An empty one."""
    directory = tmp_path / "snapshot"
    directory.mkdir(mode=0o700)
    store = open_store(directory)
    yield Lot(store)
    store.close()


def parked(key: str, data: bytes = GONE) -> Parked:
    """An item that can't be read, or can."""
    return Parked(pickle.dumps(key), repr(key), "its class is gone", data)


def test_nothing_is_written_when_nothing_is_parked(lot: Lot) -> None:
    """The ordinary case costs one look."""
    assert lot.settle({"a": 1}) == {"a": 1}
    assert (lot.store.put_keys, lot.written) == ([], 0)


def test_what_can_not_be_read_is_kept_once(lot: Lot, caplog: pytest.LogCaptureFixture) -> None:
    """However often it is read from the same bytes; the log says it once, and it is listed."""
    for _ in range(3):
        lot.settle({}, (None, parked("a")))
    lot.settle({}, (None, parked("b")))
    assert sorted(lot.keys) == ["a", "b"]
    assert lot.store.put_keys == [WHERE, WHERE]
    assert caplog.text.count("it: 'a' can't be read: its class is gone. Its bytes are kept") == 1
    assert lot.notices.waiting["it: 'a'"]


def test_it_is_let_go_only_when_the_value_is_written_with_it(lot: Lot) -> None:
    """A process that is killed in between, or can't write, loses nothing."""
    lot.parking.keep(WHERE, [(None, parked("a", pickle.dumps(1))), (None, parked("b"))])
    lot.writable = False
    assert lot.settle({}) == {"a": 1}
    assert sorted(lot.keys) == ["a", "b"]
    lot.writable = True
    assert lot.settle({}) == {"a": 1}
    assert lot.keys == ["b"]
    assert lot.written == 2


def test_what_is_there_already_needs_no_write(lot: Lot) -> None:
    """The value was read from the bytes that the item was parked from."""
    lot.parking.keep(WHERE, [(None, parked("a", pickle.dumps([2])))])
    assert lot.settle({"a": [2]}) == {"a": [2]}
    assert (lot.written, lot.keys) == (0, [])


@pytest.mark.parametrize("there", [[3], 0, False, "text"])
def test_what_has_taken_the_place_stays_and_the_bytes_too(
    lot: Lot, caplog: pytest.LogCaptureFixture, there: object
) -> None:
    """An app goes on without its items, `setdefault` makes new ones: neither those nor the old ones may be lost."""
    lot.parking.keep(WHERE, [(None, parked("a", pickle.dumps([1, 2])))])
    for _ in range(2):
        assert lot.settle({"a": there}) == {"a": there}
    assert lot.keys == ["a"]
    assert caplog.text.count("it: 'a' can be read again, but the app has something else there by now") == 1
    assert lot.settle({}) == {"a": [1, 2]}
    assert lot.keys == []


@pytest.mark.parametrize("there", [[], {}, None, ""])
def test_what_is_empty_is_in_nobodys_way(lot: Lot, there: object) -> None:
    """A page that polled meanwhile left an empty list: what was there comes back."""
    lot.parking.keep(WHERE, [(None, parked("a", pickle.dumps([1, 2])))])
    assert lot.settle({"a": there}) == {"a": [1, 2]}
    assert (lot.written, lot.keys) == (1, [])


def test_items_of_parts_go_back_into_their_parts(lot: Lot) -> None:
    """If the part is there, and is a dict."""
    outer = [pickle.dumps(each) for each in ("dict", "number", "none")]
    lot.parking.keep(WHERE, [(each, parked("a", pickle.dumps(1))) for each in outer])
    assert lot.settle({"dict": {}, "number": 5}) == {"dict": {"a": 1}, "number": 5}
    assert lot.written == 1


def test_it_writes_nothing_when_it_is_not_its_turn(lot: Lot) -> None:
    """Another process still has the say: what was read is used, and stays parked."""
    lot.parking.keep(WHERE, [(None, parked("a", pickle.dumps(1)))])
    lot.turn.is_paused = True
    assert lot.settle({}, (None, parked("b"))) == {"a": 1}
    assert (lot.written, lot.keys) == (0, ["a"])


def test_a_full_store_is_said_and_no_error(lot: Lot, caplog: pytest.LogCaptureFixture) -> None:
    """The value is used as it could be read."""
    lot.store.is_full = True
    assert lot.settle({"n": 1}, (None, parked("a"))) == {"n": 1}
    assert "there is no room left" in caplog.text


def test_it_returns_in_the_same_process(
    lot: Lot, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A reload in place may bring the class back as well as a restart."""
    caplog.set_level("INFO", "hotsession")
    module = ModuleType("parked_shapes")
    exec("class Circle: pass", module.__dict__)  # noqa: S102
    monkeypatch.setitem(sys.modules, module.__name__, module)
    data = pickle.dumps(module.Circle())
    circle = module.__dict__.pop("Circle")
    lot.settle({}, (None, parked("a", data)))
    assert lot.settle({}) == {}
    module.__dict__["Circle"] = circle
    assert type(lot.settle({})["a"]) is circle
    assert lot.notices.waiting == {}
    assert "it: 'a' can be read again and is back" in caplog.text
