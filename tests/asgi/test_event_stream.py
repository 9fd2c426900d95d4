"""The body of a response without end: where it may be cut, and what its last words are."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotsession.asgi.event_stream import EventStream

EVENTS = [(b"content-type", b"text/event-stream; charset=utf-8")]


def part(body: bytes, *, more: bool = True) -> dict[str, Any]:
    return {"type": "http.response.body", "body": body, "more_body": more}


def after(*bodies: bytes) -> EventStream:
    """An event stream of which these parts were sent."""
    stream = EventStream.begun_by(EVENTS)
    assert stream is not None
    for body in bodies:
        stream.take(part(body))
    return stream


@pytest.mark.parametrize(
    ("headers", "endless"),
    [
        (EVENTS, True),
        ([(b"Content-Type", b"Text/Event-Stream")], True),
        ([(b"content-type", b"multipart/x-mixed-replace; boundary=frame")], True),
        ([(b"content-type", b"text/csv")], False),
        ([(b"content-type", b"multipart/form-data")], False),
        ([], False),
        ([*EVENTS, (b"content-length", b"10")], False),
    ],
)
def test_what_never_ends(headers: list[tuple[bytes, bytes]], endless: bool) -> None:
    """Event streams and pictures that replace each other, unless their length is promised."""
    assert (EventStream.begun_by(headers) is not None) is endless


@pytest.mark.parametrize(
    ("sent", "last"),
    [
        ([], b"retry: 250\n\n"),
        ([b"data: 1\n\n"], b"retry: 250\n\n"),
        ([b"data: 1\r\n\r\n"], b"retry: 250\n\n"),
        ([b"data: 1\r\r"], b"retry: 250\n\n"),
        ([b"data: 1\n", b"\n"], b"retry: 250\n\n"),
        ([b"data: 1\r", b"\n", b"\r", b"\n"], b"retry: 250\n\n"),
        ([b"data: 1\n\n", b""], b"retry: 250\n\n"),
        # no blank line: it would complete the event
        ([b"data: 1\n"], b"retry: 250\n"),
        ([b"data: 1\r\n"], b"retry: 250\n"),
        ([b"data: 1\r", b"\n"], b"retry: 250\n"),
        ([b"data: 1\n\ndata: 2"], b"\nretry: 250\n"),
        ([b"d"], b"\nretry: 250\n"),
    ],
)
def test_the_last_words(sent: list[bytes], last: bytes) -> None:
    """The page is told to come back soon, and no half of an event is passed for a whole one."""
    stream = after(*sent)
    assert stream.between_events is last.endswith(b"\n\n")
    assert stream.last() == part(last, more=False)
    assert stream.over


@pytest.mark.parametrize(
    "headers", [[*EVENTS, (b"Content-Encoding", b"gzip")], [(b"content-type", b"multipart/x-mixed-replace")]]
)
def test_nothing_is_put_into_what_is_not_plain_events(headers: list[tuple[bytes, bytes]]) -> None:
    """A compressed stream, or one of pictures, can end anywhere, and ends without a word."""
    stream = EventStream.begun_by(headers)
    assert stream is not None
    stream.take(part(b"\x1f\x8b"))
    assert stream.between_events
    assert stream.last() == part(b"", more=False)


def test_what_is_not_compressed_may_say_so() -> None:
    """`identity` is no compression."""
    stream = EventStream.begun_by([*EVENTS, (b"content-encoding", b"identity")])
    assert stream is not None
    assert stream.last()["body"] == b"retry: 250\n\n"


def test_an_app_that_ends_it_itself() -> None:
    """Then it is over."""
    stream = after(b"data: 1\n\n")
    assert not stream.over
    stream.take(part(b"", more=False))
    assert stream.over


@pytest.mark.parametrize(
    ("before", "body", "taken", "complete"),
    [
        (b"data: 1", b"\n\n", b"\n\n", True),
        (b"data: 1\n", b"\ndata: 2", b"\n", True),
        (b"data: 1", b"1\n\ndata: 2\n\ndata: 3", b"1\n\ndata: 2\n\n", True),
        (b"data: 1\r\n", b"\r\ndata: 2\r\n", b"\r\n", True),
        (b"data: 1", b"1", b"1", False),
        (b"data: 1\r", b"\n", b"\n", False),
    ],
)
def test_up_to_the_end_of_the_event(before: bytes, body: bytes, taken: bytes, complete: bool) -> None:
    """What completes the event that has begun is sent, and what comes after it is not."""
    stream = after(b"data: 0\n\n", before)
    assert not stream.between_events
    assert stream.take(stream.up_to_border(part(body)))["body"] == taken
    assert stream.between_events is complete


def browser(stream: bytes) -> list[bytes]:
    """The data that a browser hands out, as the standard has it; what is incomplete at the end is dropped."""
    found, data = [], []
    for line in stream.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")[:-1]:
        if line.startswith(b"data:"):
            data.append(line[5:])
        elif not line and data:
            found.append(b"\n".join(data))
            data = []
    return found


@given(st.data())
def test_browsers_see_whole_events_wherever_it_is_cut(data: st.DataObject) -> None:
    """However an app slices its events, and wherever it is ended: a prefix of them arrives, and the retry line."""
    end = data.draw(st.sampled_from([b"\n", b"\r\n", b"\r"]))
    events = [end.join(b"data:%d" % n for n in data.draw(st.lists(st.integers(), min_size=1))) for _ in range(3)]
    whole = b"".join(event + end + end for event in events)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    slices = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    ended_at = data.draw(st.integers(0, len(slices)))
    stream, sent = after(), b""
    for body in slices[:ended_at]:
        sent += stream.take(part(body))["body"]
    for body in slices[ended_at : data.draw(st.integers(ended_at, len(slices)))]:
        if not stream.between_events:
            sent += stream.take(stream.up_to_border(part(body)))["body"]
    sent += stream.last()["body"]
    assert b"retry: 250\n" in sent
    seen = browser(sent)
    assert seen == browser(whole)[: len(seen)]
