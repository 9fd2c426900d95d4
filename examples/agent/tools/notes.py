"""Searches the notes: a text file, a paragraph per note."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from .tool import Tool

NOTES = Path(__file__).parent.parent / "data" / "notes.md"
_WISH = re.compile(
    r"\bnotes?\b.*?\b(?:about|on|for|of|say about)\s+(.+)|\b(?:find|search(?: for)?)\s+(.+)", re.IGNORECASE
)
_SMALL = {"a", "an", "the", "of", "for", "to", "in", "on", "my", "is", "are", "was", "were", "and", "or", "what"}


def spot(text: str, earlier: dict[str, Any]) -> dict[str, Any] | None:
    """What the notes are to be searched for."""
    wish = _WISH.search(text)
    return None if wish is None else {"query": (wish[1] or wish[2]).strip(" .?!")}


def use(query: str) -> str:
    """The note that has most of the words."""
    wanted = set(re.findall(r"\w+", query.lower())) - _SMALL
    notes = [note.strip() for note in NOTES.read_text(encoding="utf-8").split("\n\n") if note.strip()]
    best = max(notes, key=lambda note: _hits(note, wanted), default="")
    return " ".join(best.split()) if best and _hits(best, wanted) else f"nothing about {query}."


def _hits(note: str, wanted: set[str]) -> int:
    return sum(any(word.startswith(each) for word in re.findall(r"\w+", note.lower())) for each in wanted)


tool = Tool("search the notes", "What do the notes say about the train?", spot, use)
