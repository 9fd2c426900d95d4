"""A real WebSocket server in threads of a test, which does at each connection what the test says."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Self

from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import Server as WebSocketServer
from websockets.sync.server import ServerConnection, serve

from tests.deadlines import DEADLINE
from tests.e2e.servers import free_port, wait_until


class Talker:
    """The server, as a context manager.

    Attributes:
        connections: those that were accepted, in order.
        heard: for each of them the messages that came, as they were sent.
        refused: moments in which a connection was refused.
        is_refusing: whether connections are refused with 503 for now.
        answer: called with each message; what it returns is sent.
        greet: called with each connection, first.
    """

    def __init__(self) -> None:
        self.connections: list[ServerConnection] = []
        self.heard: list[list[Any]] = []
        self.refused: list[float] = []
        self.is_refusing = False
        self.answer: Callable[[Any], Any] = lambda message: None
        self.greet: Callable[[ServerConnection], None] = lambda connection: None
        self._stack = contextlib.ExitStack()
        self.port = free_port()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/"

    def start(self) -> None:
        server: WebSocketServer = self._stack.enter_context(
            serve(self._talk, "127.0.0.1", self.port, process_request=self._admit, close_timeout=1)
        )
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        self._stack.callback(thread.join)
        self._stack.callback(server.shutdown)

    def stop(self) -> None:
        """Listen no more, and be gone."""
        for connection in self.connections:
            connection.socket.close()
        self._stack.close()

    def wait_for(self, connections: int) -> ServerConnection:
        wait_until(lambda: len(self.connections) >= connections, DEADLINE, f"connection no. {connections}")
        return self.connections[connections - 1]

    def wait_until_heard(self, connection: int, *messages: Any) -> None:
        wait_until(lambda: self.heard[connection - 1] == [*messages], DEADLINE, f"{messages}, not {self.heard}")

    def wait_until_refused(self, times: int, timeout: float = DEADLINE) -> None:
        wait_until(lambda: len(self.refused) >= times, timeout, f"{times} attempts")

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        if not self.is_refusing:
            return None
        self.refused.append(time.monotonic())
        return connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, "not now")

    def _talk(self, connection: ServerConnection) -> None:
        heard: list[Any] = []
        self.heard.append(heard)
        self.connections.append(connection)
        with contextlib.suppress(ConnectionClosed, OSError):
            self.greet(connection)
            for frame in connection:
                message = json.loads(frame) if isinstance(frame, str) else frame
                heard.append(message)
                answer = self.answer(message)
                if answer is not None:
                    connection.send(json.dumps(answer))
