"""What ``session_state.json`` says: a record as readable JSON, and back, exactly. Pure: it touches no file.

The app's data stands flat beside our fields; what only we need stands in one field, ``hotsession``. Data that is no
JSON object, of a codec that pickles, is base64 in ``data``.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any, NamedTuple

from hotsession.errors import DataNotStorable, StorageError
from hotsession.lifecycle.record import NEXT, Key, Record, checked_key
from hotsession.storages.readable_time import readable, seconds

FORMAT = 1
FIRST = ("id", "key", "status", "reason", "created_at", "updated_at", "completed_at", "expires_at", "attempt")
LAST = ("result", "recovered_from_disk", "hotsession")
RESERVED = frozenset(FIRST + LAST)

_STYLES: dict[str, tuple[str, str]] = {"compact": (",", ":"), "spaced": (", ", ": ")}
_ENCODERS = {
    style: json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=separators)
    for style, separators in _STYLES.items()
}
_BASE64 = "base64"
EMPTY = b"{}"  # no data


class Stored(NamedTuple):
    """A record, and what a directory needs to know besides.

    Args:
        record: the record; without payload and result where only the rest was asked for.
        written: number of its last write.
        added: number of its first.
        replaces: id of the session whose place it took, until it is written again.
    """

    record: Record
    written: int
    added: int
    replaces: str | None = None


class Unreadable(Exception):
    """A state file that says nothing that can be used.

    Args:
        why: what is wrong with it.
        document: what could be read of it.
        is_foreign: whether it is the whole state of another session.
    """

    def __init__(self, why: str, document: dict[str, Any] | None = None, *, is_foreign: bool = False) -> None:
        super().__init__(why)
        self.document = document or {}
        self.is_foreign = is_foreign


def refuse_reserved(record: Record) -> None:
    """Nothing, if the data of a record can stand beside our fields.

    Raises:
        DataNotStorable: it has fields that are called as ours are.
    """
    data, style = _opened(record.payload)
    names = sorted(RESERVED & data.keys()) if style != _BASE64 and isinstance(data, dict) else []
    if names:
        listed = ", ".join(f'"{name}"' for name in names)
        raise DataNotStorable(
            f"data can't be stored in session_state.json with {listed}: hotsession writes fields of its own by that "
            "name there, beside the app's. Give the app's another name.",
            path=f'data["{names[0]}"]',
            type=type(data[names[0]]).__name__,
        )


def encoded(stored: Stored) -> bytes:
    """The content of a state file."""
    record = stored.record
    data, data_style = _opened(record.payload)
    if data_style == _BASE64 or not isinstance(data, dict):
        data, data_style = {"data": _in_base64(record.payload)}, _BASE64
    result, result_style = _result(record.result)
    document = {
        "id": record.id,
        "key": record.key,
        "status": record.status,
        "reason": record.reason,
        "created_at": readable(record.created_at),
        "updated_at": readable(record.updated_at),
        "completed_at": readable(record.completed_at),
        "expires_at": readable(record.expires_at),
        "attempt": record.attempt,
        **data,
        "result": result,
        "recovered_from_disk": record.recovered,
        "hotsession": {
            "format": FORMAT,
            "manager": record.manager,
            "version": record.version,
            "last_seen_at": readable(record.last_seen_at),
            "token_hash": None if record.token_hash is None else record.token_hash.hex(),
            "token_expires_at": readable(record.token_expires_at),
            "worker": record.worker,
            "written": stored.written,
            "added": stored.added,
            "replaces": stored.replaces,
            "styles": [data_style, result_style],
        },
    }
    lines = (_dumped({name: value}, "spaced")[1:-1] for name, value in document.items())  # one each, to be read
    return b"{\n  " + b",\n  ".join(lines) + b"\n}\n"


def decoded(data: bytes, id: str, *, whole: bool = True) -> Stored:
    """What a state file says.

    Args:
        data: its content.
        id: of the session whose directory it lies in.
        whole: whether payload and result are wanted.

    Raises:
        Unreadable: it is not the state of this session.
        StorageError: it was written by a newer version.
    """
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"it is no JSON: {error}") from error
    if not isinstance(document, dict):
        raise Unreadable("it is no JSON object")
    ours = document.get("hotsession")
    if not isinstance(ours, dict):
        raise Unreadable('it has no field "hotsession"', document)
    form = ours.get("format")
    if isinstance(form, int) and form > FORMAT:
        raise StorageError(
            f"the state of session {id} was written by a newer version of hotsession (format {form}, this one reads "
            f"{FORMAT}): install that version; nothing was changed"
        )
    try:
        stored = _stored(document, ours, whole=whole)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise Unreadable(f"{type(error).__name__}: {error}", document) from error
    if stored.record.id != id:
        raise Unreadable(f"it is the state of session {stored.record.id}", document, is_foreign=True)
    return stored


def salvaged(document: dict[str, Any]) -> tuple[Key | None, bytes]:
    """Key and data of a session, as far as its unusable state tells."""
    try:
        key = _key(document.get("key"))
    except TypeError:
        key = None
    try:
        return key, _dumped({name: value for name, value in document.items() if name not in RESERVED})
    except ValueError:  # NaN, which we never write
        return key, EMPTY


def _stored(document: dict[str, Any], ours: dict[str, Any], *, whole: bool) -> Stored:
    if document["status"] not in NEXT:
        raise ValueError(f"there is no status {document['status']!r}")
    version = _typed(ours["version"], int, "version")
    if version < 1:
        raise ValueError(f"there is no version {version}")
    styles = _typed(ours["styles"], list, "styles")
    data_style, result_style = styles
    token = ours["token_hash"]
    record = Record(
        id=_typed(document["id"], str, "id"),
        manager=_typed(ours["manager"], str, "manager"),
        key=_key(document["key"]),
        status=document["status"],
        reason=_text(document["reason"], "reason"),
        version=version,
        created_at=_required(document["created_at"], "created_at"),
        updated_at=_required(document["updated_at"], "updated_at"),
        last_seen_at=_required(ours["last_seen_at"], "last_seen_at"),
        expires_at=seconds(document["expires_at"]),
        token_hash=None if token is None else bytes.fromhex(token),
        token_expires_at=seconds(ours["token_expires_at"]),
        payload=_payload(document, data_style) if whole else b"",
        result=_closed(document["result"], result_style) if whole and document["result"] is not None else None,
        completed_at=seconds(document["completed_at"]),
        attempt=_typed(document["attempt"], int, "attempt"),
        worker=_text(ours["worker"], "worker"),
        recovered=_typed(document["recovered_from_disk"], bool, "recovered_from_disk"),
    )
    written, added = _typed(ours["written"], int, "written"), _typed(ours["added"], int, "added")
    return Stored(record, written, added, _text(ours["replaces"], "replaces"))


def _payload(document: dict[str, Any], style: str) -> bytes:
    if style == _BASE64:
        return _closed(document["data"], style)
    return _closed({name: value for name, value in document.items() if name not in RESERVED}, style)


def _result(result: bytes | None) -> tuple[Any, str]:
    if result is None:
        return None, "compact"
    value, style = _opened(result)
    return (_in_base64(result), _BASE64) if value is None else (value, style)


def _opened(text: bytes) -> tuple[Any, str]:
    """The value that JSON stands for, and the style that gives back its bytes; if there is none, base64's."""
    try:
        value = json.loads(text.decode())
        for style in _STYLES:
            if _dumped(value, style) == text:
                return value, style
        if isinstance(value, dict) and json.loads(_dumped(value)) == value:  # another way of writing it is as good
            return value, "compact"
    except (ValueError, RecursionError):
        pass  # a pickle, NaN: it is kept as it is
    return None, _BASE64


def _closed(value: Any, style: str) -> bytes:
    if style == _BASE64:
        try:
            return base64.b64decode(value, validate=True)
        except binascii.Error as error:
            raise ValueError(f"{value!r:.50} is no base64") from error
    return _dumped(value, style)


def _in_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _dumped(value: Any, style: str = "compact") -> bytes:
    text = _ENCODERS[style].encode(value)
    try:
        return text.encode()
    except UnicodeEncodeError:  # half a surrogate pair
        return json.dumps(value, allow_nan=False, separators=_STYLES[style]).encode()


def _key(value: Any) -> Key | None:
    if value is None:
        return None
    return checked_key(tuple(value) if isinstance(value, list) else value)


def _required(value: Any, name: str) -> float:
    found = seconds(value)
    if found is None:
        raise ValueError(f"{name} is missing")
    return found


def _text(value: Any, name: str) -> str | None:
    found: str | None = None if value is None else _typed(value, str, name)
    return found


def _typed(value: Any, kind: type[Any], name: str) -> Any:
    if not isinstance(value, kind):
        raise TypeError(f"{name} is {value!r:.50}")
    return value
