# ruff: noqa: S608 - put together of our own words alone; values are bound
"""The statements of SQLite storage. They say nothing of what they are for: `SQLiteStorage` does.

Conditions are written as the partial indexes of the schema have them, which is how SQLite finds that it may use these.
"""

from __future__ import annotations

from hotsession.lifecycle.record import LIVE as LIVE_STATES
from hotsession.lifecycle.record import Record
from hotsession.storages.sqlite_rows import COLUMNS
from hotsession.storages.sqlite_schema import LIVE

_SELECT = f"SELECT {COLUMNS} FROM sessions"

GET = f"{_SELECT} WHERE id = ?"
FIND = f"{_SELECT} WHERE manager = ? AND key = ? AND {LIVE}"
FIND_TOKEN = f"{_SELECT} WHERE manager = ? AND token_hash = ? AND {LIVE}"
RUNNING = f"{_SELECT} WHERE manager = ? AND worker IS NOT NULL AND {LIVE} ORDER BY place"
EXPIRED = f"{_SELECT} WHERE manager = ? AND expires_at <= ? AND {LIVE} ORDER BY expires_at LIMIT ?"

MANAGERS = "SELECT DISTINCT manager FROM counts WHERE count > 0 ORDER BY manager"
COUNT = "SELECT COALESCE(SUM(count), 0) FROM counts WHERE manager = ? AND status = ?"
COUNT_LIVE = f"SELECT COALESCE(SUM(count), 0) FROM counts WHERE manager = ? AND {LIVE}"

POSITION = """SELECT number, MAX(origin, COALESCE((SELECT number FROM removals WHERE manager = ?), 0)) FROM clock"""
CHANGES = f"SELECT {COLUMNS}, number FROM sessions WHERE manager = ? AND number > ? ORDER BY number LIMIT ?"

ADD = f"INSERT INTO sessions ({COLUMNS}, number) VALUES ({', '.join(f':{name}' for name in Record._fields)}, :number)"
_NEVER = {"id", "manager", "key"}  # change
REPLACE = (
    f"UPDATE sessions SET {', '.join(f'{name} = :{name}' for name in Record._fields if name not in _NEVER)}, "
    "number = :number WHERE id = :id AND version = :version - 1"
)
# A save is what comes most. It leaves what a record is found by, so that the indexes are left, too: naming a column
# is enough for SQLite to write its indexes anew.
_SAVED = ("version", "updated_at", "last_seen_at", "expires_at", "payload")
SAVE = (
    f"UPDATE sessions SET {', '.join(f'{name} = :{name}' for name in _SAVED)}, number = :number "
    "WHERE id = :id AND version = :version - 1 AND "
    + " AND ".join(f"{name} IS :{name}" for name in Record._fields if name not in {*_NEVER, *_SAVED})
)
TOUCH = "UPDATE sessions SET last_seen_at = ?, expires_at = ? WHERE id = ?"
REMOVE = """DELETE FROM sessions WHERE place IN (
    SELECT place FROM sessions WHERE manager = ? AND completed_at < ? ORDER BY completed_at LIMIT ?)"""
NOTE_REMOVAL = "INSERT INTO removals VALUES (?, ?) ON CONFLICT (manager) DO UPDATE SET number = excluded.number"

FORGET_CLAIMS = "DELETE FROM claims WHERE until <= ?"
CLAIM = """INSERT INTO claims (manager, key, owner, until) VALUES (:manager, :key, :owner, :until)
    ON CONFLICT (manager, key) DO UPDATE SET until = excluded.until WHERE owner = excluded.owner"""
UNCLAIM = "DELETE FROM claims WHERE manager = ? AND key = ? AND owner = ?"

_NEWEST = "ORDER BY place DESC LIMIT :limit"


def listing(status: str | None, *, has_key: bool) -> str:
    """The statement for a list of the records in a state, of a key."""
    which = "manager = :manager AND key = :key" if has_key else "manager = :manager"
    if status is None:
        return f"{_SELECT} WHERE {which} {_NEWEST}"
    if status in LIVE_STATES:
        return f"{_SELECT} WHERE {which} AND status = :status AND (expires_at IS NULL OR expires_at > :now) {_NEWEST}"
    if status != "expired":
        return f"{_SELECT} WHERE {which} AND status = :status {_NEWEST}"
    # those noted as expired, by one index, and those of which nobody has noticed it yet, by another
    return (
        f"{_SELECT} WHERE place IN ("
        f"SELECT * FROM (SELECT place FROM sessions WHERE {which} AND status = 'expired' {_NEWEST}) UNION ALL "
        f"SELECT * FROM (SELECT place FROM sessions WHERE {which} AND expires_at <= :now AND {LIVE} {_NEWEST})"
        f") {_NEWEST}"
    )
