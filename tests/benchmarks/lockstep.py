"""Raw connections that ask and are answered all at once, turn after turn: a client that costs less than the server.

A turn sends one message on each connection and then reads the answers, so the server always has some to work on.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from contextlib import ExitStack
from time import perf_counter
from typing import Self

HELLO = b"hello, how are you today?"


class Connection:
    """One connection with a message that is always the same, and so is its answer.

    Args:
        port: On 127.0.0.1.
        path: Of a WebSocket that echoes, or of a page.
        is_socket: Which of both.
    """

    def __init__(self, port: int, path: str, *, is_socket: bool) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), 30)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        head = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        if is_socket:
            key = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            self._socket.sendall(f"{head}Connection: Upgrade\r\nUpgrade: websocket\r\n{key}\r\n".encode())
            answer = self._head()
            assert answer.startswith(b"HTTP/1.1 101"), answer
            self._message = frame(HELLO)
            self._length = 2 + len(HELLO)
        else:
            self._message = f"{head}\r\n".encode()
            self.send()
            length = next(line for line in self._head().lower().split(b"\r\n") if line.startswith(b"content-length"))
            self._read(int(length.split(b":")[1]))
            self.send()
            self._length = len(self._head()) + int(length.split(b":")[1])
            self._read(int(length.split(b":")[1]))

    def __repr__(self) -> str:
        return f"<Connection {self._message[:30]!r}>"

    def send(self) -> None:
        """Send the message."""
        self._socket.sendall(self._message)

    def receive(self) -> bytes:
        """Read its answer."""
        return self._read(self._length)

    def close(self) -> None:
        """Close it without a word."""
        self._socket.close()

    def _read(self, length: int) -> bytes:
        data = self._socket.recv(length)
        while len(data) < length:
            more = self._socket.recv(length - len(data))
            if not more:
                raise ConnectionResetError(f"closed after {data!r}")
            data += more
        return data

    def _head(self) -> bytes:
        data = b""
        while not data.endswith(b"\r\n\r\n"):
            data += self._read(1)
        return data


def frame(payload: bytes) -> bytes:
    """A short text frame as a client sends it, masked."""
    mask = os.urandom(4)
    return (
        bytes([0x81, 0x80 | len(payload)]) + mask + bytes(each ^ mask[place % 4] for place, each in enumerate(payload))
    )


class Lockstep:
    """So many connections that are asked together, as a context manager.

    Args:
        port: On 127.0.0.1.
        path: What they ask.
        connections: How many.
        is_socket: Whether it is a WebSocket.
    """

    def __init__(self, port: int, path: str, *, connections: int, is_socket: bool) -> None:
        self._stack = ExitStack()
        self._connections: Sequence[Connection] = []
        for _ in range(connections):
            made = Connection(port, path, is_socket=is_socket)
            self._stack.callback(made.close)
            self._connections = [*self._connections, made]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def turn(self) -> list[bytes]:
        """Ask on every connection, and return the answers."""
        for each in self._connections:
            each.send()
        return [each.receive() for each in self._connections]

    def rate(self, seconds: float) -> float:
        """Answers in a second."""
        turns, began = 0, perf_counter()
        while perf_counter() - began < seconds:
            self.turn()
            turns += 1
        return turns * len(self._connections) / (perf_counter() - began)
