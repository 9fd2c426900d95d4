"""The host as an app that any single-process server on asyncio can be given."""

from __future__ import annotations

from dataclasses import replace

from hotsession.asgi.host import Host, HostOptions
from hotsession.logs import be_heard
from hotsession.loops import Home
from hotsession.surroundings.reloaders import under_reloader
from hotsession.surroundings.signals import before_the_end
from hotsession.target import find_target


class HotApp(Host):
    """The host as an ASGI app, for any single-process server on asyncio: ``app = HotApp("main:app")``.

    It watches the working directory and the target's, unless a reloader runs above it and restarts the process.

    Args:
        target: what `hotsession run` takes: ``module:attribute``, a module or a file.
        factory: the attribute is a function that makes the app.
        options: how to watch, reload and run it.
    """

    def __init__(self, target: str, *, factory: bool = False, options: HostOptions | None = None) -> None:
        options = options or HostOptions()
        super().__init__(
            find_target(target, factory=factory), replace(options, watch=options.watch and not under_reloader())
        )

    async def _start(self) -> None:
        await super()._start()
        if self._carrier is not None:  # another program restarts this process: nothing may hold that up
            self._home = Home()
            before_the_end(self._told_to_end)

    def _told_to_end(self) -> None:
        self._home.start(self._make_room)

    async def _make_room(self) -> None:
        self.begin_drain()

    async def load(self) -> bool:
        """Import the app for the first time, as `Host.load` does, and see to it that what is said of it is seen."""
        be_heard()
        return await super().load()
