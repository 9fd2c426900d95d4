"""What is read from bytes, and what waits until its class is back."""

from __future__ import annotations

import importlib
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotsession.snapshot import inert
from hotsession.snapshot.pickling import Heading, pickled
from hotsession.snapshot.unpickling import Parked, Unreadable, unpark, unpickled

REPOSITORY = Path(__file__).parent.parent.parent


def is_own(_path: str) -> bool:
    """All code is the user's here."""
    return True


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    """Write the user's module, and forget the one before; it is imported by who needs it."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def made(source: str) -> None:
        (tmp_path / "people.py").write_text(source)
        sys.modules.pop("people", None)
        importlib.invalidate_caches()

    yield made
    sys.modules.pop("people", None)


def people() -> Any:
    return importlib.import_module("people")


PERSON = "class Person:\n    def __init__(self, name='Ada'): self.name = name\n"
LOCK = threading.Lock()

BROKEN = {
    "class gone": ("", "AttributeError: module 'people' has no attribute 'Person'"),
    "module broken": ("1 +", "SyntaxError: invalid syntax (people.py, line 1)"),
    "module fails": ("1 / 0", "ZeroDivisionError: division by zero"),
    "module ends the process": ("import sys\nsys.exit('bye')", "SystemExit: bye"),
    "module needs what is not there": ("import not_there", "ModuleNotFoundError: No module named 'not_there'"),
    "__setstate__ raises": (PERSON + "    def __setstate__(self, state): raise ValueError('no')", "ValueError: no"),
    "__new__ raises": (PERSON + "    def __new__(cls): raise ValueError('no')", "ValueError: no"),
    "no class any more": ("Person = 7", "NEWOBJ class argument must be a type"),
    "slots do not fit": ("class Person:\n    __slots__ = ()", "AttributeError: "),
}


@pytest.mark.parametrize("name", BROKEN)
def test_only_the_item_that_cannot_be_read_is_parked(make: Any, name: str) -> None:
    """Whatever is wrong with one class, the rest of the dict is there, and the item returns with the class."""
    make(PERSON)
    data = pickled({"who": people().Person(), "rest": [1, {"a": b"b"}]}).data
    source, why = BROKEN[name]
    make(source)
    value, (parked,) = unpickled(data)
    assert value == {"rest": [1, {"a": b"b"}]}
    assert parked.label == "'who'"
    assert why in parked.why
    with pytest.raises(Unreadable) as still:
        unpark(parked)
    assert still.value.parked == parked
    make(PERSON)
    key, person = unpark(Parked(*parked))
    assert (key, type(person), person.name) == ("who", people().Person, "Ada")


def test_a_value_that_is_no_dict_is_parked_as_a_whole(make: Any) -> None:
    """A list has no names for its parts."""
    make(PERSON)
    data = pickled([people().Person(), 1]).data
    make("")
    with pytest.raises(Unreadable, match="has no attribute 'Person'") as caught:
        unpickled(data)
    parked = caught.value.parked
    assert (parked.key, parked.label, parked.data) == (None, "", data)
    make(PERSON)
    key, value = unpark(parked)
    assert (key, value[0].name, value[1]) == (None, "Ada", 1)


@pytest.mark.parametrize("careful", [False, True])
def test_a_key_that_cannot_be_read_is_parked_with_its_value(make: Any, careful: bool) -> None:
    """A key may be of the user's own class."""
    make(PERSON)
    who = people().Person()
    data = pickled({who: "a", "rest": 1}, careful=careful).data
    make("")
    value, (parked,) = unpickled(data)
    assert value == {"rest": 1}
    assert "people.Person" in parked.label
    make(PERSON)
    key, each = unpark(parked)
    assert (key.name, each) == ("Ada", "a")


class Data(dict[str, Any]):
    """A dict of the user's own kind, with attributes."""


def test_a_dict_of_another_kind_keeps_its_kind_and_attributes(make: Any) -> None:
    """Items are parked from subclasses of dict as well."""
    make(PERSON)
    value = Data(who=people().Person(), rest=1)
    value.colour = "red"  # type: ignore[attr-defined]
    data = pickled(value).data
    make("")
    returned, (parked,) = unpickled(data)
    assert type(returned) is Data
    assert (returned, vars(returned), parked.label) == ({"rest": 1}, {"colour": "red"}, "'who'")


