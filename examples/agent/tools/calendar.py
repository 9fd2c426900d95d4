"""Knows what day it is, and how long it is until another."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

from .tool import Tool

FEASTS = {"new year": (1, 1), "may day": (5, 1), "halloween": (10, 31), "christmas": (12, 25)}
_DATE = re.compile(r"\b(\d{4})-(\d{2})-(\d{2})\b")
_DAYS = re.compile(r"\bin (\d{1,5}) (day|week)s?\b", re.IGNORECASE)


def spot(text: str, earlier: dict[str, Any]) -> dict[str, Any] | None:
    """A date, a feast, some days from now, or just the day."""
    if date := _DATE.search(text):
        return {"day": date[0]}
    for feast in FEASTS:
        if feast in text.lower():
            return {"day": feast}
    if days := _DAYS.search(text):
        return {"day": f"in {int(days[1]) * (7 if days[2].lower() == 'week' else 1)} days"}
    if re.search(r"\b(?:today|what day|which day|the date)\b", text, re.IGNORECASE):
        return {"day": "today"}
    return None


def use(day: str) -> str:
    """Which day that is, and how far away."""
    today = dt.datetime.now().astimezone().date()
    try:
        then = _day(day, today)
    except ValueError:
        return f"there is no such day as {day}"
    away = (then - today).days
    distance = {0: "today", 1: "tomorrow", -1: "yesterday"}.get(
        away, f"in {away} days" if away > 0 else f"{-away} days ago"
    )
    return f"{then:%A}, {then.day} {then:%B %Y}, {distance}"


def _day(day: str, today: dt.date) -> dt.date:
    if day == "today":
        return today
    if day in FEASTS:
        month, number = FEASTS[day]
        then = today.replace(month=month, day=number)
        return then if then >= today else then.replace(year=then.year + 1)
    if days := re.fullmatch(r"in (\d+) days", day):
        return today + dt.timedelta(days=int(days[1]))
    return dt.date.fromisoformat(day)


tool = Tool("look at the calendar", "How long is it until Christmas?", spot, use)
