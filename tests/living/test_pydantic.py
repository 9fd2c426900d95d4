"""Pydantic models: values that no field declares, and models that others are given as parameters."""

from __future__ import annotations

import sys
import types
import typing

import pytest

from tests.living.edits import HEAD
from tests.living.generations import BOTH_WAYS, Code, Held, follow

OPEN = "model_config = {'extra': 'allow'}"


def model(*lines: str) -> str:
    """A module with a model of these lines."""
    return HEAD + "class A(pydantic.BaseModel):\n" + "".join(f"    {line}\n" for line in (*lines, "a: int = 1"))


@BOTH_WAYS
def test_an_extra_value_becomes_a_field_and_again_an_extra_value(code: Code, restart: bool) -> None:
    """It is in one place only, the attribute and the dump agree, and undoing the edit takes nothing away."""
    held = Held(code, model(OPEN), "shop.A(z=5, y=6)", restart=restart)
    it = held.save(model(OPEN, "z: int = 0"))
    assert (it.z, it.y, it.model_extra) == (5, 6, {"y": 6})
    assert it.model_dump() == {"a": 1, "z": 5, "y": 6}
    assert it.model_dump(exclude_unset=True) == {"z": 5, "y": 6}
    it.z = 7
    assert it.model_dump()["z"] == 7
    it = held.save(model(OPEN))
    assert (it.z, it.model_extra) == (7, {"y": 6, "z": 7})
    assert it == held.shop.A(z=7, y=6)


@BOTH_WAYS
def test_a_field_that_is_removed_from_an_open_model_is_an_extra_value(code: Code, restart: bool) -> None:
    """As if the new model read what the old one had; and it is a field again with the field."""
    held = Held(code, model(OPEN, "b: int = 2"), "shop.A(b=5)", restart=restart)
    it = held.save(model(OPEN))
    assert (it.b, it.model_extra, it.model_dump()) == (5, {"b": 5}, {"a": 1, "b": 5})
    it = held.save(model(OPEN, "b: int = 2"))
    assert (it.b, it.model_extra) == (5, {})
    assert it == held.shop.A(b=5)


@BOTH_WAYS
def test_a_model_that_is_opened_takes_values(code: Code, restart: bool) -> None:
    """Assignment works as for a new object; fields that were removed before stay aside."""
    held = Held(code, model("b: int = 2"), "shop.A(b=5)", restart=restart)
    held.save(model())
    it = held.save(model(OPEN))
    assert (it.model_extra, it.model_dump()) == ({}, {"a": 1})
    it.q = 3
    assert it.model_dump() == {"a": 1, "q": 3}
    assert held.save(model("b: int = 2")).model_dump() == {"a": 1, "b": 5}


@BOTH_WAYS
def test_a_model_that_is_closed_keeps_its_values_aside(code: Code, restart: bool) -> None:
    """They are back when it is open again, or when a field declares them."""
    held = Held(code, model(OPEN), "shop.A(z=5, y=6, x=7)", restart=restart)
    it = held.save(model())
    assert (it.model_extra, it.model_dump()) == (None, {"a": 1})
    assert it == held.shop.A()
    it = held.save(model("y: int = 0"))
    assert it.model_dump() == {"y": 6, "a": 1}
    it = held.save(HEAD + "@hotsession.renamed(x='w')\n" + model("y: int = 0", "w: int = 0").removeprefix(HEAD))
    assert it.model_dump() == {"y": 6, "w": 7, "a": 1}
    it = held.save(model(OPEN, "y: int = 0"))
    assert (it.model_extra, it.y) == ({"z": 5, "w": 7}, 6)


@BOTH_WAYS
def test_a_field_that_is_renamed_to_an_extra_value(code: Code, restart: bool) -> None:
    """Each value is in one place: the field has the value that went by its name, the other is extra."""
    held = Held(code, model(OPEN, "b: int = 2"), "shop.A(b=5, c=6)", restart=restart)
    it = held.save(HEAD + "@hotsession.renamed(b='c')\n" + model(OPEN, "c: int = 0").removeprefix(HEAD))
    assert (it.c, it.model_extra) == (6, {"b": 5})


