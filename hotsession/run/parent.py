"""The parent: it holds the listening socket and sees to it that there is always one worker that serves on it.

It imports nothing of the user's and answers no request. While no worker accepts, connections wait in the socket's
queue; how long that can be is bounded: a worker that ended is replaced at once or within seconds, and one that can't
even be started with the user's code is replaced by one that holds off importing it and answers 503 until it changes.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import signal
import socket
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hotsession.run import terminal
from hotsession.run.channel import Message
from hotsession.run.control import RESET_TIMEOUT, DevServer, serve_control
from hotsession.run.crashes import START, Verdict, how_it_ended, judge
from hotsession.run.options import RunOptions
from hotsession.run.process import WorkerProcess
from hotsession.snapshot.place import remove_place_of
from hotsession.surroundings import reloaders
from hotsession.surroundings.processes import process_started
from hotsession.target import Target

FORCE_TIMEOUT = 3.0  # seconds that a worker has after the second Ctrl+C
DEAF = 1.0  # seconds after which a worker that does not begin to end is named
AGAIN = "(CTRL+C to force quit)"  # as uvicorn says it

logger = logging.getLogger("hotsession")


class Parent:
    """Keeps one worker serving on `listener`.

    Args:
        listener: bound and listening.
        target: what to serve.
        options: how.
        params: what `options` came from, for the workers.
        url: where `listener` can be reached, in words.
    """

    def __init__(
        self, listener: socket.socket, *, target: Target, options: RunOptions, params: Mapping[str, Any], url: str
    ) -> None:
        self._listener = listener
        self._options = options
        self._orders = {"params": dict(params), "target": {**asdict(target), "root": str(target.root)}}
        self._me = DevServer(os.getpid(), str(Path.cwd()), str(target), url)
        self._current: WorkerProcess | None = None  # serves, or is to serve next
        self._next: WorkerProcess | None = None  # imports while the current one still serves
        self._workers: set[WorkerProcess] = set()  # all that have not ended, also one that is long in draining
        self._events: asyncio.Queue[tuple[WorkerProcess, Message]] = asyncio.Queue()
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[tuple[bool, str]]] = {}
        self._verdict: Verdict = START
        self._started = 0
        self._interrupts = 0
        self._stopping: asyncio.Event = asyncio.Event()
        self._status = 0

    def __repr__(self) -> str:
        return f"<Parent of {self._current} on {self._me.url}>"

    async def run(self) -> int:
        """Serve until told to stop, and return the exit status."""
        self._handle_signals()
        with terminal.restored(terminal.terminal()) as self._restore_terminal:
            async with serve_control(self._me, self._reset):
                self._current = await self._start()
                while self._workers or not self._stopping.is_set():
                    worker, message = await self._events.get()
                    await self._on_message(worker, message)
        remove_place_of(reloaders.DevServer(reloaders.RUN, os.getpid(), process_started(os.getpid()) or ""))
        return self._status

    async def _start(self, hold: str = "") -> WorkerProcess:
        self._started += 1
        worker = await WorkerProcess.start(
            self._listener,
            lambda worker, message: self._events.put_nowait((worker, message)),
            hold=hold,
            first=self._started == 1,
            **self._orders,
        )
        self._workers.add(worker)
        if self._stopping.is_set():
            worker.tell("stop", times=1)
        return worker

    # what workers say

    async def _on_message(self, worker: WorkerProcess, message: Message) -> None:
        match message["kind"]:
            case "hopeless":
                worker.hopeless = True
            case "ready":
                self._on_ready(worker, message["loaded"])
            case "serving":
                worker.serving_since = asyncio.get_running_loop().time()
            case "ending":
                worker.ending = True
            case "restart" if worker is self._current and not worker.draining:
                await self._on_restart(worker, message["reason"])
            case "quit":
                self.stop()
            case "answer":
                self._on_answer(message["id"], message["ok"], message["text"])
            case "ended":
                await self._on_ended(worker, message["status"])

    def _on_ready(self, worker: WorkerProcess, loaded: bool) -> None:
        worker.ready = True
        if worker is self._current:
            worker.tell("accept")
        elif worker is self._next and loaded:
            self._drain(self._current)
        elif worker is self._next:
            self._next = None
            worker.tell("stop", times=1)
            logger.error("The new code can't be imported: the old worker goes on, save a file to try again")

    async def _on_restart(self, worker: WorkerProcess, reason: str) -> None:
        if self._next is not None:  # overtaken by a newer change while it was importing
            self._next.kill()
        if self._options.handover == "stop-first":
            logger.warning("Restarting the worker: %s", reason)
            self._drain(worker)
        else:
            logger.warning("Restarting the worker, the old one serves until the new one is ready: %s", reason)
            self._next = await self._start()

    def _drain(self, worker: WorkerProcess | None) -> None:
        if worker is not None:
            worker.draining = True
            worker.tell("drain")
            asyncio.get_running_loop().call_later(self._options.drain_timeout, self._overdue, worker)

    def _overdue(self, worker: WorkerProcess) -> None:
        """What never ends by itself has had its time; what still runs are ordinary requests, and they may finish."""
        if worker is not self._current or self._stopping.is_set():
            return
        if self._next is None:
            logger.warning(
                "The old worker [%d] still has requests after %g s: the new one starts when they end",
                worker.pid,
                self._options.drain_timeout,
            )
        else:
            logger.warning(
                "The old worker [%d] still has requests after %g s: the new one serves, the old one ends with them",
                worker.pid,
                self._options.drain_timeout,
            )
            self._take_over()

    def _take_over(self) -> None:
        self._current, self._next = self._next, None
        if self._current is not None and self._current.ready:
            self._current.tell("accept")

    async def _on_ended(self, worker: WorkerProcess, status: int) -> None:
        self._workers.discard(worker)
        if status < 0:
            self._restore_terminal()
        if worker is self._next:
            self._next = None
            if not self._stopping.is_set():
                logger.error("The new worker [%d] %s: the old one goes on", worker.pid, how_it_ended(status))
        elif worker is self._current and not self._stopping.is_set():
            self._fail_answers()
            await self._replace(worker, status)

    async def _replace(self, worker: WorkerProcess, status: int) -> None:
        if worker.serving_since is None and (worker.hopeless or worker.held):
            if worker.held:  # not even without the user's code
                logger.error(
                    "The worker [%d] %s before it imported your app: giving up", worker.pid, how_it_ended(status)
                )
            self._status = status if status > 0 else 1
            self._stopping.set()
            return
        if not worker.draining:
            await self._mourn(worker, status)
        elif self._next is not None:
            self._take_over()
        else:
            self._current = await self._start()

    async def _mourn(self, worker: WorkerProcess, status: int) -> None:
        """Replace a worker that ended without having been told."""
        since = worker.serving_since
        self._verdict = judge(self._verdict, None if since is None else asyncio.get_running_loop().time() - since)
        ended = f"The worker [{worker.pid}] {how_it_ended(status)}"
        if self._next is not None:
            logger.error("%s: the new one takes over", ended)
            self._take_over()
            return
        if self._verdict.hold:
            hold = f"{ended}, {self._verdict.never_served} times in a row before it served: save a file to try again"
            self._current = await self._start(hold)
            return
        logger.error("%s: starting another%s", ended, f" in {self._verdict.delay:g} s" if self._verdict.delay else "")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), self._verdict.delay or 0.001)
        if not self._stopping.is_set():
            self._current = await self._start()

    # what other terminals ask

    async def _reset(self, name: str | None) -> tuple[bool, str]:
        worker = self._current
        if worker is None or worker.serving_since is None:
            return False, "no worker serves yet, so there is nothing to reset: wait until it is up"
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        worker.tell("reset", id=number, name=name)
        try:
            return await asyncio.wait_for(answer, RESET_TIMEOUT)
        except TimeoutError:
            return False, f"the worker did not answer within {RESET_TIMEOUT:.0f} s: does it wait at a breakpoint()?"
        finally:
            del self._answers[number]

    def _on_answer(self, number: int, ok: bool, text: str) -> None:
        answer = self._answers.get(number)
        if answer is not None and not answer.done():
            answer.set_result((ok, text))

    def _fail_answers(self) -> None:
        for number in self._answers:
            self._on_answer(number, False, "the worker ended before it answered: try again")

    # the end

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # nohup stays in force, but not that a script's shell ignores SIGINT for what it starts with `&`
            if each != signal.SIGHUP or signal.getsignal(each) is not signal.SIG_IGN:
                loop.add_signal_handler(each, self._on_signal, each)

    def _on_signal(self, number: int) -> None:
        if number == signal.SIGINT:
            self._interrupts += 1
        self.stop()

    def stop(self) -> None:
        """Let all workers end; at the second Ctrl+C they wait for nothing, and are killed if they still do."""
        self._stopping.set()
        for worker in self._workers:
            worker.tell("stop", times=max(1, self._interrupts))
        loop = asyncio.get_running_loop()
        if self._interrupts > 1:
            loop.call_later(FORCE_TIMEOUT, self._kill)
        else:
            loop.call_later(DEAF, self._name_deaf)

    def _name_deaf(self) -> None:
        for worker in self._workers:
            if not worker.ending:
                logger.warning("The worker [%d] is busy and does not hear that it should end. %s", worker.pid, AGAIN)

    def _kill(self) -> None:
        for worker in self._workers:
            logger.error("The worker [%d] does not end: killing it", worker.pid)
            worker.kill()
