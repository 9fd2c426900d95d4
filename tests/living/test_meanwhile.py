"""What is shared, and what happens between two slices: nobody gets an object that is half of its new class."""

from __future__ import annotations

import time

import pytest

from hotsession.living.classes import living
from tests.living.generations import Code, follow, restarted

HEAD = "import enum\nimport hotsession\nfrom dataclasses import dataclass\n"
PLAIN = HEAD + "class A:\n    def __init__(self): self.x = 1\n"
STEP = "class A: pass\n@hotsession.migrate(A, version=1)\ndef step(a):\n    "
KEY = "@dataclass(frozen=True)\nclass A:\n    a: int\n"


def test_a_request_between_two_slices_gets_objects_whose_steps_were_run(code: Code) -> None:
    """What the sweep has begun with is finished first, once, also where another session holds the same objects."""
    shop = code.first(text=PLAIN)
    session = {"all": shop.A()}
    session["all"].others = [shop.A() for _ in range(1000)]
    other = {"one": session["all"]}
    code.save(HEAD + STEP + "a.x += 1")
    conversion = living().conversion(session)
    work = conversion.run()
    next(work)
    assert conversion.owes_steps  # the first of all waits for those that hang on it
    follow(other)
    assert other["one"].x == 2
    assert list(work) == []
    follow(session)
    assert {a.x for a in session["all"].others} == {2}


def test_a_save_between_two_slices_loses_no_step(code: Code) -> None:
    """Objects that wait for a step get it, although the next code comes first."""
    shop = code.first(text=PLAIN)
    session = {"all": [shop.A() for _ in range(100)]}
    session["all"][0].others = [shop.A() for _ in range(1000)]
    code.save(HEAD + STEP + "a.x += 1")
    conversion = living().conversion(session)
    work = conversion.run()
    next(work)
    assert conversion.owes_steps
    shop = code.save(HEAD + STEP + "a.x += 1")
    follow(session)
    assert {(type(a), a.x) for a in session["all"]} == {(shop.A, 2)}


def test_keys_that_are_shared_are_found_in_all_places(code: Code) -> None:
    """A key has another hash when a field is added: each dict and set finds it, whoever was converted first."""
    shop = code.first(text=HEAD + KEY)
    key = shop.A(1)
    places: list[dict[object, int] | set[object]] = [{key: 1}, {key: 2}, {key}]
    shop = code.save(HEAD + KEY + "    b: int = 2")
    for place in places:
        follow(place)
    assert all(shop.A(1) in place for place in places)


@pytest.mark.e2e
def test_steps_in_a_graph_cost_no_more_the_larger_it_is(code: Code) -> None:
    """Each of 3,000 objects reaches all others, and has a step: what is remembered for each stays small."""
    shop = code.first(text=PLAIN)
    session = {"all": [shop.A() for _ in range(3000)]}
    for each in session["all"]:
        each.all = session["all"]
    code.save(HEAD + STEP + "a.y = 1")
    began = time.process_time()
    follow(session)
    assert {a.y for a in session["all"]} == {1}
    assert time.process_time() - began < 15  # it was a minute when each remembered a thousand others


def test_a_metaclass_that_raises_is_not_asked(code: Code) -> None:
    """Its `__getattr__` may look into a registry of its own, and raise KeyError; reloads go on."""
    text = "class M(type):\n    def __getattr__(cls, name): return {}[name]\nclass A(metaclass=M):\n    def f(self): "
    session = {"it": code.first(text=text + "return 'old'").A()}
    code.save(text + "return 'new'")
    outcome = follow(session)
    assert session["it"].f() == "new"
    assert not outcome.left


def test_a_renamed_member_returns_when_that_is_undone_across_a_restart(code: Code) -> None:
    """As it does in place: its old name was written with it."""
    shop = code.first(text=HEAD + "@hotsession.renamed(X='Z')\nclass A(enum.Enum):\n    Z = 2\n")
    found = restarted([shop.A.Z], lambda: code.first(text=HEAD + "class A(enum.Enum):\n    X = 1\n"))
    assert [member.name for member in found] == ["X"]
