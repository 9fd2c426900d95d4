"""From the old app to the new: which of them starts and ends first, and the hooks of the modules that change places."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from hotsession.events import Failure
from hotsession.registry import registry
from hotsession.reload.codebase import Abandoned
from hotsession.reload.generation import Generation
from hotsession.reload.load import Load
from hotsession.reload.patience import Patience
from hotsession.reload.retire import Retirement, end_lifespan

logger = logging.getLogger("hotsession.reload")

_HOOKS_SECONDS = 10.0


class Handover:
    """Starts the app of a load and hands on to it what the old one leaves.

    Args:
        hold: lets new requests wait during a block.
        retirement: ends old generations.
        patience: gives a start-up up that newer changes overtake.
        stop_first: the old app ends before the new one starts, for what can't exist twice.
    """

    def __init__(
        self,
        hold: Callable[[], contextlib.AbstractAsyncContextManager[None]],
        retirement: Retirement,
        patience: Patience,
        *,
        stop_first: bool,
    ) -> None:
        self._hold = hold
        self._retirement = retirement
        self._patience = patience
        self._stop_first = stop_first

    @contextlib.asynccontextmanager
    async def started(self, load: Load, old: Generation | None) -> AsyncIterator[None]:
        """Start the new app for the block, which swaps. If it raises the new app ends, and the old one serves on.

        Args:
            load: what was imported.
            old: the generation that serves; None the first time.

        Raises:
            Abandoned: newer changes came, and the new app did not come up.
        """
        if not self._stop_first or old is None:
            async with self._running(load):
                yield
            return
        async with self._hold():
            await self._retirement.end(old, 0.0, self._retirement.see_off(old))
            try:
                async with self._running(load):
                    yield
            except BaseException:
                await _bring_back(old)
                raise

    @contextlib.asynccontextmanager
    async def _running(self, load: Load) -> AsyncIterator[None]:
        """Start the new app for the block; end it again if the block raises."""
        with load.context():
            starting = asyncio.create_task(load.generation.lifespan.start(), name="hotsession starts the app")
        try:
            async with self._patience.during(lambda: "The new app is still starting up", give_up=starting.cancel):
                await asyncio.wait([starting])
        except asyncio.CancelledError:
            starting.cancel()
            await asyncio.wait([starting])
            raise
        if starting.cancelled():
            raise Abandoned
        starting.result()
        try:
            yield
        except BaseException:
            await end_lifespan(load.generation)
            raise

    async def hooks(self, load: Load, old: Generation | None) -> tuple[Failure, ...]:
        """Dispose of the modules that were replaced, tell the new ones they are in place, and return what failed.

        Args:
            load: what was swapped in.
            old: the generation before; the first one's modules are not told.
        """
        if old is None:
            load.finish()
            return ()
        failures = await in_time("the on_dispose hooks", dispose_modules(old, load.plan.modules))
        load.finish()
        return failures + await in_time("the on_reload hooks", _tell_modules(load))


async def _tell_modules(load: Load) -> tuple[Failure, ...]:
    """Run the `on_reload` hooks of the modules that were loaded."""
    failures: list[Failure] = []
    with registry.running(load.generation.number):
        for name, handle in list(load.generation.handles.items()):
            if name in load.plan.modules:
                failures += await handle.reloaded()
    return tuple(failures)


async def in_time(what: str, hooks: Coroutine[Any, Any, tuple[Failure, ...]]) -> tuple[Failure, ...]:
    """What failed of some hooks; those that do not end are cancelled, as they would hold up every later save."""
    try:
        async with asyncio.timeout(_HOOKS_SECONDS):
            return await hooks
    except TimeoutError as error:
        logger.error("Given up after %.0f s: %s. Start what takes longer as a task.", _HOOKS_SECONDS, what)
        return (Failure(f"{what} that did not end", error.with_traceback(None)),)


async def _bring_back(old: Generation) -> None:
    """Start the old app again, because the one that was to replace it did not start."""
    try:
        with registry.running(old.number):
            await old.lifespan.start()
    except Exception:
        logger.exception(
            "The new app failed, and so did the old one when it was started again; it serves all the same."
        )
    else:
        logger.info("The old app was started again.")


async def dispose_modules(generation: Generation, names: frozenset[str] | None = None) -> tuple[Failure, ...]:
    """Run the `on_dispose` hooks of a generation's modules, the latest first, and return what failed.

    Args:
        generation: whose modules.
        names: which of them; all when left out.
    """
    failures: list[Failure] = []
    with registry.running(generation.number):
        for name, handle in reversed(generation.handles.items()):
            if names is None or name in names:
                failures += await handle.dispose()
    return tuple(failures)
