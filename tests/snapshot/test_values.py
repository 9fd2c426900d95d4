"""Kept values over a restart: as a whole, part by part, and when there is trouble."""

from __future__ import annotations

import logging
import sys
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from hotsession.registry import registry
from hotsession.snapshot import written
from hotsession.snapshot.pickling import Pickled, TooSlow, pickled
from tests.snapshot.carriers import Process, Start
from tests.snapshot.stores import line, process

KINDS = [b"value/", b"whole/", b"part/", b"waiting/", b"lost/"]


@pytest.fixture(autouse=True)
def everything_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Catch what is only for information, too."""
    caplog.set_level(logging.INFO, "hotsession")


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take everything for too slow that holds `Heavy`, or more than 100 parts."""

    def limited(value: Any, *, time_limit: float | None = None, **options: Any) -> Pickled:
        size = len(value) if isinstance(value, dict | list | deque | set) else 0
        if time_limit is not None and (size > 100 or isinstance(value, Heavy)):
            raise TooSlow
        return pickled(value, **options)

    monkeypatch.setattr(written, "pickled", limited)


class Heavy:
    """A part that takes long."""

    def __init__(self) -> None:
        self.number = 0


def stored(of: Process) -> dict[str, int]:
    """How many entries of which kind are in the store."""
    counts = {kind.decode().strip("/"): len(of.store.items(kind)) for kind in KINDS}
    return {kind: count for kind, count in counts.items() if count}


def write(of: Process, value: Any) -> int:
    """Write all parts of a value, in as many slices as that takes; return how many changed."""
    written = of.write("value", value)
    while of.values.is_going("value"):
        written += of.write("value", value)
    return written


# as a whole


def test_a_value_comes_back_as_it_was_written(start: Start) -> None:
    """With the fingerprint of the factory that built it and the time when it was built, however often."""
    first = start()
    history = first.keep("history", lambda: ["a"])
    history.append("b")
    entry = registry.find("history")
    assert first.carrier.flush() == 1
    for _ in range(2):
        again = start()
        assert again.keep("history", list) == ["a", "b"]
        assert registry.find("history").created_at == entry.created_at
        assert again.values.names() == ("history",)
        assert stored(again) == {"value": 1, "whole": 1}


def test_what_was_never_written_is_not_there(start: Start) -> None:
    """Then the factory builds it."""
    assert start().values.restore("history") is None


def test_only_what_changed_is_written(start: Start) -> None:
    """Nested changes are found, and an unchanged value costs no write, also after a restart."""
    first = start()
    value: dict[str, Any] = {"nested": {"list": [1]}, "set": {1, 2}}
    assert first.write("value", value) == 1
    assert first.write("value", value) == 0
    value["nested"]["list"].append(2)
    assert first.write("value", value) == 1
    second = start()
    found = second.values.restore("value")
    assert found is not None
    second.store.put_keys.clear()
    assert second.write("value", found.value) == 0
    assert second.write("value", found.value, everything=True) == 0
    assert second.store.put_keys == []


def test_another_value_takes_the_place_of_one(start: Start) -> None:
    """A value that was built anew is written though it looks like the one before, and leaves nothing of that."""
    first = start()
    first.write("value", {str(number): number for number in range(200)}, everything=True)
    assert first.write("value", ["new"], created_at=2.0) == 1
    found = start().values.restore("value")
    assert found == (["new"], None, 2.0)


def test_a_value_that_is_reset_is_gone(start: Start) -> None:
    """After forget() the next process builds it anew."""
    first = start()
    first.keep("value", lambda: [1])
    first.carrier.flush()
    first.carrier.forget("value")
    assert stored(first) == {}
    assert start().keep("value", lambda: [2]) == [2]


