"""How the agent thinks: which tools a question calls for, and what is said of their results. Pure.

Where a real agent asks a model, this one has rules. So you can read them, change them, and see what comes of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from . import prompts
from .tools import TOOLS

Call = dict[str, Any]  # "tool" and "arguments"

_CLAUSE = re.compile(r"[?!;\n]+|[.,]\s+|\b(?:and|then|also|plus then)\b", re.IGNORECASE)
_ABOUT_ITSELF = re.compile(r"\bwhat can you do\b|\bwho are you\b|\bhelp\b|\byour tools\b", re.IGNORECASE)


def plan(question: str, earlier: Mapping[str, Mapping[str, Any]]) -> list[Call]:
    """The calls that a question asks for, in its order.

    Args:
        question: what was asked.
        earlier: with which arguments each tool was called last, for "and in Oslo?".
    """
    if _ABOUT_ITSELF.search(question):
        return []
    known = {name: dict(arguments) for name, arguments in earlier.items()}
    calls: list[Call] = []
    for clause in _CLAUSE.split(question):
        for name, tool in TOOLS.items():
            arguments = tool.spot(clause.strip(), known.get(name, {})) if clause.strip() else None
            if arguments is not None:
                known[name] = arguments
                calls.append({"tool": name, "arguments": arguments})
                break
    return calls


def compose(question: str, calls: Sequence[Call], results: Sequence[str]) -> str:
    """The answer to a question, from what the tools found."""
    if not calls:
        text = prompts.INTRODUCTION if _ABOUT_ITSELF.search(question) else prompts.AT_A_LOSS
        return text.format(tools="; ".join(f"{tool.purpose}, as in “{tool.example}”" for tool in TOOLS.values()))
    told = [prompts.SENTENCES[call["tool"]].format(result=result) for call, result in zip(calls, results, strict=True)]
    return " ".join([prompts.OPENING, *told, prompts.SIGN_OFF]).strip()


def words(text: str) -> list[str]:
    """A text in the pieces in which it is streamed; joined they are the text."""
    return re.findall(r"\s*\S+", text)
