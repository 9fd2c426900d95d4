"""The tagging rules: what is tagged, how, and what says where something does not fit."""

from __future__ import annotations

import json
import math
import re
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotsession.errors import ConfigurationError
from hotsession.lifecycle.misfit import Misfit
from hotsession.lifecycle.tag_names import Kinds
from hotsession.lifecycle.tagged import MAX_DEPTH, TAG_ENDS, is_plain, tagged, untagged

KINDS = Kinds()

ZONES = st.sampled_from([None, UTC, ZoneInfo("Europe/Paris"), ZoneInfo("UTC"), timezone(timedelta(minutes=-345))])
HALF_PAIRS = st.text(st.characters(codec=None, categories=["Cs", "L"]), max_size=5)
KEYS = st.text(max_size=5) | st.sampled_from(["$type", "$$type", "$$$type", "value", "$", "a$type", "$typed"])
HASHABLE = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=2**2047, max_value=2**5000)
    | st.floats(allow_nan=False)
    | st.text()
    | HALF_PAIRS
    | st.binary()
    | st.datetimes(timezones=ZONES, allow_imaginary=True)
    | st.dates()
    | st.times(timezones=ZONES)
    | st.timedeltas()
    | st.uuids()
    | st.decimals(allow_nan=False)
)
FROZEN = st.recursive(HASHABLE, lambda inner: st.frozensets(inner, max_size=3) | st.tuples(inner, inner), max_leaves=5)
DATA = st.recursive(
    FROZEN | st.sets(HASHABLE, max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4) | st.tuples(inner),
    max_leaves=20,
)


def there_and_back(value: Any) -> Any:
    """What comes back by way of a JSON text."""
    return untagged(json.loads(json.dumps(tagged(value, KINDS), allow_nan=False)), KINDS)


def shape(value: Any) -> Any:
    """A value with the types of all its parts, which equality does not tell apart: 1, 1.0 and True are equal."""
    if isinstance(value, dict):
        return [(key, shape(each)) for key, each in value.items()]
    if isinstance(value, list | tuple):
        return type(value), [shape(each) for each in value]
    if isinstance(value, set | frozenset):
        return type(value), sorted(repr(shape(each)) for each in value)
    zone = value.tzinfo if isinstance(value, datetime | time) else None
    return type(value), repr(value), str(zone)


@given(DATA)
def test_what_is_tagged_comes_back(value: Any) -> None:
    """Whatever it is and however it is nested: equal, and of the same types all the way down."""
    assert shape(there_and_back(value)) == shape(value)


@given(DATA)
def test_plain_is_what_no_tag_would_change(value: Any) -> None:
    """What is called plain is its own JSON, unless a key looks like a tag or a number or string is an odd one."""
    if is_plain(value) and TAG_ENDS not in json.dumps(value):
        try:
            text = json.dumps(value, allow_nan=False, ensure_ascii=False)
            text.encode()
        except ValueError:
            return
        if not re.search(r"\d{640}", text):
            assert tagged(value, KINDS) == value


@given(
    st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.dictionaries(KEYS, inner) | st.lists(inner))
)
def test_plain_data_is_found_plain(value: Any) -> None:
    """Lists, dicts and scalars take the short way, whatever their order."""
    assert is_plain(value)


