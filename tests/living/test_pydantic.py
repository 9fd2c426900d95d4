"""Pydantic models: values that no field declares, and models that others are given as parameters."""

from __future__ import annotations

from typing import Any

import pytest

from tests.living.edits import HEAD
from tests.living.generations import Code, follow, restarted

OPEN = "model_config = {'extra': 'allow'}"


def model(*lines: str) -> str:
    """A module with a model of these lines."""
    return HEAD + "class A(pydantic.BaseModel):\n" + "".join(f"    {line}\n" for line in (*lines, "a: int = 1"))


class Held:
    """What is in a session, while the code is edited: in place, or with a restart at each save."""

    def __init__(self, code: Code, text: str, make: str, *, restart: bool) -> None:
        self._code = code
        self._restart = restart
        self.shop = code.first(text=text)
        self.session = {"it": eval(make, {"shop": self.shop})}  # noqa: S307 - the expression of the test

    @property
    def it(self) -> Any:
        """The object."""
        return self.session["it"]

    def save(self, text: str) -> Any:
        """Edit the code, and return the object as it is then."""

        def save() -> None:
            self.shop = self._code.first(text=text)

        if self._restart:
            self.session = restarted(self.session, save)
        else:
            self.shop = self._code.save(text)
            assert not follow(self.session).left
        return self.it


BOTH_WAYS = pytest.mark.parametrize("restart", [False, True], ids=["in place", "restart"])


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


def test_extra_values_follow_their_classes(code: Code) -> None:
    """What is in there is brought along like anything else that an object holds."""
    inner = "class B:\n    def f(self): return 'F'\n"
    held = Held(code, model(OPEN) + inner.replace("F", "old"), "shop.A(b=shop.B())", restart=False)
    assert held.save(model(OPEN, "z: int = 0") + inner.replace("F", "new")).b.f() == "new"
