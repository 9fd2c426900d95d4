"""Conversions of the user's own: once per object and step, in order, and as it was before if one raises."""

from __future__ import annotations

from typing import Any

import pytest

import hotsession
from hotsession.errors import ConfigurationError
from hotsession.living.asides import Asides
from hotsession.snapshot.unpickling import Unreadable
from tests.living.generations import Code, follow, restarted

PLAIN = "class A:\n    def __init__(self): self.seen = []\n"
STEPS = """
import hotsession

class A:
    def __init__(self): self.seen = []

@hotsession.migrate(A, version=2)
def second(a): a.seen.append(2)

@hotsession.migrate(A, version=1)
def first(a): a.seen.append(1)
"""
THIRD = STEPS + "\n@hotsession.migrate(A, version=3)\ndef third(a): a.seen.append(3)\n"


def test_steps_run_in_the_order_of_versions_and_once(code: Code) -> None:
    """Each object passes each step that is later than its own version, once, however often the code is saved."""
    a = code.first(text=PLAIN).A()
    for text in (STEPS, STEPS, THIRD, THIRD):
        new = code.save(text)
        follow([a])
        follow([a])
    assert a.seen == [1, 2, 3]
    assert new.A().seen == []
    fresh = [new.A()]
    code.save(THIRD + "\n")
    follow(fresh)
    assert fresh[0].seen == []


def test_a_restart_knows_which_steps_were_passed(code: Code) -> None:
    """What was written at a version passes the later steps alone."""
    code.first(text=STEPS)
    a = code.save(STEPS).A()
    a = restarted(a, lambda: code.first(text=THIRD))
    assert a.seen == [3]
    a = restarted(a, lambda: code.first(text=THIRD))
    assert a.seen == [3]


def test_the_method_is_told_the_version_of_the_object(code: Code) -> None:
    """Without saying a version, a class that gets the method is of version 1; going back is told as well."""
    method = "    def __hot_migrate__(self, old_version): self.seen.append(old_version)\n"
    a = code.first(text=PLAIN).A()
    for text in (
        PLAIN + method,
        PLAIN + method,
        PLAIN + method + "    __hot_version__ = 4\n",
        PLAIN + method + "    __hot_version__ = 2\n",
    ):
        code.save(text)
        follow([a])
    assert a.seen == [0, 1, 4]


def test_steps_of_a_base_class_count_for_its_subclasses(code: Code) -> None:
    """An object of a subclass passes the steps of the base."""
    sub = "class B(A): pass\n"
    b = code.first(text=PLAIN + sub).B()
    code.save(STEPS + sub)
    follow([b])
    assert b.seen == [1, 2]


def test_what_an_object_holds_is_converted_before_it(code: Code) -> None:
    """A step can rely on what the object holds, to any depth, and on its own new fields."""
    before = "class A:\n    def __init__(self, *held): self.held = list(held); self.order = []\n"
    after = before + (
        "    size = 5\n    def __hot_migrate__(self, old):\n"
        "        self.ready = all(each.ready and isinstance(each, A) for each in self.held)\n"
    )
    shop = code.first(text=before)
    a = shop.A(shop.A(shop.A()), shop.A())
    code.save(after)
    assert not follow([a]).failed
    assert a.ready
    assert a.size == 5


FAILS = """
class A:
    def __init__(self, bad=False): self.bad, self.items, self.inner = bad, [1], {"x": {1}}
    __slots__ = SLOTS
    def f(self): return "new"
    def __hot_migrate__(self, old):
        self.extra = 1
        self.items.append(2)
        self.inner["x"].add(2)
        self.inner["y"] = 1
        del self.bad
        raise ValueError("no") if BAD else KeyError("x")
"""


@pytest.mark.parametrize("slots", ["()", "('bad', 'items', 'inner', 'extra')"])
def test_a_step_that_raises_leaves_the_object_as_it_was(code: Code, slots: str) -> None:
    """Class, attributes and what is inside of them are as before, with slots too; and others are not harmed."""
    text = "class A:\n    __slots__ = SLOTS\n    def __init__(self):\n"
    text += "        self.bad, self.items, self.inner = 0, [1], {'x': {1}}\n"
    text += "    def f(self): return 'old'\nclass B:\n    pass\n"
    slots = slots if slots != "()" else "('__dict__',)"
    shop = code.first(text=text.replace("SLOTS", slots))
    a, b = shop.A(), shop.B()
    items, inner = a.items, a.inner
    session = {"a": a, "b": b}
    new = code.save(FAILS.replace("SLOTS", slots).replace("BAD", "1") + "\nclass B:\n    pass\n")
    outcome = follow(session)
    assert type(a) is shop.A
    assert a.f() == "old"
    assert (a.bad, a.items, a.inner) == (0, [1], {"x": {1}})
    assert a.items is items
    assert a.inner is inner
    assert not hasattr(a, "extra")
    assert type(b) is new.B
    [failed] = outcome.failed
    assert (failed.cls, failed.path, failed.step) == ("A", '["a"]', "A.__hot_migrate__")
    assert isinstance(failed.error, ValueError)


