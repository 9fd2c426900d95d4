"""Which session the running code belongs to: the context variable behind `current_session()`.

A visit is one request or connection, as it looks to sessions. It hangs on a context variable, so tasks and threads that
a request starts see the same one. Knows nothing about managers, storages or ASGI.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any, Protocol

from hotsession.lifecycle.session import Session


class Visit(Protocol):
    """One request or connection with a session.

    `data` is the session's, shared with concurrent requests of the same browser; `accessed` and `modified` are this
    visit's own; `outer` is the visit that this one runs inside, if any.
    """

    outer: Visit | None
    data: Any
    accessed: bool
    modified: bool
    unsaved: bool

    @property
    def session(self) -> Session:
        """The session; of a new browser one that is not stored yet, with version 0."""
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
