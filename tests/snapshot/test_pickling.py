"""What a value is as bytes, and what of it is left out."""

from __future__ import annotations

import asyncio
import collections
import concurrent.futures
import contextlib
import dataclasses
import datetime as dt
import decimal
import enum
import functools
import gc
import importlib
import json
import pickle
import re
import socket
import sqlite3
import ssl
import sys
import threading
import types
import uuid
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import attrs
import httpx
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotsession.registry import Transaction, registry
from hotsession.snapshot.pickling import LeftOut, TooSlow, pickled
from hotsession.snapshot.unpickling import unpickled
from tests.effort import times

HERE = str(Path(__file__).parent)


def is_own(path: str) -> bool:
    """Of all that these tests pickle, the classes of this directory are the user's, and those of temporary ones."""
    return path.startswith(HERE) or "pytest-of-" in path


def carried(value: Any, *, careful: bool = False) -> Any:
    """A value after a restart, of which nothing may be left out."""
    result = pickled(value, careful=careful, is_own=is_own)
    assert result.left_out == ()
    return unpickled(result.data).value


def carried_without(value: Any, *losses: tuple[str, str]) -> Any:
    """A value after a restart, without these paths and types."""
    result = pickled(value, is_own=is_own)
    assert [(each.path, each.type) for each in result.left_out] == list(losses)
    assert result.careful
    return unpickled(result.data).value


class Plain:
    def __init__(self, **attributes: Any) -> None:
        self.__dict__.update(attributes)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]

    def method(self) -> str:
        return "called"


class Slotted:
    __slots__ = ("lock", "name")

    def __init__(self, name: str, lock: Any) -> None:
        self.name = name
        self.lock = lock


@dataclasses.dataclass
class Record:
    name: str
    lock: Any = None


@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    name: str
    lock: Any = None


@attrs.define
class Defined:
    name: str
    lock: Any = None


class Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(arbitrary_types_allowed=True)
    name: str
    lock: Any = None
    _private: Any = pydantic.PrivateAttr(default=None)


class Point(NamedTuple):
    name: str
    lock: Any = None


class Colour(enum.Enum):
    RED = "red"


class Problem(Exception):
    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.lock: Any = None


Aliased = collections.namedtuple("Other", "x y")  # type: ignore[name-match]  # noqa: PYI024 - it is not found by its own name


def function() -> str:
    return "called"


def wrapping(inner: Callable[[], str]) -> Callable[[], str]:
    @functools.wraps(inner)
    def wrapper() -> str:
        return f"wrapped {inner()}"

    return wrapper


@wrapping
def wrapped() -> str:
    return "inner"


# The fast way


def test_what_pickle_can_do_is_what_pickle_does() -> None:
    """An ordinary session is a plain pickle, with nothing around it."""
    value = {"user": 17, "messages": [{"role": "user", "text": "hello"}], "at": (1, 2.5, None, {"x"})}
    assert pickled(value) == (pickle.dumps(value, 5), (), False)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.text(), inner)
        | st.tuples(inner, inner)
        | st.frozensets(st.text())
        | st.builds(Record, st.text(), inner)
        | st.builds(Frozen, st.text(), inner)
        | st.builds(Defined, st.text(), inner)
        | st.builds(Point, st.text(), inner)
    ),
    max_leaves=20,
)


@given(VALUES, st.booleans())
def test_values_return_as_they_were(value: Any, careful: bool) -> None:
    """Either way of pickling gives an equal value."""
    assert carried(value, careful=careful) == value


@given(VALUES)
def test_a_lock_beside_a_value_costs_it_nothing(value: Any) -> None:
    """What is left out is left out alone, whatever is beside it."""
    assert carried_without({"value": value, "lock": threading.Lock()}, ('["lock"]', "_thread.lock")) == {"value": value}


