"""Which session the running code belongs to: the context variable behind `current_session()`.

A visit is one request or connection, as it looks to sessions. It hangs on a context variable, so tasks and threads that
a request starts see the same one. Knows nothing about managers, storages or ASGI.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol

from hotsession.lifecycle.session import Session

if TYPE_CHECKING:
    from hotsession.lifecycle.held import Held


class Visit(Protocol):
    """One request or connection with a session, or a job that works on one.

    `data` is the session's, shared with concurrent requests of the same browser where the storage shares it; `accessed`
    and `modified` are this visit's own; `outer` is the visit that this one runs inside, if any. `held` are the sessions
    of whatever manager that its code asked for; `task` is the task it runs in, and `is_over` says that it has ended,
    though tasks that it started may go on.
    """

    outer: Visit | None
    data: Any
    accessed: bool
    modified: bool
    unsaved: bool
    held: Held | None
    is_over: bool
    task: Any

    @property
    def manager(self) -> str:
        """Name of the manager that the session belongs to."""
        ...

    @property
    def session(self) -> Session:
        """The session; of a new browser one that is not stored yet, with version 0."""
        ...

    def hold_copies(self) -> None:
        """Note that among the sessions in hand are copies, which are to be saved."""
        ...

    def go_on(self) -> None:
        """Note that a task uses the data though the visit is over."""
        ...


current: ContextVar[Visit | None] = ContextVar("hotsession_visit", default=None)


def visit_of(data: object) -> Visit | None:
    """The innermost visit that the running code belongs to and whose session holds `data`."""
    visit = current.get()
    while visit is not None and visit.data is not data:
        visit = visit.outer
    return visit


def current_session() -> Session | None:
    """The session of this request, task or connection, or None outside of one.

    Of a browser that has no session yet it is a new one, with an id, `version` 0 and empty `data`. It is stored, and
    the browser gets its cookie, when something is written to it; otherwise it is forgotten with the request.
    """
    visit = current.get()
    return None if visit is None else visit.session
