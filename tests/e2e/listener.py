"""A client of an event stream, which reads in a thread and remembers what it heard. Knows no server and no page."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable
from typing import Any, NamedTuple, Self

import httpx

from tests.deadlines import DEADLINE
from tests.e2e.servers import wait_until


class Event(NamedTuple):
    """One event as it came."""

    name: str
    id: str
    data: Any


class Listener:
    """Listens to a URL as a browser does, without coming back by itself.

    Args:
        url: of the event stream.
        last_id: of the last event that was heard before; it is told to the server.
        heard: called with each event as it comes, in the thread that reads.
    """

    def __init__(
        self, url: str, last_id: str | None = None, *, heard: Callable[[Event], object] = lambda event: None
    ) -> None:
        self.url = url
        self.events: list[Event] = []
        self._heard = heard
        self._headers = {"accept": "text/event-stream", **({"last-event-id": last_id} if last_id else {})}
        self._client = httpx.Client(trust_env=False, timeout=DEADLINE)
        self._open = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._open.wait(DEADLINE), f"no answer from {self.url}"
        return self

    def __exit__(self, *error: object) -> None:
        with contextlib.suppress(httpx.HTTPError):
            self._response.close()
        self._client.close()

    def wait_for(self, name: str, **fields: Any) -> Event:
        """Wait for an event by its name and fields of its data, and return it."""

        def heard() -> Event | None:
            fits = (each for each in [*self.events] if each.name == name)
            return next((each for each in fits if fields.items() <= each.data.items()), None)

        event = wait_until(heard, what=f"{name} with {fields} among {len(self.events)} events")
        assert event is not None
        return event

    def _listen(self) -> None:
        # httpx raises various things when it is closed while it reads
        with contextlib.suppress(httpx.HTTPError, httpx.StreamError, RuntimeError, OSError):
            self._read()

    def _read(self) -> None:
        fields: dict[str, str] = {}
        with self._client.stream("GET", self.url, headers=self._headers) as self._response:
            self._open.set()
            for line in self._response.iter_lines():
                if line:
                    name, _, value = line.partition(": ")
                    fields[name] = value
                elif "event" in fields:
                    event = Event(fields["event"], fields["id"], json.loads(fields["data"]))
                    self._heard(event)
                    self.events.append(event)
                    fields = {}
