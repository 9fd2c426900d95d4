"""What JSON has no word for: how values of these types are taken apart into what it has, and put together again.

Here are the types of the standard library. Knows nothing of where in the data a value stands.
"""

from __future__ import annotations

import math
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo
from decimal import Decimal
from typing import Any, Literal, TypeAlias
from uuid import UUID
from zoneinfo import ZoneInfo

Parts: TypeAlias = dict[str, Any]
"""What a value comes apart into: its "value", and more where that does not say all."""

# A JSON number of more digits than `sys.set_int_max_str_digits` allows (640 at least) is neither written nor read.
BIGGEST_INT = 2**2048


@dataclass(frozen=True, slots=True)
class Kind:
    """One type and its tag.

    Args:
        name: the tag.
        cls: the type; values of its subclasses are none of this kind.
        apart: makes parts of a value, which may hold values of other kinds. Raises ValueError with what to do in place
            if this value can't be taken apart.
        together: makes an equal value of the parts.
        inside: how a path goes on into it: ``[0]``, ``.name`` or ``{...}``.
    """

    name: str
    cls: type
    apart: Callable[[Any], Parts]
    together: Callable[[Parts], Any]
    inside: Literal["item", "attribute", "element"] = "item"


def as_text(cls: type, apart: Callable[[Any], str], together: Callable[[str], Any]) -> Kind:
    """A kind whose values are written as one string."""
    return Kind(
        cls.__name__,
        cls,
        lambda value: {"value": apart(value)},
        lambda parts: together(checked(parts["value"], str)),
    )


def checked(value: Any, cls: type) -> Any:
    """`value` if it is what our own writing put there.

    Raises:
        TypeError: it is of another type.
    """
    if type(value) is not cls:
        raise TypeError(f"{cls.__name__} belongs here, not {type(value).__name__}")
    return value


def is_text(value: str) -> bool:
    """Whether UTF-8 can write it: half a surrogate pair it can't."""
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def needs_no_tag(value: object) -> bool:
    """Whether a value of a type that JSON has comes back as it is."""
    cls = type(value)
    if cls is str:
        return is_text(value)  # type: ignore[arg-type]
    if cls is float:
        return math.isfinite(value)  # type: ignore[arg-type]
    if cls is int:
        return -BIGGEST_INT < value < BIGGEST_INT  # type: ignore[operator]
    return True


def _zone(zone: tzinfo | None) -> str:
    """What the ISO format leaves out of a time zone: the name of a region, in the brackets of RFC 9557."""
    if zone is None:
        return ""
    if type(zone) is ZoneInfo and zone.key is not None:
        return f"[{zone.key}]"
    if zone.utcoffset(None) is not None:
        return ""
    raise ValueError("Its time zone has no name that would be found again: use zoneinfo.ZoneInfo or datetime.timezone.")


def _moment_apart(value: datetime | time) -> Parts:
    parts: Parts = {"value": value.isoformat() + _zone(value.tzinfo)}
    if value.fold:
        parts["fold"] = value.fold
    return parts


def _moment(cls: type[datetime | time]) -> Kind:
    def together(parts: Parts) -> datetime | time:
        text, _, zone = checked(parts["value"], str).partition("[")
        value = cls.fromisoformat(text).replace(fold=parts.get("fold", 0))
        return value.replace(tzinfo=ZoneInfo(zone[:-1])) if zone else value

    return Kind(cls.__name__, cls, _moment_apart, together)


def _timedelta_apart(value: timedelta) -> Parts:
    return {"value": {"days": value.days, "seconds": value.seconds, "microseconds": value.microseconds}}


def _listed(value: Iterable[Any]) -> Parts:
    return {"value": [*value]}


def _sorted(value: Iterable[Any]) -> Parts:
    """In an order that is the same in every process, where there is one: what did not change looks the same."""
    try:
        return {"value": sorted(value)}
    except TypeError:
        return _listed(value)


def _collection(cls: type, apart: Callable[[Any], Parts], inside: Literal["item", "element"]) -> Kind:
    return Kind(cls.__name__, cls, apart, lambda parts: cls(checked(parts["value"], list)), inside)


STANDARD = (
    _moment(datetime),
    _moment(time),
    as_text(date, date.isoformat, date.fromisoformat),
    Kind("timedelta", timedelta, _timedelta_apart, lambda parts: timedelta(**parts["value"])),
    as_text(UUID, str, UUID),
    as_text(Decimal, str, Decimal),
    as_text(bytes, lambda value: b64encode(value).decode(), lambda text: b64decode(text, validate=True)),
    _collection(tuple, _listed, "item"),
    _collection(set, _sorted, "element"),
    _collection(frozenset, _sorted, "element"),
    # Those of them that JSON has no word for:
    as_text(float, repr, float),
    as_text(int, hex, lambda text: int(text, 16)),
    as_text(
        str, lambda value: value.encode("unicode_escape").decode(), lambda text: text.encode().decode("unicode_escape")
    ),
)
