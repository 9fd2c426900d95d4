"""What survives an edit, and how: the table of the README as data. Each row is an edit of a class and what it means.

A row has the code before and after, an expression that makes what is in a session, and one that must hold for it
afterwards, in which `it` is that value and `shop` the module as it is then. Both a reload and a restart are tried.
"""

from __future__ import annotations

from typing import NamedTuple

HEAD = """
import collections, dataclasses, enum, functools, typing
import attrs, pydantic
import hotsession
from dataclasses import dataclass, field
"""


class Edit(NamedTuple):
    """One row.

    Args:
        what: is done to the class.
        outcome: what becomes of its objects, in the words of the README.
        before: the code.
        after: the code after the edit.
        make: an expression for the value.
        holds: one that must hold afterwards.
        in_place: whether it is the same object after a reload; else another stands for it.
        restart: whether a restart does the same; else it keeps the bytes until the code can read them.
    """

    what: str
    outcome: str
    before: str
    after: str
    make: str
    holds: str
    in_place: bool = True
    restart: bool = True


EDITS = [
    Edit(
        "a method added or changed",
        "the new code runs",
        "class A:\n    def __init__(self): self.x = 1\n    def f(self): return 'old'",
        "class A:\n    def __init__(self): self.x = 1\n    def f(self): return 'new'\n    def g(self): return self.x",
        "shop.A()",
        "it.f() == 'new' and it.g() == 1",
    ),
    Edit(
        "a property in place of a method",
        "the new code runs",
        "class A:\n    def __init__(self): self.x = 1\n    def f(self): return 1",
        "class A:\n    @property\n    def f(self): return self.x + 1",
        "shop.A()",
        "it.f == 2",
    ),
    Edit(
        "a dataclass field added, with a default",
        "gets the default",
        "@dataclass\nclass A:\n    a: int",
        "@dataclass\nclass A:\n    a: int\n    b: list = field(default_factory=lambda: [7])",
        "shop.A(1)",
        "it == shop.A(1, [7])",
    ),
    Edit(
        "a dataclass field added, without a default",
        "lacks it; the log says so",
        "@dataclass\nclass A:\n    a: int",
        "@dataclass\nclass A:\n    a: int\n    b: int",
        "shop.A(1)",
        "it.a == 1 and not hasattr(it, 'b')",
    ),
    Edit(
        "a dataclass field removed",
        "kept aside, and back with the field",
        "@dataclass\nclass A:\n    a: int\n    b: int = 2",
        "@dataclass\nclass A:\n    a: int",
        "shop.A(1, 5)",
        "vars(it) == {'a': 1}",
    ),
    Edit(
        'a field renamed, with `renamed(old="new")`',
        "has its value by the new name",
        "@dataclass\nclass A:\n    a: int\n    b: int = 2",
        "@hotsession.renamed(b='c')\n@dataclass\nclass A:\n    a: int\n    c: int = 3",
        "shop.A(1, 5)",
        "vars(it) == {'a': 1, 'c': 5}",
    ),
    Edit(
        "the type of a field changed",
        "keeps its value",
        "@dataclass\nclass A:\n    a: int",
        "@dataclass\nclass A:\n    a: str",
        "shop.A(1)",
        "it.a == 1",
    ),
    Edit(
        "an attrs class: a field added",
        "gets the default",
        "@attrs.define(slots=False)\nclass A:\n    a: int",
        "@attrs.define(slots=False)\nclass A:\n    a: int\n    b: list = attrs.Factory(list)",
        "shop.A(1)",
        "it == shop.A(1, [])",
    ),
    Edit(
        "an attrs class with slots: a field added",
        "gets the default",
        "@attrs.define\nclass A:\n    a: int",
        "@attrs.define\nclass A:\n    a: int\n    b: int = 2",
        "shop.A(1)",
        "it == shop.A(1, 2)",
        in_place=False,
    ),
    Edit(
        "a pydantic model: a validated field added",
        "gets the default; new values are validated",
        "class A(pydantic.BaseModel):\n    a: int",
        "class A(pydantic.BaseModel):\n    a: int\n    b: int = pydantic.Field(3, gt=2)",
        "shop.A(a=1)",
        "it == shop.A(a=1) and it.b == 3 and it.model_dump() == {'a': 1, 'b': 3}",
    ),
    Edit(
        "a pydantic model: a field removed",
        "kept aside, and back with the field",
        "class A(pydantic.BaseModel):\n    a: int\n    b: int = 2",
        "class A(pydantic.BaseModel):\n    a: int",
        "shop.A(a=1, b=5)",
        "it.model_dump() == {'a': 1} and it == shop.A(a=1)",
    ),
    Edit(
        "a named tuple: a field added, with a default",
        "another tuple with the default",
        "class A(typing.NamedTuple):\n    a: int",
        "class A(typing.NamedTuple):\n    b: int = 2\n    a: int = 3",
        "shop.A(1)",
        "it == shop.A(2, 1)",
        in_place=False,
    ),
    Edit(
        "a named tuple: a method added",
        "the new code runs",
        "class A(typing.NamedTuple):\n    a: int",
        "class A(typing.NamedTuple):\n    a: int\n    def f(self): return self.a",
        "shop.A(1)",
        "it.f() == 1",
    ),
    Edit(
        "a dataclass made frozen",
        "is frozen",
        "@dataclass\nclass A:\n    a: int",
        "@dataclass(frozen=True)\nclass A:\n    a: int\n    b: int = 2",
        "shop.A(1)",
        "it == shop.A(1, 2) and hash(it)",
    ),
    Edit(
        "a frozen dataclass with slots: a field added in front",
        "gets the default",
        "@dataclass(frozen=True, slots=True)\nclass A:\n    a: int",
        "@dataclass(frozen=True, slots=True)\nclass A:\n    b: int = 2\n    a: int = 3",
        "shop.A(1)",
        "it == shop.A(2, 1)",
        in_place=False,
    ),
    Edit(
        "slots added",
        "another object with the same content stands for it",
        "@dataclass\nclass A:\n    a: int",
        "@dataclass(slots=True)\nclass A:\n    a: int",
        "shop.A(1)",
        "it == shop.A(1) and not hasattr(it, '__dict__')",
        in_place=False,
    ),
    Edit(
        "slots taken away",
        "another object with the same content stands for it",
        "@dataclass(slots=True)\nclass A:\n    a: int",
        "@dataclass\nclass A:\n    a: int\n    b: int = 2",
        "shop.A(1)",
        "it == shop.A(1, 2)",
        in_place=False,
    ),
    Edit(
        "a base class added",
        "is of that as well",
        "class A:\n    def __init__(self): self.x = 1",
        "class Base:\n    def f(self): return 2\nclass A(Base):\n    pass",
        "shop.A()",
        "it.f() == 2 and isinstance(it, shop.Base) and it.x == 1",
    ),
    Edit(
        "a container made the base",
        "another object with the same attributes stands for it",
        "class A:\n    def __init__(self): self.x = 1",
        "class A(list):\n    pass",
        "shop.A()",
        "it.x == 1 and it == [] and type(it) is shop.A",
        in_place=False,
    ),
    Edit(
        "a container no longer the base",
        "stays as it was, with its old code",
        "class A(list):\n    pass",
        "class A:\n    pass",
        "shop.A([1])",
        "it == [1] and type(it) is not shop.A",
        restart=False,
    ),
    Edit(
        "a class that became a function",
        "stays as it was, with its old code",
        "@dataclass\nclass A:\n    a: int\n    def f(self): return self.a",
        "def A(a): return a",
        "shop.A(1)",
        "it.f() == 1",
        restart=False,
    ),
    Edit(
        "a class that became an Enum",
        "stays as it was, with its old code",
        "class A:\n    def __init__(self): self.x = 1",
        "class A(enum.Enum):\n    X = 1",
        "shop.A()",
        "it.x == 1 and not isinstance(it, shop.A)",
        restart=False,
    ),
    Edit(
        "a class moved or renamed, with `moved(...)`",
        "is of the class where it is now",
        "@dataclass\nclass A:\n    a: int",
        "@dataclass\nclass B:\n    a: int\n    b: int = 2\nhotsession.moved('shop.A', 'shop.B')",
        "shop.A(1)",
        "it == shop.B(1, 2)",
    ),
    Edit(
        "a class removed",
        "lives on with its old code, and follows when the class is back",
        "class A:\n    def f(self): return 1",
        "",
        "shop.A()",
        "it.f() == 1",
        restart=False,
    ),
    Edit(
        "an Enum: members added, values and order changed",
        "the member of the same name",
        "class A(enum.Enum):\n    X = 1\n    Y = 2",
        "class A(enum.Enum):\n    W = 1\n    Y = 3\n    X = 7",
        "[shop.A.X, {shop.A.Y: 1}]",
        "it == [shop.A.X, {shop.A.Y: 1}] and it[0].value == 7",
    ),
    Edit(
        "an Enum: a member removed",
        "stays the member that it was",
        "class A(enum.Enum):\n    X = 1\n    Y = 2",
        "class A(enum.Enum):\n    Y = 2",
        "[shop.A.X]",
        "it[0].name == 'X'",
        restart=False,
    ),
    Edit(
        "an Enum: a member renamed, with `renamed`",
        "the member of the new name",
        "class A(enum.Enum):\n    X = 1",
        "@hotsession.renamed(X='Z')\nclass A(enum.Enum):\n    Z = 2",
        "[shop.A.X]",
        "it[0] is shop.A.Z",
    ),
    Edit(
        "flags: several at once",
        "the flags of the same names",
        "class A(enum.Flag):\n    X = 1\n    Y = 2",
        "class A(enum.Flag):\n    N = 1\n    X = 4\n    Y = 8",
        "[shop.A.X | shop.A.Y, shop.A(0)]",
        "it == [shop.A.X | shop.A.Y, shop.A(0)]",
    ),
    Edit(
        "a step to another version: `@migrate(A, version=1)`",
        "is converted, once",
        "class A:\n    def __init__(self): self.name = 'Ada Lovelace'",
        "class A: pass\n@hotsession.migrate(A, version=1)\ndef split(a): a.first, a.last = a.name.split()",
        "shop.A()",
        "(it.first, it.last) == ('Ada', 'Lovelace')",
    ),
    Edit(
        "a method `__hot_migrate__`",
        "is converted, once",
        "class A:\n    __hot_version__ = 3\n    def __init__(self): self.x = 1",
        "class A:\n    __hot_version__ = 5\n    def __hot_migrate__(self, old): self.x += old",
        "shop.A()",
        "it.x == 4",
    ),
    Edit(
        "an exception: an attribute used by a new method",
        "the new code runs",
        "class A(Exception):\n    pass",
        "class A(Exception):\n    def f(self): return self.args[0]",
        "shop.A('why', shop.A('inner'))",
        "it.f() == 'why' and it.args[1].f() == 'inner'",
    ),
    Edit(
        "a subclass of a container",
        "the new code runs",
        "class A(dict):\n    pass",
        "class A(dict):\n    def f(self): return self['x']",
        "shop.A(x=1)",
        "it.f() == 1",
    ),
]