def test_a_step_of_an_object_that_became_another_fails(code: Code) -> None:
    """Where the layout changed, what stood for the object is taken back, wherever it was put."""
    before = "class A:\n    def __init__(self): self.x = [1]\n"
    after = "class A:\n    __slots__ = ('x', '__weakref__')\n    def __hot_migrate__(self, old):\n"
    a = code.first(text=before).A()
    session: dict[str, Any] = {"a": a, "t": (a, [a])}
    code.save(after + "        self.x.append(2); raise ValueError\n")
    assert follow(session).failed
    assert session["a"] is session["t"][0] is session["t"][1][0] is a
    assert a.x == [1]
    new = code.save(after + "        self.x.append(3)\n")
    assert not follow(session).failed
    assert type(session["a"]) is new.A
    assert session["a"] is session["t"][0] is session["t"][1][0]
    assert session["a"].x == [1, 3]


def test_after_the_fix_it_is_tried_again(code: Code) -> None:
    """The next save tries again those that failed, from the version that they have, and no others."""
    text = "class A:\n    def __init__(self, n): self.n, self.seen = n, []\n"
    shop = code.first(text=text)
    a, b = shop.A(0), shop.A(1)
    code.save(text + "    def __hot_migrate__(self, old): self.seen.append(1 / self.n)\n")
    assert len(follow([a, b]).failed) == 1
    assert (type(a), b.seen) == (shop.A, [1.0])
    new = code.save(text + "    def __hot_migrate__(self, old): self.seen.append(old)\n")
    assert not follow([a, b]).failed
    assert (a.seen, b.seen) == ([0], [1.0])
    assert type(a) is type(b) is new.A


def test_undoing_the_edit_gives_the_older_class_its_object_back(code: Code) -> None:
    """What failed goes on with the class as it was before, and later as that is then."""
    a = code.first(text=PLAIN).A()
    code.save(PLAIN + "    def __hot_migrate__(self, old): raise ValueError\n")
    follow([a])
    new = code.save(PLAIN)
    assert not follow([a]).failed
    assert type(a) is new.A


def test_after_a_restart_what_fails_stays_in_its_bytes(code: Code) -> None:
    """An item of a session whose step raises is kept as bytes, with the reason, and nothing is half converted."""
    a = code.first(text=PLAIN).A()
    with pytest.raises(Unreadable, match=r"the A at .* could not be converted: .* raised ValueError: no"):
        restarted(a, lambda: code.first(text=PLAIN + "    def __hot_migrate__(self, old): raise ValueError('no')\n"))


def test_two_steps_to_one_version_are_an_error(code: Code) -> None:
    """So is a version that is none."""
    shop = code.first(text=STEPS)
    with pytest.raises(ConfigurationError, match=r"second and .*other both bring A to version 2"):

        @hotsession.migrate(shop.A, version=2)
        def other(a: object) -> None: ...

    with pytest.raises(ConfigurationError, match="from 1 on"):
        hotsession.migrate(shop.A, version=0)


@pytest.mark.parametrize(("old", "new"), [("a b", "c"), ("a.B", "a.B"), ("", "a.B")])
def test_what_moved_can_not_mean_is_an_error(old: str, new: str) -> None:
    """Names are dotted names, and not the same."""
    with pytest.raises(ConfigurationError, match=r"moved\("):
        hotsession.moved(old, new)


def test_a_moved_module_brings_its_classes_along(code: Code) -> None:
    """What lies in something that moved has moved with it."""
    shop = code.first(text="class A:\n    class Inner:\n        def f(self): return 1\n")
    inner = shop.A.Inner()
    text = "import hotsession\nhotsession.moved('shop', 'store')\n"
    text += "class A:\n    class Inner:\n        def f(self): return 2\n"
    store = code.save_all({"shop": None, "store": text})["store"]
    follow([inner])
    assert type(inner) is store.A.Inner
    assert inner.f() == 2


class Tight:
    """An object that nobody can refer to weakly."""

    __slots__ = ("x",)


def test_what_is_kept_aside_goes_with_its_object() -> None:
    """Values aside are forgotten with the object; where that can't be noticed, when it is looked for."""
    asides = Asides()
    loose, tight = Mine(), Tight()
    asides.put(loose, {"x": 1})
    asides.put(tight, {"x": 2})
    asides.prune()
    assert (asides.of(loose), asides.of(tight)) == ({"x": 1}, {"x": 2})
    del loose, tight
    asides.prune()
    assert not asides


class Mine:
    """An ordinary object."""


@pytest.mark.parametrize(
    "text",
    [
        "class A: pass\n@hotsession.migrate(A, version=1)\nasync def step(a): a.x = 2\n",
        "class A:\n    async def __hot_migrate__(self, old): self.x = 2\n",
    ],
)
def test_a_step_that_would_have_to_be_awaited_fails(code: Code, text: str) -> None:
    """Nobody can await it where objects follow: the object stays as it was, and the report says why."""
    it = code.first(text="class A:\n    x = 1\n").A()
    code.save("import hotsession\n" + text)
    (failed,) = follow(it).failed
    assert "plain function" in str(failed.error)
    assert it.x == 1
