"""A client with a fixed schedule: so many requests a second, whatever the server does, over several connections.

The latency of a request counts from the moment it was due: a server that stalls can't hide the requests that waited.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from time import perf_counter, sleep
from typing import Self

from tests.benchmarks.client import Client


@dataclass
class Load:
    """What the requests of a run met.

    Args:
        latencies: Seconds from the moment each request was due to its answer.
        failures: What went wrong with each request that got no good answer.
        retried: Requests that met a connection closed by the server and were sent again over a new one, as browsers do.
        lateness: The most seconds that this client began a request too late on a free connection: the machine's noise.
    """

    latencies: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    retried: int = 0
    lateness: float = 0.0


class LoadClient:
    """Asks one path at a fixed rate while its context is entered.

    Args:
        port: The port on 127.0.0.1.
        path: The path that answers with the marker of the code that is running.
        rate: Requests in a second.
        connections: Keep-alive connections that take turns, one thread each.
    """

    def __init__(self, port: int, path: str, *, rate: float = 50, connections: int = 10) -> None:
        self.load = Load()
        self._port, self._path = port, path
        self._rate, self._connections = rate, connections
        self._changed = threading.Condition()
        self._latest = ""
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(place,)) for place in range(connections)]

    def __repr__(self) -> str:
        return f"<LoadClient port={self._port} rate={self._rate} requests={len(self.load.latencies)}>"

    def __enter__(self) -> Self:
        self._started = perf_counter() + 0.1
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def wait_for(self, marker: str, limit: float) -> bool:
        """Wait until a request of the schedule was answered with this marker."""
        with self._changed:
            return self._changed.wait_for(lambda: self._latest == marker, limit)

    def _run(self, place: int) -> None:
        client = Client(self._port)
        turn = place
        while not self._stopping.is_set():
            due = self._started + turn / self._rate
            early = due - perf_counter()
            if early > 0:
                sleep(early)
                self.load.lateness = max(self.load.lateness, perf_counter() - due)
            self._ask(client, due)
            turn += self._connections
        client.close()

    def _ask(self, client: Client, due: float) -> None:
        reused = client.connected
        try:
            status, text = client.get(self._path)
        except OSError as error:
            if reused and isinstance(error, ConnectionResetError | BrokenPipeError):
                self.load.retried += 1
                self._ask(client, due)
            else:
                self.load.failures.append(f"{type(error).__name__}: {error}")
            return
        self.load.latencies.append(perf_counter() - due)
        if status != 200:
            self.load.failures.append(f"status {status}: {text[:80]}")
            return
        with self._changed:
            self._latest = text
            self._changed.notify_all()
