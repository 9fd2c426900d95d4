"""`SessionData`: a dict that knows whether it was read and written."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from hotsession.lifecycle.current import Visit, current
from hotsession.lifecycle.data import SessionData


class FakeVisit:
    """A visit that holds some data."""

    def __init__(self, data: Any, outer: Visit | None = None) -> None:
        self.data = data
        self.outer = outer
        self.session: Any = None
        self.manager = "default"
        self.held: Any = None
        self.task: Any = None
        self.accessed = self.modified = self.unsaved = self.is_over = False

    def hold_copies(self) -> None:
        """It holds none."""

    def go_on(self) -> None:
        """It is never over."""


def take_item(data: SessionData) -> None:
    del data["a"]


def set_item(data: SessionData) -> None:
    data["b"] = 2


def merge(data: SessionData) -> None:
    data |= {"b": 2}


WRITES: list[Callable[[SessionData], Any]] = [
    set_item,
    take_item,
    merge,
    lambda data: data.clear(),
    lambda data: data.pop("a"),
    lambda data: data.popitem(),
    lambda data: data.setdefault("b", 2),
    lambda data: data.update({"b": 2}),
    lambda data: data.update(b=2),
    lambda data: data.update([("b", 2)]),
]
READS: list[Callable[[SessionData], Any]] = [
    lambda data: data["a"],
    lambda data: data.get("a"),
    SessionData.mark_accessed,
]
NEITHER: list[Callable[[SessionData], Any]] = [
    lambda data: data.pop("missing", None),
    lambda data: data.setdefault("a", 2),
]


@pytest.mark.parametrize("write", WRITES)
def test_every_way_to_write_is_noted(write: Callable[[SessionData], Any]) -> None:
    """Who writes has also accessed, and the dict does what dicts do."""
    data, plain = SessionData(a=1), {"a": 1}
    write(data)
    write(plain)  # type: ignore[arg-type]
    assert (data.accessed, data.modified) == (True, True)
    assert data == plain


@pytest.mark.parametrize("read", READS)
def test_reading_is_no_writing(read: Callable[[SessionData], Any]) -> None:
    """Reading a value notes the access alone."""
    data = SessionData(a=1)
    read(data)
    assert (data.accessed, data.modified) == (True, False)


@pytest.mark.parametrize("call", NEITHER)
def test_a_call_that_changes_nothing_is_no_write(call: Callable[[SessionData], Any]) -> None:
    """Popping what is missing and setting a default for what is there leave the dict unmodified."""
    data = SessionData(a=1)
    call(data)
    assert not data.modified


def test_a_failed_pop_is_no_write() -> None:
    """What raises has written nothing."""
    data = SessionData()
    with pytest.raises(KeyError):
        data.popitem()
    with pytest.raises(KeyError):
        data.pop("a")
    assert not data.modified


def test_marks_belong_to_the_visit() -> None:
    """Two requests share the data; each knows only of what it did itself."""
    data = SessionData(a=1)
    one, other = FakeVisit(data), FakeVisit(data)
    reset = current.set(one)
    data["a"] = 2
    assert data.modified
    current.reset(reset)
    reset = current.set(other)
    assert not data.modified
    data.get("a")
    current.reset(reset)
    assert (one.accessed, one.modified, one.unsaved) == (True, True, True)
    assert (other.accessed, other.modified, other.unsaved) == (True, False, False)
    assert not data.modified


def test_an_inner_visit_does_not_hide_the_outer_one() -> None:
    """With two sessions at once, each data marks its own visit."""
    outer = FakeVisit(SessionData())
    inner = FakeVisit(SessionData(), outer)
    reset = current.set(inner)
    outer.data["a"] = 1
    current.reset(reset)
    assert (outer.modified, inner.modified, inner.accessed) == (True, False, False)


def test_it_is_a_dict_to_everybody() -> None:
    """JSON, copy and pickle treat it as what it is."""
    data = SessionData(a=[1, 2])
    assert json.dumps(data) == '{"a": [1, 2]}'
    loaded = pickle.loads(pickle.dumps(data))  # noqa: S301 - our own
    assert (type(loaded), loaded) == (SessionData, data)
    assert copy.deepcopy(data)["a"] is not data["a"]
    assert dict(data) == {"a": [1, 2]}
