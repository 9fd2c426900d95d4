"""The rules by which a job is judged: state and artefacts in, verdict out."""

from __future__ import annotations

from typing import Any

import pytest

from hotsession.errors import ConfigurationError
from hotsession.lifecycle.record import Record
from hotsession.storages.recovery import (
    REASON_BEGUN,
    REASON_COMPLETE,
    REASON_LOST,
    REASON_STUCK,
    Artefacts,
    Found,
    found,
    is_doubtful,
    judged,
    judged_without_state,
    rebuilt,
    repaired,
    superseded,
)
from tests.storages.stored import record

RENDER = Artefacts(complete=["final.png", "meta.json"], begun="draft.png", stuck_after=1800)
NOW = 10_000.0
NONE = Found()
BEGUN = Found(False, 9000, 9000)
OLD = Found(False, 100, 200)
COMPLETE = Found(True, 9000, 9500)
OLD_COMPLETE = Found(True, 100, 200)


def state(status: str, updated_at: float = 9900, **fields: Any) -> Record:
    """A job's state that can be read."""
    return record("job", status=status, created_at=50.0, updated_at=updated_at, **fields)


@pytest.mark.parametrize(
    ("seen", "is_corrupt", "expected"),
    [
        (NONE, False, None),
        (NONE, True, ("failed", REASON_LOST, NOW)),
        (BEGUN, False, ("active", REASON_BEGUN, 9000)),
        (BEGUN, True, ("active", REASON_BEGUN, 9000)),
        (OLD, False, ("failed", REASON_STUCK, NOW)),
        (OLD, True, ("failed", REASON_STUCK, NOW)),
        (COMPLETE, False, ("completed", REASON_COMPLETE, 9500)),
        (COMPLETE, True, ("completed", REASON_COMPLETE, 9500)),
        (OLD_COMPLETE, False, ("completed", REASON_COMPLETE, 200)),
        (OLD_COMPLETE, True, ("completed", REASON_COMPLETE, 200)),
    ],
)
def test_without_a_state_the_artefacts_tell(seen: Found, is_corrupt: bool, expected: tuple[Any, ...] | None) -> None:
    """All results: completed; the first: in progress, or failed when old; nothing: no job, or one that is lost."""
    assert judged_without_state(seen, RENDER, NOW, is_corrupt=is_corrupt) == expected


@pytest.mark.parametrize("is_corrupt", [True, False])
def test_without_rules_only_a_corrupt_state_is_something(is_corrupt: bool) -> None:
    """An app that declares no artefacts has no jobs in directories without state."""
    verdict = judged_without_state(COMPLETE, None, NOW, is_corrupt=is_corrupt)
    assert (verdict is None) is not is_corrupt


@pytest.mark.parametrize("status", ["active", "paused", "interrupted"])
@pytest.mark.parametrize("updated_at", [100, 9900])
def test_what_is_under_way_is_completed_by_its_results(status: str, updated_at: float) -> None:
    """All result files there: completed when the last of them was written, however old it is."""
    verdict = judged(state(status, updated_at), COMPLETE, RENDER, NOW, is_worked_on=False)
    assert verdict == ("completed", REASON_COMPLETE, 9500)


@pytest.mark.parametrize("seen", [NONE, BEGUN, OLD])
def test_what_is_in_progress_for_too_long_failed(seen: Found) -> None:
    """It counts from when its state was last written, with and without its first artefact."""
    assert judged(state("active", 8200), seen, RENDER, NOW, is_worked_on=False) is None
    assert judged(state("active", 8199), seen, RENDER, NOW, is_worked_on=False) == ("failed", REASON_STUCK, NOW)


@pytest.mark.parametrize("status", ["paused", "interrupted"])
@pytest.mark.parametrize("seen", [NONE, BEGUN, OLD])
def test_what_waits_is_not_stuck(status: str, seen: Found) -> None:
    """Somebody paused it, or is to say whether it runs again."""
    assert judged(state(status, 100), seen, RENDER, NOW, is_worked_on=False) is None


@pytest.mark.parametrize("status", ["completed", "ended", "expired", "failed"])
@pytest.mark.parametrize("seen", [NONE, BEGUN, OLD, COMPLETE])
def test_what_is_over_stays_as_it_was_said_to_be(status: str, seen: Found) -> None:
    """Results may have been moved away since, and one that was ended is ended."""
    assert judged(state(status, 100), seen, RENDER, NOW, is_worked_on=False) is None


