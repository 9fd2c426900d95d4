"""What the trip planner makes of a conversation, from its text alone."""

from __future__ import annotations

import pytest

from examples.chat.models import Message, Talk, Trip, read


def talk(*texts: str) -> Talk:
    return read([Message(role="you", text=text) for text in texts])


@pytest.mark.parametrize(
    ("text", "trip"),
    [
        ("Five days in Lisbon for two people, 900 €", Trip("Lisbon", 5, 900, 2)),
        ("a week in kyoto, budget 2,500 euros", Trip("Kyoto", 7, 2500)),
        ("I'd like to see Porto for a long weekend, $400", Trip("Porto", 3, 400)),
        ("A 10-day trip to San Sebastián with 3 friends", Trip("San Sebastián", 10, None, 3)),
        ("What about in May?", Trip()),
        ("Hello!", Trip()),
        ("0 days in Rome", Trip("Rome", 1)),
        ("9999999999999999999 days in Oslo for €99999999999999999", Trip("Oslo", 9999, 999999999)),
        ("", Trip()),
    ],
)
def test_a_message_says_where_how_long_and_for_how_much(text: str, trip: Trip) -> None:
    """Destination, days, budget and people are read from one message, and absurd numbers are bounded."""
    assert talk(text).trip == trip


def test_later_messages_complete_and_change_what_was_said() -> None:
    """Each message adds to the trip, and the last word counts."""
    assert talk("To Rome!", "4 days", "€600", "rather in Berlin", "a day longer").trip == Trip("Berlin", 5, 600)


def test_a_trip_is_never_shorter_than_a_day() -> None:
    """Taking away more days than there are leaves one."""
    assert talk("2 days in Oslo", "a week less").trip.days == 1


def test_pronouns_mean_what_was_said_earlier() -> None:
    """In a later message, the other one is the place that was considered before the one at hand."""
    said = talk("Lisbon or so?", "Or rather to Porto", "no, let's go back to the other one")
    assert said.trip.destination == "Lisbon"
    assert said.considered == ("Lisbon", "Porto")


def test_what_the_planner_says_is_not_what_the_user_wants() -> None:
    """Places and numbers in the planner's own messages change nothing."""
    said: list[Message] = [Message(role="planner", text="Lisbon, Porto, 5 days?"), Message(role="you", text="Oslo")]
    assert read(said).trip == Trip("Oslo")
