"""The id of the last event that was sent whole, as a browser would tell it when it reconnects."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotsession.asgi.event_ids import EventIds


def last_of(*parts: bytes) -> bytes | None:
    """The id after these parts of a stream."""
    ids = EventIds()
    for part in parts:
        ids.read(part)
    return ids.last


@pytest.mark.parametrize(
    ("sent", "last"),
    [
        (b"", None),
        (b"data: 1\n\n", None),
        (b"id: 1\n", None),
        (b"id: 1\ndata: x\n\n", b"1"),
        (b"data: x\nid:1\n\n", b"1"),
        (b"id:  1\n\n", b" 1"),
        (b"id: 1\n\nid: 2\ndata: begun\n", b"1"),
        (b"id: 1\n\ndata: no id\n\n", b"1"),
        (b"id: 1\nid: 2\n\n", b"2"),
        (b"id: 1\n\nid\n\n", b""),
        (b"id: 1\n\nid: a\0b\n\n", b"1"),
        (b"idea: 1\n\n", None),
        (b"data: id: 1\n\n", None),
        (b": id: 1\n\n", None),
        (b"id: 1\r\n\r\nid: 2\r\rid: 3\n\n", b"3"),
        ("id: é\n\n".encode(), "é".encode()),
    ],
)
def test_the_last_id(sent: bytes, last: bytes | None) -> None:
    """By the rules of the standard, in one part and byte by byte."""
    assert last_of(sent) == last
    assert last_of(*(sent[at : at + 1] for at in range(len(sent)))) == last


@given(st.lists(st.sampled_from([b"id: 1", b"id:22", b"id", b"data: id", b"", b"\n", b"\r", b"\r\n", b"i", b"d: 3"])))
def test_it_does_not_depend_on_the_parts(parts: list[bytes]) -> None:
    """However a stream is cut, the id is the same; but between the two bytes of a line end it may come too early."""
    whole = b"".join(parts)
    if b"\r" not in whole:
        assert last_of(*parts) == last_of(whole)
    assert last_of(*parts, b"\n\n") == last_of(whole, b"\n\n")


def test_long_lines_are_not_kept() -> None:
    """A line that is no id is not gathered, however many parts it has."""
    ids = EventIds()
    for _ in range(1000):
        ids.read(b"data: " + b"x" * 1000)
    assert len(ids._begun) < 10
    ids.read(b"\nid: 7\n\n")
    assert ids.last == b"7"
