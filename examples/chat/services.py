"""The planner: what it answers, and how. Edit something here while you chat, save, and go on chatting."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import count, pairwise
from typing import Annotated

import hotsession

from .models import Message, Talk, Trip, read

GREETING = "Sure!"
SIGN_OFF = ""
PACE = float(os.environ.get("CHAT_PACE") or 0.05)  # seconds from word to word


@dataclass(frozen=True)
class Account:
    """What an API key stands for."""

    planner: str
    style: str
    cost: float  # of a day, as a share of what a day usually costs


ACCOUNTS = {
    "demo-thrifty": Account("Thrifty Trips", "a guest house and regional trains", 0.7),
    "demo-grand": Account("Grand Tours", "a hotel with a view and a guide", 1.9),
}

_built = count(1)


class UnknownKey(Exception):
    """An API key that stands for no account."""


@hotsession.service
class Planner:
    """Plans trips for one API key: built when it is first asked for, and built anew from the new code after a save.

    It owns nothing that must last: what was said is in the session.
    """

    def __init__(self, api_key: str, chats: Annotated[hotsession.SessionManager, "chats"]) -> None:
        try:
            self.account = ACCOUNTS[api_key]
        except KeyError:
            raise UnknownKey(f"There is no account for that API key. Try one of: {', '.join(ACCOUNTS)}.") from None
        self.chats = chats
        self.number = next(_built)
        self.answers = 0

    @property
    def name(self) -> str:
        """What the page shows of this planner: whose it is, and which of those built by this code."""
        return f"{self.account.planner} #{self.number}"

    async def answer(self, chat: hotsession.Session, said: Message, code: str) -> Message:
        """Answer a message from all that was said in the chat, and save both; one that was answered is not again."""
        messages: list[Message] = chat.data.setdefault("messages", [])
        known = answer_to(messages, said.get("id"))
        if known is not None:
            return known
        text = self._reply(read([*messages, said]), said["text"])
        reply = Message(role="planner", text=text, code=code, service=self.name)
        messages += [said, reply]
        self.answers += 1
        await self.chats.save(chat)
        return reply

    def _reply(self, talk: Talk, text: str) -> str:
        for pattern, reply in _RULES:
            if re.search(pattern, text, re.IGNORECASE):
                return f"{reply(talk, self.account)} {SIGN_OFF}".strip()
        return f"{_plan(talk, self.account)} {SIGN_OFF}".strip()


async def spoken(text: str) -> AsyncIterator[str]:
    """A text piece by piece, as fast as somebody speaks; joined, the pieces are the text."""
    for piece in re.findall(r"\s*\S+", text):
        yield piece
        await asyncio.sleep(PACE)


def answer_to(messages: list[Message], message_id: str | None) -> Message | None:
    """The answer that the message of that id already has, if any."""
    for message, following in pairwise(messages):
        if message_id is not None and message.get("id") == message_id:
            return following
    return None


def summary(trip: Trip) -> str:
    """The trip in a few words: "5 days in Lisbon for 2, 900 €"."""
    days = f"{trip.days} day{'' if trip.days == 1 else 's'}" if trip.days else "some days"
    people = f" for {trip.people}" if trip.people > 1 else ""
    budget = f", {trip.budget} €" if trip.budget else ""
    return f"{days} in {trip.destination or 'a place to be chosen'}{people}{budget}"


def _plan(talk: Talk, account: Account) -> str:
    trip = talk.trip
    if trip.destination is None:
        return f"{GREETING} Where would you like to go? I know my way around Lisbon, Porto, Kyoto, Paris, Berlin ..."
    if trip.days is None:
        return f"{GREETING} {trip.destination} it is. For how many days?"
    if trip.budget is None:
        return f"{GREETING} {summary(trip)}. What may it cost?"
    return f"{GREETING} {summary(trip)}: {_sights(trip)} With {account.style}. {_cost(trip, account)}"


def _sights(trip: Trip) -> str:
    if trip.place is None:
        return "I would start at the station and follow the locals."
    chosen = trip.place.sights[: trip.days]
    return "; ".join(f"day {day}: {sight}" for day, sight in enumerate(chosen, 1)) + "."


def _cost(trip: Trip, account: Account) -> str:
    cost = _estimate(trip, account)
    if trip.budget is None:
        return f"Reckon with {cost} €."
    if cost <= trip.budget:
        return f"That is about {cost} €, so {trip.budget - cost} € of your budget stay for ice cream."
    return f"That is about {cost} €, {cost - trip.budget} € over your budget: shall we make it a day less?"


def _estimate(trip: Trip, account: Account) -> int:
    usual = trip.place.cost_per_day if trip.place else 130
    return round(usual * account.cost * (trip.days or 3) * trip.people)


def _about(talk: Talk, tell: str) -> str:
    place = talk.trip.place
    if talk.trip.destination is None:
        return "Which place do you mean? Tell me where you would like to go."
    if place is None:
        return f"I have never been to {talk.trip.destination}; send me a postcard."
    return tell.format(place=place, sights=", ".join(place.sights))


def _recap(talk: Talk, account: Account) -> str:
    others = [place for place in talk.considered if place != talk.trip.destination]
    also = f" You also thought of {', '.join(others)}." if others else ""
    messages = "1 message" if talk.messages == 1 else f"{talk.messages} messages"
    return f"So far, after {messages}: {summary(talk.trip)}.{also}"


# "there" and "it" mean the place that the conversation is about: the rules see the whole talk, not the one message
_RULES = (
    (r"\bwhat (?:do|did) (?:you|i|we)\b.*\b(?:know|say|said|have|plan)|\bso far\b|\bremember\b|\brecap\b", _recap),
    (r"\b(?:see|do|visit)\b.*\bthere\b|\bsights?\b", lambda talk, _: _about(talk, "In {place.name}: {sights}.")),
    (r"\bget there\b|\bhow (?:do|can)\b.*\bgo\b", lambda talk, _: _about(talk, "To {place.name}? {place.journey}.")),
    (r"\bwhen\b|\bweather\b", lambda talk, _: _about(talk, "{place.name} is at its best in {place.best_in}.")),
    (r"\bhow much\b|\bcost\b|\bcheap(?:er)?\b|\bafford\b", lambda talk, account: _cost(talk.trip, account)),
    (r"\bthank", lambda talk, _: f"You're welcome. {summary(talk.trip)} - enjoy it!"),
)
