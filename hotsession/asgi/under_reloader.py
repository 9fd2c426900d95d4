"""What the middleware adds around an app while another program restarts the process: nothing in production.

Requests pass through the farewell, which ends what would hold up a restart, and the witness, which has their changes
written in time. Where a host of ours serves the app it does both itself.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hotsession.asgi.farewell import Farewell
from hotsession.asgi.standing import CARRIED
from hotsession.asgi.witness import WITNESSED, run_witnessed
from hotsession.registry import registry
from hotsession.snapshot.opening import carrier

if TYPE_CHECKING:
    from hotsession.snapshot.carrier import Carrier


def under_reloader() -> UnderReloader | None:
    """What is to be put around apps in this process; None where no reloader is above it."""
    found = carrier()
    if found is None:
        return None
    surroundings: UnderReloader = registry.object("under reloader", lambda: UnderReloader(found))
    return surroundings


class UnderReloader:
    """What surrounds the app of this process.

    Args:
        carrier: of the process.
    """

    def __init__(self, carrier: Carrier) -> None:
        self._carrier = carrier
        self._farewell = Farewell()
        self._has_settled = False

    def __repr__(self) -> str:
        return f"<UnderReloader {self._carrier!r} {self._farewell!r}>"

    def surrounds(self, scope: Scope) -> bool:
        """Whether a request or connection is surrounded already: by another middleware, or by a host."""
        return WITNESSED in scope or CARRIED in scope

    def run(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Run an app for one request or connection."""
        if not self._has_settled:
            self._settle_in()
        return run_witnessed(self._carrier, app, scope, receive, send, self._farewell.run)

    async def live(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Run an app's lifespan, at whose end everything is written once more."""

        async def pass_on(message: Message) -> None:
            if message["type"].startswith("lifespan.shutdown."):
                self._carrier.flush()
            await send(message)

        if registry.running_scope is None:  # no host of ours
            self._settle_in()
        await app(scope, receive, pass_on)

    def _settle_in(self) -> None:
        if not self._has_settled:
            self._has_settled = True
            self._carrier.settle_in()
