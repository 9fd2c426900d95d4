"""How records and keys stand in a row of SQLite. Pure."""

from __future__ import annotations

import json
from typing import Any

from hotsession.errors import StorageError
from hotsession.lifecycle.record import Key, Record

COLUMNS = ", ".join(Record._fields)  # which are named as the columns are
KEY = Record._fields.index("key")
RECOVERED = Record._fields.index("recovered")


def is_text(text: str) -> bool:
    """Whether SQLite can hold it: half of a surrogate pair has no UTF-8, as in a name of a file that is no text."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def key_text(key: Key) -> str:
    """A key as one text, different for different keys: a string as it is, a tuple as JSON.

    A string that looks like JSON or can't stand in a text is written as JSON, too, so every key has one.
    """
    if isinstance(key, str) and key[:1] not in ("[", '"') and "\0" not in key and is_text(key):
        return key
    text = json.dumps(key, ensure_ascii=False)
    return text if is_text(text) else json.dumps(key)


def key_of(text: str | None) -> Key | None:
    """The key that `key_text` wrote."""
    if text is None or text[:1] not in ("[", '"'):
        return text
    value = json.loads(text)
    return tuple(value) if isinstance(value, list) else str(value)


def record_of(row: tuple[Any, ...]) -> Record:
    """The record in a row of `COLUMNS`; what follows these is left out."""
    values = list(row[: len(Record._fields)])
    values[KEY] = key_of(values[KEY])
    values[RECOVERED] = bool(values[RECOVERED])
    return Record._make(values)


def row_of(record: Record) -> dict[str, Any]:
    """The parameters of a statement that writes a record.

    Raises:
        StorageError: the payload or the result is neither bytes nor None, or the id or manager is no text.
    """
    if not isinstance(record.payload, bytes | None) or not isinstance(record.result, bytes | None):
        raise StorageError(
            f"session {record.id} has a live {type(record.payload).__name__} where SQLite stores bytes: "
            "let a manager with a codec write it"
        )
    row = record._asdict()
    row["key"] = None if record.key is None else key_text(record.key)
    if record.reason is not None:
        row["reason"] = record.reason.encode(errors="backslashreplace").decode()
    return row