def test_what_can_not_go_is_left_out_alone(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    """The log says it once, with the path in the value."""
    first = start()
    value = {"lock": threading.Lock(), "n": 1}
    first.write("value", value)
    value["n"] = 2
    first.write("value", value)
    found = start().values.restore("value")
    assert found is not None
    assert found.value == {"n": 2}
    assert caplog.text.count('value["lock"] is a _thread.lock') == 1


def test_one_value_that_fails_stops_no_other(
    start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The others are written, the log names the one, and it is tried again."""
    first = start()
    for name in "abc":
        first.keep(name, list).append(name)

    def fails(value: Any, **options: Any) -> Pickled:
        if value == ["b"]:
            raise MemoryError("there is none left")
        return pickled(value, careful=options.get("careful", False))

    with monkeypatch.context() as patched:
        patched.setattr(written, "pickled", fails)
        assert first.carrier.flush() == 2
    assert "what is kept as 'b' can't be written to the snapshot now: MemoryError" in caplog.text
    assert first.carrier.flush() == 1


def test_a_value_whose_write_failed_is_written_later(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    """When there is room again; the log says both."""
    first = start()
    first.store.is_full = True
    assert [first.write("value", [1]), first.write("value", [1])] == [0, 0]
    assert caplog.text.count("not carried over a restart from now on: there is no room left") == 1
    first.store.is_full = False
    assert first.write("value", [1]) == 1
    assert "carried over a restart again" in caplog.text
    assert start().values.restore("value") == ([1], None, 1.0)


# part by part


def test_a_large_dict_goes_part_by_part(start: Start, slow: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slice at a time, in which only what changed is written; parts that are gone go from the snapshot."""
    first = start()
    value: dict[Any, list[Any]] = {number: [number] for number in range(300)}
    assert write(first, value) == 300
    assert stored(first) == {"value": 1, "part": 300}
    assert write(first, value) == 0
    value[7].append("new")
    value["more"] = []
    del value[8], value[299]
    assert write(first, value) == 4
    second = start()
    found = second.values.restore("value")
    assert found is not None
    assert found.value == value
    assert list(found.value) == list(value)
    second.store.put_keys.clear()
    assert write(second, found.value) == 0
    assert second.store.put_keys == []


def test_a_large_list_goes_part_by_part(start: Start, slow: None) -> None:
    """It comes back in its order, longer, shorter and changed in the middle."""
    first = start()
    value: list[list[Any]] = [[number] for number in range(300)]
    write(first, value)
    value.insert(100, ["here"])
    value.append(["end"])
    write(first, value)
    second = start()
    found = second.values.restore("value")
    assert found is not None
    assert found.value == value
    del found.value[150:]
    assert write(second, found.value) == 152
    third = start().values.restore("value")
    assert third is not None
    assert third.value == value[:150]


def test_a_pass_makes_pauses(start: Start, slow: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call writes a slice, and what changes meanwhile is in the next pass at the latest."""
    monkeypatch.setattr(written, "SLICE", 0.0)
    first = start()
    value = {number: [number] for number in range(150)}
    calls = 0
    while first.write("value", value) or first.values.is_going("value"):
        calls += 1
        value[0] = [-1]
        value.pop(149, None)
    assert calls > 100
    assert write(first, value) == 1
    found = start().values.restore("value")
    assert found is not None
    assert found.value == value


def test_a_kill_in_the_first_pass_loses_nothing(start: Start, slow: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole stays until all parts are there, and parts that were left behind never get into another value."""
    first = start()
    first.write("value", [0])
    with monkeypatch.context() as patched:
        patched.setattr(written, "SLICE", 0.0)
        value = [[number] for number in range(200)]
        for _ in range(150):
            first.write("value", value)
    assert stored(first)["part"] == 150
    second = start()
    found = second.values.restore("value")
    assert found is not None
    assert found.value == [0]
    found.value[:] = range(101, 110)
    write(second, found.value)
    found.value[:] = [str(number) for number in range(120)]
    write(second, found.value)
    third = start().values.restore("value")
    assert third == (found.value, None, 1.0)


def test_a_kill_in_the_first_pass_of_a_new_value_leaves_nothing_to_read(
    start: Start, slow: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next process builds it anew, and what it has then is what comes back."""
    first = start()
    with monkeypatch.context() as patched:
        patched.setattr(written, "SLICE", 0.0)
        for _ in range(120):
            first.write("value", [[number] for number in range(200)])
    second = start()
    assert second.values.restore("value") is None
    value = [str(number) for number in range(101)]
    write(second, value)
    third = start().values.restore("value")
    assert third == (value, None, 1.0)


def test_a_failed_write_of_a_slice_is_made_up_for(start: Start, slow: None) -> None:
    """A pass whose write failed begins again."""
    first = start()
    first.store.is_full = True
    value = {number: [number] for number in range(150)}
    assert write(first, value) == 0
    first.store.is_full = False
    assert write(first, value) == 150
    found = start().values.restore("value")
    assert found is not None
    assert found.value == value


def test_a_part_that_can_not_go_any_more_is_gone(start: Start, slow: None) -> None:
    """What it was before does not come back either."""
    first = start()
    value: dict[int, Any] = {number: [number] for number in range(150)}
    write(first, value)
    value[3] = threading.Lock()
    write(first, value)
    found = start().values.restore("value")
    assert found is not None
    assert 3 not in found.value
    assert len(found.value) == 149


def test_what_is_heavy_is_written_with_everything(start: Start, slow: None, caplog: pytest.LogCaptureFixture) -> None:
    """The log says so once; flush() and the end of the process write it."""
    first = start()
    heavy = first.keep("heavy", Heavy)
    parts = first.keep("parts", lambda: {number: number for number in range(150)} | {"heavy": Heavy()})
    for _ in range(3):
        first.carrier._value_pace.__init__()  # type: ignore[misc]
        first.carrier.look()
    assert caplog.text.count("'heavy' takes more than 20 ms") == 1
    assert caplog.text.count("\"parts['heavy']\" takes more than 20 ms") == 1
    assert first.carrier.flush() == 2
    heavy.number = parts["heavy"].number = 5
    first.carrier.look()
    second = start()
    assert second.keep("heavy", Heavy).number == 0
    second.keep("heavy", Heavy).number = second.keep("parts", dict)["heavy"].number = 7
    second.end()
    third = start()
    assert third.keep("heavy", Heavy).number == third.keep("parts", dict)["heavy"].number == 7


# classes that come and go


@pytest.fixture
def shapes(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Puts a module of the user's in place, with these classes."""

    def put(names: str) -> ModuleType:
        module = ModuleType("shapes_of_the_user")
        for name in names.split():
            exec(f"class {name}(dict): pass", module.__dict__)  # noqa: S102
        monkeypatch.setitem(sys.modules, module.__name__, module)
        return module

    return put


def test_an_item_whose_class_is_gone_returns_with_it(
    start: Start, shapes: Callable[[str], ModuleType], caplog: pytest.LogCaptureFixture
) -> None:
    """The rest is there meanwhile, also when it is written without the item, which comes back for good."""
    first = start()
    first.write("value", {"circle": shapes("Circle").Circle(r=1), "n": 1})
    shapes("")
    second = start()
    found = second.values.restore("value")
    assert found is not None
    assert found.value == {"n": 1}
    assert list(second.notices.waiting) == ["what is kept as 'value': 'circle'"]
    found.value["n"] = 2
    write(second, found.value)
    start().values.restore("value")
    shapes("Circle")
    for _ in range(2):
        third = start()
        again = third.values.restore("value")
        assert again is not None
        assert again.value == {"circle": {"r": 1}, "n": 2}
        assert stored(third) == {"value": 1, "whole": 1}
    assert caplog.text.count("is back") == 1


@pytest.mark.parametrize("form", ["dict", "list"])
def test_parts_whose_class_is_gone_return_with_it(
    start: Start, slow: None, shapes: Callable[[str], ModuleType], form: str
) -> None:
    """A part as a whole stays in its place, an item of a part is parked, and no restart makes one of them two."""
    module = shapes("Circle")
    parts: list[Any] = [{"n": number} for number in range(150)]
    parts[3] = module.Circle(r=3)
    parts[5] = {"n": 5, "circle": module.Circle(r=5)}
    value: Any = parts if form == "list" else dict(enumerate(parts))
    first = start()
    write(first, value)
    shapes("")
    for _ in range(2):
        second = start()
        found = second.values.restore("value")
        assert found is not None
        assert len(found.value) == 149
        assert found.value[4 if form == "list" else 5] == {"n": 5}
        found.value[100]["new"] = 1
        write(second, found.value)
    shapes("Circle")
    value[101 if form == "list" else 100]["new"] = 1
    for _ in range(2):
        third = start()
        again = third.values.restore("value")
        assert again is not None
        assert again.value == value
        write(third, again.value)
        assert stored(third) == {"value": 1, "part": 150}


def test_a_value_that_is_lost_returns_with_its_class(
    start: Start, shapes: Callable[[str], ModuleType], caplog: pytest.LogCaptureFixture
) -> None:
    """It wins over what was built in its place, in that very process and all that follow."""
    first = start()
    first.write("value", shapes("Circle").Circle(r=1))
    shapes("")
    for _ in range(2):
        second = start()
        assert second.values.restore("value") is None
        assert list(second.notices.waiting) == ["what is kept as 'value'"]
    second.write("value", ["another"], created_at=2.0)
    second = start()
    assert second.values.restore("value") == (["another"], None, 2.0)
    shapes("Circle")
    for _ in range(2):
        third = start()
        assert third.values.restore("value") == ({"r": 1}, None, 1.0)
        assert stored(third) == {"value": 1, "whole": 1}
    assert caplog.text.count("is back") == 1


def test_of_several_lost_values_the_newest_that_can_be_read_returns(
    start: Start, shapes: Callable[[str], ModuleType]
) -> None:
    """Who renames a class twice and goes back finds what he had at first."""
    for number, name in enumerate(["Circle", "Round"]):
        module = shapes(name)
        first = start()
        assert first.values.restore("value") is None
        first.write("value", getattr(module, name)(n=number), created_at=float(number))
    shapes("")
    assert start().values.restore("value") is None
    shapes("Circle")
    assert start().values.restore("value") == ({"n": 0}, None, 0.0)
    shapes("Circle Round")
    assert start().values.restore("value") == ({"n": 1}, None, 1.0)


def test_forget_drops_what_is_lost(start: Start, shapes: Callable[[str], ModuleType]) -> None:
    """A reset is a reset."""
    first = start()
    first.write("value", shapes("Circle").Circle())
    shapes("")
    second = start()
    second.values.restore("value")
    second.carrier.forget("value")
    assert stored(second) == {}


def test_a_heading_without_its_bytes_is_nothing(start: Start) -> None:
    """Then the factory builds the value, and no later process looks for the bytes."""
    first = start()
    first.write("value", [1])
    first.store.put({key: None for key, _ in first.store.items(b"whole/")})
    second = start()
    assert second.values.restore("value") is None
    assert stored(second) == {}


# two processes at once


OTHER = """
from tests.snapshot.carriers import Process
process = Process(directory)
value = process.keep("value", lambda: ["a"])
process.carrier.flush()
say(process.store.number)
for text in sys.stdin:
    value.append(text.strip())
    say(process.carrier.flush())
os._exit(0)
"""


@pytest.mark.e2e
def test_a_paused_process_notices_what_the_other_still_writes(start: Start, tmp_path: Path) -> None:
    """What it read is to be read again if the other wrote it after that, and from then on the other's is refused."""
    with process(OTHER, tmp_path / "snapshot") as other:
        assert other.stdin is not None
        assert line(other) == "1"
        new = start()
        new.carrier.pause()
        assert new.keep("value", list) == ["a"]
        assert not new.values.has_moved_on()
        print("b", file=other.stdin, flush=True)
        assert line(other) == "1"
        registry.find("value").value.append("of no consequence")
        assert new.carrier.flush() == 0
        assert new.carrier.resume()
        registry.drop("value")
        value = new.keep("value", list)
        assert value == ["a", "b"]
        value.append("new")
        assert new.carrier.flush() == 1
        print("late", file=other.stdin, flush=True)
        assert line(other) == "0"
    assert start().keep("value", list) == ["a", "b", "new"]


def test_nothing_moved_on_when_nobody_wrote(start: Start) -> None:
    """A process that was paused goes on with what it read, and with what it did not find."""
    first = start()
    first.write("value", [1])
    second = start()
    second.carrier.pause()
    assert second.keep("value", list) == [1]
    assert second.keep("other", list) == []
    assert not second.carrier.resume()
    assert second.carrier.flush() == 1


def test_a_paused_process_leaves_what_it_can_not_read(start: Start, shapes: Callable[[str], ModuleType]) -> None:
    """The other still writes it; it is put aside when this one has the say, for which it is asked for again."""
    module = shapes("Circle")
    first = start()
    first.write("value", module.Circle())
    first.write("item", {"circle": module.Circle()})
    shapes("")
    for name in ("value", "item"):
        second = start()
        before = stored(second)
        second.carrier.pause()
        second.values.restore(name)
        assert stored(second) == before
        assert second.carrier.resume()
        second.values.restore(name)
        assert stored(second) != before
        assert not second.values.has_moved_on()
    shapes("Circle")
    for name in ("value", "item"):
        third = start()
        before = stored(third)
        third.carrier.pause()
        assert third.values.restore(name) is not None
        assert stored(third) == before
        assert third.carrier.resume()
        assert third.values.restore(name) is not None
        assert stored(third) != before
