"""The websites that people work on, as some directory would know them. Pure."""

from __future__ import annotations

SITES = {
    "Bakery": ["Photograph the new oven", "Translate the menu", "Opening hours for the holidays"],
    "Harbour": ["Tide table on the front page", "Ferry timetable as a download"],
    "Museum": ["Tickets for the night of the museums", "Audio guide in French", "Alt texts for the gallery"],
}
