"""The rules by which a stored session changes."""

from __future__ import annotations

from typing import Any

import pytest

from hotsession.lifecycle.limits import Limits
from hotsession.lifecycle.record import LIVE, NEXT, Record, can_go, checked_key, moved, new_record, saved

NONE = Limits()


def record(**fields: Any) -> Record:
    """A live record, made at 10, with some fields otherwise."""
    return new_record("id", "manager", "key", {"a": 1}, 10, NONE)._replace(**fields)


def test_a_new_record_is_live_and_not_stored() -> None:
    """Version 0 says that no storage has it yet."""
    made = new_record("id", "manager", ("user", "7"), {"a": 1}, 10, Limits(idle_timeout=5))
    assert (made.is_live, made.version, made.created_at, made.expires_at) == (True, 0, 10, 15)


def test_saving_makes_the_next_version() -> None:
    """A save counts as a use: it changes version and times, and nothing of who the session is."""
    before = record(version=4, token_hash=b"hash", token_expires_at=99.0, reason="back")
    after = saved(before, {"b": 2}, 20, Limits(idle_timeout=60))
    assert after == before._replace(version=5, updated_at=20, last_seen_at=20, expires_at=80, payload={"b": 2})
    assert type(after) is Record


def test_saving_with_a_token_moves_the_expiry() -> None:
    """A browser that gets its cookie again keeps it for the cookie's lifetime, counted from now."""
    after = saved(record(), {}, 20, NONE, (b"new", 30))
    assert after is not None
    assert (after.token_hash, after.token_expires_at, after.expires_at) == (b"new", 50, 50)
    lasting = saved(after, {}, 25, NONE, (b"new", None))
    assert lasting is not None
    assert lasting.expires_at is None


@pytest.mark.parametrize("status", sorted(NEXT.keys() - LIVE))
def test_no_token_opens_what_is_over(status: str) -> None:
    """A session that ends loses its token; its payload stays for listings."""
    over = moved(record(token_hash=b"hash", version=1), status, 20, "why")
    assert (over.token_hash, over.status, over.reason, over.version, over.payload) == (None, status, "why", 2, {"a": 1})


def test_a_paused_session_keeps_its_token() -> None:
    """Pausing is no end: the same cookie opens it again."""
    assert moved(record(token_hash=b"hash"), "paused", 20).token_hash == b"hash"


def test_states_lead_only_where_the_rules_say() -> None:
    """Every state that can be reached is one, and what is over stays over."""
    assert {target for targets in NEXT.values() for target in targets} <= NEXT.keys()
    for status in ("ended", "expired", "failed", "completed"):
        assert NEXT[status] == ()
    assert can_go(record(), "paused")
    assert not can_go(record(status="ended"), "active")


def test_the_moment_of_expiry_counts_as_expired() -> None:
    """A session expires at the moment that it says, if it is live, and once noted it is expired for ever."""
    assert not record(expires_at=50.0).is_expired(49.9)
    assert record(expires_at=50.0).is_expired(50)
    assert not record(expires_at=50.0, status="ended").is_expired(60)
    assert record(status="expired").is_expired(0)
    assert not record().is_expired(1e12)


def test_only_a_live_session_in_its_time_can_be_saved() -> None:
    """What is over has no next version; a paused session has."""
    assert saved(record(version=1, status="ended"), {}, 20, NONE) is None
    assert saved(record(version=1, expires_at=20.0), {}, 20, NONE) is None
    assert saved(record(version=1, status="paused", expires_at=20.1), {}, 20, NONE) is not None


def test_a_session_begins_to_live_when_it_is_stored() -> None:
    """A socket that held a new one for hours without writing stores one that is as old as its first write."""
    limits = Limits(idle_timeout=60, max_age=60)
    after = saved(new_record("id", "manager", None, {}, 10, limits), {"a": 1}, 5000, limits)
    assert after is not None
    assert (after.created_at, after.expires_at, after.version) == (5000, 5060, 1)


@pytest.mark.parametrize("key", ["a", ("a",), ("user", "7")])
def test_keys_are_strings_or_tuples_of_them(key: object) -> None:
    """What can be a key is handed back as it is."""
    assert checked_key(key) == key


@pytest.mark.parametrize("key", ["", (), ("a", ""), ("a", 7), 7, ["a"], None, b"a"])
def test_other_keys_are_refused(key: object) -> None:
    """Anything else is an error that shows what was given."""
    with pytest.raises(TypeError, match="key is a non-empty string or a tuple"):
        checked_key(key)
