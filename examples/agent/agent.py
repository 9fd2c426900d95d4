"""The agent: it makes a plan, uses the tools in it, and tells what came out, word by word.

It owns nothing that must last. How far it is with a question is in the conversation, after every step: so another
process goes on where this one ends, and asks no tool twice.
"""

from __future__ import annotations

import asyncio
import os
from typing import Annotated, Any

import hotsession

from .journal import Data, add, change, tidy
from .thinking import compose, plan, words
from .tools import TOOLS

PACE = float(os.environ.get("AGENT_PACE") or 0.06)  # seconds from word to word: a model takes its time
TOOL_TAKES = 8 * PACE  # seconds


@hotsession.service
class Agent:
    """Answers questions: built when it is first asked, and built anew from the new code after a save."""

    def __init__(self, conversations: Annotated[hotsession.SessionManager, "conversations"]) -> None:
        self.conversations = conversations

    async def answer(self, conversation: str, code: str) -> None:
        """Answer the question that was asked first, or go on with what was begun.

        Args:
            conversation: id of its session.
            code: what the page is told of the code that answers.
        """
        state = await self._change(conversation, _begin)
        while state is not None:
            if state["stopped"]:
                state = await self._end(conversation, "stopped", code)
            elif state["plan"] is None:
                state = await self._plan(conversation, state)
            elif len(state["results"]) < len(state["plan"]):
                state = await self._use_tool(conversation, state)
            elif state["draft"] is None:
                state = await self._compose(conversation, state)
            elif state["told"] < len(state["draft"]):
                state = await self._tell(conversation)
            else:
                state = await self._end(conversation, "answered", code)

    async def fail(self, conversation: str, error: Exception, code: str) -> None:
        """Give up on a question, and say why."""
        await self._end(conversation, "failed", code, error=f"{type(error).__name__}: {error}")

    # the steps

    async def _plan(self, conversation: str, state: Data) -> Data | None:
        earlier = (await self.conversations.get(conversation)).data.get("earlier", {})
        steps = plan(state["question"], earlier)
        await asyncio.sleep(TOOL_TAKES)

        def planned(data: Data) -> None:
            data["now"]["plan"] = steps
            data["earlier"] = {**data.get("earlier", {}), **{each["tool"]: each["arguments"] for each in steps}}
            if steps:
                add(data, "plan", steps=[TOOLS[each["tool"]].purpose for each in steps])

        return await self._change(conversation, planned)

    async def _use_tool(self, conversation: str, state: Data) -> Data | None:
        number = len(state["results"])
        call = state["plan"][number]
        shown = f"{call['tool']}({', '.join(f'{name}={value!r}' for name, value in call['arguments'].items())})"
        if state["called"] == number:

            def called(data: Data) -> None:
                data["now"]["called"] = number + 1
                add(data, "call", step=number, text=shown)

            await self._change(conversation, called)
        await asyncio.sleep(TOOL_TAKES)
        result = TOOLS[call["tool"]].use(**call["arguments"])

        def used(data: Data) -> None:
            data["now"]["results"].append(result)
            add(data, "result", step=number, text=result)

        return await self._change(conversation, used)

    async def _compose(self, conversation: str, state: Data) -> Data | None:
        draft = words(compose(state["question"], state["plan"], state["results"]))

        def composed(data: Data) -> None:
            data["now"]["draft"] = draft

        return await self._change(conversation, composed)

    async def _tell(self, conversation: str) -> Data | None:
        await asyncio.sleep(PACE)

        def told(data: Data) -> None:
            now = data["now"]
            add(data, "words", text=now["draft"][now["told"]])
            now["told"] += 1

        return await self._change(conversation, told)

    async def _end(self, conversation: str, how: str, code: str, **more: Any) -> Data | None:
        def ended(data: Data) -> None:
            now = data.pop("now")
            add(data, how, text="".join((now["draft"] or [])[: now["told"]]), code=code, **more)

        return await self._change(conversation, ended)

    async def _change(self, conversation: str, by: Any) -> Data | None:
        now: Data | None = (await change(conversation, by)).get("now")
        return now


def _begin(data: Data) -> None:
    """Take up the next question, unless there is one at hand."""
    if "now" in data or not data.get("questions"):
        return
    tidy(data)
    asked = data["questions"].pop(0)
    data["now"] = {
        "message": asked["message"],
        "question": asked["text"],
        "plan": None,
        "called": 0,
        "results": [],
        "draft": None,
        "told": 0,
        "stopped": False,
    }
