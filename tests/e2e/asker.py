"""Somebody who asks the agent example, over a real event stream and a real WebSocket."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any, Self

from websockets.sync.client import ClientConnection, connect

from tests.deadlines import DEADLINE
from tests.e2e.servers import Server, wait_until

ENDS = ("answered", "stopped", "failed")

Event = dict[str, Any]


class Asker:
    """A visitor with a WebSocket; what happens is read from an event stream that goes on where the last one ended.

    Attributes:
        last_id: of the event that was heard last.
        begins: the first event of each stream, which tells the conversation and the code.
    """

    def __init__(self, server: Server) -> None:
        self.server = server
        self.last_id = ""
        self.begins: list[Event] = []
        self._stack = contextlib.ExitStack()
        server.get("/").raise_for_status()  # for the cookie
        self.connect()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def connect(self) -> None:
        """Open the WebSocket, or open it again."""
        cookies = "; ".join(f"{name}={value}" for name, value in self.server.client.cookies.items())
        url = f"{self.server.ws_url}/api/ask"
        self._stack.close()
        self.socket: ClientConnection = self._stack.enter_context(
            connect(url, additional_headers={"Cookie": cookies}, proxy=None, open_timeout=DEADLINE)
        )
        self.hello = self.receive()

    def receive(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self.socket.recv(DEADLINE))
        return message

    def send(self, message: dict[str, Any]) -> dict[str, Any]:
        self.socket.send(json.dumps(message))
        return self.receive()

    def ask(self, text: str, message: str | None = None) -> None:
        assert self.send({"id": message or text, "text": text})["ack"] == (message or text)

    def events(self) -> Iterator[Event]:
        """How a stream begins, and then what happens after `last_id`, until it ends or is left."""
        with self.server.client.stream("GET", "/api/events", headers={"Last-Event-ID": self.last_id}) as response:
            assert response.status_code == 200, response.status_code
            for line in response.iter_lines():
                name, _, value = line.partition(": ")
                if name == "id":
                    self.last_id = value
                elif name == "data":
                    event = json.loads(value)
                    if event["type"] == "begin":
                        self.begins.append(event)
                    yield event

    def hear(self, type: str = "", *, count: int = 1) -> list[Event]:
        """What happens until events of this type have come as often; of an answer's end if none is named."""
        heard = []
        with contextlib.closing(self.events()) as events:  # type: ignore[type-var]
            for event in events:
                if event["type"] == "begin":
                    continue
                heard.append(event)
                count -= event["type"] in ((type,) if type else ENDS)
                if not count:
                    return heard
        raise AssertionError(f"the stream ended before the {type}: {heard}")

    def answer(self, text: str) -> Event:
        """Ask, and return how it ends."""
        self.ask(text)
        return self.hear()[-1]

    def wait_for_code(self, other_than: str) -> str:
        """Open streams until newer code tells them, and return what it is called."""

        def told() -> str:
            with contextlib.closing(self.events()) as events:  # type: ignore[type-var]
                begin = next(events, {"code": other_than})  # a server about to restart ends it at once
            return "" if begin["code"] == other_than else str(begin["code"])

        return wait_until(told, DEADLINE, f"other code than {other_than}")


def text_of(events: list[Event]) -> str:
    """What was said word by word."""
    return "".join(event["text"] for event in events if event["type"] == "words")