def test_one_that_only_seemed_stuck_is_completed_after_all() -> None:
    """Nobody but the clock had said that it failed."""
    stuck = state("failed", reason=REASON_STUCK)
    assert is_doubtful(stuck, RENDER)
    verdict = judged(stuck, COMPLETE, RENDER, NOW, is_worked_on=False)
    assert verdict is not None
    assert verdict.status == "completed"


@pytest.mark.parametrize("seen", [NONE, BEGUN, OLD, COMPLETE])
def test_nobody_judges_while_a_process_works_on_it(seen: Found) -> None:
    """It will say itself how it ends."""
    assert judged(state("active", 100, worker="w"), seen, RENDER, NOW, is_worked_on=True) is None


def test_without_rules_a_state_is_what_it_says() -> None:
    """An app that declares no artefacts has no job judged by its age."""
    assert judged(state("active", 0), COMPLETE, None, NOW, is_worked_on=False) is None


def test_without_a_limit_nothing_is_stuck() -> None:
    """`stuck_after` is the app's to say."""
    patient = Artefacts("final.png", "draft.png")
    assert judged(state("active", 0), NONE, patient, NOW, is_worked_on=False) is None
    verdict = judged_without_state(OLD, patient, NOW, is_corrupt=False)
    assert verdict is not None
    assert verdict.status == "active"


def test_artefacts_are_found_by_name() -> None:
    """Complete is all of the results; begun is any of what is declared."""
    assert found(RENDER, {}) == NONE
    assert found(RENDER, {"other.txt": 5}) == NONE
    assert found(RENDER, {"draft.png": 5}) == (False, 5, 5)
    assert found(RENDER, {"final.png": 7}) == (False, 7, 7)
    assert found(RENDER, {"final.png": 7, "meta.json": 8}) == (True, 7, 8)
    assert found(RENDER, {"final.png": 7, "meta.json": 8, "draft.png": 5}) == (True, 5, 8)


def test_a_rebuilt_record_says_what_is_known() -> None:
    """From its first artefact to its last, marked as recovered; one in progress is over when it counts as stuck."""
    done = rebuilt("job", "m", "k", b"{}", COMPLETE, RENDER, verdict(COMPLETE))
    assert (done.status, done.created_at, done.completed_at, done.recovered) == ("completed", 9000, 9500, True)
    begun = rebuilt("job", "m", None, b"{}", BEGUN, RENDER, verdict(BEGUN))
    assert (begun.status, begun.completed_at, begun.expires_at, begun.version) == ("active", None, 10_800, 1)
    lost = rebuilt("job", "m", None, b"{}", NONE, RENDER, verdict(NONE))
    assert (lost.status, lost.created_at, lost.completed_at) == ("failed", NOW, NOW)


def verdict(seen: Found) -> Any:
    return judged_without_state(seen, RENDER, NOW, is_corrupt=True)


def test_a_repaired_record_keeps_its_data_and_loses_its_token() -> None:
    """It is the next version, so that a writer of the old one is told."""
    before = state("active", worker="w", token_hash=b"hash")
    after = repaired(before, verdict(COMPLETE))
    assert (after.status, after.version, after.recovered) == ("completed", 2, True)
    assert (after.payload, after.key, after.worker, after.token_hash) == (before.payload, before.key, None, None)


def test_the_last_written_of_two_live_records_of_a_key_stays() -> None:
    """However they are met with; other keys, managers and what is over have nothing to do with it."""
    first, second, third = record("1"), record("2"), record("3")
    others = [record("4", "other"), record("5", manager="m"), record("6", None), record("7", None)]
    over = record("8", status="ended")
    entries = [(each, number, None) for number, each in enumerate([second, first, third, over, *others])]
    assert superseded(entries) == {"1": "3", "2": "1"}
    assert superseded(reversed(entries)) == {"1": "3", "2": "3"}


def test_one_that_took_anothers_place_supersedes_it() -> None:
    """Also when it has another key, or none."""
    old, new = record("1", None), record("2")
    assert superseded([(old, 5, None), (new, 4, "1")]) == {"1": "2"}
    assert superseded([(old._replace(status="ended"), 5, None), (new, 4, "1")]) == {}


@pytest.mark.parametrize(
    "make",
    [
        lambda: Artefacts([]),
        lambda: Artefacts("../final.png"),
        lambda: Artefacts("/final.png"),
        lambda: Artefacts("a", "b/../../c"),
        lambda: Artefacts("a", begun=""),
        lambda: Artefacts("a", stuck_after=0),
    ],
)
def test_a_declaration_that_means_nothing_is_refused(make: Any) -> None:
    """Files outside of the job's directory, none at all, and no time."""
    with pytest.raises(ConfigurationError, match=r"Artefacts\("):
        make()
