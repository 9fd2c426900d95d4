"""Each row of the table of what survives an edit: in place, after a restart, and undone again."""

# ruff: noqa: S307 - what is evaluated are the rows of the table

from __future__ import annotations

from typing import Any

import pytest

from hotsession.snapshot.unpickling import Unreadable
from tests.living.edits import EDITS, HEAD, Edit
from tests.living.generations import Code, follow, restarted

ROWS = pytest.mark.parametrize("edit", EDITS, ids=[edit.what for edit in EDITS])


def first(code: Code, edit: Edit) -> Any:
    """What is in a session before the edit."""
    return eval(edit.make, {"shop": code.first(text=HEAD + edit.before)})


@ROWS
def test_in_place(code: Code, edit: Edit) -> None:
    """After a reload what is in a session is as the table says, and the same object where it says so."""
    session = {"it": first(code, edit)}
    before = session["it"]
    shop = code.save(HEAD + edit.after)
    follow(session)
    assert eval(edit.holds, {"it": session["it"], "shop": shop})
    assert (session["it"] is before) == edit.in_place


@ROWS
def test_after_a_restart(code: Code, edit: Edit) -> None:
    """After a restart it is so too, or stays in its bytes, where the old code would be needed."""
    value = first(code, edit)
    found: dict[str, Any] = {}

    def save() -> None:
        found["shop"] = code.first(text=HEAD + edit.after)

    if edit.restart:
        it = restarted(value, save)
        assert eval(edit.holds, {"it": it, "shop": found["shop"]})
    else:
        with pytest.raises(Unreadable):
            restarted(value, save)


@ROWS
def test_undone(code: Code, edit: Edit) -> None:
    """When the edit is undone the objects are of the class as it was again, with all that they had."""
    session = {"it": first(code, edit)}
    was = repr(vars(session["it"])) if hasattr(session["it"], "__dict__") else repr(session["it"])
    code.save(HEAD + edit.after)
    follow(session)
    undo = "\nhotsession.moved('shop.B', 'shop.A')" if "moved(" in edit.after else ""
    shop = code.save(HEAD + edit.before + undo)
    outcome = follow(session)
    it = session["it"]
    assert not outcome.left
    assert not outcome.failed
    assert type(it).__module__ != "shop" or type(it) is shop.A
    if "migrate" not in edit.after:
        assert (repr(vars(it)) if hasattr(it, "__dict__") else repr(it)) == was