@pytest.mark.parametrize("value", [(), {1: 2}, [{"a": ()}], [{"a": 1}, {2: 1}], {"a": {"b": {1}}}, [[], [b""]], b""])
def test_what_json_would_change_is_not_plain(value: Any) -> None:
    """Tuples become lists and keys strings if nobody looks: in rows as elsewhere."""
    assert not is_plain(value)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (datetime(2026, 1, 31, 12, tzinfo=UTC), {"$type": "datetime", "value": "2026-01-31T12:00:00+00:00"}),
        (
            datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Paris")),
            {"$type": "datetime", "value": "2026-10-25T02:30:00+01:00[Europe/Paris]", "fold": 1},
        ),
        (date(2026, 1, 31), {"$type": "date", "value": "2026-01-31"}),
        (time(12, 30), {"$type": "time", "value": "12:30:00"}),
        (timedelta(-1, 2, 3), {"$type": "timedelta", "value": {"days": -1, "seconds": 2, "microseconds": 3}}),
        (UUID(int=1), {"$type": "UUID", "value": "00000000-0000-0000-0000-000000000001"}),
        (Decimal("1.50"), {"$type": "Decimal", "value": "1.50"}),
        (b"\xff", {"$type": "bytes", "value": "/w=="}),
        ((1, [2]), {"$type": "tuple", "value": [1, [2]]}),
        ({"b", "a"}, {"$type": "set", "value": ["a", "b"]}),
        (frozenset({(1,)}), {"$type": "frozenset", "value": [{"$type": "tuple", "value": [1]}]}),
        (math.inf, {"$type": "float", "value": "inf"}),
        ("\ud83d", {"$type": "str", "value": "\\ud83d"}),
        ({"$type": 1, "$$type": 2, "$x": 3}, {"$$type": 1, "$$$type": 2, "$x": 3}),
    ],
)
def test_how_it_is_written(value: Any, written: Any) -> None:
    """The form is a promise: stored sessions are read by later versions, and by people."""
    assert tagged(value, KINDS) == written
    assert shape(untagged(written, KINDS)) == shape(value)


def test_odd_numbers_come_back() -> None:
    """NaN, signed zero and decimals that are no number."""
    assert math.isnan(there_and_back(math.nan))
    assert math.copysign(1, there_and_back(-0.0)) == -1
    assert str(there_and_back(Decimal("-sNaN12"))) == "-sNaN12"


class Client:
    """What no codec can write."""


class Loud(IntEnum):
    """An int for JSON, if nobody looks."""

    YES = 1


class Text(str):
    """A string that would come back as another one."""

    __slots__ = ()


class Tides(tzinfo):
    """A time zone that nobody could find again."""

    def utcoffset(self, moment: datetime | None) -> timedelta | None:
        return None if moment is None else timedelta(hours=moment.month)

    def dst(self, moment: datetime | None) -> timedelta | None:
        return None

    def tzname(self, moment: datetime | None) -> str | None:
        return None


MISFITS: list[tuple[Any, str, str, str]] = [
    ({"client": Client()}, 'data["client"]', "Client", "hotsession.keep()"),
    ({"a": [0, {"b": (1, {"c": Client()})}]}, 'data["a"][1]["b"][1]["c"]', "Client", "an id, a dict"),
    ({"a": {Client()}}, 'data["a"]{...}', "Client", "in a service"),
    ({"a": [{"x": 1}, {1: 2}]}, 'data["a"][1][1]', "int", "list of pairs"),
    ({"$type": {"\ud83d": 2}}, "data[\"$type\"]['\\ud83d']", "str", "no valid Unicode"),
    ({Text("a"): 1}, "data['a']", "Text", "plain strings"),
    ({"a": Text("b")}, 'data["a"]', "Text", "store it as a plain str"),
    ({"loud": Loud.YES}, 'data["loud"]', "Loud", "types=[Loud]"),
    ({"a": bytearray()}, 'data["a"]', "bytearray", "Store bytes"),
    ({"a": Client}, 'data["a"]', "type", "of the type type"),
    ({"é": datetime(2026, 1, 1, tzinfo=Tides())}, 'data["é"]', "datetime", "zoneinfo.ZoneInfo"),
    (Client(), "data", "Client", "Store plain data"),
]


@pytest.mark.parametrize(("value", "path", "type_", "words"), MISFITS)
def test_what_does_not_fit_is_named_by_its_path(value: Any, path: str, type_: str, words: str) -> None:
    """As one would write it in Python; with the type, and what to do in place."""
    with pytest.raises(Misfit) as caught:
        tagged(value, KINDS)
    assert caught.value.path == path
    assert caught.value.type.rpartition(".")[2] == type_
    assert words in f"{caught.value.reason}. {caught.value.cure}"


