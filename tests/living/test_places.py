"""Objects are found wherever they sit, and what else sits there is not touched."""

from __future__ import annotations

import asyncio
import functools
import socket
import threading
import types
from collections import ChainMap, Counter, OrderedDict, UserDict, defaultdict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.living.generations import Code, follow

BEFORE = """
import enum
from dataclasses import dataclass

class A:
    def __init__(self, x=1): self.x = x
    def f(self): return "old"
    @classmethod
    def make(cls): return cls()

@dataclass(frozen=True)
class Key:
    x: int = 1

@dataclass(frozen=True, slots=True)
class Tight:
    x: object = 1

class Colour(enum.Enum):
    RED = 1
    BLUE = 2

def greet(): return "old"

class Error(Exception):
    pass
"""
AFTER = (
    BEFORE.replace("old", "new")
    .replace("    x: int = 1", "    x: int = 1\n    y: int = 2")
    .replace("RED = 1", "RED = 5")
)
AFTER = AFTER.replace("    x: object = 1", "    x: object = 1\n    y: int = 2")

PLACES: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "a list": (lambda it: [it], lambda held: held[0]),
    "a tuple": (lambda it: (0, it), lambda held: held[1]),
    "tuples in tuples": (lambda it: ((it,), [((it,),)]), lambda held: held[1][0][0][0]),
    "a dict": (lambda it: {"x": it}, lambda held: held["x"]),
    "a key": (lambda it: {it: 1}, lambda held: next(iter(held))),
    "a tuple as a key": (lambda it: {(it, 1): 1}, lambda held: next(iter(held))[0]),
    "a set": (lambda it: {it}, lambda held: next(iter(held))),
    "a frozen set": (lambda it: frozenset({it}), lambda held: next(iter(held))),
    "frozen sets in a set": (lambda it: {frozenset({it})}, lambda held: next(iter(next(iter(held))))),
    "a deque": (lambda it: deque([1, it], maxlen=3), lambda held: held[1]),
    "an ordered dict": (lambda it: OrderedDict(a=1, b=it, c=3), lambda held: held["b"]),
    "an ordered key": (lambda it: OrderedDict([(1, 1), (it, 2), (3, 3)]), lambda held: list(held)[1]),
    "a default dict": (lambda it: defaultdict(list, x=it), lambda held: held["x"]),
    "a counter": (lambda it: Counter([it, it]), lambda held: next(iter(held))),
    "a chain": (lambda it: ChainMap({}, {"x": it}), lambda held: held["x"]),
    "a user's dict": (lambda it: UserDict({"x": it}), lambda held: held["x"]),
    "a namespace": (lambda it: types.SimpleNamespace(x=it), lambda held: held.x),
    "a partial's argument": (lambda it: functools.partial(print, it), lambda held: held.args[0]),
    "a partial's keyword": (lambda it: functools.partial(print, end=it), lambda held: held.keywords["end"]),
    "an exception": (lambda it: ValueError("why", it), lambda held: held.args[1]),
    "the cause of an exception": (
        lambda it: _caused(ValueError("why"), KeyError(it)),
        lambda held: held.__cause__.args[0],
    ),
}


def _caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("make", ["A()", "Key()", "Tight()", "Colour.RED"])
def test_an_object_is_found_in_every_place(code: Code, place: str, make: str) -> None:
    """What is inside follows, also where the place itself can't be changed; a dict and a set find it again."""
    put, get = PLACES[place]
    shop = code.first(text=BEFORE)
    it = eval(make, vars(shop))  # noqa: S307 - from the list above
    held = put(it)
    session = {"held": held}
    new = code.save(AFTER)
    outcome = follow(session)
    now = get(session["held"])
    cls = getattr(new, make.partition("(")[0].partition(".")[0])
    assert type(now) is cls
    assert outcome.converted == {cls.__qualname__: 1}
    if make in ("A()", "Key()"):
        assert now is it
    if make != "A()":
        assert now == eval(make, vars(new))  # noqa: S307 - as above
    for container in (held, session["held"]):
        if isinstance(container, dict | set | Counter):
            assert all(key in container for key in container)
    if not isinstance(held, tuple | frozenset):
        assert session["held"] is held


def test_what_is_shared_stays_shared(code: Code) -> None:
    """One object in many places is one object afterwards, in place or not; so is a container that was made anew."""
    shop = code.first(text=BEFORE)
    tight = shop.Tight()
    pair = (tight, shop.Colour.BLUE)
    session = {"a": tight, "b": [tight, pair], "c": pair, "d": {tight: pair}, "e": shop.Tight(pair)}
    new = code.save(AFTER)
    follow(session)
    a = session["a"]
    assert type(a) is new.Tight
    assert session["b"][0] is a
    assert session["b"][1] is session["c"] is session["e"].x is session["d"][a]
    assert session["c"] == (a, new.Colour.BLUE)


