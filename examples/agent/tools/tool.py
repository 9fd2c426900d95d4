"""What a tool is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Tool:
    """Something that the agent can do.

    Args:
        purpose: what it is for, in words that follow "I can".
        example: a question that calls for it.
        spot: returns the arguments that a part of a question calls it with, or None; gets those of the last call too.
        use: called with the arguments, returns what it found.
    """

    purpose: str
    example: str
    spot: Callable[[str, dict[str, Any]], dict[str, Any] | None]
    use: Callable[..., str]
