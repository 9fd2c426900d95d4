"""A field that is renamed in one save and told of with `renamed` in the next: its value is not lost in between."""

from __future__ import annotations

import logging

import pytest

from hotsession.living.classes import living
from tests.living.edits import HEAD
from tests.living.generations import BOTH_WAYS, Code, Held, follow

KINDS = {
    "dataclass": "@dataclass\nclass A:\n    {name}: {type}\n",
    "dataclass with slots": "@dataclass(slots=True)\nclass A:\n    {name}: {type}\n",
    "attrs": "@attrs.define\nclass A:\n    {name}: {type}\n",
    "pydantic": "class A(pydantic.BaseModel):\n    {name}: {type}\n",
}
ALL_KINDS = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
TOLD = "@hotsession.renamed(price='cost')\n"


def code_of(kind: str, name: str, what: str = "float = 1.0", told: str = "") -> str:
    """The module with one class that has one field."""
    return HEAD + told + kind.format(name=name, type=what)


@BOTH_WAYS
@ALL_KINDS
def test_the_value_takes_the_place_of_the_default(code: Code, kind: str, restart: bool) -> None:
    """And goes back when all of it is undone."""
    held = Held(code, code_of(kind, "price"), "shop.A(price=2.0)", restart=restart)
    assert held.save(code_of(kind, "cost")).cost == 1.0
    assert held.save(code_of(kind, "cost", told=TOLD)).cost == 2.0
    assert held.save(code_of(kind, "price")).price == 2.0


@ALL_KINDS
@pytest.mark.parametrize("what", ["list = []", "dict = {}"])
def test_so_it_does_with_an_empty_container(code: Code, kind: str, what: str) -> None:
    """What the factory of the field made is empty still."""
    factory = what.split(" ")[0]
    what = f"{factory} = " + ("attrs.field" if "attrs" in kind else "pydantic.Field" if "pydantic" in kind else "field")
    what += f"({'factory' if 'attrs' in kind else 'default_factory'}={factory})"
    held = Held(code, code_of(kind, "price", what), f"shop.A(price={factory}([(1, 2)]))", restart=False)
    assert not held.save(code_of(kind, "cost", what)).cost
    assert held.save(code_of(kind, "cost", what, told=TOLD)).cost


@BOTH_WAYS
@ALL_KINDS
def test_what_the_app_has_set_meanwhile_stays(code: Code, kind: str, restart: bool) -> None:
    """It is newer than what was kept aside."""
    held = Held(code, code_of(kind, "price"), "shop.A(price=2.0)", restart=restart)
    held.save(code_of(kind, "cost")).cost = 9.0
    assert held.save(code_of(kind, "cost", told=TOLD)).cost == 9.0
    assert held.save(code_of(kind, "price")).price == 9.0


def test_the_log_says_once_where_the_value_is(code: Code, caplog: pytest.LogCaptureFixture) -> None:
    """Who renames a field and sees a default finds in the log what to do."""
    caplog.set_level(logging.INFO)
    shop = code.first(text=code_of(KINDS["dataclass"], "price"))
    sessions = [{"it": shop.A(2.0)} for _ in range(3)]
    code.save(code_of(KINDS["dataclass"], "cost"))
    for number, session in enumerate(sessions):
        living().notices.tell(f"session {number}", "session", follow(session))
    (line,) = [record.getMessage() for record in caplog.records if "kept aside" in record.getMessage()]
    assert line.startswith("session 0: there is no field A.price any more.")
    assert "@hotsession.renamed()" in line