def test_cycles_of_every_kind(code: Code) -> None:
    """Objects that refer to each other in circles, through tuples too, are converted once each."""
    shop = code.first(text=BEFORE)
    a, b = shop.A(), shop.A()
    a.other, b.other = b, (a, [b])
    a.self = a
    items: list[Any] = [shop.Tight()]
    items.append((items, shop.Colour.RED))
    session: dict[str, Any] = {"a": a, "items": items}
    session["me"] = session
    new = code.save(AFTER)
    outcome = follow(session)
    assert a.other is b
    assert b.other[0] is a
    assert type(a) is type(b) is new.A
    assert items[1][0] is items
    assert items[1][1] is new.Colour.RED
    assert outcome.converted["A"] == 2


def test_deep_nesting_takes_no_recursion(code: Code) -> None:
    """A list in a list, ten thousand times, holds up nothing."""
    shop = code.first(text=BEFORE)
    a = shop.A()
    nested: Any = a
    for _ in range(10_000):
        nested = [nested]
    chain = shop.A()
    head = chain
    for _ in range(10_000):
        chain.next = shop.A()
        chain = chain.next
    session = {"nested": nested, "chain": head}
    new = code.save(AFTER)
    assert follow(session).converted == {"A": 10_002}
    assert type(a) is new.A


def test_methods_functions_and_classes_are_the_new_ones(code: Code) -> None:
    """A bound method, a function and a class in a session are those of the code as it is now."""
    shop = code.first(text=BEFORE)
    a = shop.A()
    session = {
        "method": a.f,
        "class method": shop.A.make,
        "function": shop.greet,
        "class": shop.A,
        "partial": functools.partial(shop.greet),
        "factory": defaultdict(shop.A),
    }
    new = code.save(AFTER)
    follow(session)
    assert session["method"]() == "new"
    assert session["method"].__self__ is a
    assert type(session["class method"]()) is new.A
    assert session["function"] is new.greet
    assert session["class"] is new.A
    assert session["partial"]() == "new"
    assert type(session["factory"]["x"]) is new.A


def _numbers() -> Iterator[int]:
    yield 1


class Foreign:
    """A class of a library."""

    __module__ = "library"

    def __init__(self, held: object) -> None:
        self.held = held


def test_what_is_not_the_apps_is_left_alone(code: Code) -> None:
    """Objects of libraries are not entered; locks, sockets, modules and tasks are what they were."""
    shop = code.first(text=BEFORE)
    inner = shop.A()
    things: list[Any] = [Foreign(inner), threading.Lock(), socket.socket(), threading, _numbers(), shop.A(), open]
    before = [(id(each), type(each)) for each in things]
    new = code.save(AFTER)
    follow(things)
    things[2].close()
    assert [(id(each), type(each)) for each in things[:5]] == before[:5]
    assert type(inner) is not new.A
    assert type(things[5]) is new.A


def test_a_task_is_left_alone(code: Code) -> None:
    """A running task in a session goes on as it is."""

    async def main() -> None:
        task = asyncio.create_task(asyncio.sleep(0))
        session = {"task": task, "a": code.first(text=BEFORE).A()}
        new = code.save(AFTER)
        follow(session)
        assert session["task"] is task
        assert type(session["a"]) is new.A
        await task

    asyncio.run(main())


def test_objects_of_modules_that_stay_hold_those_of_modules_that_go(code: Code) -> None:
    """An object of a class that was not replaced keeps its class, and what it holds follows."""
    base = code.first("base", "class Box:\n    __slots__ = ('held', 'many')")
    shop = code.first(text=BEFORE)
    box = base.Box()
    box.held, box.many = shop.Tight(), (shop.A(),)
    session = {"box": box}
    new = code.save(AFTER)
    follow(session)
    assert session["box"] is box
    assert type(box) is base.Box
    assert box.held == new.Tight()
    assert type(box.many[0]) is new.A


BASE = """
from dataclasses import dataclass

@dataclass
class Base:
    x: int = 1
    def f(self): return 1
"""


def test_subclasses_in_modules_that_stay(code: Code) -> None:
    """A subclass in a module that was not reloaded derives from the new base, and its objects get what is new there."""
    shop = code.first(
        text="from dataclasses import dataclass\n@dataclass\nclass Base:\n    x: int = 1\n    def f(self): return 1"
    )
    later = code.first("later", "import shop\nclass Sub(shop.Base): pass")
    sub = later.Sub()
    session = {"sub": sub}
    new = code.save(BASE.replace("x: int = 1", "x: int = 1\n    y: int = 7").replace("return 1", "return 2"))
    follow(session)
    assert type(sub) is later.Sub
    assert isinstance(sub, new.Base)
    assert not isinstance(sub, shop.Base)
    assert (sub.f(), sub.y) == (2, 7)


@dataclass
class Mine:
    """Of a module that is no own one."""

    x: object


def test_nothing_happens_where_no_class_was_replaced(code: Code) -> None:
    """A session without objects of replaced classes is as it was, to the last object."""
    code.first(text=BEFORE)
    keys = {("a", 1): [1]}
    session = {"mine": Mine([1]), "keys": keys, "tuple": (1, [2])}
    before = {name: id(value) for name, value in session.items()}
    code.save(AFTER)
    assert not follow(session)
    assert {name: id(value) for name, value in session.items()} == before
