"""In place and after a restart the outcome is the same, whatever the objects and whatever the edit of their classes."""

from __future__ import annotations

import enum
import sys
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

import hypothesis
import hypothesis.strategies as st
from hypothesis import given

from hotsession.living.state import state_of
from hotsession.snapshot.pickling import pickled
from hotsession.snapshot.unpickling import unpickled
from tests.effort import times
from tests.living.edits import HEAD
from tests.living.generations import follow, some_code

CLASSES: dict[str, list[str]] = {
    "Plain": [
        "class Plain:\n    def __init__(self, x): self.x = x",
        "class Plain:\n    size = 3\n    def f(self): return self.x",
        "class Base: pass\nclass Plain(Base):\n    pass",
        "@hotsession.renamed(x='y')\nclass Plain: pass",
        "class Plain:\n    __slots__ = ('x', '__weakref__')",
        "class Plain:\n    def __hot_migrate__(self, old): self.was = self.__dict__.pop('x', None)",
        """class Plain: pass
@hotsession.migrate(Plain, version=3)
def one(it): it.steps = getattr(it, 'steps', ()) + (3,)
@hotsession.migrate(Plain, version=2)
def two(it): it.steps = getattr(it, 'steps', ()) + (2,)""",
    ],
    "Data": [
        "@dataclass\nclass Data:\n    x: object\n    z: int = 1",
        "@dataclass\nclass Data:\n    x: object\n    y: list = field(default_factory=list)",
        "@dataclass\nclass Data:\n    y: object = 4",
        "@hotsession.renamed(x='y')\n@dataclass\nclass Data:\n    y: object\n    z: int = 1",
        "@dataclass(slots=True, eq=False)\nclass Data:\n    z: int = 1\n    x: object = 2",
        "@dataclass\nclass Data:\n    x: object\n    w: object = field()\n    z: int = 1",
    ],
    "Frozen": [
        "@dataclass(frozen=True, slots=True)\nclass Frozen:\n    x: object\n    z: int = 1",
        "@dataclass(frozen=True, slots=True)\nclass Frozen:\n    z: int = 1\n    y: int = 2\n    x: object = 3",
        "@dataclass(frozen=True)\nclass Frozen:\n    x: object\n    y: int = 2",
        "@dataclass(frozen=True, slots=True)\nclass Frozen:\n    z: int = 7",
    ],
    "Pair": [
        "class Pair(typing.NamedTuple):\n    x: object\n    z: int = 1",
        "class Pair(typing.NamedTuple):\n    z: int = 1\n    x: object = 2",
        "class Pair(typing.NamedTuple):\n    y: int = 4\n    x: object = 2",
        "@hotsession.renamed(x='y')\nclass Pair(typing.NamedTuple):\n    y: object\n    def f(self): return self.y",
    ],
    "Attr": [
        "@attrs.define(eq=False)\nclass Attr:\n    x: object\n    z: int = 1",
        "@attrs.define(eq=False)\nclass Attr:\n    z: int = 1\n    x: object = 2\n    y: list = attrs.Factory(list)",
        "@attrs.define(slots=False, eq=False)\nclass Attr:\n    x: object",
    ],
    "Model": [
        "class Model(pydantic.BaseModel):\n    x: typing.Any\n    z: int = 1",
        "class Model(pydantic.BaseModel):\n    x: typing.Any\n    y: list[int] = pydantic.Field(default_factory=list)",
        "class Model(pydantic.BaseModel):\n    y: int = pydantic.Field(3, gt=1)\n    _z: int = 4",
        "class Model(pydantic.BaseModel):\n    model_config = {'extra': 'allow'}\n    z: int = 1",
    ],
    "Error": [
        "class Error(Exception): pass",
        "class Error(Exception):\n    def f(self): return self.args",
    ],
    "Many": [
        "class Many(list): pass",
        "class Many(list):\n    def f(self): return len(self)",
    ],
    "Colour": [
        "class Colour(enum.Enum):\n    RED = 1\n    BLUE = 2",
        "class Colour(enum.Enum):\n    BLUE = 1\n    GREEN = 5\n    RED = 2",
        "@hotsession.renamed(RED='PINK')\nclass Colour(enum.Enum):\n    PINK = 1\n    BLUE = 2",
    ],
    "Flags": [
        "class Flags(enum.IntFlag):\n    A = 1\n    B = 2",
        "class Flags(enum.IntFlag):\n    C = 1\n    B = 4\n    A = 8",
    ],
}

ATOMS = st.none() | st.integers(0, 3) | st.sampled_from(["", "a", "b"])
LEAVES = st.sampled_from(["Colour.RED", "Colour.BLUE", "Flags.A", "Flags.A | Flags.B", "Plain", "Flags(0)"])
KINDS = [
    "Plain",
    "Data",
    "Frozen",
    "Pair",
    "Attr",
    "Model",
    "Error",
    "Many",
    "list",
    "tuple",
    "dict",
    "keys",
    "set",
    "frozenset",
    "deque",
    "partial",
    "method",
]
NODES = st.lists(
    st.tuples(st.sampled_from(KINDS), st.lists(st.integers(0, 30), min_size=1, max_size=3), st.booleans()),
    min_size=1,
    max_size=12,
)
"""Each node: its kind, which others it holds (by number), and whether it gets a reference to a later one as well."""

