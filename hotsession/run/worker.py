"""The worker: uvicorn around the host, on the socket that the parent holds. Started by `parent`, never by hand.

Its life: read what to do from the channel, import the app, say ``ready``, wait for ``accept``, serve, and end when
the parent says so or is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.config import STARTUP_FAILURE

from hotsession.asgi.host import Host, HostOptions
from hotsession.errors import HotsessionError
from hotsession.kept import left_behind
from hotsession.logs import follow_uvicorn
from hotsession.run import terminal
from hotsession.run.channel import CHANNEL, Message, WorkerChannel
from hotsession.run.keyboard import Keyboard
from hotsession.run.options import RunOptions, run_options
from hotsession.run.server import SIGNALS, WorkerServer
from hotsession.snapshot.opening import carrier
from hotsession.target import Target

ORPHAN_TIMEOUT = 3.0  # seconds that a worker whose parent is gone has to end by itself

logger = logging.getLogger("hotsession")


class Worker:
    """One worker process.

    Args:
        channel: to the parent.
        start: the parent's first message.
    """

    def __init__(self, channel: WorkerChannel, start: Message) -> None:
        self._channel = channel
        self._start = start
        self._options = _options(start)
        self._listener = _inherited(start["listener"])
        self._accept = asyncio.Event()
        self._serving = False
        self._ended = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._readers = terminal.Readers()

    def __repr__(self) -> str:
        return f"<Worker {self._start['target']['module']} {'serving' if self._serving else 'not serving'}>"

    def run(self) -> int:
        """Live, and return the exit status."""
        for each in SIGNALS:
            if signal.getsignal(each) is not signal.SIG_IGN:
                signal.signal(each, self._on_signal)
        if terminal.terminal() is not None:
            self._readers.install()
        self._host = Host(_target(self._start), _host_options(self._options), on_restart=self._ask_for_restart)
        config = uvicorn.Config(self._host, **self._options.server)
        follow_uvicorn()
        try:
            config.load()
            loop_factory = config.get_loop_factory()
        except (ImportError, OSError, ValueError) as error:  # a certificate, a protocol or a loop that is not there
            logger.error("The server can't be set up: %s", error)
            self._channel.send("hopeless")
            return STARTUP_FAILURE
        self._server = WorkerServer(config, self._host, on_serving=self._now_serving, on_ending=self._no_longer_serving)
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(self._live())
        self._ended = True
        return 0

    async def _live(self) -> None:
        self._loop = asyncio.get_running_loop()
        threading.Thread(target=self._obey, name="hotsession-channel", daemon=True).start()
        self._keyboard = Keyboard(
            {"r": self._reset_by_key, "q": self._quit_by_key},
            {"r": "start afresh, drop all state that is kept", "q": "quit"},
            readers=self._readers,
        )
        self._carrier = carrier()
        if self._carrier is not None:
            self._carrier.pause()  # the worker before this one may still serve, and has the say
        if self._start["hold"]:
            self._host.hold_off(self._start["hold"])
            loaded = False
        else:
            loaded = await self._host.load()
        self._channel.send("ready", loaded=loaded)
        await self._accept.wait()
        if self._carrier is not None and self._carrier.resume():
            await self._host.load_again()
        self._serving = True
        await self._server.serve(sockets=[self._listener])
        if self._carrier is not None:
            self._carrier.close()

    def _now_serving(self) -> None:
        self._channel.send("serving")
        keys = self._keyboard.start()
        if self._start["first"]:
            watched = ", ".join(_display(each) for each in self._options.watch_dirs)
            patterns = ", ".join(("*.py", *self._options.includes))
            more = " (h + Enter shows the keys)" if keys else ""
            logger.info("Watching %s for changes of %s%s", watched, patterns, more)

    def _no_longer_serving(self) -> None:
        self._keyboard.stop()
        self._channel.send("ending")

    # what the parent says

    def _obey(self) -> None:
        """Pass on what the parent says, in a thread: a breakpoint stops the event loop, and must not hide its end."""
        message = self._channel.receive()
        while message is not None:
            if message["kind"] == "stop" and not self._serving:
                _leave()  # the loop may be busy with an import that takes its time
            with contextlib.suppress(RuntimeError):  # the loop is closed: this process is ending already
                self._loop.call_soon_threadsafe(self._told, message)
            message = self._channel.receive()
        if not self._serving:
            os._exit(1)
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._server.interrupt, 1)
        threading.Event().wait(ORPHAN_TIMEOUT)
        os._exit(1)

    def _told(self, message: Message) -> None:
        match message["kind"]:
            case "accept":
                self._accept.set()
            case "drain":
                if left := left_behind():
                    logger.warning("What is kept ends with this process: %s", left)
                self._server.drain()
            case "stop":
                self._server.interrupt(message["times"])
            case "reset":
                self._spawn(self._reset(message["id"], message["name"]))

    def _ask_for_restart(self, reason: str) -> None:
        self._channel.send("restart", reason=reason)

    async def _reset(self, number: int, name: str | None) -> None:
        try:
            ok, text = True, await self._host.reset(name)
        except HotsessionError as error:
            ok, text = False, str(error)
        except Exception as error:
            logger.exception("The reset failed")
            ok, text = False, f"the reset failed, the log says more: {error}"
        self._channel.send("answer", id=number, ok=ok, text=text)

    def _spawn(self, work: Any) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # what the user says

    async def _reset_by_key(self) -> None:
        await self._host.reset_and_say(None)

    async def _quit_by_key(self) -> None:
        self._channel.send("quit")

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        """Before and after it serves nothing needs finishing: an import that hangs must not hold up Ctrl+C."""
        if self._ended or not self._serving:
            _leave(128 + number)


def _leave(status: int = 0) -> None:
    with contextlib.suppress(OSError, ValueError, RuntimeError):
        sys.stdout.flush()
    os._exit(status)


def _inherited(fd: int) -> socket.socket:
    """The socket that the parent passed as `fd`; programs that the app starts do not get it."""
    sock = socket.socket(fileno=fd)
    sock.set_inheritable(False)
    return sock


def _options(start: Message) -> RunOptions:
    return run_options(start["params"], Path(start["target"]["root"]))


def _target(start: Message) -> Target:
    found: Mapping[str, Any] = start["target"]
    return Target(found["module"], found["attribute"], found["factory"], Path(found["root"]))


def _host_options(options: RunOptions) -> HostOptions:
    return HostOptions(
        watch_dirs=options.watch_dirs,
        includes=options.includes,
        excludes=options.excludes,
        scope=options.scope,
        handover=options.handover,
        drain_timeout=options.drain_timeout,
        carry=options.carry,
        lifespan=options.lifespan,
        interface=options.interface,
    )


def _display(path: Path) -> str:
    return f"'{path}'"


def main() -> int:
    """Run as the worker that the parent started.

    Returns:
        the exit status.
    """
    try:
        fd = int(os.environ.pop(CHANNEL))
    except (KeyError, ValueError):
        sys.stderr.write("This is the worker of `hotsession run`: type that instead.\n")
        return 2
    channel = WorkerChannel(_inherited(fd))
    start = channel.receive()
    if start is None:
        return 1
    sys.argv[:] = start["argv"]
    return Worker(channel, start).run()


if __name__ == "__main__":
    sys.exit(main())