@pytest.mark.parametrize("careful", [False, True])
@pytest.mark.parametrize(
    "value",
    [
        Colour.RED,
        dt.datetime(2024, 5, 1, tzinfo=dt.UTC),
        decimal.Decimal("1.5"),
        uuid.UUID(int=7),
        Path("a/b"),
        re.compile("a+"),
        range(3),
        slice(1, 2),
        1 + 2j,
        collections.deque([1, 2], maxlen=3),
        collections.OrderedDict(a=1),
        collections.defaultdict(list, a=[1]),
        collections.Counter("aab"),
        types.SimpleNamespace(a=1),
        Model(name="a"),
        Aliased(1, 2),
        bytearray(b"ab"),
        int,
        type(None),
        Plain,
        function,
        wrapped,
        len,
        json.dumps,
        Ellipsis,
        NotImplemented,
    ],
    ids=lambda value: repr(value).partition(" at 0x")[0],  # the same in each process that tests
)
def test_types_return_as_they_were(value: Any, careful: bool) -> None:
    """What people hold in sessions comes back equal, by either way."""
    returned = carried({"value": value, "f": lambda: None} if careful else {"value": value}, careful=careful)["value"]
    assert returned == value
    assert type(returned) is type(value)


@pytest.mark.parametrize("careful", [False, True])
def test_what_is_compared_by_its_parts_returns(careful: bool) -> None:
    """Bound methods, partials and exceptions come back as what they were made of."""
    value = {"m": Plain(a=1).method, "p": functools.partial(max, 3), "e": Problem("oh")}
    returned = carried(value, careful=careful)
    assert returned["m"].__self__ == Plain(a=1)
    assert returned["p"](2) == 3
    assert returned["e"].args == ("oh",)


# What can't go


@contextlib.contextmanager
def thing(make: Callable[[], Any]) -> Iterator[Any]:
    made = make()
    try:
        yield made
    finally:
        getattr(made, "close", lambda: None)()


async def coroutine() -> None:
    """Never awaited."""


THINGS: dict[str, Callable[[], Any]] = {
    "socket.socket": socket.socket,
    "_thread.lock": threading.Lock,
    "_thread.RLock": threading.RLock,
    "threading.Condition": threading.Condition,
    "threading.Thread": threading.Thread,
    "ssl.SSLContext": ssl.create_default_context,
    "generator": lambda: (each for each in [1]),
    "coroutine": coroutine,
    "_io.TextIOWrapper": lambda: Path(__file__).open(),  # noqa: SIM115 - thing() closes it
    "_io.BufferedReader": lambda: Path(__file__).open("rb"),  # noqa: SIM115 - as above
    "module": lambda: types.ModuleType("made_at_run_time"),
    "asyncio.unix_events._UnixSelectorEventLoop": asyncio.new_event_loop,
    "httpx.Client": httpx.Client,
    "httpx.AsyncClient": httpx.AsyncClient,
    "concurrent.futures.thread.ThreadPoolExecutor": concurrent.futures.ThreadPoolExecutor,
    "sqlite3.Connection": lambda: sqlite3.connect(":memory:"),
    "weakref.ReferenceType": lambda: weakref.ref(Plain),
}


@pytest.mark.parametrize("name", THINGS)
def test_what_belongs_to_the_process_is_left_out_alone(name: str) -> None:
    """Sockets, locks, clients, generators and their like vanish from a dict, and nothing else does."""
    with thing(THINGS[name]) as made:
        assert carried_without({"x": made, "rest": [1]}, ('["x"]', name)) == {"rest": [1]}


@pytest.mark.parametrize("name", THINGS)
def test_an_own_object_loses_the_attribute_alone(name: str) -> None:
    """An object of the user's own class comes back without the attribute that can't go."""
    with thing(THINGS[name]) as made:
        returned = carried_without({"own": Plain(x=made, rest=[1])}, ('["own"].x', name))
        assert returned == {"own": Plain(rest=[1])}


