"""Classes that no name leads to: their objects stay with the old code, which is told of once, and of no other class."""

from __future__ import annotations

import collections
import logging
from collections.abc import Iterator

import pytest

from hotsession import testing
from tests.living.edits import HEAD
from tests.living.generations import Code, follow, restarted

LOCAL = """
def make():
    class Local:
        @property
        def now(self): return "TEXT"
    return Local
"""
WAYS = {
    "made in a function": LOCAL,
    "taken out of its module": "class Local:\n    def f(self): return 1\nHELD = {1: Local}\n"
    "def make(): return HELD[1]\ndel Local\n",
    "one of several of its name": "HELD = []\nfor _ in range(2):\n    class Local:\n        def f(self): return 1\n"
    "    HELD.append(Local)\ndef make(): return HELD[0]\n",
    "a dataclass": "def make():\n    @dataclass\n    class Local:\n        x: int = 1\n    return Local\n",
    "with a class method alone": "def make():\n    class Local:\n        @classmethod\n        def f(cls): return 1\n"
    "    return Local\n",
    "derived from one that follows": "class Base:\n    def f(self): return 1\n"
    "def make():\n    class Local(Base): pass\n    return Local\n",
    "derived from one without code": "class Base: pass\ndef make():\n    class Local(Base): pass\n    return Local\n",
    "a pydantic model": "def make():\n    class Local(pydantic.BaseModel):\n        a: int = 1\n"
    "        def f(self): return 1\n    return Local\n",
}


@pytest.mark.parametrize("text", WAYS.values(), ids=WAYS)
def test_an_object_of_a_class_without_a_name_stays_and_is_told_of(code: Code, text: str) -> None:
    """It is as it was, what it holds follows, and what is told says what would help."""
    cls = code.first(text=HEAD + text).make()
    it = cls()
    shop = code.save(HEAD + text)
    [left] = follow({"it": it, "again": [it]}).left
    assert (left.path, type(it)) == ('["it"]', cls)
    assert left.cls.endswith("Local")
    assert "found by no name" in left.why
    assert "stands in its module" in left.cure
    assert not follow({"it": shop.make()()}).left


def test_what_it_holds_follows(code: Code) -> None:
    """Objects of other classes in its attributes are of their new classes."""
    shop = code.first(text=LOCAL + "class Inner: pass\n")
    it = shop.make()()
    it.inner = shop.Inner()
    shop = code.save(LOCAL.replace("TEXT", "new") + "class Inner: pass\n")
    follow([it])
    assert type(it.inner) is shop.Inner
    assert it.now == "TEXT"


@pytest.mark.parametrize(
    "text",
    [
        "def make(): return collections.namedtuple('Local', 'x')(1)\n",
        "def make(): return type('Local', (), {})()\n",
        "def make():\n    @attrs.define\n    class Local:\n        x: int = 1\n    return Local()\n",
        "def make(): return collections.Counter()\n",
        "class Wrapped:\n    def f(self): return 1\nAlias = Wrapped\nWrapped = None\ndef make(): return Alias()\n",
    ],
)
def test_nothing_is_told_of_what_has_no_old_code(code: Code, text: str) -> None:
    """Neither of classes that are new, or of libraries, nor of those that have no function of the module."""
    code.first(text=HEAD + text)
    fresh = code.save(HEAD + text).make()
    assert not follow([fresh, collections.OrderedDict(), pytest.MonkeyPatch()]).left


def test_nothing_is_told_of_modules_that_stay(code: Code) -> None:
    """A class without a name in a module that was not replaced is of the code as it is."""
    other = code.first("other", LOCAL)
    code.first(text="")
    code.save("")
    assert not follow([other.make()()]).left


def test_a_class_without_a_name_in_a_session_stays_that_class(code: Code) -> None:
    """Nobody could tell which other one it should be."""
    cls = code.first(text=LOCAL).make()
    session = {"cls": cls}
    code.save(LOCAL)
    follow(session)
    assert session["cls"] is cls


def test_after_a_restart_it_has_its_old_code_too(code: Code) -> None:
    """Its class goes with it, as it was."""
    it = code.first(text=LOCAL).make()()
    assert restarted(it, lambda: code.first(text=LOCAL.replace("TEXT", "new"))).now == "TEXT"


MAIN = """
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from hotsession import keep
from models import make

held = keep("held", dict)

def home(request):
    return PlainTextResponse(held.setdefault("it", make()()).now)

app = Starlette(routes=[Route("/", home)])
"""


@pytest.fixture
def app() -> Iterator[testing.App]:
    """An app that keeps an object of a class that is made in a function."""
    with testing.running({"main.py": MAIN, "models.py": LOCAL.replace("TEXT", "1")}) as app:
        yield app


def test_it_is_told_of_once_in_the_log_and_in_the_report(app: testing.App, caplog: pytest.LogCaptureFixture) -> None:
    """The first save after which it is of old code says so, later ones do not."""
    assert app.client.get("/").text == "1"
    reports = []
    with caplog.at_level(logging.INFO):
        for number in (2, 3):
            app.edit("models.py", f'"{number - 1}"', f'"{number}"')
            reports.append(app.reload().left)
    assert app.client.get("/").text == "1"
    assert [len(left) for left in reports] == [1, 0]
    assert "Local" in reports[0][0]
    assert "found by no name" in reports[0][0]
    assert len([line for line in caplog.messages if "stays as it was" in line]) == 1