def test_what_the_rest_shares_stays_shared(make: Any) -> None:
    """Taking a dict apart does not make two of one among what can be read."""
    make(PERSON)
    shared = [1]
    data = pickled({"a": shared, "b": {"c": shared}, "who": people().Person(shared)}).data
    make("")
    value, (parked,) = unpickled(data)
    assert value["a"] is value["b"]["c"]
    make(PERSON)
    assert unpark(parked)[1].name == [1]


def test_circles_in_what_is_parked_stay_circles(make: Any) -> None:
    """An object that refers to itself returns so."""
    make(PERSON)
    who = people().Person()
    who.me = (who, [who])
    data = pickled({"who": who}).data
    make("")
    value, (parked,) = unpickled(data)
    assert value == {}
    make(PERSON)
    returned = unpark(parked)[1]
    assert returned is returned.me[0] is returned.me[1][0]


ALL_KINDS = """
import collections, dataclasses, functools
class Person:
    def __init__(self, name): self.name = name
    def __eq__(self, other): return vars(self) == vars(other)
    def shout(self): return self.name.upper()
@dataclasses.dataclass(frozen=True, slots=True)
class Slotted:
    name: str
    lock: object = None
class Items(list): pass
class Pairs(collections.OrderedDict): pass
class Elements(set): pass
class Named:
    def __getnewargs_ex__(self): return (), {"name": "Ada"}
    def __new__(cls, *, name="Ada"):
        self = object.__new__(cls)
        self.made = name
        return self
"""


def test_everything_that_pickle_can_say_survives_being_parked(make: Any) -> None:
    """Calls, states, items, pairs, elements, named arguments, state setters, code, and stand-ins."""
    make(ALL_KINDS)
    all_kinds = people()
    person = all_kinds.Person("Ada")
    value = {
        "person": person,
        "shout": person.shout,
        "slotted": all_kinds.Slotted("Ada", LOCK),
        "items": all_kinds.Items([1, [2, LOCK]]),
        "one item": all_kinds.Items([1]),
        "pairs": all_kinds.Pairs(a=1, b=person),
        "elements": all_kinds.Elements({1, 2}),
        "named": all_kinds.Named(),
        "function": (lambda who: lambda: who.name)(person),
        "rest": 1,
    }
    result = pickled(value, is_own=is_own)
    assert {each.type for each in result.left_out} == {"_thread.lock"}
    make("")
    rest, parked = unpickled(result.data)
    assert rest == {"rest": 1}
    make(ALL_KINDS)
    returned = dict(map(unpark, parked))
    all_kinds = people()
    assert returned.keys() == value.keys() - {"rest"}
    assert returned["person"].name == "Ada"
    assert returned["shout"]() == "ADA"
    assert returned["slotted"].name == "Ada"
    assert returned["slotted"].lock is None
    assert returned["items"] == all_kinds.Items([1, [2]])
    assert returned["one item"] == all_kinds.Items([1])
    assert returned["pairs"] == all_kinds.Pairs(a=1, b=all_kinds.Person("Ada"))
    assert returned["elements"] == {1, 2}
    assert returned["named"].made == "Ada"
    assert returned["function"]() == "Ada"
    assert all(type(returned[name]).__module__ == "people" for name in ("slotted", "items", "pairs", "elements"))


# Code of another Python


def of_another_python(data: bytes) -> bytes:
    """The same bytes as if another minor version had written them."""
    heading, body = Heading.split(data)
    return bytes(heading._replace(python=heading.python - 1)) + body


def test_code_of_another_python_version_is_parked_alone() -> None:
    """Compiled code is not for other versions; all beside it is."""
    data = pickled({"f": lambda: 7, "rest": [1]}).data
    value, (parked,) = unpickled(of_another_python(data))
    assert value == {"rest": [1]}
    minor = sys.version_info.minor
    assert parked.why == f"it holds code compiled by Python 3.{minor - 1}, and this is 3.{minor}"
    with pytest.raises(Unreadable, match="it holds code compiled by"):
        unpark(parked)


def test_what_holds_no_code_is_read_by_every_python_version() -> None:
    """The careful way is no reason by itself."""
    data = pickled({"lock": LOCK, "rest": [1]}).data
    assert unpickled(of_another_python(data)) == ({"rest": [1]}, ())


