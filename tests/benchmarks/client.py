"""A small blocking HTTP/1.1 client over one keep-alive connection: quick, and open about what failed.

It is made for measuring: no retries of its own, no header parsing beyond what a benchmark app answers with.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from time import perf_counter, sleep


class Client:
    """One connection to one local port, opened when it is needed.

    Args:
        port: The port on 127.0.0.1.
        timeout: Seconds until a connect or an answer is given up.
    """

    def __init__(self, port: int, timeout: float = 10.0) -> None:
        self._port = port
        self._timeout = timeout
        self._socket: socket.socket | None = None

    def __repr__(self) -> str:
        return f"<Client port={self._port} {'connected' if self._socket else 'idle'}>"

    @property
    def connected(self) -> bool:
        """Whether a connection is open from an earlier request."""
        return self._socket is not None

    def get(self, path: str) -> tuple[int, str]:
        """Ask for a path and return status and body.

        Raises:
            OSError: The connection was refused, reset, closed early or timed out; it is closed then.
        """
        try:
            return self._exchange(path)
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection, if one is open."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _exchange(self, path: str) -> tuple[int, str]:
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self._port), self._timeout)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\n\r\n".encode())
        head, _, body = self._read_until(b"\r\n\r\n").partition(b"\r\n\r\n")
        status_line, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers["content-length"])
        while len(body) < length:
            body += self._receive()
        if headers.get("connection", "").lower() == "close":
            self.close()
        return int(status_line.split()[1]), body.decode()

    def _read_until(self, end: bytes) -> bytes:
        data = self._receive()
        while end not in data:
            data += self._receive()
        return data

    def _receive(self) -> bytes:
        assert self._socket is not None
        data = self._socket.recv(65536)
        if not data:
            raise ConnectionResetError("the server closed the connection without an answer")
        return data


def ask_patiently(client: Client, path: str, limit: float = 10.0) -> str:
    """Ask until there is an answer, while the server may be closing connections or not accepting any.

    Raises:
        TimeoutError: There was none within so many seconds.
    """
    end = perf_counter() + limit
    while perf_counter() < end:
        with suppress(OSError):
            status, text = client.get(path)
            if status == 200:
                return text
        sleep(0.01)
    raise TimeoutError(f"{path} was not answered within {limit} s")


def wait_for_answer(client: Client, path: str, marker: str, *, limit: float, interval: float = 0.0007) -> float | None:
    """Ask again and again until the answer is the marker.

    Args:
        client: The client to ask with; it reconnects when the server went away.
        path: The path that answers with the marker of the running code.
        marker: The answer to wait for.
        limit: Seconds after which the wait is given up.
        interval: Seconds between an answer and the next request.

    Returns:
        `time.perf_counter()` when the answer had arrived, or None if it never did.
    """
    end = perf_counter() + limit
    while perf_counter() < end:
        with suppress(OSError):
            if client.get(path) == (200, marker):
                return perf_counter()
        sleep(interval)
    return None


def watch_settling(port: int, path: str, marker: str, *, quiet: float = 0.3) -> tuple[float | None, int]:
    """Ask over a fresh connection each time until nothing went wrong for a while.

    Args:
        port: The port to ask.
        path: The path that answers with the marker.
        marker: The only right answer.
        quiet: Seconds without a failure after which the server counts as settled.

    Returns:
        `time.perf_counter()` of the first good answer after the last failure (None if there was no failure),
        and how many requests failed.
    """
    good_since, failed, settled = perf_counter(), 0, None
    broken = False
    end = good_since + 20
    while perf_counter() < end:
        client = Client(port, timeout=5)
        try:
            right = client.get(path) == (200, marker)
        except OSError:
            right = False
        finally:
            client.close()
        if not right:
            broken, failed = True, failed + 1
        elif broken:
            broken, settled = False, perf_counter()
            good_since = settled
        elif perf_counter() - good_since > quiet:
            break
        sleep(0.003)
    return settled, failed
