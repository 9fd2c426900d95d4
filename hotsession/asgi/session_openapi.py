"""What the HTTP routes of sessions are called and how they are described: the table that they are made of.

The descriptions are in the words of OpenAPI (https://spec.openapis.org/oas/v3.1.0). Where FastAPI serves the
routes, its pages show them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from hotsession.lifecycle.record import NEXT

_MOMENT = {"type": ["string", "null"], "format": "date-time"}
_KEY = {
    "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}, {"type": "null"}],
    "description": "Whom it belongs to.",
}
SESSION: dict[str, Any] = {
    "type": "object",
    "title": "Session",
    "required": ["id", "key", "status", "created_at", "updated_at", "version", "data"],
    "properties": {
        "id": {"type": "string"},
        "key": _KEY,
        "status": {"type": "string", "enum": sorted(NEXT)},
        "reason": {"type": ["string", "null"], "description": "Why it came into its state."},
        "created_at": {"type": "string", "format": "date-time"},
        "updated_at": {"type": "string", "format": "date-time"},
        "last_seen_at": {"type": "string", "format": "date-time"},
        "completed_at": _MOMENT,
        "expires_at": _MOMENT,
        "version": {"type": "integer", "description": "How often it was written."},
        "attempt": {"type": "integer", "description": "How often its work was begun."},
        "recovered_from_disk": {"type": "boolean"},
        "result": {"description": "What it came to, or what is said of its failure."},
        "data": {"description": "What is in it."},
        "unreadable": {"type": "string", "description": "Why data and result are left out, if they can't be read."},
    },
}
ERROR: dict[str, Any] = {
    "type": "object",
    "title": "SessionError",
    "required": ["code", "detail"],
    "properties": {
        "code": {"type": "string", "description": "What is wrong, for programs: it stays as it is."},
        "detail": {"type": "string", "description": "What is wrong and what to do, for people."},
    },
}
_LIST = {
    "type": "object",
    "required": ["sessions", "total"],
    "properties": {
        "sessions": {"type": "array", "items": SESSION},
        "total": {"type": "integer", "description": "How many there are beyond the limit."},
    },
}
_START = {
    "type": "object",
    "properties": {
        "key": _KEY,
        "data": {"type": "object", "description": "What a new one starts with."},
        "force_new": {"type": "boolean", "default": False, "description": "End the live one and start fresh."},
    },
}
_REASON = {"type": "object", "properties": {"reason": {"type": ["string", "null"]}}}

_ERRORS = {
    400: "What was asked for is not understood.",
    403: "This client may not.",
    404: "There is no such session.",
    409: "The session is in a state that does not allow it.",
    410: "The session's time is over.",
    413: "The body is too large.",
    415: "The body is no JSON.",
    422: "The data can't be stored.",
    503: "The storage does not answer now.",
}


class Operation(NamedTuple):
    """One route: where it is, what serves it, and how it is described.

    Args:
        method: of HTTP.
        path: relative to where the routes are mounted.
        endpoint: the name of the method that serves it.
        name: for `url_for`.
        summary: in a few words.
        success: the descriptions of what it answers, by status.
        errors: the statuses of what can go wrong.
        parameters: in path, query and headers.
        body: the schema of its body.
    """

    method: str
    path: str
    endpoint: str
    name: str
    summary: str
    success: dict[int | str, dict[str, Any]]
    errors: tuple[int, ...]
    parameters: tuple[dict[str, Any], ...] = ()
    body: dict[str, Any] | None = None

    @property
    def responses(self) -> dict[int | str, dict[str, Any]]:
        """What it answers, by status."""
        return {**self.success, **{status: _json(_ERRORS[status], ERROR) for status in self.errors}}

    @property
    def extra(self) -> dict[str, Any]:
        """What it is asked with."""
        said: dict[str, Any] = {"parameters": list(self.parameters)} if self.parameters else {}
        if self.body is not None:
            said["requestBody"] = {"content": {"application/json": {"schema": self.body}}}
        return said


def _json(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _query(name: str, schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "schema": schema, "description": description}


_BY_KEY = _query(
    "key", {"type": "array", "items": {"type": "string"}}, "Only those of this key; several are its parts."
)
_BY_ID = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
_SHOWN: dict[int | str, dict[str, Any]] = {200: _json("The session.", SESSION)}
_CHANGE = (400, 403, 404, 409, 410, 413, 415, 503)

OPERATIONS = (
    Operation(
        "GET",
        "/",
        "listing",
        "list_sessions",
        "List sessions, newest first",
        {200: _json("The sessions that this client may see.", _LIST)},
        (400, 403, 503),
        (
            _query("status", {"type": "string", "enum": sorted(NEXT)}, "Only those in this state."),
            _BY_KEY,
            _query("limit", {"type": "integer", "minimum": 0, "default": 100}, "At most so many."),
        ),
    ),
    Operation(
        "POST",
        "/",
        "start",
        "start_session",
        "Get the live session of a key, or start one",
        {
            200: _json("The live session of the key.", SESSION),
            201: _json("A new one.", SESSION),
        },
        (400, 403, 409, 413, 415, 422, 503),
        body=_START,
    ),
    Operation(
        "GET",
        "/events",
        "events",
        "session_events",
        "Hear of changes",
        {
            200: {
                "description": "Events: `ready`, `session` for each that was written, `resync` when some were missed.",
                "content": {"text/event-stream": {"schema": {"type": "string"}}},
            }
        },
        (403, 503),
        (
            _BY_KEY,
            _query("last_event_id", {"type": "string"}, "Go on after this event, as with the header Last-Event-ID."),
        ),
    ),
    Operation(
        "GET",
        "/metrics",
        "metrics",
        "session_metrics",
        "How often sessions are reused, and how long they live",
        {200: _json("The figures.", {"type": "object"})},
        (403, 503),
    ),
    Operation("GET", "/hotsession.js", "script", "session_script", "The browser's side", {}, ()),
    Operation("GET", "/connection.js", "script", "connection_script", "The part of it for WebSockets", {}, ()),
    Operation(
        "GET",
        "/{id}",
        "get",
        "get_session",
        "Get a session, whatever its state",
        _SHOWN,
        (403, 404, 410, 503),
        (_BY_ID,),
    ),
    Operation(
        "POST", "/{id}/pause", "pause", "pause_session", "Let a session rest", _SHOWN, _CHANGE, (_BY_ID,), _REASON
    ),
    Operation("POST", "/{id}/resume", "resume", "resume_session", "Go on with a session", _SHOWN, _CHANGE, (_BY_ID,)),
    Operation("POST", "/{id}/end", "end", "end_session", "End a session for good", _SHOWN, _CHANGE, (_BY_ID,), _REASON),
)
