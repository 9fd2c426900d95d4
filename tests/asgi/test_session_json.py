"""What a session looks like as JSON. Nothing of it need come back, and all of it has to be readable."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel

from hotsession.asgi.session_json import DEEPEST, as_text, error_json, error_response, moment, plain
from hotsession.errors import DataNotStorable, HotsessionError, SessionConflict, StorageError, StorageUnavailable


class Colour(Enum):
    RED = "red"


class Level(int, Enum):
    HIGH = 3


class Name(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "something else"


@dataclass
class Step:
    title: str
    at: date


class Order(BaseModel):
    number: int
    total: Decimal


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, None),
        (True, True),
        (7, 7),
        (10**30, 10**30),
        (0.5, 0.5),
        (float("inf"), None),
        (float("nan"), None),
        ("ü", "ü"),
        (Name("ann"), "ann"),
        (Colour.RED, "red"),
        (Level.HIGH, 3),
        (datetime(2026, 1, 2, 3, 4, tzinfo=UTC), "2026-01-02T03:04:00+00:00"),
        (date(2026, 1, 2), "2026-01-02"),
        (timedelta(minutes=2), 120.0),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Decimal("1.10"), "1.10"),
        (PurePosixPath("/a"), "/a"),
        (b"\xff", "/w=="),
        (bytearray(b"\xff"), "/w=="),
        ((1, {2}), [1, [2]]),
        (OrderedDict(a=(1,)), {"a": [1]}),
        ({1: 1, None: 2, Colour.RED: 3, (1, 2): 4}, {"1": 1, "null": 2, "red": 3, "[1,2]": 4}),
        (Step("go", date(2026, 1, 2)), {"title": "go", "at": "2026-01-02"}),
        (Order(number=1, total=Decimal(2)), {"number": 1, "total": "2"}),
        (Step, f"<{__name__}.Step>"),
        (Order, f"<{__name__}.Order>"),
        (threading.Event, "<threading.Event>"),
        (threading.Event(), "<threading.Event>"),
    ],
)
def test_values_become_plain(value: Any, shown: Any) -> None:
    """As a reader expects them, and JSON takes it."""
    assert plain(value) == shown
    assert json.loads(as_text(plain(value))) == shown


def test_what_is_deep_ends_somewhere() -> None:
    """A value that holds itself as well."""
    circle: dict[str, Any] = {}
    circle["self"] = circle
    assert as_text(plain(circle)).count("self") == DEEPEST


def test_text_of_half_a_pair_can_be_sent() -> None:
    """It has no UTF-8, so it is escaped."""
    assert as_text("\ud800").encode() == b'"\\ud800"'


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.0, "1970-01-01T00:00:00.000Z"),
        (1767323045.6789, "2026-01-02T03:04:05.678Z"),
        (1e18, "9999-12-31T23:59:59.999Z"),
        (float("inf"), "9999-12-31T23:59:59.999Z"),
        (None, None),
    ],
)
def test_moments_are_in_utc(seconds: float | None, shown: str | None) -> None:
    """To the millisecond; what is beyond the calendar is its last moment."""
    assert moment(seconds) == shown


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (SessionConflict("no", id="x", key=("a", "b")), 409, "session_conflict"),
        (StorageUnavailable("no"), 503, "storage_unavailable"),
        (StorageError("no"), 500, "storage_error"),
        (DataNotStorable("no", path="data", type="Client"), 422, "data_not_storable"),
        (HotsessionError("no"), 500, "error"),
    ],
)
def test_errors_have_a_code_and_a_status(error: HotsessionError, status: int, code: str) -> None:
    """And what they know of the session."""
    told = error_json(error)
    assert (told["code"], told["detail"], error_response(error).status_code) == (code, "no", status)
    assert json.loads(bytes(error_response(error).body)) == json.loads(as_text(told))
