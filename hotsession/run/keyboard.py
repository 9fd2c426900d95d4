"""The keys of a dev server: one letter and Enter, in the terminal that it runs in.

It reads only what is meant for it: not in the background, not while `input`, a debugger or a password prompt waits
for a line, and through a file description of its own, so that a line which somebody else took never blocks it.
Which keys there are is somebody else's business.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Mapping

from hotsession.run import terminal

AGAIN = 0.2  # seconds until it looks again whose turn at the terminal it is

logger = logging.getLogger("hotsession")

Action = Callable[[], Awaitable[None]]


class Keyboard:
    """Runs an action for a letter and Enter.

    Args:
        actions: by letter; ``h`` is added and lists them.
        helps: what each letter does, for that list.
        readers: who else reads from standard input.
    """

    def __init__(self, actions: Mapping[str, Action], helps: Mapping[str, str], *, readers: terminal.Readers) -> None:
        self._actions: dict[str, Action] = {**actions, "h": self._help}
        self._helps = {**helps, "h": "show this help"}
        self._readers = readers
        self._terminal: int | None = None
        self._fd: int | None = None
        self._later: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<Keyboard {''.join(self._actions)} {'off' if self._fd is None else 'on'}>"

    def start(self) -> bool:
        """Listen from now on, in the running event loop; False if there is no terminal."""
        self._terminal = terminal.terminal()
        if self._terminal is None:
            return False
        try:
            self._fd = os.open(os.ttyname(self._terminal), os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
        except OSError as error:  # a terminal of somebody else's, after `su`
            logger.debug("no keys: the terminal can't be opened: %s", error)
            return False
        self._listen()
        return True

    def stop(self) -> None:
        """Listen no more."""
        if self._fd is not None:
            self._pause()
            if self._later is not None:
                self._later.cancel()
            os.close(self._fd)
            self._fd = None

    def _listen(self) -> None:
        if self._fd is not None:
            asyncio.get_running_loop().add_reader(self._fd, self._readable)

    def _pause(self) -> None:
        if self._fd is not None:
            asyncio.get_running_loop().remove_reader(self._fd)

    def _readable(self) -> None:
        if self._fd is None or self._terminal is None:
            return
        if not self._is_our_turn(self._terminal):
            self._pause()
            self._later = asyncio.get_running_loop().call_later(AGAIN, self._listen)
            return
        try:
            typed = os.read(self._fd, 1024)
        except BlockingIOError:  # somebody else took the line
            return
        except OSError as error:
            logger.debug("no more keys: the terminal is gone: %s", error)
            self.stop()
            return
        for line in typed.decode(errors="replace").splitlines():
            self._typed(line.strip().lower())

    def _is_our_turn(self, fd: int) -> bool:
        return (
            not self._readers
            and terminal.in_foreground(fd)
            and terminal.takes_lines(fd)
            and not terminal.debugger_active()
        )

    def _typed(self, key: str) -> None:
        action = self._actions.get(key)
        if action is not None:
            task = asyncio.get_running_loop().create_task(self._run(key, action))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _run(self, key: str, action: Action) -> None:
        try:
            await action()
        except Exception:
            logger.exception("What %r + Enter does failed", key)

    async def _help(self) -> None:
        for key, what in sorted(self._helps.items()):
            logger.info("%s + Enter: %s", key, what)