def test_extra_values_follow_their_classes(code: Code) -> None:
    """What is in there is brought along like anything else that an object holds."""
    inner = "class B:\n    def f(self): return 'F'\n"
    held = Held(code, model(OPEN) + inner.replace("F", "old"), "shop.A(b=shop.B())", restart=False)
    assert held.save(model(OPEN, "z: int = 0") + inner.replace("F", "new")).b.f() == "new"


ITEM = "class Item(pydantic.BaseModel):\n    a: int\n"
OTHER = "class Other(pydantic.BaseModel):\n    c: int = 1\n"
PAGE = """
T = typing.TypeVar("T")
class Page(pydantic.BaseModel, typing.Generic[T]):
    items: list[T]
    def f(self): return "old"
def later(): return Page[list[Item] | None](items=[[Item(a=1)], None])
"""
NEW_PAGE = PAGE.replace('"old"', '"new"').replace("items: list[T]", "items: list[T]\n    size: int = 7")
NEW_ITEM = ITEM + "    b: int = 2\n"
SHOP = HEAD + ITEM + OTHER + PAGE
NEW_SHOP = HEAD + NEW_ITEM + OTHER + NEW_PAGE
IN_MODULE = "PageOfItems = Page[Item]\n"


@BOTH_WAYS
@pytest.mark.parametrize("before", ["", IN_MODULE])
@pytest.mark.parametrize("after", ["", IN_MODULE])
def test_a_model_with_parameters_follows(code: Code, restart: bool, before: str, after: str) -> None:
    """The object is of the new model with the parameters as they are now, wherever that was made of them."""
    held = Held(code, SHOP + before, "shop.Page[shop.Item](items=[shop.Item(a=1)])", restart=restart)
    it = held.save(NEW_SHOP + after)
    assert type(it) is held.shop.Page[held.shop.Item]
    assert isinstance(it, held.shop.Page)
    assert it.f() == "new"
    assert it.model_dump() == {"items": [{"a": 1, "b": 2}], "size": 7}
    assert type(it).model_validate(it.model_dump()) == it
    assert isinstance(held.save(SHOP + before), held.shop.Page[held.shop.Item])
    assert held.it.model_dump() == {"items": [{"a": 1}]}


@BOTH_WAYS
@pytest.mark.parametrize(
    "make",
    [
        "shop.Page[shop.Page[shop.Item]](items=[shop.Page[shop.Item](items=[])])",
        "shop.Page[typing.Optional[shop.Item]](items=[None])",
        "shop.Page[dict[str, shop.Item]](items=[])",
        "shop.Page[typing.Annotated[shop.Item, 'x']](items=[])",
        "shop.Page[typing.Literal['x']](items=[])",
        "shop.later()",
    ],
)
def test_parameters_that_hold_classes_follow(code: Code, restart: bool, make: str) -> None:
    """Models with parameters as parameters, and what `typing` makes of classes, are made of the new ones."""
    held = Held(code, SHOP, make.replace("typing.", "shop.typing."), restart=restart)
    it = held.save(NEW_SHOP)
    wanted = eval(make, {"shop": held.shop, "typing": typing})  # noqa: S307 - the expression of the test
    assert type(it) is type(wanted)
    assert it == wanted


def test_a_parameter_alone_follows(code: Code) -> None:
    """The model stays in its module, the class that it was given is replaced in another."""
    lib = code.first("lib", HEAD + OTHER + PAGE)
    shop = code.first(text=HEAD + ITEM)
    session = {"it": lib.Page[shop.Item](items=[shop.Item(a=1)]), "same": lib.Page[int](items=[1])}
    same = type(session["same"])
    shop = code.save(HEAD + NEW_ITEM)
    assert not follow(session).left
    assert type(session["it"]) is lib.Page[shop.Item]
    assert session["it"].items == [shop.Item(a=1, b=2)]
    assert type(session["same"]) is same


NODE = "T = typing.TypeVar('T')\nclass Node(pydantic.BaseModel, typing.Generic[T]):\n    kids: list['Node[T]'] = []\n"


