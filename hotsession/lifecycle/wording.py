"""How sessions are spoken of, in log lines and in errors. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from hotsession.errors import (
    InvalidTransition,
    MigrationFailed,
    SessionConflict,
    SessionError,
    SessionExpired,
    SessionMismatch,
    SessionNotFound,
)
from hotsession.lifecycle.record import NEXT, Key, Record
from hotsession.living.notices import failed_words
from hotsession.living.outcome import Failed


def short(id: str) -> str:
    """The first part of an id: enough to tell sessions apart in a log."""
    return id[:8]


def span(seconds: float) -> str:
    """A span of time as a person would say it."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if abs(seconds) >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def owner(key: Key | None) -> str:
    """Whom a session belongs to."""
    return "a browser or nobody" if key is None else repr(key)


def lifetime(record: Record, now: float) -> str:
    """How old a session is and when it expires or did."""
    if record.expires_at is None:
        end = "never expires"
    elif record.expires_at > now:
        end = f"expires in {span(record.expires_at - now)}"
    else:
        end = f"expired {span(now - record.expires_at)} ago"
    return f"{span(now - record.created_at)} old, {end}"


def _live_ones(alternatives: tuple[str, ...], key: Key | None) -> str:
    if key is None:
        return ""
    if not alternatives:
        return f"; {key!r} has no live session: get_or_create({key!r}) makes one"
    return f"; the live session of {key!r} is {', '.join(map(short, alternatives))}"


def named(record: Record) -> str:
    """A session, as one says it."""
    return f"session {short(record.id)} of {record.manager!r}, of {owner(record.key)}"


def not_migrated(record: Record, failed: Sequence[Failed]) -> MigrationFailed:
    """Objects in it could not be brought to their classes as they are now."""
    first = failed[0]
    others = f" And so are {len(failed) - 1} others in it." if len(failed) > 1 else ""
    error = MigrationFailed(
        f"{named(record)}: {failed_words('session', first)}. Mend it and save, or undo the change of the class."
        f"{others}",
        path=f"session{first.path}",
        cls=first.cls,
        step=first.step,
        id=record.id,
        key=record.key,
        status=record.status,
    )
    error.__cause__ = first.error
    return error


def not_found(id: str, manager: str, key: Key | None = None, alternatives: tuple[str, ...] = ()) -> SessionNotFound:
    """No session goes by this id."""
    return SessionNotFound(
        f"no session {short(id)} in {manager!r}{_live_ones(alternatives, key)}",
        id=id,
        key=key,
        alternatives=alternatives,
    )


def expired(record: Record, now: float, alternatives: tuple[str, ...] = ()) -> SessionExpired:
    """Its time is over."""
    when = record.updated_at if record.expires_at is None else record.expires_at
    return SessionExpired(
        f"session {short(record.id)} of {owner(record.key)} expired {span(now - when)} ago, "
        f"at an age of {span(when - record.created_at)}{_live_ones(alternatives, record.key)}",
        id=record.id,
        key=record.key,
        status="expired",
        age=now - record.created_at,
        alternatives=alternatives,
    )


def mismatch(record: Record, key: Key, now: float, alternatives: tuple[str, ...] = ()) -> SessionMismatch:
    """It belongs to somebody else."""
    return SessionMismatch(
        f"session {short(record.id)} belongs to {owner(record.key)}, not to {key!r}{_live_ones(alternatives, key)}",
        id=record.id,
        key=record.key,
        status=record.status,
        age=now - record.created_at,
        alternatives=alternatives,
    )


def forbidden(record: Record, wish: str, now: float, alternatives: tuple[str, ...] = ()) -> InvalidTransition:
    """Its state allows no such thing."""
    exits = ", ".join(NEXT[record.status]) or "nowhere"
    reason = f" ({record.reason})" if record.reason else ""
    return InvalidTransition(
        f"session {short(record.id)} of {owner(record.key)} is {record.status}{reason} and can't be {wish}: "
        f"from {record.status} it can go to {exits}{_live_ones(alternatives, record.key)}",
        id=record.id,
        key=record.key,
        status=record.status,
        age=now - record.created_at,
        alternatives=alternatives,
    )


def busy(record: Record, now: float) -> InvalidTransition:
    """Somebody works on it already."""
    return InvalidTransition(
        f"session {short(record.id)} of {owner(record.key)} is being worked on already, in its attempt "
        f"{record.attempt}: wait for that, or end the session",
        id=record.id,
        key=record.key,
        status=record.status,
        age=now - record.created_at,
    )


def several(record: Record, ids: tuple[str, ...]) -> SessionError:
    """Somebody asked for "the session", and there are several."""
    return SessionError(
        f"{len(ids)} sessions of {record.manager!r} are in use here ({', '.join(map(short, ids))}), and "
        f"get_or_create() can't tell which one is meant: give it the key or the id",
        id=record.id,
        key=record.key,
        status=record.status,
        alternatives=ids,
    )


def conflict(record: Record, version: int, now: float, keys: tuple[str, ...] = ()) -> SessionConflict:
    """Somebody else was faster."""
    both = f"; both changed {', '.join(map(repr, keys))}" if keys else ""
    return SessionConflict(
        f"session {short(record.id)} of {owner(record.key)} is at version {record.version}, and this write builds on "
        f"version {version}{both}: get it again and repeat the change, or change it with update()",
        keys=keys,
        id=record.id,
        key=record.key,
        status=record.status,
        age=now - record.created_at,
    )
