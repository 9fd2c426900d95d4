"""A session as it is stored, and the rules it lives by. Pure: it knows no storage, no clock and no request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

from hotsession.lifecycle.limits import Limits, expiry
from hotsession.lifecycle.token import Token

Key: TypeAlias = str | tuple[str, ...]

LIVE = frozenset({"active", "paused"})
NEXT: dict[str, tuple[str, ...]] = {
    "active": ("paused", "completed", "ended", "failed", "expired", "interrupted"),
    "paused": ("active", "completed", "ended", "failed", "expired", "interrupted"),
    "interrupted": ("active", "ended", "failed"),
    "completed": (),
    "ended": (),
    "failed": (),
    "expired": (),
}  # state -> the states it can go to


class Deferred:
    """A payload that is read when somebody looks at it: listings need none.

    Args:
        load: reads it.
    """

    __slots__ = ("load",)

    def __init__(self, load: Callable[[], Any]) -> None:
        self.load = load

    def __repr__(self) -> str:
        return "<a payload that was not read yet>"


class Record(NamedTuple):
    """One session as a storage keeps it: a few fields to find it by, and the payload.

    A tuple, because one is made for every write and that costs a quarter of what a frozen dataclass does (measured
    0.5 against 2 microseconds).

    Args:
        id: the public id. It finds the session but opens nothing: that is what the token is for.
        manager: name of the manager it belongs to; keys of different managers have nothing to do with each other.
        key: whom it belongs to; None for an anonymous one.
        status: one of the states in `NEXT`.
        reason: why it came into this state, if somebody said.
        version: 0 before it is stored, then one more with each write.
        created_at: wall clock in seconds, as all times here.
        updated_at: when the data was last written.
        last_seen_at: when somebody last reused it; may lag by a second.
        expires_at: from then on it counts as expired; None for never.
        token_hash: hash of the token in the browser's cookie; None without one.
        token_expires_at: when the browser forgets its cookie; None for when it is closed.
        payload: what is in the session: the live object, or bytes in a storage that wants bytes; in a listing it may be
            a `Deferred`.
        result: what a completed one came to, or what is said of a failed one: an object or bytes, as the payload is.
        completed_at: when it was over: completed, failed, ended or expired.
        attempt: how often its work was begun.
        worker: the process that works on it now, as `worker.this_worker` names it; None when none does.
        recovered: whether it was rebuilt from what lies on disk.
    """

    id: str
    manager: str
    key: Key | None
    status: str
    reason: str | None
    version: int
    created_at: float
    updated_at: float
    last_seen_at: float
    expires_at: float | None
    token_hash: bytes | None
    token_expires_at: float | None
    payload: Any
    result: Any = None
    completed_at: float | None = None
    attempt: int = 1
    worker: str | None = None
    recovered: bool = False

    @property
    def is_live(self) -> bool:
        """Whether it can be used, its clock aside."""
        return self.status in LIVE

    def is_expired(self, now: float) -> bool:
        """Whether its time is over at `now`, be it noted yet or not."""
        if self.status not in LIVE:
            return self.status == "expired"
        return self.expires_at is not None and self.expires_at <= now

    def is_settled(self, now: float, limits: Limits) -> bool:
        """Whether a reuse at `now` leaves it as it is: not expired, and seen a moment ago."""
        return now - self.last_seen_at < limits.touch_every and (self.expires_at is None or self.expires_at > now)


def new_record(id: str, manager: str, key: Key | None, payload: Any, now: float, limits: Limits) -> Record:
    """A session that is not stored yet: version 0."""
    return Record(
        id=id,
        manager=manager,
        key=key,
        status="active",
        reason=None,
        version=0,
        created_at=now,
        updated_at=now,
        last_seen_at=now,
        expires_at=expiry(now, None, now, limits),
        token_hash=None,
        token_expires_at=None,
        payload=payload,
    )


def saved(record: Record, payload: Any, now: float, limits: Limits, token: Token | None = None) -> Record | None:
    """The next version, with this payload; if a token is given, with that one from now on. None if it is over."""
    public_id, manager, key, status, reason, version, created_at, _, _, expires_at, token_hash, token_expires_at = (
        record[:12]
    )
    if not version:
        created_at = now  # it begins to live when it is stored, however long somebody held it before
    elif status not in LIVE or (expires_at is not None and expires_at <= now):
        return None
    if token is not None:
        token_hash, lifetime = token
        token_expires_at = None if lifetime is None else now + lifetime
    expires_at = expiry(created_at, token_expires_at, now, limits)
    # Every request that writes passes here. Made as the tuple that it is, it takes 0.4 in place of 1.2 microseconds.
    return tuple.__new__(
        Record,
        (
            public_id,
            manager,
            key,
            status,
            reason,
            version + 1,
            created_at,
            now,
            now,
            expires_at,
            token_hash,
            token_expires_at,
            payload,
            *record[13:],
        ),
    )


def can_go(record: Record, status: str) -> bool:
    """Whether the rules let a session in its state go to `status`."""
    return status in NEXT[record.status]


def moved(record: Record, status: str, now: float, reason: str | None = None, **fields: Any) -> Record:
    """The next version, in another state; without its token if that ends its life, so that no cookie opens it.

    Args:
        record: as it is.
        status: the new state.
        now: the time.
        reason: why.
        fields: what else is new.
    """
    is_live = status in LIVE
    is_over = not is_live and status != "interrupted"
    changed = {
        "status": status,
        "reason": reason,
        "version": record.version + 1,
        "updated_at": now,
        "token_hash": record.token_hash if is_live else None,
        "completed_at": now if is_over else None,
        "worker": record.worker if is_live else None,
    }
    return record._replace(**{**changed, **fields})


def checked_key(key: object) -> Key:
    """`key` if it can be one.

    Raises:
        TypeError: it is neither a string nor a tuple of strings, or it is empty.
    """
    parts = key if isinstance(key, tuple) else (key,)
    if not parts or not all(isinstance(part, str) and part for part in parts):
        raise TypeError(f"a session's key is a non-empty string or a tuple of such strings, not {key!r}")
    return key  # type: ignore[return-value]
