"""The handle that a module gets for itself in each generation: what it hands on, and what it does when it goes.

It knows nothing of how modules are loaded; whoever replaces them runs the hooks.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable
from typing import Any, TypeVar

from hotsession.events import Failure
from hotsession.hooks import call_hooks
from hotsession.loops import Home
from hotsession.registry import registry

Hook = TypeVar("Hook", bound=Callable[[], object])

logger = logging.getLogger("hotsession")


class ModuleHandle:
    """What one module, in one generation, has to do with its reloads.

    Args:
        name: of the module.

    Attributes:
        name: of the module.
        invalidated: why this module can't be put in place of an older one, if it said so.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.invalidated: str | None = None
        self._on_dispose: list[Callable[[], object]] = []
        self._on_reload: list[Callable[[], object]] = []

    def __repr__(self) -> str:
        return f"<ModuleHandle of {self.name}>"

    @property
    def data(self) -> dict[str, Any]:
        """The dict that the module hands from generation to generation.

        What a load that fails writes to it is dropped; values that are in it already are the objects themselves, so
        what a load does to one of those stays.
        """
        return registry.module_data(self.name)

    def on_dispose(self, hook: Hook) -> Hook:
        """Call the function, which may be a coroutine function, when this generation of the module goes.

        Hooks run in the reverse order of their registration. One that fails is logged and the others still run.
        """
        self._on_dispose.append(hook)
        return hook

    def on_reload(self, hook: Hook) -> Hook:
        """Call the function, which may be a coroutine function, when this generation has replaced an older one.

        By then the older one's `on_dispose` hooks have run, and `data` has what they left. Hooks run in the order of
        their registration. One that fails is logged and the others still run.
        """
        self._on_reload.append(hook)
        return hook

    def invalidate(self, why: str) -> None:
        """Say that this change can't be made in place: the process is restarted.

        Args:
            why: the reason, as the log shows it.
        """
        self.invalidated = why
        tell = getattr(registry.scope, "invalidate", None)
        if tell is not None:
            tell(why)
        elif registry.transaction is None:  # else whoever loads the module reads it when it is through
            logger.warning("%s asks for a restart (%s), and nothing here restarts the process.", self.name, why)

    async def dispose(self) -> tuple[Failure, ...]:
        """Run the `on_dispose` hooks, the last one first, and return the failures."""
        return await self._run("on_dispose", reversed(self._on_dispose))

    async def reloaded(self) -> tuple[Failure, ...]:
        """Run the `on_reload` hooks and return the failures."""
        return await self._run("on_reload", self._on_reload)

    async def _run(self, when: str, hooks: Any) -> tuple[Failure, ...]:
        names = [(f"{when} hook {_name(hook)} of {self.name}", hook) for hook in hooks]
        return await call_hooks(names)


def module(name: str) -> ModuleHandle:
    """The handle of the calling module in its generation: make it once, at the top of the module.

    Under `hotsession run` the host runs the hooks. Under another in-process reloader (``importlib.reload``, IPython
    autoreload) the module gets a new handle each time it is run: the hooks of the older handle and then `on_reload` of
    the new one run as soon as the event loop gets to it. Where no event loop runs the `on_dispose` hooks run at
    once, and `on_reload` hooks, which need the whole module, do not run.

    Args:
        name: ``__name__``.

    Returns:
        The handle, new in every generation.

    Example::

        hot = hotsession.module(__name__)
        pool = hot.data.setdefault("pool", [])

        @hot.on_dispose
        async def stop() -> None:
            await scheduler.stop()
    """
    scope = registry.scope
    if scope is not None:
        found: ModuleHandle = scope.handles.setdefault(name, ModuleHandle(name))
        return found
    handles: dict[str, ModuleHandle] = registry.object("handles", dict)
    older = handles.get(name)
    if older is not None and sys._getframe(1).f_code.co_name != "<module>":
        return older
    handles[name] = ModuleHandle(name)
    if older is not None:
        _hand_over(older, handles[name])
    return handles[name]


def _hand_over(older: ModuleHandle, newer: ModuleHandle) -> None:
    async def hand_over() -> None:
        await older.dispose()
        await newer.reloaded()

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        _run_here(older.dispose())
    else:
        Home().start(hand_over)


def _run_here(coroutine: Any) -> None:
    loop = asyncio.new_event_loop()  # and not asyncio.run(), which takes the thread's own event loop away
    try:
        loop.run_until_complete(coroutine)
    finally:
        loop.close()


def _name(hook: Callable[[], object]) -> str:
    return getattr(hook, "__qualname__", None) or repr(hook)
