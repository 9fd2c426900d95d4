"""Sessions and errors as JSON for other programs to read: plain values, and a `code` that stays. Knows no routes.

What is in a session may be anything. Here it is only shown, so it need not come back: what JSON has no form for becomes
text, and what has no text worth showing its type, because a `repr` may tell what nobody should see.
"""

from __future__ import annotations

import dataclasses
import json
import math
from base64 import b64encode
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any
from uuid import UUID

from starlette.responses import Response

from hotsession.errors import (
    DataNotReadable,
    DataNotStorable,
    HotsessionError,
    SessionError,
    SessionExpired,
    SessionNotFound,
    StorageError,
    StorageUnavailable,
)
from hotsession.lifecycle.session import Session

DEEPEST = 50  # levels of lists and dicts within each other; browsers take more, people do not look that far
_NO_STORE = {"cache-control": "no-store"}
_AS_TEXT = (UUID, Decimal, PurePath)
_LAST_MOMENT = "9999-12-31T23:59:59.999Z"


class Refusal(HotsessionError):
    """A request that can't be answered as it was asked.

    Args:
        status: of HTTP.
        code: says what is wrong, for programs.
        message: says it for people, with the value and the next step.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


def session_json(session: Session, now: float) -> dict[str, Any]:
    """A session as it is shown. What can't be read of it is left out, and why is said: other sessions may be readable.

    Args:
        session: the session.
        now: its time may be over by then without anybody having noted it.
    """
    record = session.record
    shown = {
        "id": record.id,
        "key": record.key,
        "status": "expired" if record.is_expired(now) else record.status,
        "reason": record.reason,
        "created_at": moment(record.created_at),
        "updated_at": moment(record.updated_at),
        "last_seen_at": moment(record.last_seen_at),
        "completed_at": moment(record.completed_at),
        "expires_at": moment(record.expires_at),
        "version": record.version,
        "attempt": record.attempt,
        "recovered_from_disk": record.recovered,
        "result": None,
        "data": None,
    }
    try:
        return {**shown, "result": plain(session.result), "data": plain(session.data)}
    except DataNotReadable as error:
        return {**shown, "unreadable": str(error)}


def error_json(error: HotsessionError) -> dict[str, Any]:
    """An error as it is told: its code, what it says, and what it knows of the session."""
    told: dict[str, Any] = {"code": getattr(error, "code", "error"), "detail": str(error)}
    if isinstance(error, SessionError):
        told |= {
            "id": error.id,
            "key": error.key,
            "status": error.status,
            "age": error.age,
            "alternatives": error.alternatives,
        }
    if isinstance(error, StorageError):
        told["code"] = _storage_code(error)
    return told


def json_response(content: object, status: int = 200) -> Response:
    """Answer with JSON that nobody keeps, as the next moment another answer is right."""
    return Response(as_text(content), status, headers=_NO_STORE, media_type="application/json")


def error_response(error: HotsessionError) -> Response:
    """Answer with an error, in the status that fits it."""
    response = json_response(error_json(error), _status(error))
    if isinstance(error, StorageUnavailable):
        response.headers["retry-after"] = "1"
    return response


def as_text(content: object) -> str:
    """The JSON text of what `plain` returns: on one line, and in ASCII, as half a surrogate pair has no UTF-8."""
    return json.dumps(content, separators=(",", ":"), allow_nan=False)


def moment(seconds: float | None) -> str | None:
    """A time as ISO 8601 has it, in UTC."""
    if seconds is None:
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except (OverflowError, ValueError, OSError):
        return _LAST_MOMENT


def plain(value: Any, depth: int = 0) -> Any:
    """Any value as JSON can write it; see above for what has no such form."""
    if value is None or type(value) in (bool, int, str):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Enum):
        return plain(value.value, depth)
    if isinstance(value, int | str):
        return int(value) if isinstance(value, int) else str.__str__(value)
    if depth >= DEEPEST:
        return "..."
    if isinstance(value, Mapping):  # copied first: another thread may write to it
        return {_name(key): plain(each, depth + 1) for key, each in dict(value).items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(each, depth + 1) for each in tuple(value)]
    return _shown(value, depth)


def _shown(value: Any, depth: int) -> Any:
    """A value that is neither simple nor a collection."""
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, _AS_TEXT):
        return str(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return b64encode(value).decode()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = (field.name for field in dataclasses.fields(value))
        return {name: plain(getattr(value, name, None), depth + 1) for name in names}
    dump: Callable[[], Any] | None = None if isinstance(value, type) else getattr(value, "model_dump", None)
    if dump is not None and hasattr(type(value), "model_fields"):  # a pydantic model
        return plain(dump(), depth + 1)
    kind = value if isinstance(value, type) else type(value)
    return f"<{kind.__module__}.{kind.__qualname__}>"


def _name(key: Any) -> str:
    shown = plain(key)
    return shown if isinstance(shown, str) else as_text(shown)


def _storage_code(error: StorageError) -> str:
    if isinstance(error, StorageUnavailable):
        return "storage_unavailable"
    return str(getattr(error, "code", "storage_error"))


def _status(error: HotsessionError) -> int:
    if isinstance(error, Refusal):
        return error.status
    if isinstance(error, SessionExpired):
        return 410  # it was there, and comes back no more
    if isinstance(error, SessionNotFound):
        return 404
    if getattr(error, "code", "") == "hook_failed":  # the app's own code, not the request
        return 500
    if isinstance(error, SessionError):
        return 409  # the request would be right in another state of the session
    if isinstance(error, DataNotStorable):
        return 422
    return 503 if isinstance(error, StorageUnavailable) else 500
