"""A session as its users see it: the record's fields, and its data."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from hotsession.errors import SessionError
from hotsession.lifecycle.record import Deferred, Key, Record
from hotsession.lifecycle.wording import short


class Done:
    """Something already done, for those who await it out of habit."""

    def __await__(self) -> Generator[Any, None, None]:
        return
        yield


class SameData(Deferred):
    """The data of another view of the same copy, which is not read before somebody looks at it.

    Args:
        other: that view.
    """

    __slots__ = ("other",)

    def __init__(self, other: Session) -> None:
        self.other = other

    def load(self) -> Any:
        """The data of the other."""
        return self.other.data


class Session:
    """One session, as one caller got it. In memory storage all callers share `data`, the live object.

    Args:
        record: what is stored of it, as far as this caller knows.
        reused: whether it was there before this call.
    """

    __slots__ = ("_data", "_noted", "_record", "_renew", "reused")

    def __init__(self, record: Record, *, reused: bool) -> None:
        self._record = record
        self._renew: Callable[[], None] | None = None  # set by the visit of the browser whose session it is
        self._noted: Callable[[Session], None] | None = None  # told of a copy that somebody has in hand when it is used
        self._data: Any = record.payload
        self.reused = reused

    def __repr__(self) -> str:
        return f"<Session {short(self.id)} key={self.key!r} status={self.status} version={self.version}>"

    @property
    def record(self) -> Record:
        """What is stored of it, as far as this caller knows."""
        return self._record

    @property
    def data(self) -> Any:
        """What is in it. Of a session in a listing it is read when it is first asked for."""
        if self._noted is not None:
            self._noted(self)
        if isinstance(self._data, Deferred):
            self._data = self._data.load()
        return self._data

    @data.setter
    def data(self, data: Any) -> None:
        if self._noted is not None:
            self._noted(self)
        self._data = data

    def share(self, other: Session) -> None:
        """See the data, and what is known of the record, as `other` does: it is the same copy."""
        self._data, self._record = SameData(other), other.record

    def shares_with(self, other: Session) -> bool:
        """Whether it is the same copy as another, or another view of that."""
        if self is other or self._data is other._data:
            return True
        return type(self._data) is SameData and self._data.other.shares_with(other)

    def looked_at(self) -> Any:
        """The data if anybody has looked at it; None if it was never read from what is stored."""
        if type(self._data) is SameData and (data := self._data.other.looked_at()) is not None:
            self._data = data
        return None if isinstance(self._data, Deferred) else self._data

    @property
    def id(self) -> str:
        """The public id: it may be shown and logged, and opens nothing by itself."""
        return self._record.id

    @property
    def manager(self) -> str:
        """Name of the manager that it belongs to."""
        return self._record.manager

    @property
    def key(self) -> Key | None:
        """Whom it belongs to: a string or a tuple of strings; None for an anonymous one, as a browser's is."""
        return self._record.key

    @property
    def status(self) -> str:
        """Its state: ``"active"``, ``"ended"``, ``"expired"`` ..."""
        return self._record.status

    @property
    def reason(self) -> str | None:
        """Why it came into its state, ``"replaced"`` for example."""
        return self._record.reason

    @property
    def version(self) -> int:
        """How often it was written; 0 if it is not stored yet."""
        return self._record.version

    @property
    def created_at(self) -> float:
        """When it was made, in seconds since the epoch."""
        return self._record.created_at

    @property
    def updated_at(self) -> float:
        """When its data was last written, in seconds since the epoch. In memory, changes inside `data` don't count."""
        return self._record.updated_at

    @property
    def last_seen_at(self) -> float:
        """When it was last reused, in seconds since the epoch, to the second."""
        return self._record.last_seen_at

    @property
    def expires_at(self) -> float | None:
        """When it expires unless it is reused, in seconds since the epoch; None for never."""
        return self._record.expires_at

    @property
    def completed_at(self) -> float | None:
        """When it was over (completed, failed, ended or expired), in seconds since the epoch."""
        return self._record.completed_at

    @property
    def result(self) -> Any:
        """What it came to, if it is completed; what is said of its failure, if it failed."""
        result = self._record.result
        return result.load() if isinstance(result, Deferred) else result

    @property
    def attempt(self) -> int:
        """How often its work was begun."""
        return self._record.attempt

    @property
    def is_running(self) -> bool:
        """Whether a process works on it."""
        return self._record.worker is not None

    @property
    def recovered_from_disk(self) -> bool:
        """Whether it was rebuilt from what lies on disk."""
        return self._record.recovered

    def regenerate_token(self) -> Done:
        """Give the browser a new token with this response; the old one opens nothing from then on.

        Call it when the rights of a session change, after a login above all. The session itself stays as it is.
        It takes effect without being awaited, so that sync endpoints can call it; awaiting it does no harm.

        Raises:
            SessionError: no browser is there to get a new token: this is not the session of the running request,
                or its response has begun.
        """
        if self._renew is None:
            raise SessionError(
                f"session {short(self.id)} can't get a new token here: call regenerate_token() on current_session() "
                f"in the request of the browser that it belongs to",
                id=self.id,
                key=self.key,
                status=self.status,
            )
        self._renew()
        return Done()
