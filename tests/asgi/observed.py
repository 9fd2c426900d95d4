"""An app behind a server that looks into the snapshot at every message that passes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hotsession import bytecode
from hotsession.asgi import farewell
from hotsession.snapshot.opening import install
from hotsession.snapshot.pace import Pace
from hotsession.snapshot.unpickling import unpickled
from tests.snapshot.carriers import Process, Start, restarts


class Seen(NamedTuple):
    """A message, and what was in the snapshot of the one session when the server got it or was asked for it."""

    type: str
    more: bool
    data: Any


class Never(Pace):
    """A pace at which it is never time."""

    def begin(self) -> bool:
        """Never."""
        return False


class Server:
    """Calls an app as a server does, and notes what is in the snapshot.

    Args:
        app: the ASGI app.
        process: whose snapshot it is.
    """

    def __init__(self, app: ASGIApp, process: Process) -> None:
        self._app = app
        self._process = process
        self.seen: list[Seen] = []
        process.carrier._stream_pace = process.carrier._look_pace = Never()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on."""
        self.seen = []

        async def observed_send(message: Message) -> None:
            self._note(message["type"], message.get("more_body", False))
            await send(message)

        async def observed_receive() -> Message:
            self._note("receive", False)
            return await receive()

        await self._app(scope, observed_receive, observed_send)

    @property
    def stored(self) -> Any:
        """The data of the one session as it is in the snapshot."""
        records = self._process.store.list("default", 0.0, limit=1)
        found = self._process.store.read(records[0].id) if records else None
        return None if found is None else unpickled(found[1][1:]).value

    def at(self, type: str, *, more: bool = False) -> list[Any]:
        """What was in the snapshot when messages of a type passed, those of bodies that end or go on."""
        return [seen.data for seen in self.seen if (seen.type, seen.more) == (type, more)]

    def _note(self, type: str, more: bool) -> None:
        self.seen.append(Seen(type, more, self.stored))


@contextmanager
def reloaded(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts processes as a reloader would, in which the middleware finds a carrier."""
    monkeypatch.setattr(farewell, "before_the_end", lambda callback: True)
    monkeypatch.setattr(bytecode, "app_is_up", lambda: None)
    with restarts(directory, monkeypatch) as start:

        def start_with_carrier(**options: Any) -> Process:
            process = start(**options)
            install(process.carrier)
            return process

        yield start_with_carrier
