"""Each row of the README's table of edits is one that is run, in place and after a restart, under real servers too."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.e2e.living_cases import CASES
from tests.living.edits import EDITS

ROOT = Path(__file__).resolve().parents[2]

ROWS = {
    "a method or property added or changed, a base class added": [
        "a method added or changed",
        "a property in place of a method",
        "a base class added",
    ],
    "a field added, with a default (dataclass, attrs, pydantic, named tuple)": [
        "a dataclass field added, with a default",
        "an attrs class: a field added",
        "a pydantic model: a validated field added",
        "a named tuple: a field added, with a default",
    ],
    "a field added, without one": ["a dataclass field added, without a default"],
    "a field removed": ["a dataclass field removed", "a pydantic model: a field removed"],
    'a field renamed, with `@hotsession.renamed(old="new")`': ['a field renamed, with `renamed(old="new")`'],
    "the type of a field changed": ["the type of a field changed"],
    "made frozen": ["a dataclass made frozen"],
    "slots added, taken away or changed; fields of a named tuple changed": [
        "slots added",
        "slots taken away",
        "a frozen dataclass with slots: a field added in front",
        "a named tuple: a field added, with a default",
    ],
    "Enum: members added, values changed": ["an Enum: members added, values and order changed"],
    'moved or renamed, with `hotsession.moved("app.old.Name", "app.new.Name")`': [
        "a class moved or renamed, with `moved(...)`",
        "a class moved to another module",
    ],
    'a pydantic model with `extra="allow"`: an extra value declared, a field removed': [
        "a pydantic model: an extra value declared, undone, and extra values forbidden, and allowed again"
    ],
    "a pydantic model that takes extra values no longer": [
        "a pydantic model: an extra value declared, undone, and extra values forbidden, and allowed again"
    ],
    "a pydantic model with parameters (`Page[Item]`): it or `Item` edited": [
        "a pydantic model with parameters: it and the class that it was given are edited"
    ],
    "became an Enum or a function; lost its built-in base; an Enum member removed": [
        "a class that became an Enum",
        "a class that became a function",
        "a container no longer the base",
        "an Enum: a member removed",
    ],
    "its class was made in a function, or is found by no name": ["a class made in a function"],
}
"""By the first cell of a row of the README: the edits that are tried."""


def rows() -> list[str]:
    """The first cells of the README's table of edits."""
    text = (ROOT / "README.md").read_text(encoding="utf-8").partition("| the edit | its objects |\n|---|---|\n")[2]
    return re.findall(r"^\| (.*?) \| .* \|$", text.partition("\n\n")[0], re.MULTILINE)


def test_all_rows_are_tried() -> None:
    """None is added, taken away or worded otherwise without its tests."""
    assert sorted(rows()) == sorted(ROWS)


@pytest.mark.parametrize("row", ROWS)
def test_a_row_is_tried_by_edits_that_exist(row: str) -> None:
    """They are those of tests/living/edits.py, or of the end-to-end tests."""
    assert {*ROWS[row]} <= {edit.what for edit in EDITS} | {case.what for case in CASES}
