"""The rules of named tasks: values in, values out."""

from __future__ import annotations

import itertools

import pytest

from hotsession.background.rules import ON_RELOAD, Answer, OnReload, Relation, Standing, Turn, relation, report, turn
from hotsession.background.rules import answer as answer_to

RELATIONS: tuple[Relation, ...] = ("same", "newer", "older", "other")
STANDINGS = [
    Standing(on_reload, is_ending, is_inferred)
    for on_reload, is_ending, is_inferred in itertools.product(ON_RELOAD, (False, True), (False, True))
]


@pytest.mark.parametrize(
    ("before", "now", "is_same", "has_run_again", "expected"),
    [
        (1, 1, True, False, "same"),
        (1, 1, False, False, "other"),
        (1, 1, False, True, "other"),
        (1, 2, False, False, "newer"),
        (1, 2, True, False, "newer"),
        (2, 1, True, False, "older"),
        (2, 1, False, True, "older"),
        (0, 0, True, False, "same"),
        (0, 0, False, True, "newer"),
        (0, 0, False, False, "other"),
        (0, 1, True, False, "newer"),
    ],
)
def test_who_asks_has_the_same_code_or_newer_or_older_or_means_another_thing(
    before: int, now: int, is_same: bool, has_run_again: bool, expected: Relation
) -> None:
    """Generations tell; without a host, a module that was run again does."""
    assert relation(before, now, is_same=is_same, has_run_again=has_run_again) == expected


@pytest.mark.parametrize("on_reload", ON_RELOAD)
@pytest.mark.parametrize("how", RELATIONS)
def test_what_does_not_run_begins(how: Relation, on_reload: OnReload) -> None:
    """Whoever asks, and whatever it means to reloads."""
    assert answer_to(None, how, on_reload) == "begin"


@pytest.mark.parametrize(
    ("there", "how", "on_reload", "expected"),
    [
        (Standing("finish"), "same", "finish", "join"),
        (Standing("restart"), "same", "restart", "join"),
        (Standing("restart"), "same", "keep", "join"),
        (Standing("finish"), "other", "finish", "refuse"),
        (Standing("keep"), "other", "restart", "refuse"),
        (Standing("restart", is_inferred=True), "other", "restart", "replace"),
        (Standing("finish"), "newer", "finish", "wait"),
        (Standing("finish"), "newer", "restart", "replace"),
        (Standing("restart"), "newer", "finish", "wait"),
        (Standing("finish"), "newer", "keep", "join"),
        (Standing("restart"), "older", "restart", "join"),
        (Standing("restart", is_ending=True), "older", "restart", "join"),
        (Standing("restart", is_ending=True), "same", "restart", "wait"),
        (Standing("restart", is_ending=True), "other", "restart", "wait"),
        (Standing("keep", is_ending=True), "newer", "keep", "wait"),
    ],
)
def test_what_runs_when_a_name_is_asked_for(
    there: Standing, how: Relation, on_reload: OnReload, expected: Answer
) -> None:
    """The same is handed out, another refused, and newer code does what it says about reloads."""
    assert answer_to(there, how, on_reload) == expected


@pytest.mark.parametrize(
    ("there", "asked", "expected"),
    [
        (None, "finish", "begin"),
        (None, None, "go on"),
        (Standing("finish"), None, "go on"),
        (Standing("finish"), "finish", "wait"),
        (Standing("restart"), "restart", "replace"),
        (Standing("restart"), None, "end"),
        (Standing("restart", is_ending=True), None, "go on"),
        (Standing("keep"), None, "go on"),
        (Standing("keep"), "keep", "join"),
        (Standing("keep", is_ending=True), "keep", "wait"),
        # the newest word counts
        (Standing("keep"), "restart", "replace"),
        (Standing("restart"), "keep", "join"),
        (Standing("finish"), "keep", "join"),
        (Standing("restart"), "finish", "wait"),
    ],
)
def test_what_becomes_of_a_name_at_a_swap(there: Standing | None, asked: OnReload | None, expected: Turn) -> None:
    """What runs, and what the new code asked for while it was loaded, decide."""
    assert turn(there, asked) == expected


@pytest.mark.parametrize(
    ("there", "has_failed", "expected"),
    [
        (Standing("restart"), False, "restart"),
        (Standing("restart", is_ending=True), False, "go on"),
        (Standing("finish"), False, "go on"),
        (Standing("keep"), False, "go on"),
        (None, True, "restart"),
        (None, False, "go on"),
    ],
)
def test_a_successor_takes_over_from_what_is_to_be_restarted(
    there: Standing | None, has_failed: bool, expected: Turn
) -> None:
    """Also from what failed, but not from what somebody cancelled."""
    assert turn(there, None, has_failed=has_failed, has_successor=True) == expected


def test_a_reset_restarts_what_is_kept() -> None:
    """It would go on with values that were dropped."""
    assert turn(Standing("keep"), "keep", resets=True) == "replace"
    assert turn(Standing("keep"), None, has_successor=True, resets=True) == "restart"
    assert turn(Standing("keep"), None, resets=True) == "end"
    assert turn(Standing("finish"), "finish", resets=True) == "wait"


@pytest.mark.parametrize("there", STANDINGS)
@pytest.mark.parametrize("on_reload", ON_RELOAD)
def test_nothing_begins_beside_what_runs(there: Standing, on_reload: OnReload) -> None:
    """Whatever is asked for, by whomever: a name that runs is never begun a second time."""
    assert all(answer_to(there, how, on_reload) != "begin" for how in RELATIONS)
    for flags in itertools.product((False, True), repeat=3):
        options = dict(zip(("has_failed", "has_successor", "resets"), flags, strict=True))
        for asked in (None, on_reload):
            assert turn(there, asked, **options) != "begin"


@pytest.mark.parametrize(
    ("becomes", "on_reload", "words"),
    [
        ("replace", "restart", "'agent' restarted"),
        ("restart", "restart", "'agent' restarted"),
        ("end", "restart", "'agent' ended"),
        ("join", "keep", "'agent' kept"),
        ("go on", "keep", "'agent' kept"),
        ("wait", "finish", ""),
        ("go on", "finish", ""),
    ],
)
def test_the_report_says_what_became_of_it(becomes: Turn, on_reload: OnReload, words: str) -> None:
    """What finishes on old code is named by the report as work that this still has."""
    assert report("agent", becomes, on_reload) == words