def test_a_loop_is_told_where_it_closes() -> None:
    """What contains itself is no matter of depth, also when it branches."""
    value: dict[str, Any] = {"a": 1, "nodes": [{"x": ()}]}
    value["nodes"].append((value["nodes"], value["nodes"]))
    with pytest.raises(Misfit) as caught:
        tagged(value, KINDS)
    assert caught.value.is_loop
    assert caught.value.path == 'data["nodes"][1][0]'
    assert not is_plain(value)


def nested(depth: int, leaf: Any) -> Any:
    """A list in a list in a list."""
    for _ in range(depth):
        leaf = [leaf]
    return leaf


def test_depth_has_a_limit() -> None:
    """As deep as the limit comes back; one more is refused, also where nothing needs a tag."""
    assert there_and_back(nested(MAX_DEPTH - 2, ())) == nested(MAX_DEPTH - 2, ())
    with pytest.raises(Misfit, match="deeper than 200 levels") as caught:
        tagged(nested(MAX_DEPTH, []), KINDS)
    assert not caught.value.is_loop
    assert caught.value.path == "data" + MAX_DEPTH * "[0]"
    with pytest.raises(Misfit, match="deeper than 200 levels"):
        tagged(nested(MAX_DEPTH - 1, ()), KINDS)  # what a tuple is taken apart into is a level, too
    assert not is_plain(nested(MAX_DEPTH + 1, [1]))


@pytest.mark.parametrize(
    ("stored", "path", "words"),
    [
        ({"a": [{"$type": "Trip", "value": 1}]}, 'data["a"][0]', "called 'Trip', and no class is registered"),
        ({"a": {"$type": ["Trip"], "value": 1}}, 'data["a"]', "called ['Trip']"),
        ({"$type": "tuple", "value": [{"$type": None}]}, "data[0]", "called None"),
        ({"$type": "set", "value": [{"$type": "Trip"}]}, "data{...}", "Trip"),
        ({"a": {"$type": "datetime", "value": "soon"}}, 'data["a"]', "no datetime can be made of it"),
        ({"a": {"$type": "datetime"}}, 'data["a"]', "KeyError: 'value'"),
        ({"a": {"$type": "datetime", "value": "2026-01-01[No/Where]"}}, 'data["a"]', "No/Where"),
        ({"a": {"$type": "date", "value": 5}}, 'data["a"]', "str belongs here, not int"),
        ({"a": {"$type": "tuple", "value": "abc"}}, 'data["a"]', "list belongs here, not str"),
        ({"a": {"$type": "set", "value": [[]]}}, 'data["a"]', "unhashable"),
        ({"a": {"$type": "bytes", "value": "?"}}, 'data["a"]', "base64"),
        ({"a": {"$type": "Decimal", "value": "x"}}, 'data["a"]', "Decimal"),
    ],
)
def test_what_was_tagged_by_others_is_named_by_its_path(stored: Any, path: str, words: str) -> None:
    """Unknown tags and damaged values say where they stand and what is wrong; nothing is guessed."""
    with pytest.raises(Misfit) as caught:
        untagged(stored, KINDS)
    assert caught.value.path == path
    assert words in f"{caught.value.reason}. {caught.value.cure}"


def test_data_that_is_tagged_stays_as_it_is() -> None:
    """Storing changes nothing in what the app holds."""
    inner = {"when": date(2026, 1, 31), "$type": [(1, 2)]}
    value = {"rows": [inner]}
    tagged(value, KINDS)
    assert value["rows"][0] is inner
    assert inner == {"when": date(2026, 1, 31), "$type": [(1, 2)]}


class Color(Enum):
    """An app's own."""

    RED = "r"


def test_a_tag_stands_for_one_class() -> None:
    """Neither for a type of ours nor for two classes; the same class again is its newer version."""
    kinds = Kinds()
    kinds.add(Color, "Color")
    kinds.add(Color, "Color")
    assert len(kinds) == 1
    with pytest.raises(ConfigurationError, match=r"'Color', which stands for .*Color: give it another name"):
        kinds.add(Loud, "Color")
    with pytest.raises(ConfigurationError, match="'tuple', which stands for tuple"):
        kinds.add(Color, "tuple")
    with pytest.raises(ConfigurationError, match="''"):
        kinds.add(Color, "")