EDITS = st.fixed_dictionaries({name: st.integers(0, len(texts) - 1) for name, texts in CLASSES.items()})


def code_of(edit: dict[str, int]) -> str:
    """A module with one variant of each class."""
    return HEAD + "\n".join(CLASSES[name][at] for name, at in edit.items())


def made(shop: Any, leaves: list[Any], nodes: list[tuple[str, list[int], bool]]) -> Any:
    """A graph of objects of a module's classes."""
    known: list[Any] = [eval(each, vars(shop)) if isinstance(each, str) and each in NAMES else each for each in leaves]  # noqa: S307
    late = []
    for kind, numbers, refers_on in nodes:
        held = [known[number % len(known)] for number in numbers]
        node = _node(shop, kind, held)
        if refers_on and kind in ("Plain", "list", "dict", "deque", "Many", "Error"):
            late.append((kind, node, numbers[0]))
        known.append(node)
    for kind, node, number in late:
        other = known[-1 - number % len(known)]
        if kind in ("list", "deque", "Many"):
            node.append(other)
        elif kind == "dict":
            node["late"] = other
        else:
            node.__dict__["late"] = other
    return {"last": known[-1], "all": known}


NAMES = {"Colour.RED", "Colour.BLUE", "Flags.A", "Flags.A | Flags.B", "Plain", "Flags(0)"}


def _node(shop: Any, kind: str, held: list[Any]) -> Any:
    hashable = [each for each in held if _can_be_key(each)]
    if kind in ("Plain", "Data", "Frozen", "Pair", "Attr"):
        return getattr(shop, kind)(held[0])
    plain: dict[str, Callable[[], Any]] = {
        "Model": lambda: shop.Model(x=held[0]),
        "Error": lambda: shop.Error("why", *held),
        "Many": lambda: shop.Many(held),
        "list": lambda: list(held),
        "tuple": lambda: tuple(held),
        "dict": lambda: {str(number): each for number, each in enumerate(held)},
        "keys": lambda: dict.fromkeys(hashable, held[0]),
        "set": lambda: set(hashable),
        "frozenset": lambda: frozenset(hashable),
        "deque": lambda: deque(held),
        "partial": lambda: partial(print, *held, end=held[0]),
        "method": lambda: partial(shop.Many([1]).append, held[0]),
    }
    return plain[kind]()


def _can_be_key(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return isinstance(value, int | str | enum.Enum | tuple) or type(value).__name__ == "Frozen" or value is None


def described(root: Any) -> str:
    """A value in words: the same for two values of the same form, with the same sharing and the same circles."""
    return _Words().of(root)


class _Words:
    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}

    def of(self, value: Any) -> str:
        if isinstance(value, enum.Enum):
            return f"{type(value).__name__}.{value.name}"
        if value is None or isinstance(value, int | str):
            return repr(value)
        if isinstance(value, type) or (callable(value) and not isinstance(value, partial)):
            return f"{value.__qualname__} {_is_of_now(value)}"
        if id(value) in self._numbers:
            return f"#{self._numbers[id(value)]}"
        if not isinstance(value, set | frozenset | tuple):  # which share or not as they were made anew
            self._numbers[id(value)] = len(self._numbers)
        state = {} if type(value) in (dict, list, deque, partial) else state_of(value)
        parts = self._items(value)
        parts += [
            f"{name}={self.of(each)}" for name, each in sorted(state.items()) if name != "__pydantic_fields_set__"
        ]
        return f"{type(value).__name__}{'' if _is_of_now(type(value)) else ' of old'}({', '.join(parts)})"

    def _items(self, value: Any) -> list[str]:
        if isinstance(value, dict):
            return [f"{self.of(key)}: {self.of(each)}" for key, each in value.items()]
        if isinstance(value, set | frozenset):
            return sorted(map(self.of, value))
        if isinstance(value, partial):
            return [self.of(value.args), self.of(value.keywords)]
        if isinstance(value, BaseException):
            return [self.of(value.args)]
        return [*map(self.of, value)] if isinstance(value, list | tuple | deque) else []


def _is_of_now(found: Any) -> bool:
    return found.__module__ != "shop" or found is getattr(sys.modules["shop"], found.__qualname__)


@hypothesis.settings(max_examples=times(150, 1500, 25))
@given(leaves=st.lists(ATOMS | LEAVES, min_size=2, max_size=6), nodes=NODES, before=EDITS, after=EDITS)
def test_in_place_and_restart_agree(
    leaves: list[Any], nodes: list[tuple[str, list[int], bool]], before: dict[str, int], after: dict[str, int]
) -> None:
    """A random graph of objects, a random edit of their classes: both ways lead to the same graph."""
    before = dict.fromkeys(before, 0) | {"Colour": before["Colour"] % 2, "Flags": before["Flags"]}
    with some_code() as code:
        graph = made(code.first(text=code_of(before)), leaves, nodes)
        data = pickled(graph)
        code.save(code_of(after))
        outcome = follow(graph)
        assert not outcome.left
        assert not outcome.failed
        read, parked = unpickled(data.data)
        assert not parked
        assert described(graph) == described(read)
        assert " of old" not in described(graph)
