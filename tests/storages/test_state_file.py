"""What a state file says: every record comes back exactly, and a person can read it."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotsession.errors import DataNotStorable, StorageError
from hotsession.lifecycle.codec import JSONCodec
from hotsession.lifecycle.record import NEXT, Record
from hotsession.storages.readable_time import readable, seconds
from hotsession.storages.state_file import RESERVED, Stored, Unreadable, decoded, encoded, refuse_reserved, salvaged
from tests.storages.stored import record

times = st.floats(0, 4e9)
names = st.text(min_size=1).filter(lambda name: name not in RESERVED)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
opaque = st.binary().map(lambda data: b"\x80" + data)  # as a pickle begins
payloads = opaque | st.dictionaries(names, values).flatmap(
    lambda data: st.sampled_from([JSONCodec().dumps(data), json.dumps(data).encode("utf-16")])
)
records = st.builds(
    Record,
    id=st.just("job"),
    manager=st.text(),
    key=st.none() | st.text(min_size=1) | st.lists(st.text(min_size=1), min_size=1).map(tuple),
    status=st.sampled_from(sorted(NEXT)),
    reason=st.none() | st.text(),
    version=st.integers(1),
    created_at=times,
    updated_at=times,
    last_seen_at=times,
    expires_at=st.none() | times,
    token_hash=st.none() | st.binary(),
    token_expires_at=st.none() | times,
    payload=payloads,
    result=st.none() | opaque | values.map(JSONCodec().dumps),
    completed_at=st.none() | times,
    attempt=st.integers(1),
    worker=st.none() | st.text(),
    recovered=st.booleans(),
)


def document(**fields: Any) -> dict[str, Any]:
    """A state file's content, with some fields changed."""
    found = json.loads(encoded(Stored(record("job", payload=b'{"prompt":"a cat"}'), 7, 5)))
    return {**found, **fields}


@given(records)
def test_every_record_comes_back_exactly(before: Record) -> None:
    """Field for field and byte for byte, whatever codec wrote its data."""
    assert decoded(encoded(Stored(before, 7, 5, "old")), "job") == Stored(before, 7, 5, "old")


@given(times)
def test_every_time_comes_back_exactly(time: float) -> None:
    """No digit of it is lost in a date."""
    assert seconds(readable(time)) == time


@pytest.mark.parametrize("time", [-1.5, 1e12, 1e300, 1e-9])
def test_what_has_no_date_stays_a_number(time: float) -> None:
    """It comes back all the same."""
    assert readable(time) == time == seconds(time)


def test_a_time_that_a_person_wrote_is_understood() -> None:
    """With an offset, and in UTC without one."""
    assert seconds("1970-01-01T01:00:00+01:00") == 0 == seconds("1970-01-01 00:00")


def test_fields_stand_flat_and_readable() -> None:
    """The app's beside ours, one on each line, times as dates."""
    made = record("job", created_at=1e9, payload='{"prompt":"a cat","größe":[1,2]}'.encode(), result=b'{"url":"/1"}')
    text = encoded(Stored(made, 7, 5)).decode()
    found = json.loads(text)
    assert (found["id"], found["status"], found["prompt"], found["größe"]) == ("job", "active", "a cat", [1, 2])
    assert (found["created_at"], found["completed_at"], found["result"]) == (
        "2001-09-09T01:46:40Z",
        None,
        {"url": "/1"},
    )
    assert '\n  "prompt": "a cat",\n' in text
    assert '"größe"' in text


def test_json_in_another_style_comes_back_as_the_same_value() -> None:
    """A codec of the app's may write it with other blanks; it is readable all the same."""
    made = encoded(Stored(record("job", payload=b'{ "a":1e2 }'), 7, 5))
    assert json.loads(made)["a"] == 100
    assert json.loads(decoded(made, "job").record.payload) == {"a": 100}


def test_names_of_ours_are_refused_by_name() -> None:
    """Each is named, and what to do."""
    with pytest.raises(DataNotStorable, match=r'with "result", "status".* another name') as caught:
        refuse_reserved(record(payload=b'{"status":"x","result":1,"prompt":""}'))
    assert (caught.value.path, caught.value.type) == ('data["result"]', "int")
    refuse_reserved(record(payload=b'{"data":1,"version":2,"manager":3}'))
    refuse_reserved(record(payload=b'["status"]'))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"\x00" * 300,
        b"[" * 100_000,
        b"{}",
        json.dumps(document(status="in_progress")).encode(),
        json.dumps(document(created_at="yesterday")).encode(),
        json.dumps(document(created_at=None)).encode(),
        json.dumps(document(key=[])).encode(),
        json.dumps(document(key=7)).encode(),
        json.dumps(document(attempt="1")).encode(),
        json.dumps(document(hotsession={})).encode(),
        json.dumps(document(hotsession={**document()["hotsession"], "version": 0})).encode(),
        json.dumps(document(hotsession={**document()["hotsession"], "token_hash": "xyz"})).encode(),
        json.dumps(document(hotsession={**document()["hotsession"], "styles": "x"})).encode(),
        json.dumps(document(hotsession={**document()["hotsession"], "styles": ["x", "compact"]})).encode(),
        json.dumps(document(hotsession={**document()["hotsession"], "styles": ["base64", "compact"]})).encode(),
    ],
)
def test_what_says_nothing_usable_is_unreadable(content: bytes) -> None:
    """Whatever is wrong with it, it is told in one way."""
    with pytest.raises(Unreadable):
        decoded(content, "job")


@given(st.binary() | st.integers(0).map(lambda size: json.dumps(document()).encode()[:size]))
def test_no_content_breaks_the_reader(content: bytes) -> None:
    """Random bytes and torn files are unreadable, or what they were."""
    with suppress(Unreadable):
        assert decoded(content, "job").record.id == "job"


def test_the_state_of_another_session_is_foreign() -> None:
    """Somebody copied a directory."""
    with pytest.raises(Unreadable, match="session job") as caught:
        decoded(json.dumps(document()).encode(), "copy")
    assert caught.value.is_foreign


def test_a_newer_format_is_no_corruption() -> None:
    """It must not be moved aside by an older version."""
    with pytest.raises(StorageError, match=r"newer version.*format 2"):
        decoded(json.dumps(document(hotsession={"format": 2})).encode(), "job")


def test_what_is_readable_of_an_unusable_state_is_saved() -> None:
    """Key and data outlive a broken field."""
    assert salvaged(document(status="?", key=["a", "b"])) == (("a", "b"), b'{"prompt":"a cat"}')
    assert salvaged({"key": 7, "n": 1}) == (None, b'{"n":1}')
    assert salvaged({"n": float("nan")}) == (None, b"{}")


@given(st.dictionaries(names, values))
def test_data_of_another_json_codec_comes_back_as_equal(data: dict[str, Any]) -> None:
    """Whatever its way of writing it."""
    made = encoded(Stored(record("job", payload=json.dumps(data).encode()), 7, 5))
    assert json.loads(decoded(made, "job").record.payload) == data
