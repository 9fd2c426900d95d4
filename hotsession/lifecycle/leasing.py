"""The right to do something for a key alone, across processes: a claim in the storage, kept up while it lasts.

Who dies while he has it loses it after `SECONDS`, and another takes it over.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from hotsession.errors import StorageError
from hotsession.lifecycle.ledger import Ledger
from hotsession.lifecycle.record import Key
from hotsession.lifecycle.worker import this_worker

logger = logging.getLogger("hotsession")

SECONDS = 10.0  # how long a claim holds if it is not renewed
RENEW_EVERY = 3.0
FIRST_LOOK, LONGEST_WAIT = 0.005, 0.1  # how soon one who waits looks again, at first and at last


class Lease:
    """The claim of a key, to be had during an ``async with`` block.

    Args:
        ledger: whose storage has the claims.
        key: what is claimed.
    """

    def __init__(self, ledger: Ledger, key: Key) -> None:
        self._ledger = ledger
        self._key = key
        self._owner = f"{this_worker()}/{secrets.token_hex(8)}"
        self._tasks: anyio.abc.TaskGroup | None = None

    def __repr__(self) -> str:
        return f"<Lease of {self._key!r}>"

    async def take(self) -> bool:
        """Take it or keep it; False while another has it."""
        ledger, now = self._ledger, self._ledger.clock()
        return await ledger.storage.claim(ledger.name, self._key, self._owner, now, now + SECONDS)

    async def give_back(self) -> None:
        """Let others have it."""
        with anyio.CancelScope(shield=True):
            await self._ledger.storage.unclaim(self._ledger.name, self._key, self._owner)

    @asynccontextmanager
    async def kept_up(self) -> AsyncIterator[None]:
        """Keep up what was taken during the block, and give it back."""
        failure: Exception | None = None
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._renew)
                try:
                    yield
                except Exception as error:  # noqa: BLE001 - raised below, as itself and not in a group
                    failure = error
                tasks.cancel_scope.cancel()
        finally:
            await self.give_back()
        if failure is not None:
            raise failure

    async def __aenter__(self) -> None:
        seconds = FIRST_LOOK
        while not await self.take():
            await anyio.sleep(seconds)
            seconds = min(2 * seconds, LONGEST_WAIT)
        self._context = self.kept_up()
        await self._context.__aenter__()

    async def __aexit__(self, *error: object) -> bool | None:
        return await self._context.__aexit__(*error)  # type: ignore[arg-type]

    async def _renew(self) -> None:
        while True:
            await anyio.sleep(RENEW_EVERY)
            try:
                await self.take()
            except StorageError as error:  # the storage decides in the end who is first
                logger.warning("The claim of %r could not be renewed: %s", self._key, error)
