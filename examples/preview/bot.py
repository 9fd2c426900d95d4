"""The chat bot: a handler that knows a few answers, and a pipeline that it falls back to.

Both work on one session: the handler gets it by the user, and whatever runs below it gets the same one without being
told. Edit something here while you chat, and go on chatting.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, NotRequired, TypedDict

import hotsession

from .managers import chats
from .sites import SITES

GREETING = "Bonjour"
ANSWERS = {"merci": "De rien.", "au revoir": "À bientôt!"}


class Message(TypedDict):
    """One message of a chat, as it lies in the session and goes to the page."""

    by: str  # "you", "handler" or "pipeline"
    text: str
    session: NotRequired[str]  # where the one who answered looked
    seen: NotRequired[int]  # how many messages were there
    choices: NotRequired[list[str]]
    tasks: NotRequired[list[str]]


async def handle(user: str, text: str) -> hotsession.Session:
    """Answer a message of a user, and return the chat."""
    chat = await chats.get_or_create(user)
    await remember(chat, Message(by="you", text=text))
    answer = _known(user, text)
    if answer is None:
        pipeline = await hotsession.get_service(Pipeline)
        reply = await pipeline.answer(text)
    else:
        reply = Message(by="handler", text=answer, session=chat.id, seen=len(chat.data["messages"]))
    await remember(chat, reply)
    return chat


async def remember(chat: hotsession.Session, message: Message) -> None:
    """Add a message to a chat, whoever else adds one at the same moment."""
    await chats.update(chat, lambda data: data.setdefault("messages", []).append(message))


def _known(user: str, text: str) -> str | None:
    said = text.lower().strip(" !.")
    return f"{GREETING} {user.title()}!" if said in ("bonjour", "hello") else ANSWERS.get(said)


@hotsession.service
class Pipeline:
    """What answers when the handler can't. Nobody tells it of a session: it asks for the one at hand."""

    def __init__(self, chats: Annotated[hotsession.SessionManager, "chats"]) -> None:
        self.chats = chats

    async def answer(self, text: str) -> Message:
        """Answer a message from what is in the chat; a tool looks up what is not."""
        chat = await self.chats.get_or_create()
        reply = Message(by="pipeline", text="", session=chat.id, seen=len(chat.data["messages"]))
        if text.lower() == "view sites":
            found = await asyncio.create_task(self._look_up())
            return {**reply, "text": "These are your sites.", "choices": found}
        site = next((site for site in chat.data.get("sites", {}) if site.lower() == text.lower()), None)
        if site is None:
            return {**reply, "text": f"I know no {text!r} yet.", "choices": ["Bonjour", "View Sites"]}
        return {**reply, "text": f"To do for the {site}:", "tasks": chat.data["sites"][site]}

    async def _look_up(self) -> list[str]:
        """A tool, in a task of its own: what it finds stays in the chat, for the next click."""
        sites = await asyncio.to_thread(lambda: SITES)  # as slow as directories are
        chat = await self.chats.get_or_create()
        chat.data["sites"] = sites
        return list(sites)
