"""What becomes of data that two changed at once."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from hotsession.lifecycle.merging import apply_changes, changed_keys, merged, put_into

Data = dict[str, Any]
datas = st.dictionaries(st.sampled_from("abcd"), st.sampled_from([0, 1, False, [1], None]), max_size=4)


def test_changes_of_different_keys_are_both_there() -> None:
    """Put in, changed and taken out."""
    base = {"a": 1, "b": 1, "c": 1}
    assert merged(base, {"a": 2, "b": 1, "new": 1}, {"a": 1, "b": 3, "c": 1}) == ({"a": 2, "b": 3, "new": 1}, ())


def test_of_what_both_changed_the_stored_stays() -> None:
    """And it is told; what both changed alike is no conflict."""
    assert merged({"a": 1}, {"a": 2, "b": "x"}, {"a": 3, "b": "x"}) == ({"a": 3, "b": "x"}, ("a",))


def test_two_who_count_or_append_alike_are_told_that_one_is_lost() -> None:
    """What both come to is the same, and half of what it should be."""
    theirs = {"count": 1, "said": ["hi"], "ready": True}
    assert merged({"count": 0}, {**theirs}, theirs) == (theirs, ("count", "said"))


@given(base=datas, mine=datas, theirs=datas)
def test_a_merge_loses_nothing_without_a_word(base: Data, mine: Data, theirs: Data) -> None:
    """Every change of theirs is there, and every one of mine that is not named as a conflict."""
    both, conflicts = merged(base, mine, theirs)
    for key in changed_keys(base, theirs):
        assert (key in both) == (key in theirs)
        assert both.get(key) == theirs.get(key)
    for key in changed_keys(base, mine) - set(conflicts):
        assert (key in both) == (key in mine)
        assert both.get(key) == mine.get(key)


@given(base=datas, mine=datas)
def test_without_another_writer_a_merge_is_mine(base: Data, mine: Data) -> None:
    """And the other way round."""
    assert merged(base, mine, base) == (mine, ())
    assert merged(base, base, mine) == (mine, ())


@given(before=datas, after=datas)
def test_changes_are_done_in_place(before: Data, after: Data) -> None:
    """Who holds the dict sees them, and what others put in stays."""
    data = {**before, "theirs": 7}
    apply_changes(data, before, after)
    assert data == {**after, "theirs": 7}
    put_into(data, after)
    assert data == after
