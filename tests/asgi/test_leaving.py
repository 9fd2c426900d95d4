"""When the handler of a WebSocket that was asked to leave is told so, and when it is cut off."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hotsession.asgi.leaving import PATIENCE, PAUSE, THOUGHT, Handler, next_step

ASKED = Handler(asked_at=100.0)
DRAIN = 60.0


@pytest.mark.parametrize(
    ("handler", "after", "step", "until"),
    [
        (ASKED, 0, "tell", 110),
        (replace(ASKED, waits=False), 0, "tell", 160),
        (replace(ASKED, waits=False), 59.9, "tell", 160),
        (replace(ASKED, waits=False), 60, "cut", 160),
        (replace(ASKED, waits=True), 55, "tell", 160),
        (replace(ASKED, listens=False, waits=False), 0, "tell", 110),
        (replace(ASKED, listens=False, waits=False), PATIENCE, "cut", 110),
        (replace(ASKED, told_at=130.0), 30, "tell", 140),
        (replace(ASKED, told_at=130.0), 40, "cut", 140),
        (replace(ASKED, told_at=155.0), 59, "tell", 160),
    ],
    ids=[
        "waits",
        "works",
        "still works",
        "waits again",
        "works for too long",
        "only sends",
        "has only sent for long enough",
        "was told",
        "was told and goes on",
        "was told late",
    ],
)
def test_what_is_done(handler: Handler, after: float, step: str, until: float) -> None:
    """Who waits is told at once, who works when it next waits; nobody is waited for without end."""
    assert next_step(handler, 100.0 + after, DRAIN) == (step, until)


def test_a_shorter_drain_bounds_everything() -> None:
    """Also the patience with who only sends, or was told."""
    for handler in (replace(ASKED, listens=False), replace(ASKED, told_at=100.5), replace(ASKED, waits=False)):
        assert next_step(handler, 102.0, drain=2.0) == ("cut", 102.0)


def test_an_answer_beside_the_wait() -> None:
    """A handler with a stop button is told when its answer has paused, and not for what it has sent for too long."""
    answering = replace(ASKED, heard_at=90.0, sent_at=99.9, overlaps=True)
    assert next_step(answering, 100.0, DRAIN) == ("wait", 99.9 + PAUSE)
    assert next_step(answering, 99.9 + PAUSE, DRAIN)[0] == "tell"
    assert next_step(replace(answering, sent_at=149.9), 149.9, DRAIN) == ("wait", 150.0)  # 60 s after it heard
    assert next_step(replace(answering, sent_at=150.0), 150.1, DRAIN) == ("tell", 160)
    assert next_step(replace(answering, heard_at=20.0), 100.0, DRAIN)[0] == "tell"
    assert next_step(replace(answering, heard_at=90.0, sent_at=159.9), 160.0, DRAIN)[0] == "cut"


def test_a_dialogue_beside_the_wait() -> None:
    """One that goes on after the save without a pause is left to new code when the patience is over."""
    talking = replace(ASKED, heard_at=109.8, sent_at=109.9, overlaps=True)
    assert next_step(talking, 109.9, DRAIN) == ("wait", 110.0)
    assert next_step(replace(talking, heard_at=110.0, sent_at=110.0), 110.0, DRAIN)[0] == "tell"


def test_an_answer_in_turn() -> None:
    """A handler that waits only when it has answered is told at once, however short ago that was."""
    assert next_step(replace(ASKED, heard_at=99.8, sent_at=99.9), 100.0, DRAIN)[0] == "tell"


def test_an_answer_that_has_not_begun() -> None:
    """It is given time to begin; messages that come after the save have no claim to old code."""
    asked_something = replace(ASKED, heard_at=98.0)
    assert next_step(asked_something, 100.0, DRAIN) == ("wait", 98.0 + THOUGHT)
    assert next_step(asked_something, 98.0 + THOUGHT, DRAIN)[0] == "tell"
    assert next_step(replace(ASKED, heard_at=100.5), 101.0, DRAIN)[0] == "tell"
    assert next_step(replace(asked_something, told_at=100.0), 101.0, DRAIN)[0] == "tell"
