"""Each class counts the versions of its objects for itself, and no object passes a step twice."""

from __future__ import annotations

import traceback
from functools import partial

import pytest

from hotsession.living.shapes import Shape
from hotsession.living.versions import steps_between
from tests.living.generations import Code, follow, restarted

HEAD = "import hotsession\n"
BASE = "class A:\n    def __init__(self): self.seen = []\n"
SUB = "class B(A): pass\n"
BASE_STEP = "@hotsession.migrate(A, version=1)\ndef base(a): a.seen.append('base')\n"
SUB_STEP = "@hotsession.migrate(B, version=1)\ndef sub(b): b.seen.append('sub')\n"
NEXT_STEP = "@hotsession.migrate(A, version=2)\ndef later(a): a.seen.append('later')\n"
METHOD = "    def __hot_migrate__(self, old): self.seen.append(old)\n"

PLAIN = HEAD + BASE + SUB
WITH_BASE = HEAD + BASE + BASE_STEP + SUB
WITH_BOTH = WITH_BASE + SUB_STEP
WITH_ALL = WITH_BOTH + NEXT_STEP


def test_a_subclass_counts_for_itself(code: Code) -> None:
    """A step of the subclass is run also where one of the base brought the object to the same number before."""
    b = code.first(text=PLAIN).B()
    for text in (WITH_BASE, WITH_BOTH, WITH_BOTH, WITH_ALL):
        code.save(text)
        follow([b])
    assert b.seen == ["base", "sub", "later"]


def test_a_base_counts_for_itself(code: Code) -> None:
    """So is a step of the base after one of the subclass."""
    b = code.first(text=PLAIN).B()
    for text in (PLAIN + SUB_STEP, WITH_BOTH):
        code.save(text)
        follow([b])
    assert b.seen == ["sub", "base"]


def test_each_counts_for_itself_across_restarts(code: Code) -> None:
    """What is written says which steps of which class an object has passed."""
    b = code.first(text=PLAIN).B()
    for text in (WITH_BASE, WITH_BOTH, WITH_BOTH, WITH_ALL):
        b = restarted(b, partial(code.first, text=text))
    assert b.seen == ["base", "sub", "later"]


def test_a_method_of_a_subclass_is_told_the_version_that_it_counts(code: Code) -> None:
    """It is called although a step of the base was at the same number, and with the number of its own class."""
    b = code.first(text=WITH_BASE).B()
    for text in (WITH_BASE + METHOD, WITH_BASE + METHOD + "    __hot_version__ = 3\n"):
        code.save(text.replace("(A): pass", "(A):\n    pass"))
        follow([b])
    assert b.seen == [0, 1]


def test_a_renamed_class_passes_no_step_again(code: Code) -> None:
    """Its own steps go with it, whatever it is called."""
    a = code.first(text=HEAD + BASE + BASE_STEP).A()
    renamed = (HEAD + BASE + BASE_STEP).replace("class A", "class C").replace("(A,", "(C,")
    new = code.save(renamed + "hotsession.moved('shop.A', 'shop.C')\n")
    follow([a])
    assert type(a) is new.C
    assert a.seen == []


@pytest.mark.parametrize("restart", [False, True], ids=["in place", "restarts"])
def test_undone_and_redone_a_step_is_not_run_again(code: Code, restart: bool) -> None:
    """An object remembers the steps that it has passed while its class knows nothing of them; a new one has to."""
    session = {"old": code.first(text=PLAIN).B()}

    def save(text: str) -> None:
        nonlocal session
        if restart:
            session = restarted(session, lambda: code.first(text=text))
        else:
            code.save(text)
            follow(session)

    save(WITH_BOTH)
    save(PLAIN)
    session["new"] = type(session["old"])()
    save(PLAIN + "\n")
    save(WITH_BOTH)
    save(WITH_ALL)
    assert session["old"].seen == ["base", "sub", "later"]
    assert sorted(session["new"].seen) == ["base", "later", "sub"]


def test_undone_and_redone_a_method_goes_on_from_the_version_of_the_object(code: Code) -> None:
    """What the method did is not undone with it: when it is back it is told of that version, or not called."""
    a = code.first(text=BASE).A()
    for text in (BASE + METHOD, BASE, BASE + METHOD, BASE, BASE + METHOD + "    __hot_version__ = 4\n"):
        code.save(text)
        follow([a])
    assert a.seen == [0, 1]


def test_a_step_that_raises_after_an_undo_leaves_what_was_passed(code: Code) -> None:
    """The versions of the object are as they were, too, and the steps that it has not passed are tried again."""
    a = code.first(text=HEAD + BASE).A()
    one = HEAD + BASE + BASE_STEP
    for text in (one, HEAD + BASE, one + NEXT_STEP.replace("a.seen", "a.nothing"), HEAD + BASE, one + NEXT_STEP):
        code.save(text)
        follow([a])
    assert a.seen == ["base", "later"]


def test_what_was_written_before_classes_counted_for_themselves(code: Code) -> None:
    """Its one version stands for all classes: no step up to it is run again."""
    shop = code.first(text=WITH_ALL)
    old = Shape.written(None, 1, ())
    assert [step.name for step in steps_between(old.passed_by(shop.B), old.version, shop.B)] == ["later"]


def test_a_step_that_has_no_name(code: Code) -> None:
    """Anything that can be called is a step, also what is no function."""
    nameless = "import functools\nhotsession.migrate(A, version=1)(functools.partial(add, 1))\n"
    text = HEAD + BASE + "def add(value, a): a.seen.append(value)\n"
    a = code.first(text=text).A()
    for _ in range(2):
        code.save(text + nameless)
        follow([a])
    assert a.seen == [1]


@pytest.mark.parametrize(
    ("text", "where"),
    [
        (BASE + BASE_STEP.replace("a.seen", "a.nothing"), "base"),
        (BASE + METHOD.replace("self.seen", "self.nothing"), "__hot_migrate__"),
    ],
)
def test_the_traceback_begins_in_the_code_of_the_user(code: Code, text: str, where: str) -> None:
    """Who looks for the error finds the first line of it in the step, without our own in front of that."""
    a = code.first(text=BASE).A()
    code.save(HEAD + text)
    [failed] = follow([a]).failed
    assert [frame.name for frame in traceback.extract_tb(failed.error.__traceback__)] == [where]