@BOTH_WAYS
def test_a_model_that_holds_itself_with_parameters(code: Code, restart: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those in it follow as well, also where it was given its parameters first by a module that is not the app's."""
    monkeypatch.setitem(sys.modules, "foreign", types.ModuleType("foreign"))
    make = "eval(compile('shop.Node[int](kids=[shop.Node[int]()])', '', 'eval'), {'shop': shop, '__name__': 'foreign'})"
    held = Held(code, HEAD + NODE, make, restart=restart)
    it = held.save(HEAD + NODE + "    b: int = 2\n")
    assert (it.b, it.kids[0].b) == (2, 2)
    assert type(it) is type(it.kids[0]) is held.shop.Node[int]


@BOTH_WAYS
def test_a_model_that_takes_no_parameters_any_more(code: Code, restart: bool) -> None:
    """Its objects are at least of the model."""
    held = Held(code, SHOP, "shop.Page[shop.Item](items=[shop.Item(a=1)])", restart=restart)
    it = held.save(NEW_SHOP.replace(", typing.Generic[T]", "").replace("list[T]", "list[Item]"))
    assert type(it) is held.shop.Page
    assert it.items == [held.shop.Item(a=1, b=2)]


def test_a_model_with_parameters_whose_class_is_gone(code: Code) -> None:
    """It lives on, is told of, and follows when the class is back; a parameter that is gone stays what it was."""
    shop = code.first(text=SHOP)
    session = {"it": shop.Page[shop.Item](items=[])}
    code.save(HEAD + ITEM)
    [left] = follow(session).left
    assert (left.cls, left.why) == ("Page[Item]", "its class is gone")
    now = code.save(HEAD + NEW_PAGE)
    follow(session)
    assert type(session["it"]) is now.Page[shop.Item]
    now = code.save(NEW_SHOP)
    assert not follow(session).left
    assert type(session["it"]) is now.Page[now.Item]


@BOTH_WAYS
def test_steps_of_a_model_with_parameters_are_those_of_the_model(code: Code, restart: bool) -> None:
    """They run once, whatever the parameters are, also when these are not the same any more."""
    step = "@hotsession.migrate(Page, version=1)\ndef more(page): page.items.append(9)\n"
    held = Held(code, SHOP, "[shop.Page[int](items=[]), shop.Page[shop.Item](items=[])]", restart=restart)
    for text in (SHOP + step, NEW_SHOP + step, SHOP, SHOP + step):
        held.save(text)
        assert [page.items for page in held.it] == [[9], [9]]


@BOTH_WAYS
def test_generic_classes_of_python_follow(code: Code, restart: bool) -> None:
    """Objects of a generic dataclass are of the class itself, and follow like any."""
    text = "T = typing.TypeVar('T')\n@dataclass\nclass G(typing.Generic[T]):\n    a: T\n"
    held = Held(code, HEAD + ITEM + text, "shop.G[shop.Item](shop.Item(a=1))", restart=restart)
    it = held.save(HEAD + NEW_ITEM + text + "    b: int = 2\n")
    assert type(it) is held.shop.G
    assert (it.a, it.b) == (held.shop.Item(a=1, b=2), 2)
    assert it.__orig_class__ == held.shop.G[held.shop.Item]


def test_what_typing_makes_of_classes_follows(code: Code) -> None:
    """In a session as well as anywhere; what holds no class that was replaced is the same object as before."""
    make = "[list[shop.Item], shop.Item | None, shop.typing.Optional[shop.Item], dict[str, int]]"
    session = {"it": eval(make, {"shop": code.first(text=HEAD + ITEM)})}  # noqa: S307 - the expression of the test
    same = session["it"][3]
    shop = code.save(HEAD + NEW_ITEM)
    follow(session)
    assert session["it"] == eval(make, {"shop": shop})  # noqa: S307 - as above
    assert session["it"][3] is same


DATACLASS = "@pydantic.dataclasses.dataclass{}\nclass A:\n    a: int\n"
SQL = "import sqlmodel\nclass A(sqlmodel.SQLModel):\n    a: int\n"
RELATIVES = {"a dataclass": DATACLASS.format(""), "with slots": DATACLASS.format("(slots=True)"), "SQLModel": SQL}


@BOTH_WAYS
@pytest.mark.parametrize("text", RELATIVES.values(), ids=RELATIVES)
def test_relatives_of_pydantic_follow(code: Code, restart: bool, text: str) -> None:
    """A field with a default is added, as pydantic describes fields."""
    held = Held(code, HEAD + text, "shop.A(a=1)", restart=restart)
    it = held.save(HEAD + text + "    b: int = pydantic.Field(default=3, gt=1)\n    def f(self): return self.b\n")
    assert type(it) is held.shop.A
    assert it == held.shop.A(a=1)
    assert it.f() == 3