def test_a_running_task_is_left_out() -> None:
    """Tasks and futures of the event loop do not go, nor what waits for them."""

    async def main() -> Any:
        task = asyncio.create_task(asyncio.sleep(0))
        future = asyncio.get_running_loop().create_future()
        loop = asyncio.get_running_loop()
        result = pickled({"t": task, "f": future, "l": loop, "rest": 1}, is_own=is_own)
        await task
        return result

    result = asyncio.run(main())
    assert {each.path for each in result.left_out} == {'["t"]', '["f"]', '["l"]'}
    assert unpickled(result.data).value == {"rest": 1}


LOCK = threading.Lock()
LOCKED = "_thread.lock"


@pytest.mark.parametrize(
    ("value", "path", "returned"),
    [
        ([1, LOCK, 2], "[1]", [1, 2]),
        ((1, LOCK, 2), "[1]", (1, None, 2)),
        ({1, LOCK}, "{}", {1}),
        (frozenset({1, LOCK}), "{}", frozenset({1})),
        ({"a": {"b": [LOCK]}}, '["a"]["b"][0]', {"a": {"b": []}}),
        ({1: LOCK, 2: 3}, "[1]", {2: 3}),
        (collections.deque([1, LOCK]), "[1]", collections.deque([1])),
        (collections.defaultdict(list, a=LOCK, b=1), '["a"]', {"b": 1}),
        (collections.OrderedDict(a=LOCK, b=1), '["a"]', {"b": 1}),
        (types.SimpleNamespace(a=LOCK, b=1), ".a", types.SimpleNamespace(b=1)),
        (Point("a", LOCK), ".lock", Point("a", None)),
        (Plain(inner=Plain(lock=LOCK)), ".inner.lock", Plain(inner=Plain())),
        (collections.UserDict(a=LOCK, b=1), '.data["a"]', {"b": 1}),
    ],
    ids=lambda value: None if isinstance(value, str) else type(value).__name__,
)
def test_each_kind_of_container_loses_what_it_holds(value: Any, path: str, returned: Any) -> None:
    """Items, elements and attributes go; a place in a tuple becomes None."""
    assert carried_without({"v": value}, ('["v"]' + path, LOCKED)) == {"v": returned}


@pytest.mark.parametrize("cls", [Slotted, Record, Frozen, Defined, Model])
def test_each_kind_of_class_loses_the_attribute(cls: Callable[..., Any]) -> None:
    """Slots, dataclasses, frozen ones with slots, attrs and pydantic keep their other fields."""
    returned = carried_without(cls(name="a", lock=LOCK), (".lock", LOCKED))
    assert returned.name == "a"
    assert getattr(returned, "lock", None) is None  # what a class has for a default shows again


@dataclasses.dataclass
class Guarded:
    name: str
    lock: Any = dataclasses.field(default_factory=threading.Lock)


@dataclasses.dataclass(frozen=True, slots=True)
class GuardedFrozen:
    name: str
    lock: Any = dataclasses.field(default_factory=threading.Lock)


@dataclasses.dataclass
class GuardedInside:
    name: str
    lock: Any = dataclasses.field(init=False, default_factory=threading.Lock)

    def __setattr__(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)
        assert "lock" in self.__dict__ or name == "name"


@attrs.define
class GuardedDefined:
    name: str
    lock: Any = attrs.field(factory=threading.Lock)


@attrs.frozen(slots=False)
class GuardedBySelf:
    name: str
    lock: Any = attrs.field(default=attrs.Factory(lambda self: (self.name, threading.Lock())[1], takes_self=True))


