"""Answers that are under way: a task for each question, one after the other in a conversation.

The task belongs to no connection, so closing the page ends nothing. It finishes on the code that the question met; one
that is asked after a save waits for it, and is answered by the new code.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from weakref import WeakValueDictionary

import hotsession

from .agent import Agent
from .journal import MESSAGES, Data, add, change, conversations

logger = logging.getLogger(__name__)

# Whose turn it is in a conversation, by its id. Tasks of old and new code wait for each other here.
turns: WeakValueDictionary[str, asyncio.Lock] = hotsession.keep("turns", WeakValueDictionary, restart="rebuild")


async def ask(conversation: str, message: str, question: str, code: str) -> None:
    """Ask a question, and have it answered; a message that was asked already is not asked again."""
    is_new = False

    def asked(data: Data) -> None:
        nonlocal is_new
        messages = data.setdefault("messages", [])
        is_new = message not in messages
        if is_new:
            messages.append(message)
            del messages[:-MESSAGES]
            data.setdefault("questions", []).append({"message": message, "text": question})
            add(data, "asked", message=message, text=question)

    await change(conversation, asked)
    if is_new:
        answer(conversation, message, code)


async def stop(conversation: str) -> None:
    """Say no more of what is being answered."""

    def stopped(data: Data) -> None:
        if "now" in data:
            data["now"]["stopped"] = True

    await change(conversation, stopped)


async def take_up(conversation: str, code: str) -> None:
    """Go on with what another process was answering, or had to answer, when it ended."""
    data = (await conversations.get(conversation)).data
    for question in [*([data["now"]] if "now" in data else []), *data.get("questions", [])]:
        answer(conversation, question["message"], code)


def answer(conversation: str, message: str, code: str) -> None:
    """Have a question answered, unless that is under way."""
    hotsession.task(f"answer to {message} in {conversation}", partial(_answer, conversation, code), on_reload="finish")


async def _answer(conversation: str, code: str) -> None:
    turn = turns.setdefault(conversation, asyncio.Lock())
    async with turn:
        agent = await hotsession.get_service(Agent)
        try:
            await agent.answer(conversation, code)
        except (hotsession.InvalidTransition, hotsession.SessionNotFound):
            logger.info("Conversation %s was over before its question was answered", conversation)
        except Exception as error:
            logger.exception("The agent failed")
            await agent.fail(conversation, error, code)
