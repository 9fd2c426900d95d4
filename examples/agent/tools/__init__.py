"""The tools of the agent, in the order in which they are thought of."""

from __future__ import annotations

from . import calculator, calendar, notes, weather
from .tool import Tool

TOOLS: dict[str, Tool] = {
    "weather": weather.tool,
    "calendar": calendar.tool,
    "notes": notes.tool,
    "calculator": calculator.tool,
}
