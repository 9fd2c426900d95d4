"""One worker process as the parent sees it: started, told, listened to, and waited for.

It knows nothing about when a worker is needed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hotsession.run.channel import CHANNEL, Message, decode, encode

LAST_WORDS = 0.2  # seconds in which messages of a worker that ended are still read; a child of its may hold the channel


class WorkerProcess:
    """A started worker.

    Args:
        process: the process.
        reader: what it says.
        writer: what it is told.
        on_message: called with the worker and each message of its, and at last with one of kind ``ended``.
    """

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        on_message: Callable[[WorkerProcess, Message], None],
    ) -> None:
        self.ready = False  # it has imported the app, or can't
        self.hopeless = False  # the server can't be set up, so another try is vain
        self.held = False  # it was told not to import the app yet
        self.serving_since: float | None = None  # of the loop's clock
        self.draining = False  # it was told to make room
        self.ending = False  # it accepts no more connections
        self._process = process
        self._reader = reader
        self._writer = writer
        self._on_message = on_message
        self._life = asyncio.create_task(self._live())

    def __repr__(self) -> str:
        return f"<WorkerProcess {self.pid}>"

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @classmethod
    async def start(
        cls, listener: socket.socket, on_message: Callable[[WorkerProcess, Message], None], **orders: Any
    ) -> WorkerProcess:
        """Start a worker on the socket `listener`, in this process group, and send it its `orders`."""
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.create_subprocess_exec(
                *command(sys.argv),
                env={**os.environ, CHANNEL: str(theirs.fileno())},
                pass_fds=(listener.fileno(), theirs.fileno()),
            )
        reader, writer = await asyncio.open_unix_connection(sock=ours)
        self = cls(process, reader, writer, on_message)
        self.held = bool(orders.get("hold"))
        self.tell("start", listener=listener.fileno(), argv=sys.argv, **orders)
        return self

    def tell(self, kind: str, **fields: Any) -> None:
        """Send it a message; one that is gone hears nothing."""
        if not self._writer.is_closing():
            self._writer.write(encode(kind, **fields))

    def kill(self) -> None:
        """Kill it."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def _live(self) -> None:
        listening = asyncio.create_task(self._listen())
        status = await self._process.wait()
        await asyncio.wait({listening}, timeout=LAST_WORDS)
        listening.cancel()
        self._writer.close()
        self._on_message(self, {"kind": "ended", "status": status})

    async def _listen(self) -> None:
        with contextlib.suppress(ConnectionError):
            while (line := await self._reader.readline()).endswith(b"\n"):
                self._on_message(self, decode(line))


def command(argv: Sequence[str], main: Mapping[str, Any] | None = None) -> list[str]:
    """The command line of a worker: this interpreter with its flags, and the arguments for whoever reads `ps`.

    Started by its console script, hotsession does not have the current directory on ``sys.path``, and a ``types.py``
    of the user's does no harm; -P keeps it so. Under ``python -m`` it may have been found there.
    """
    flags = list(subprocess._args_from_interpreter_flags())  # type: ignore[attr-defined]
    is_script = (vars(sys.modules["__main__"]) if main is None else main).get("__spec__") is None
    if is_script and not sys.flags.safe_path:
        flags.append("-P")
    return [sys.executable, *flags, "-m", "hotsession.run.worker", *argv[1:]]
