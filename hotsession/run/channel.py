"""The line between the parent and a worker: one JSON object per line, in both directions, over a socket pair.

::

    parent to worker                                worker to parent
    start    argv, params, target, listener, ...    ready    loaded: whether the code could be imported
    accept   serve now                              serving  connections are accepted now
    drain    make room for the next worker          restart  reason: this process can't go on with the code
    stop     times: how often it was asked          quit     the user asked for it at the keyboard
    reset    id, name: drop kept state              ending   no more connections are accepted
                                                    answer   id, ok, text: what became of a reset
                                                    hopeless the server can't be set up, another try is vain

Its end means that the other one is gone. It knows nothing about what the messages do.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from typing import Any

Message = dict[str, Any]

CHANNEL = "HOTSESSION_CHANNEL"  # the environment variable with the number of the worker's end


def encode(kind: str, **fields: Any) -> bytes:
    """One line that says `kind`, with `fields`."""
    return json.dumps({"kind": kind, **fields}).encode() + b"\n"


def decode(line: bytes) -> Message:
    """The message in one line."""
    message: Message = json.loads(line)
    return message


class WorkerChannel:
    """The worker's end, for threads: what is sent goes out at once, what is received is waited for.

    Args:
        sock: connected to the parent.
    """

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(True)
        self._sock = sock
        self._lines = sock.makefile("rb")
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<WorkerChannel fd={self._sock.fileno()}>"

    def send(self, kind: str, **fields: Any) -> None:
        """Send one message; to a parent that is gone it is lost, `receive` will tell."""
        with self._lock, contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._sock.sendall(encode(kind, **fields))

    def receive(self) -> Message | None:
        """Wait for the next message; None when the parent is gone."""
        try:
            line = self._lines.readline()
        except ConnectionResetError:
            return None
        return decode(line) if line.endswith(b"\n") else None
