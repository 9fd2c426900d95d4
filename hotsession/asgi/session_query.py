"""What the HTTP routes of sessions are asked for: read from the query and the body, or refused with what is wrong."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, NoReturn

from starlette.datastructures import QueryParams
from starlette.requests import ClientDisconnect, Request

from hotsession.asgi.session_json import Refusal
from hotsession.lifecycle.record import NEXT, Key, checked_key

LARGEST_BODY = 1024 * 1024  # bytes
LARGEST_LIMIT = 2**31 - 1  # beyond what there is; databases refuse still larger numbers


def limit_in(query: QueryParams, default: int) -> int:
    """How many are asked for.

    Raises:
        Refusal: it is no number, or negative.
    """
    text = query.get("limit", "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit()):
        raise Refusal(400, "invalid_limit", f"limit={text[:40]}: ask for 0 or more sessions")
    return min(int(text[:20]), LARGEST_LIMIT)


def status_in(query: QueryParams) -> str | None:
    """In which state; None for any.

    Raises:
        Refusal: there is no such state.
    """
    status = query.get("status") or None
    if status is not None and status not in NEXT:
        raise Refusal(
            400, "unknown_status", f"no session is ever {status[:40]!r}: the states are {', '.join(sorted(NEXT))}"
        )
    return status


def key_in(query: QueryParams) -> Key | None:
    """Of which key; several are the parts of one."""
    parts = [part for part in query.getlist("key") if part]
    return None if not parts else parts[0] if len(parts) == 1 else tuple(parts)


async def read_object(request: Request, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON object that a request brings; an empty body brings nothing.

    Args:
        request: the request.
        defaults: the names that there are, and what they are when they are left out.

    Raises:
        Refusal: it is too large, no JSON, no object, or says what is not understood.
    """
    body = await _read(request)
    if not body:
        return dict(defaults)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        raise Refusal(
            415, "unsupported_media_type", f"the body is {kind or 'of no stated type'}: send JSON, as application/json"
        )
    wish = _parsed(body)
    if not isinstance(wish, dict):
        raise Refusal(400, "invalid_body", f"the body is a JSON {_kind(wish)}: send an object with {_names(defaults)}")
    unknown = sorted(wish.keys() - defaults.keys())
    if unknown:
        raise Refusal(400, "unknown_field", f"there is no {unknown[0][:40]!r} here, but {_names(defaults)}")
    return {name: _checked(name, wish.get(name), default) for name, default in defaults.items()}


async def _read(request: Request) -> bytes:
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced[:20]) > LARGEST_BODY:
        raise _too_large()
    body = bytearray()
    try:
        async for part in request.stream():
            body += part
            if len(body) > LARGEST_BODY:
                raise _too_large()
    except ClientDisconnect as error:
        raise Refusal(400, "malformed_json", "the client left before it had sent all of the body") from error
    return bytes(body)


def _too_large() -> Refusal:
    return Refusal(413, "body_too_large", f"the body is larger than {LARGEST_BODY} bytes")


def _parsed(body: bytes) -> Any:
    try:
        found = json.loads(body, parse_constant=_refuse_constant, parse_float=_finite)
        if b"\\u" in body:  # half a surrogate pair could be kept by some storages only
            json.dumps(found, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise Refusal(400, "malformed_json", f"the body is no JSON: {error}") from error
    return found


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _refuse_constant(text)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _checked(name: str, value: Any, default: Any) -> Any:
    """A value of the body if it is of its type; null is as good as left out."""
    if value is None:
        return default
    if name == "key":
        return _as_key(value)
    if name == "data" and not isinstance(value, dict):
        raise Refusal(400, "invalid_data", f"data is a JSON {_kind(value)}: send an object")
    if name == "force_new" and not isinstance(value, bool):
        raise Refusal(400, "invalid_body", f"force_new is a JSON {_kind(value)}: send true or false")
    if name == "reason" and not isinstance(value, str):
        raise Refusal(400, "invalid_body", f"reason is a JSON {_kind(value)}: send a string")
    return value


def _as_key(value: Any) -> Key:
    try:
        return checked_key(tuple(value) if isinstance(value, list) else value)
    except TypeError as error:
        raise Refusal(400, "invalid_key", f"{error}; in JSON, a tuple is a list") from error


def _names(defaults: Mapping[str, Any]) -> str:
    return ", ".join(defaults) or "nothing in it"


def _kind(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return "null" if value is None else "boolean"
    names: dict[type, str] = {dict: "object", list: "list", str: "string"}
    return names.get(type(value), "number")