# Bytes of no use


@pytest.mark.parametrize("data", [b"", b"\x80", b"\x01", b"\x01\x00\x0c", b"noise" * 20, b"\x80\x05."])
def test_noise_is_unreadable(data: bytes) -> None:
    """Nothing but Unreadable is raised, and the bytes are in it."""
    with pytest.raises(Unreadable) as caught:
        unpickled(data)
    assert caught.value.parked.data == data


@given(st.data())
def test_cut_or_changed_bytes_do_no_harm(data: st.DataObject) -> None:
    """A value is read or it is unreadable."""
    whole = bytearray(pickled({"a": [1, 2], "b": {"c": "d"}, "lock": LOCK}).data)
    place = data.draw(st.integers(0, len(whole) - 1))
    if data.draw(st.booleans()):
        del whole[place:]
    else:
        whole[place] = data.draw(st.integers(0x80, 0xFF))
    try:
        unpickled(bytes(whole))
    except Unreadable as error:
        assert error.parked.data == whole  # noqa: PT017 - it may as well be readable


# The tree


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.text(), inner)
        | st.tuples(inner, inner)
        | st.sets(st.integers())
        | st.frozensets(st.text())
        | st.builds(Data, inner=inner)
        | st.complex_numbers(allow_nan=False)
    ),
)


@given(VALUES)
def test_what_is_read_as_a_tree_is_written_as_the_same(value: Any) -> None:
    """The tree of a pickle is a pickle of an equal value again."""
    assert pickle.loads(inert.written(inert.read(pickle.dumps(value, 5)))) == value  # noqa: S301


def test_reading_the_tree_runs_nothing(make: Any) -> None:
    """No class is looked up, no module imported."""
    make(PERSON)
    data = pickled({"who": people().Person()}).data
    make("raise SystemExit")
    assert repr(inert.read(data)["who"]) == "<people.Person>"
    assert "people" not in sys.modules


# The main module


MAIN = """
import multiprocessing, sys
sys.path.insert(0, {repository!r})
from hotsession.snapshot.pickling import pickled
from hotsession.snapshot.unpickling import unpickled

class Person:
    pass

def write(path):
    person = Person()
    data = pickled({{"who": person, "f": lambda: Person}} if {careful} else {{"who": person}}).data
    open(path, "wb").write(data)

def read(path):
    value, parked = unpickled(open(path, "rb").read())
    assert not parked, parked
    assert type(value["who"]) is Person, (type(value["who"]), Person)
    assert "f" not in value or value["f"]() is Person

if __name__ == "__main__":
    for what, where in (each.split("-") for each in sys.argv[2:]):
        if where == "here":
            globals()[what](sys.argv[1])
        else:
            child = multiprocessing.get_context("spawn").Process(target=globals()[what], args=(sys.argv[1],))
            child.start()
            child.join()
            assert child.exitcode == 0
"""


@pytest.mark.e2e
@pytest.mark.parametrize("careful", [False, True])
@pytest.mark.parametrize("reader", ["here", "spawned"])
@pytest.mark.parametrize("writer", ["here", "spawned"])
def test_classes_of_the_main_module_are_those_of_the_program(
    tmp_path: Path, writer: str, reader: str, careful: bool
) -> None:
    """A spawned process has the main module under another name; its classes are found there, and never doubled."""
    main = tmp_path / "main.py"
    main.write_text(MAIN.format(repository=str(REPOSITORY), careful=careful))
    subprocess.run(
        [sys.executable, main, tmp_path / "data", f"write-{writer}", f"read-{reader}"], check=True, cwd=tmp_path
    )


@pytest.mark.e2e
def test_a_class_of_another_program_s_main_module_is_parked(tmp_path: Path) -> None:
    """The main module of the process that reads has no such class."""
    main = tmp_path / "main.py"
    main.write_text(MAIN.format(repository=str(REPOSITORY), careful=False))
    subprocess.run([sys.executable, main, tmp_path / "data", "write-here"], check=True, cwd=tmp_path)
    value, (parked,) = unpickled((tmp_path / "data").read_bytes())
    assert value == {}
    assert "has no attribute 'Person'" in parked.why
