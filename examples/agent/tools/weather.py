"""Knows how the weather usually is: a table in a file, which may be edited, too."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

from .tool import Tool

TABLE = Path(__file__).parent.parent / "data" / "weather.csv"
# the table has one month of each season
WORDS = {
    "January": ("winter", "december", "january", "february"),
    "April": ("spring", "march", "april", "may"),
    "July": ("summer", "june", "july", "august"),
    "October": ("autumn", "september", "october", "november"),
}


def spot(text: str, earlier: dict[str, Any]) -> dict[str, Any] | None:
    """A city of the table; what is not said is as in the question before."""
    lower = text.lower()
    city = next((row["city"] for row in _rows() if row["city"].lower() in lower), None)
    is_about_weather = re.search(r"\b(?:weather|warm|cold|hot|rain\w*|temperature|degrees)\b", lower)
    month = next((month for month, words in WORDS.items() if re.search(rf"\b({'|'.join(words)})\b", lower)), None)
    goes_on = earlier and lower.startswith(("and", "what about", "how about", "in ", "or"))
    if not is_about_weather and not (goes_on and (city or month)):
        return None
    return {"city": city or earlier.get("city", "Lisbon"), "month": month or earlier.get("month", "July")}


def use(city: str, month: str) -> str:
    """What the table says."""
    row = next((row for row in _rows() if row["city"] == city and row["month"] == month), None)
    if row is None:
        return f"the table knows nothing of {city} in {month}"
    return (
        f"{city} in {month} has {row['day']} °C by day and {row['night']} °C by night, with {row['wet days']} wet days "
        f"in the month"
    )


def _rows() -> list[dict[str, str]]:
    with TABLE.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


tool = Tool("tell the weather", "How warm is Lisbon in spring?", spot, use)