class GuardedModel(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(arbitrary_types_allowed=True)
    name: str
    lock: Any = pydantic.Field(default_factory=threading.Lock)


class GuardedInPrivate(pydantic.BaseModel):
    name: str
    _lock: Any = pydantic.PrivateAttr(default_factory=threading.Lock)

    @property
    def lock(self) -> Any:
        return self._lock


GUARDED = [
    Guarded,
    GuardedFrozen,
    GuardedInside,
    GuardedDefined,
    GuardedBySelf,
    GuardedModel,
    GuardedInPrivate,
]


@pytest.mark.parametrize("cls", GUARDED)
def test_an_attribute_that_is_lost_gets_the_default_of_its_field(cls: Callable[..., Any]) -> None:
    """A lock that every object has comes back as a new one, and the next restart finds the object whole as well."""
    before = [cls(name="a"), cls(name="b")]
    for _ in range(2):
        result = pickled(before, is_own=is_own)
        assert [each.type for each in result.left_out] == [LOCKED, LOCKED]
        after = unpickled(result.data).value
        assert [each.name for each in after] == ["a", "b"]
        assert {type(each.lock) for each in after} == {type(LOCK)}
        assert not {id(each.lock) for each in after} & {id(each.lock) for each in before}
        before = after


@dataclasses.dataclass(frozen=True, slots=True)
class FrozenBare:
    name: str
    lock: Any


@attrs.define
class DefinedBare:
    name: str
    lock: Any


@pytest.mark.parametrize("cls", [FrozenBare, DefinedBare])
def test_an_object_with_an_empty_slot_goes_again(cls: Callable[..., Any]) -> None:
    """What has no default stays lost, and its object is not left out at the next restart because of that."""
    returned = carried_without([cls("a", LOCK)], ("[0].lock", LOCKED))
    again = pickled(returned, is_own=is_own)
    assert again.left_out == ()
    assert unpickled(again.data).value[0].name == "a"


@dataclasses.dataclass
class Wrong:
    lock: Any = dataclasses.field(default_factory=lambda: 1 / 0)


def test_a_default_that_fails_is_logged_and_costs_no_more(caplog: pytest.LogCaptureFixture) -> None:
    """Code of the user's that raises must not cost what was carried over beside it."""
    (returned,) = carried_without([Wrong(LOCK)], ("[0].lock", LOCKED))
    assert not hasattr(returned, "lock")
    assert "The default of Wrong.lock" in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_a_private_attribute_of_a_model_is_lost_alone() -> None:
    """What pydantic keeps beside the fields counts as attributes too."""
    model = Model(name="a")
    model._private = LOCK
    returned = carried_without([model], ("[0]._private", LOCKED))
    assert returned[0].name == "a"


def test_an_exception_loses_an_attribute_but_not_an_argument() -> None:
    """What the class is called with is needed to make the exception again."""
    problem = Problem("oh")
    problem.lock = LOCK
    assert carried_without([problem], ("[0].lock", LOCKED))[0].args == ("oh",)
    assert carried_without([Problem(LOCK), 1], ("[0]", f"{__name__}.Problem")) == [1]  # type: ignore[arg-type]


def test_a_key_that_cannot_go_takes_its_item_along() -> None:
    """A dict is searched by what a key is: half a key would be another one."""
    assert carried_without({(1, LOCK): "a", "b": 2}, (f"[{(1, LOCK)!r}]", "tuple")) == {"b": 2}


def test_an_object_of_a_library_goes_as_a_whole_or_not_at_all() -> None:
    """A client without its pool would be no client, so the attribute that holds the client goes."""
    with httpx.Client() as client:
        result = pickled({"own": Plain(client=client, name="a")}, is_own=is_own)
    (left,) = result.left_out
    assert (left.path, left.type) == ('["own"].client', "httpx.Client")
    assert re.match(r"it holds \S+: cannot pickle", left.reason)
    assert unpickled(result.data).value == {"own": Plain(name="a")}


def test_an_own_object_inside_one_of_a_library_loses_its_attribute_only() -> None:
    """Who loses what is told by the class of what holds it directly."""
    response = httpx.Response(200, extensions={"mine": Plain(lock=LOCK, name="a")})
    result = pickled({"r": functools.partial(print, Plain(lock=LOCK))}, is_own=is_own)
    assert [each.path for each in result.left_out] == ['["r"].lock']
    response.close()


def test_what_is_shared_stays_shared_and_circles_stay_circles() -> None:
    """Copies stand in for what loses something, once for all that refer to it."""
    inner: list[Any] = [1, LOCK]
    inner.append(inner)
    own = Plain(lock=LOCK, inner=inner)
    own.me = own  # type: ignore[attr-defined]
    value: dict[str, Any] = {"a": inner, "b": own, "c": {"own": own}}
    value["value"] = value
    returned = unpickled(pickled(value, is_own=is_own).data).value
    assert returned["a"] is returned["a"][1] is returned["b"].inner
    assert returned["b"] is returned["b"].me is returned["c"]["own"]
    assert returned["value"] is returned


def test_the_value_itself_is_not_touched() -> None:
    """Leaving out is done in copies."""
    own = Plain(lock=LOCK, inner=[1, LOCK])
    value = {"own": own, "lock": LOCK}
    pickled(value, is_own=is_own)
    assert value == {"own": own, "lock": LOCK}
    assert vars(own) == {"lock": LOCK, "inner": [1, LOCK]}


def test_every_place_is_told() -> None:
    """One lock in three places is three things to mend."""
    result = pickled({"a": LOCK, "b": [LOCK], "c": Plain(lock=LOCK)}, is_own=is_own)
    assert {each.path for each in result.left_out} == {'["a"]', '["b"][0]', '["c"].lock'}


def test_a_value_that_cannot_go_at_all_has_no_bytes() -> None:
    """Nothing is invented for it."""
    assert pickled(LOCK) == (b"", (LeftOut("", LOCKED, "cannot pickle '_thread.lock' object"),), True)


def test_the_careful_way_is_asked_for_once() -> None:
    """The result tells that the fast way fails, and the careful way gives the same at once."""
    value = {"lock": LOCK}
    first = pickled(value)
    assert first.careful
    assert pickled(value, careful=True) == first


class Shy:
    """Can be a key, and not be shown."""

    def __repr__(self) -> str:
        raise ValueError("not today")


def test_a_key_that_cannot_be_shown_is_named_all_the_same() -> None:
    """A broken __repr__ costs nobody his session."""
    (left,) = pickled({Shy(): LOCK, "rest": 1}, is_own=is_own).left_out
    assert left.path.startswith(f"[<{__name__}.Shy object at")


class Fickle:
    """Has a hash once."""

    hashed = False

    def __hash__(self) -> int:
        if self.hashed:
            raise ValueError("not today")
        self.hashed = True
        return 1


def test_whatever_users_code_raises_is_told_and_not_raised() -> None:
    """Where nothing can be saved, the whole is left out, with the reason."""
    assert pickled({Fickle(): 1, "x": LOCK}) == (b"", (LeftOut("", "dict", "not today"),), True)


def test_a_working_directory_that_is_gone_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then no class counts as own."""
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert [each.path for each in pickled({"x": Plain(lock=LOCK)}).left_out] == ['["x"]']


class Angry:
    def __init__(self, how: str) -> None:
        self.how = how

    def __reduce__(self) -> Any:
        if self.how == "raises":
            raise ValueError("not today")
        if self.how == "recurses":
            return self.__reduce__()
        return {"a number": 7, "a short tuple": (int,), "no call": (7, ()), "no tuple": (int, [7])}[self.how]


@pytest.mark.parametrize("how", ["raises", "recurses", "a number", "a short tuple", "no call", "no tuple"])
def test_an_object_that_describes_itself_wrongly_is_left_out(how: str) -> None:
    """Whatever its __reduce__ does, the rest goes."""
    assert carried_without({"x": Angry(how), "rest": 1}, ('["x"]', f"{__name__}.Angry")) == {"rest": 1}


@pytest.mark.parametrize("depth", [1_000, 100_000])
def test_what_is_nested_too_deeply_is_cut_where_it_fits(depth: int) -> None:
    """A long chain keeps its beginning, and all that is beside it."""
    chain = None
    for _ in range(depth):
        chain = Plain(following=chain)
    result = pickled({"chain": chain, "rest": [1]}, is_own=is_own)
    returned = unpickled(result.data).value
    assert returned["rest"] == [1]
    assert result.left_out == () or [each.reason for each in result.left_out] == ["it is nested too deeply"]
    length, each = 0, returned["chain"]
    while each is not None:
        length, each = length + 1, vars(each).get("following")
    assert 100 < length <= depth
    while chain is not None:  # taken apart from the front, so that no destructor runs too deep either
        chain = chain.__dict__.pop("following")


# Code


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    """Write a module of the user's own and import it, each time anew."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def made(source: str) -> Any:
        (tmp_path / "own_module.py").write_text(source)
        sys.modules.pop("own_module", None)
        importlib.invalidate_caches()
        return importlib.import_module("own_module")

    yield made
    sys.modules.pop("own_module", None)


def test_an_object_of_an_older_generation_returns_as_the_new_class(make: Any) -> None:
    """Where pickle says that a class is not the same object, its name is what counts."""
    source = "class A:\n    class Inner: pass\n    def __init__(self): self.x = 1\n"
    old = make(source)
    value = {"a": old.A(), "class": old.A, "inner": old.A.Inner()}
    new = make(source + "    def y(self): return self.x + 1\n")
    returned = carried(value)
    assert type(returned["a"]) is returned["class"] is new.A
    assert returned["a"].y() == 2
    assert type(returned["inner"]) is new.A.Inner


@pytest.mark.parametrize(
    "source",
    [
        "import dataclasses\n@dataclasses.dataclass(frozen=True, slots=True)\nclass A:\n    x: int = 1\n",
        "import enum\nclass E(enum.Enum):\n    X = 1\ndef A(): return E.X\n",
        "import collections\nN = collections.namedtuple('Other', 'x')\ndef A(): return N(1)\n",
        "import attrs\n@attrs.frozen\nclass A:\n    x: int = 1\n",
        "import pydantic\nclass A(pydantic.BaseModel):\n    x: int = 1\n",
        "class A(Exception): pass\n",
        "class A(dict): pass\n",
        "class M(type): pass\nclass A(metaclass=M): pass\n",
    ],
)
def test_every_kind_of_class_returns_as_the_new_one(make: Any, source: str) -> None:
    """Dataclasses, enumerations, named tuples under another name, attrs, pydantic, exceptions, metaclasses."""
    value = make(source).A()
    new = make(source)
    assert type(carried({"a": value})["a"]) is type(new.A())


def test_a_function_of_an_older_generation_returns_as_the_new_one(make: Any) -> None:
    """Functions have names too; a bound method is looked up in the class that its object has then."""
    source = "def f(): return {0}\nclass A:\n    def m(self): return {0}\n"
    old = make(source.format(1))
    value = {"f": old.f, "m": old.A().m}
    make(source.format(2))
    returned = carried(value)
    assert returned["f"]() == returned["m"]() == 2


def test_what_a_decorator_replaced_is_not_taken_for_its_wrapper() -> None:
    """The function inside of a wrapper goes by value, since its name leads to the wrapper."""
    inner = wrapped.__wrapped__  # type: ignore[attr-defined]
    returned = carried({"f": wrapped, "inner": inner})
    assert returned["f"] is wrapped
    assert returned["inner"]() == "inner"


def test_a_class_that_was_taken_out_of_the_code_still_goes_by_name(make: Any) -> None:
    """So its objects return when it does."""
    value = {"a": make("class A: pass\n").A(), "rest": 1}
    make("")
    result = pickled(value, is_own=is_own)
    assert result.left_out == ()
    assert unpickled(result.data).value == {"rest": 1}
    new = make("class A: pass\n")
    assert type(unpickled(result.data).value["a"]) is new.A


COUNT = {"calls": 0}


def test_a_lambda_returns_and_sees_the_module_as_it_is_then(make: Any) -> None:
    """Code without a name goes by value, but its globals are those of its module, not copies."""
    value = {"f": make("THINGS = ['old']\nf = [lambda: THINGS]\n").f[0]}
    new = make("THINGS = ['new']\nf = []\n")
    assert carried(value)["f"]() is new.THINGS


def test_closures_and_defaults_return_with_their_function() -> None:
    """Two closures over one variable still share it, and a function may refer to itself."""

    def counter() -> tuple[Callable[[], int], Callable[[], int]]:
        count = 0

        def up(by: int = 2) -> int:
            nonlocal count
            count += by
            return count

        def get() -> int:
            return count

        return up, get

    def factorial(number: int) -> int:
        return 1 if number < 2 else number * factorial(number - 1)

    value = {"counter": counter(), "factorial": factorial}
    returned = carried(value)
    up, get = returned["counter"]
    assert (up(), up(), get()) == (2, 4, 4)
    assert returned["factorial"](5) == 120


def test_local_classes_of_every_kind_return() -> None:
    """Enumerations, dataclasses, subclasses that call super(), and functions with a cache."""

    class Base:
        def name(self) -> str:
            return "base"

    class Derived(Base):
        def name(self) -> str:
            return f"derived from {super().name()}"

    class Size(enum.Enum):
        SMALL = 1

    @dataclasses.dataclass(frozen=True)
    class Local:
        size: Size

    value = {"derived": Derived(), "local": Local(Size.SMALL), "size": Size.SMALL}
    returned = carried(value)
    assert returned["derived"].name() == "derived from base"
    assert returned["local"].size.name == "SMALL"
    assert returned["local"].size is returned["size"]


def test_what_is_named_by_a_function_s_inside_is_left_out() -> None:
    """A cached local function says that it is found by a name, and is not."""

    @functools.cache
    def local() -> int:
        return 1

    assert carried_without({"f": local, "rest": 1}, ('["f"]', "functools._lru_cache_wrapper")) == {"rest": 1}


def test_code_that_is_being_loaded_is_referred_to_by_name(make: Any) -> None:
    """While a load is under way pickle itself looks at the modules before it, so it is told the names."""
    module = make("class A: pass\n")
    token = registry.loading_variable.set(Transaction())
    try:
        result = pickled({"a": module.A(), "lock": LOCK}, is_own=is_own)
    finally:
        registry.loading_variable.reset(token)
    assert b"by_name" in result.data
    assert type(unpickled(result.data).value["a"]) is module.A


def test_an_object_of_a_local_class_returns() -> None:
    """A class inside of a function goes by value, with its methods."""

    class Local:
        def __init__(self) -> None:
            self.x = 1

        def y(self) -> int:
            return self.x + len(COUNT)

    assert carried({"a": Local()})["a"].y() == 2


def test_a_function_that_holds_what_cannot_go_is_left_out() -> None:
    """A closure over a lock is no function without it."""
    assert carried_without({"f": lambda: LOCK, "rest": 1}) is not None
    lock = threading.Lock()
    assert carried_without({"f": lambda: lock, "rest": 1}, ('["f"]', "function")) == {"rest": 1}


def test_importable_modules_go_by_name() -> None:
    """A module in a session is the module of the process that reads it."""
    assert carried({"m": re})["m"] is re


# Locks of asyncio


@pytest.mark.parametrize("careful", [False, True])
def test_a_lock_of_asyncio_comes_back_unheld(careful: bool) -> None:
    """The task that held it is gone with its process, and nobody would ever release it."""

    async def main() -> Any:
        lock = asyncio.Lock()
        await lock.acquire()
        return carried({"lock": lock, "name": "a"}, careful=careful)

    returned = asyncio.run(main())
    assert type(returned["lock"]) is asyncio.Lock
    assert not returned["lock"].locked()
    assert returned["name"] == "a"


# Threads


class Slow:
    """Lets other threads run while it is pickled."""

    def __reduce__(self) -> Any:
        for _ in range(200):
            len(repr(self))
        return Slow, ()


@pytest.mark.parametrize("careful", [False, True])
@pytest.mark.parametrize("with_lock", [False, True])
def test_threads_may_change_what_is_pickled(careful: bool, with_lock: bool) -> None:
    """A value that other threads change all the time is pickled, none of it is left out, nobody sees an error."""
    value: dict[str, Any] = {"d": {"first": Slow()}, "q": collections.deque([Slow()]), "s": {Slow()}}
    value |= {"own": Plain(a=Slow()), "o": collections.OrderedDict(a=Slow())}
    raced = dict(value)
    if with_lock:
        value["lock"] = LOCK
    stop, interval = threading.Event(), sys.getswitchinterval()

    def change(number: int) -> None:
        while not stop.is_set():
            key = f"{number}"
            for mapping in (value["d"], vars(value["own"]), value["o"]):
                mapping[key] = 1
            value["q"].append(1)
            value["s"].add(number)
            for mapping in (value["d"], vars(value["own"]), value["o"]):
                del mapping[key]
            value["q"].pop()
            value["s"].discard(number)

    threads = [threading.Thread(target=change, args=(number,)) for number in range(2)]
    sys.setswitchinterval(1e-5)
    try:
        for each in threads:
            each.start()
        assert _races(raced)
        for _ in range(times(20, 100, 5)):
            result = pickled(value, careful=careful, is_own=is_own)
            assert len(result.left_out) == with_lock
            returned = unpickled(result.data).value
            assert returned.keys() == value.keys() - {"lock"}
            assert {"first"} <= returned["d"].keys()
        assert sys.getswitchinterval() == pytest.approx(1e-5)
    finally:
        stop.set()
        for each in threads:
            each.join()
        sys.setswitchinterval(interval)


def _races(value: Any) -> bool:
    """Whether plain pickling fails for the reason that this is about."""
    for _ in range(1000):
        try:
            pickle.dumps(value)
        except RuntimeError as error:
            return "during iteration" in str(error)
    return False


class Restless:
    """Changes its holder whenever it is pickled."""

    def __init__(self, holder: dict[Any, Any]) -> None:
        self.holder = holder

    def __reduce__(self) -> Any:
        self.holder[len(self.holder)] = 1
        return Restless, ({},)


class Unsteady:
    """Goes through a dict that it changes meanwhile."""

    def __getstate__(self) -> Any:
        mine = {1: 2}
        for each in mine:
            mine[each + 1] = 3
        return mine


def test_an_object_that_changes_itself_is_left_out() -> None:
    """An error that persists while all others wait is the object's own."""
    assert carried_without({"x": Unsteady(), "rest": 1}, ('["x"]', f"{__name__}.Unsteady")) == {"rest": 1}


def test_a_dict_that_changes_by_being_pickled_does_not_stop_the_rest() -> None:
    """However it is to blame, the rest goes."""
    holder: dict[Any, Any] = {}
    holder["x"] = Restless(holder)
    result = pickled({"holder": holder, "rest": 1}, is_own=is_own)
    assert unpickled(result.data).value["rest"] == 1


# Time


@pytest.mark.parametrize(
    "value", [lambda: list(range(1_000_000)), lambda: [LOCK, *([] for _ in range(100_000))]], ids=["fast", "survey"]
)
def test_pickling_ends_when_its_time_is_over(value: Callable[[], Any]) -> None:
    """What would take longer than the limit is given up early."""
    large = value()
    with pytest.raises(TooSlow):
        pickled(large, time_limit=0.001)


def test_what_is_in_time_is_the_same() -> None:
    """A limit that is kept changes nothing."""
    value = {"a": [1, 2], "b": b"x" * 100_000}
    assert pickled(value, time_limit=60) == pickled(value)


def test_nothing_is_held_on_to() -> None:
    """Once pickled, an object lives no longer than its owner wants."""
    own = Plain(lock=LOCK)
    before = sys.getrefcount(own)
    pickled({"own": own}, is_own=is_own)
    gc.collect()
    assert sys.getrefcount(own) == before
