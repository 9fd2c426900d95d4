"""Frozensets keep the hashes of what was put in: they are made anew where something in them has another by now."""

from __future__ import annotations

from typing import Any

import pytest

from tests.living.generations import Code, follow

HEAD = "import hotsession\nfrom dataclasses import dataclass\n"
KEY = HEAD + "@dataclass(unsafe_hash=True)\nclass K:\n    a: int\n"
MORE = KEY + "    b: int = 2\n"
STEP = KEY + "@hotsession.migrate(K, version=1)\ndef step(k): k.a += 1\n"


@pytest.mark.parametrize("text", [MORE, STEP], ids=["a field", "a step"])
def test_members_are_found(code: Code, text: str) -> None:
    """Wherever it sits: in a list, as a key, in a tuple, and in another frozenset."""
    shop = code.first(text=KEY)
    inside = frozenset([shop.K(1), shop.K(3), "x"])
    root: dict[Any, Any] = {"it": [inside], inside: 1, "deep": ({"s": frozenset([inside, 7])},)}
    shop = code.save(text)
    assert not follow(root).left
    now = frozenset([shop.K(1), shop.K(3), "x"] if text is MORE else [shop.K(2), shop.K(4), "x"])
    assert root["it"] == [now]
    assert next(iter(now - {"x"})) in root["it"][0]
    assert root[now] == 1
    assert root["deep"][0]["s"] == frozenset([now, 7])
    assert root["deep"][0]["s"] - {7} == {now}


def test_one_that_is_shared_stays_shared(code: Code) -> None:
    """What replaces it does so in all places of a session, and what did not change stays the object that it is."""
    shop = code.first(text=KEY)
    inside, other = frozenset([shop.K(1)]), frozenset(["x", 1])
    root: dict[str, Any] = {"one": inside, "two": [inside], "other": other}
    shop = code.save(MORE)
    follow(root)
    assert root["one"] is root["two"][0]
    assert shop.K(1) in root["one"]
    assert root["other"] is other


def test_a_subclass_keeps_its_attributes(code: Code) -> None:
    """One with a note of its own has it still."""
    text = KEY + "class F(frozenset): pass\n"
    shop = code.first(text=text)
    inside = shop.F([shop.K(1)])
    inside.note = "mine"
    root = [inside]
    shop = code.save(text.replace("a: int\n", "a: int\n    b: int = 2\n"))
    follow(root)
    assert shop.K(1) in root[0]
    assert type(root[0]) is shop.F
    assert root[0].note == "mine"


def test_one_whose_members_can_no_longer_be_hashed(code: Code) -> None:
    """It stays as it is and is reported: nothing in it is lost."""
    shop = code.first(text=KEY)
    root = [frozenset([shop.K(1), shop.K(2)])]
    before = root[0]
    code.save(KEY.replace("(unsafe_hash=True)", "") + "    def __hash__(self): raise ValueError('no')\n")
    outcome = follow(root)
    assert root[0] is before
    assert len(before) == 2
    assert [left.cls for left in outcome.left] == ["frozenset"]
