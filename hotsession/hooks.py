"""Calling what is the user's where a failure must stop nothing of ours: hooks and the closing of services.

It knows nothing of what the hooks are for.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable, Iterable

from hotsession.events import Failure

logger = logging.getLogger("hotsession")


async def call_hook(what: str, hook: Callable[[], object]) -> Failure | None:
    """Call a hook, await what it returns if that can be awaited, and log its failure instead of raising it.

    Args:
        what: its name, as the log shows it.
        hook: a function or coroutine function without arguments.

    Returns:
        What went wrong, or None.
    """
    try:
        result = hook()
        if inspect.isawaitable(result):
            await result
    except (Exception, SystemExit, asyncio.CancelledError) as error:
        if isinstance(error, asyncio.CancelledError) and is_being_cancelled():
            raise
        logger.error("%s failed: %s: %s", what, type(error).__name__, error, exc_info=error)
        # The frames of the traceback would keep the code and the objects of an old generation alive.
        return Failure(what, error.with_traceback(None))
    return None


async def call_hooks(hooks: Iterable[tuple[str, Callable[[], object]]]) -> tuple[Failure, ...]:
    """Call named hooks one after the other, all of them whatever happens, and return the failures."""
    failures = [await call_hook(what, hook) for what, hook in hooks]
    return tuple(failure for failure in failures if failure is not None)


def is_being_cancelled() -> bool:
    """Tell a cancellation of ours from one that the user's code raised, or met in a task it had cancelled itself."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0
