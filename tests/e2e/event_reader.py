"""A client that reads one event stream in a thread, parsed as a browser does it, and keeps what came. Knows no app."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Self

import httpx

from tests.deadlines import DEADLINE
from tests.e2e.servers import Server, wait_until

_LINE_END = re.compile(r"\r\n|\n|\r")


class Event(NamedTuple):
    """One event as a page gets it; the id is the last that was heard so far."""

    id: str
    data: str


class EventReader:
    """Reads while the context lasts, and leaves then, as a page does.

    Args:
        server: what it asks.
        path: of the event stream.
        method: ``GET``, or what an API wants for its answers.
        headers: more of the request.
    """

    def __init__(self, server: Server, path: str, *, method: str = "GET", headers: Any = None) -> None:
        self.raw = b""
        self.error: Exception | None = None
        self.ended = False
        self._request = (method, f"{server.url}{path}")
        self._headers = headers
        self._client = httpx.Client(trust_env=False, timeout=DEADLINE)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._response: httpx.Response | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        wait_until(lambda: self._response or self.error, what=f"an answer to {self._request}")
        assert self.error is None, self.error
        return self

    def __exit__(self, *error: object) -> None:
        with contextlib.suppress(httpx.HTTPError):
            self.response.close()
        self._client.close()

    @property
    def response(self) -> httpx.Response:
        """Its status and headers."""
        assert self._response is not None
        return self._response

    @property
    def events(self) -> list[Event]:
        """The events so far."""
        return [*parsed(self.raw.decode())]

    @property
    def data(self) -> list[str]:
        """The data of the events so far."""
        return [event.data for event in self.events]

    def wait_for(self, wanted: Callable[[list[str]], object] | str) -> list[str]:
        """Wait for an event with this data, or until the data of all so far is as wanted; return the latter."""

        def heard() -> list[str] | None:
            data = self.data
            assert not self.ended or self._fits(wanted, data), f"it ended without {wanted}: {self.raw!r} {self.error!r}"
            return data if self._fits(wanted, data) else None

        data = wait_until(heard, what=f"{wanted} among {self.data[-3:]}")
        assert data is not None
        return data

    @staticmethod
    def _fits(wanted: Callable[[list[str]], object] | str, data: list[str]) -> bool:
        return wanted in data if isinstance(wanted, str) else bool(wanted(data))

    def wait_for_end(self) -> bytes:
        """Wait until it has ended as a complete response, and return all that came."""
        wait_until(lambda: self.ended, what=f"the end of {self._request}, of which came {self.raw[-200:]!r}")
        assert self.error is None, f"it was cut off: {self.error!r} after {self.raw[-200:]!r}"
        return self.raw

    def _read(self) -> None:
        try:
            with self._client.stream(*self._request, headers=self._headers) as response:
                self._response = response
                for part in response.iter_bytes():
                    self.raw += part
        except (httpx.HTTPError, httpx.StreamError, RuntimeError, OSError) as error:  # also when we close it
            self.error = error
        self.ended = True


def parsed(text: str) -> Iterator[Event]:
    """The events of a stream; one that is not complete yet is none."""
    last, data = "", None
    for line in _LINE_END.split(text)[:-1]:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data is not None:
                yield Event(last, "\n".join(data))
            data = None
        elif name == "data":
            data = [*(data or []), value]
        elif name == "id":
            last = value
