"""What begins and ends the tasks where no host does: the middleware asks for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from hotsession.background.asking import running_loop
from hotsession.background.board import board
from hotsession.errors import ConfigurationError
from hotsession.registry import registry

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
App = Callable[[Any, Receive, Send], Awaitable[None]]

logger = logging.getLogger("hotsession")


async def live(app: App, scope: Any, receive: Receive, send: Send) -> None:
    """Run an app's lifespan: tasks begin when it has started, and end before it ends. A host does that itself."""
    if registry.running_scope is not None:
        await app(scope, receive, send)
        return

    async def next_message() -> Any:
        message = await receive()
        if message["type"] == "lifespan.shutdown":
            await end_tasks()
        return message

    async def pass_on(message: Any) -> None:
        await send(message)
        if message["type"] == "lifespan.startup.complete":
            begin_tasks()

    await app(scope, next_message, pass_on)


def begin_tasks() -> None:
    """Begin what was asked for before the event loop ran, and have what threads ask for begin in this loop."""
    tasks = board()
    if registry.running_scope is not None or tasks.home is not None:
        return
    try:
        loop = running_loop()
    except ConfigurationError as error:
        if tasks.has_something:
            logger.error("The tasks that were asked for at import do not run: %s", error)
        return
    if loop is not None:
        tasks.open(loop)


def end_endless() -> None:
    """Cancel what runs until it is restarted or ended: another process is about to have it. Jobs may finish."""
    board().end_endless()


async def end_tasks() -> None:
    """Cancel the tasks of this event loop and wait until they have ended."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:  # trio, which has none
        return
    await board().end()
