"""A large object that is converted in slices: whoever looks at it meanwhile finds objects whose steps were run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hotsession.living.classes import living
from tests.living.generations import Code

HEAD = "import hotsession\nfrom dataclasses import dataclass\n"
PLAIN = HEAD + "class A:\n    def __init__(self, *parts): self.x, self.parts = 1, parts\n"
STEP = "@hotsession.migrate(A, version=1)\ndef step(a):\n    a.x += 1\n"


def looked_at_meanwhile(root: Any, objects: list[Any], new: type) -> int:
    """How often somebody could look; each time all objects of the new class have had their step, and others not."""
    pauses = 0
    for _ in living().conversion(root).run():
        pauses += 1
        assert all(each.x == (2 if type(each) is new else 1) for each in objects)
    return pauses


def test_objects_side_by_side(code: Code) -> None:
    """Each has its step at once."""
    objects = [(shop := code.first(text=PLAIN)).A(), *(shop.A() for _ in range(500))]
    new = code.save(PLAIN + STEP).A
    assert looked_at_meanwhile({"all": objects}, objects, new) > 10
    assert {(type(each), each.x) for each in objects} == {(new, 2)}


def test_objects_within_objects(code: Code) -> None:
    """An object and those that hang on it have theirs in one slice, if they are not very many."""
    shop = code.first(text=PLAIN)
    orders = [shop.A([shop.A() for _ in range(20)], {"more": shop.A()}) for _ in range(50)]
    objects = [*orders, *(each for order in orders for each in [*order.parts[0], order.parts[1]["more"]])]
    new = code.save(PLAIN + STEP).A
    assert looked_at_meanwhile(orders, objects, new) > 10
    assert {(type(each), each.x) for each in objects} == {(new, 2)}


def test_one_that_has_a_step_and_holds_all_others(code: Code) -> None:
    """Nobody is held up for it: there are pauses while its own step waits for the others."""
    shop = code.first(text=PLAIN)
    root = shop.A([shop.A() for _ in range(3000)])
    code.save(PLAIN + STEP)
    conversion = living().conversion(root)
    assert sum(1 for _ in conversion.run()) > 5
    assert {each.x for each in [root, *root.parts[0]]} == {2}


def test_the_leaves_come_first(code: Code) -> None:
    """A step finds the parts of its object converted, whether steps can be run at once or wait for a new layout."""
    shop = code.first(text=PLAIN)
    root = shop.A(shop.A(), shop.A(shop.A()))
    sums = "@hotsession.migrate(A, version=1)\ndef step(a):\n    a.x += sum(each.x for each in a.parts)\n"
    code.save(PLAIN + sums)
    living().follow(root)
    assert root.x == 1 + 1 + (1 + 1)
    slots = PLAIN.replace("class A:\n", "class A:\n    __slots__ = ('x', 'parts')\n")
    holder = {"it": root}
    code.save(slots + sums.replace("version=1", "version=2"))
    living().follow(holder)
    assert holder["it"].x == 4 + 1 + (2 + 1)


HOLDERS: dict[str, Callable[[Any], Any]] = {
    "dict": lambda it: {it: "x"},
    "set": lambda it: {it},
    "frozenset": lambda it: frozenset([it]),
    "list of a frozenset": lambda it: [frozenset([it])],
    "key in a key": lambda it: {(it,): 1},
}


@pytest.mark.parametrize("holder", HOLDERS.values(), ids=HOLDERS)
@pytest.mark.parametrize("how", ["a new field", "a step"])
def test_a_step_finds_its_keys(code: Code, holder: Callable[[Any], Any], how: str) -> None:
    """Containers find their keys, whose hashes are others, before the step of what holds them is run, and after all."""
    key = "@dataclass(unsafe_hash=True)\nclass K:\n    a: int\n"
    owner = "class A:\n    def __init__(self, held): self.held = held\n"
    shop = code.first(text=HEAD + key + owner)
    root = [shop.A(holder(shop.K(1)))]
    if how == "a new field":
        key += "    b: int = 2\n"
    else:
        key += "@hotsession.migrate(K, version=1)\ndef of_keys(k): k.a = 5\n"
    finds = (
        "@hotsession.migrate(A, version=1)\n"
        "def step(a):\n"
        "    inside = list(a.held)[0]\n"
        "    a.found = inside in a.held and all(each in inside for each in inside) if type(inside) is frozenset"
        " else inside in a.held\n"
    )
    shop = code.save(HEAD + key + owner + finds)
    outcome = living().follow(root)
    assert not outcome.left
    assert not outcome.failed
    (inside,) = root[0].held
    now = shop.K(5) if how == "a step" else shop.K(1)
    looked_in, wanted = (inside, now) if type(inside) is frozenset else (root[0].held, now)
    assert ((wanted,) if type(inside) is tuple else wanted) in looked_in


@pytest.mark.parametrize("kind", [dict.fromkeys, set], ids=["dict", "set"])
def test_keys_are_found_at_each_pause(code: Code, kind: Callable[[Any], Any]) -> None:
    """Nobody looks into a container whose keys have other hashes already, unless it is very large.

    (A frozenset is another object then, which is put in its place at the end.)
    """
    key = HEAD + "@dataclass(unsafe_hash=True)\nclass K:\n    a: int\n"
    shop = code.first(text=key)
    places = [[kind([shop.K(at) for at in range(50)])] for _ in range(40)]
    code.save(key + "    b: int = 2\n")
    pauses = 0
    for _ in living().conversion(places).run():
        pauses += 1
        assert all(each in place[0] for place in places for each in list(place[0]))
    assert pauses > 10
