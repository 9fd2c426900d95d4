"""Sockets that talk and event streams that are read, many at once; they check that nothing is lost, repeated, closed.

    with Crowd(server, sockets=20, streams=20) as crowd:
        crowd.wait_for(server.save())  # every one of them has heard the new code

A socket sends numbers, several before it waits for an answer, and gets each back with the version that answered:
``"7 0.1"``. A stream gets events whose id counts up from 1 and whose data is a version. Knows no app.
"""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, field
from itertools import count
from types import TracebackType
from typing import Any, Self

import httpx
from websockets.asyncio.client import ClientConnection, connect

from tests.deadlines import DEADLINE
from tests.e2e.servers import wait_until
from tests.e2e.versioned import VersionedServer

PAUSE = 0.03  # seconds between two messages of a socket
WINDOW = 4  # messages that may be without an answer


@dataclass
class Tally:
    """What one of them has heard.

    Args:
        what: its path.
        heard: how many answers or events, without a gap.
        versions: of the code that they came from, without repetitions.
        last: the number of the last message that is sent, once it is known.
    """

    what: str
    heard: int = 0
    last: int | None = None
    versions: list[str] = field(default_factory=list)

    def note(self, number: str, version: str) -> None:
        """Check an answer or event: the numbers count up, and code that was replaced does not come back."""
        assert number == str(self.heard + 1), f"{self.what}: {number} {version} came after {self.heard}"
        self.heard += 1
        if [version] != self.versions[-1:]:
            assert version not in self.versions, f"{self.what}: {version} is back, after {self.versions}"
            self.versions.append(version)


class Crowd:
    """Clients in a thread of their own while the context lasts; leaving it checks them.

    Args:
        server: what they connect to.
        sockets: how many talk.
        streams: how many listen.
        talk: path of the WebSocket.
        events: path of the event stream.
    """

    def __init__(
        self,
        server: VersionedServer,
        *,
        sockets: int = 20,
        streams: int = 20,
        talk: str = "/talk",
        events: str = "/events",
    ) -> None:
        self._server = server
        self.tallies = [Tally(talk) for _ in range(sockets)] + [Tally(events) for _ in range(streams)]
        self._sockets = sockets
        self._done = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            self.wait_for(self._server.version)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end()
        if error is None and self._failure is not None:
            raise self._failure

    def wait_for(self, version: str) -> None:
        """Wait until every socket and stream has heard from the code of this version."""

        def heard() -> bool:
            if self._failure is not None:
                raise AssertionError(f"a client failed: {self._failure!r}") from self._failure
            return all(each.versions[-1:] == [version] for each in self.tallies)

        try:
            wait_until(heard, DEADLINE, f"{version} to be heard")
        except AssertionError as error:
            late = [each for each in self.tallies if each.versions[-1:] != [version]]
            raise AssertionError(f"{error}; {len(late)} have not heard it, such as {late[:2]}") from error

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._done.set)
        self._thread.join(DEADLINE)
        assert not self._thread.is_alive(), "clients of the crowd hang"

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            try:
                runner.run(self._all())
            except BaseException as error:  # noqa: BLE001  the test's thread raises it
                self._failure = error.exceptions[0] if isinstance(error, BaseExceptionGroup) else error

    async def _all(self) -> None:
        limits = httpx.Limits(max_connections=None)
        verify: Any = self._server.tls or True
        async with (
            httpx.AsyncClient(
                base_url=self._server.url, trust_env=False, timeout=DEADLINE, limits=limits, verify=verify
            ) as client,
            asyncio.TaskGroup() as group,
        ):
            for tally in self.tallies[: self._sockets]:
                group.create_task(self._talk(tally))
            for tally in self.tallies[self._sockets :]:
                group.create_task(self._listen(client, tally))

    async def _talk(self, tally: Tally) -> None:
        url = f"{self._server.ws_url}{tally.what}"
        async with connect(url, proxy=None, ssl=self._server.tls, ping_interval=None) as socket:
            window = asyncio.Semaphore(WINDOW)
            sending = asyncio.create_task(self._send(socket, tally, window))
            try:
                while tally.heard != tally.last:
                    async with asyncio.timeout(DEADLINE):
                        text = await socket.recv(decode=True)
                    number, version = text.split()
                    tally.note(number, version)
                    window.release()
            finally:
                sending.cancel()

    async def _send(self, socket: ClientConnection, tally: Tally, window: asyncio.Semaphore) -> None:
        """Send numbers until it is over."""
        for number in count(1):
            await window.acquire()
            if self._done.is_set():
                tally.last = number
            await socket.send(str(number))
            if tally.last:
                return
            await asyncio.sleep(PAUSE)  # the pace of a client

    async def _listen(self, client: httpx.AsyncClient, tally: Tally) -> None:
        async with client.stream("GET", tally.what) as response:
            assert response.status_code == 200
            fields: dict[str, str] = {}
            async for line in response.aiter_lines():
                name, _, value = line.partition(": ")
                if line:
                    fields[name] = value
                elif fields:
                    tally.note(fields.pop("id"), fields.pop("data"))
                    assert not fields, f"{tally.what}: {fields}"
                    if self._done.is_set():
                        return
        raise AssertionError(f"{tally.what} has ended after {tally.heard} events")
