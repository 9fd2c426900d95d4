"""What was said and what follows from it: text in, plain values out. Nothing here knows of servers or sessions."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Literal, NotRequired, TypedDict


class Message(TypedDict):
    """One message of a chat, as it lies in the session and goes to the page."""

    role: Literal["you", "planner"]
    text: str
    id: NotRequired[str]  # given by the page, so that a message that is sent again is not answered twice
    code: NotRequired[str]  # which version of the code answered
    service: NotRequired[str]  # which planner answered


@dataclass(frozen=True)
class Place:
    """A destination the planner knows something about."""

    name: str
    cost_per_day: int
    sights: tuple[str, ...]
    journey: str
    best_in: str


PLACES = {
    place.name.lower(): place
    for place in (
        Place("Lisbon", 110, ("Alfama on foot", "the Tile Museum", "Belém", "a day in Sintra"), "by air", "May"),
        Place("Porto", 95, ("the Ribeira", "a port cellar", "the Foz at sunset"), "by air", "June"),
        Place("Kyoto", 160, ("Fushimi Inari at dawn", "Nishiki market", "Arashiyama"), "by air to Osaka", "November"),
        Place("Paris", 180, ("the Musée d'Orsay", "Belleville", "the Canal Saint-Martin"), "by train", "September"),
        Place("Berlin", 120, ("the Museum Island", "Tempelhofer Feld", "Kreuzberg"), "by night train", "July"),
        Place("Rome", 140, ("Trastevere", "the Forum", "Villa Borghese"), "by night train", "April"),
        Place("Oslo", 190, ("the Opera roof", "the Munch Museum", "an island in the fjord"), "by ferry", "August"),
    )
}
NUMBERS = {"a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "ten": 10}
NUMBER = rf"\d+|{'|'.join(NUMBERS)}"
DAYS_IN = {"day": 1, "night": 1, "week": 7}
# "to", "in" or "visit" and then a name that begins with a capital letter: "a trip to San Sebastián"
NAMED_PLACE = re.compile(r"\b(?:to|in|visit|see)\s+([A-ZÀ-Þ][\w'’-]+(?:\s+[A-ZÀ-Þ][\w'’-]+)*)")
MONTHS = "January|February|March|April|May|June|July|August|September|October|November|December"
BUDGET = re.compile(r"(?:[€$£]\s*(\d[\d., ]*)|(\d[\d., ]*)\s*(?:€|euros?\b|eur\b|dollars?\b|pounds?\b))", re.IGNORECASE)
DURATION = re.compile(rf"\b({NUMBER})[\s-]+(day|night|week)s?\b(?!\s+(?:more|longer|less|shorter))", re.IGNORECASE)
CHANGE = re.compile(rf"\b({NUMBER})\s+(day|night|week)s?\s+(more|longer|less|shorter)\b", re.IGNORECASE)
PEOPLE = re.compile(rf"\b({NUMBER})\s+(?:of us|people|persons|adults|friends)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Trip:
    """What is known about the trip so far; None is what nobody said yet."""

    destination: str | None = None
    days: int | None = None
    budget: int | None = None
    people: int = 1

    @property
    def place(self) -> Place | None:
        """What is known about the destination, if anything."""
        return PLACES.get((self.destination or "").lower())


@dataclass(frozen=True)
class Talk:
    """A chat as the planner reads it: the trip that it is about and the places that were considered."""

    trip: Trip = field(default_factory=Trip)
    considered: tuple[str, ...] = ()
    messages: int = 0


def read(messages: Iterable[Message]) -> Talk:
    """Read a chat from its first message on; what is said later changes what was said before."""
    talk = Talk()
    for message in messages:
        if message["role"] == "you":
            talk = heard(talk, message["text"])
    return talk


def heard(talk: Talk, text: str) -> Talk:
    """The chat after one more message of the user."""
    trip = talk.trip
    destination = _destination(text, talk)
    if destination is not None:
        trip = replace(trip, destination=destination)
    trip = replace(
        trip,
        days=_days(text, trip.days),
        budget=_budget(text) or trip.budget,
        people=_people(text) or trip.people,
    )
    considered = talk.considered
    if destination is not None and destination not in considered:
        considered = (*considered, destination)
    return Talk(trip, considered, talk.messages + 1)


def _destination(text: str, talk: Talk) -> str | None:
    for word in re.findall(r"[\w'’-]+", text):
        if word.lower() in PLACES:
            return PLACES[word.lower()].name
    if re.search(r"\b(?:first|other) (?:one|place|city)\b|\bgo back to\b", text, re.IGNORECASE) and talk.considered:
        others = [place for place in talk.considered if place != talk.trip.destination]
        return (others or list(talk.considered))[0]
    named = NAMED_PLACE.search(text)
    if named is None or re.fullmatch(MONTHS, named[1]):
        return None
    return named[1]


def _days(text: str, before: int | None) -> int | None:
    change = CHANGE.search(text)
    if change is not None and before is not None:
        by = _number(change[1]) * DAYS_IN[change[2].lower()]
        return max(1, before + by if change[3].lower() in ("more", "longer") else before - by)
    said = DURATION.search(text)
    if said is not None:
        return max(1, _number(said[1]) * DAYS_IN[said[2].lower()])
    return 3 if re.search(r"\blong weekend\b", text, re.IGNORECASE) else before


def _budget(text: str) -> int | None:
    said = BUDGET.search(text)
    if said is None:
        return None
    digits = re.sub(r"[., ]", "", said[1] or said[2])
    return int(digits[:9])


def _people(text: str) -> int | None:
    said = PEOPLE.search(text)
    return max(1, _number(said[1])) if said else None


def _number(text: str) -> int:
    return NUMBERS.get(text.lower()) or int(text[:4])
