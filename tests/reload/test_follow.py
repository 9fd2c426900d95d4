"""When changes are acted on, and what is reported: attempts with a prepared outcome, and a clock that tests turn."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

import pytest

from hotsession.events import Change, LoadFailed, Reloaded
from hotsession.reload.feed import ChangeFeed
from hotsession.reload.follow import Follower, Outcome, Overtaken
from tests.deadlines import DEADLINE

pytestmark = pytest.mark.anyio

A, B, C = Change("/p/a.py"), Change("/p/b.py"), Change("/p/c.py")
BROKEN = LoadFailed("import", SyntaxError("?"))


def reloaded(*modules: str) -> Reloaded:
    """A swap of these modules."""
    return Reloaded(generation=2, modules=modules, seconds=1.0)


class Attempts:
    """Attempts that come out as prepared; each may do something on the way."""

    def __init__(self, *outcomes: Outcome | Overtaken, on_attempt: Callable[[], None] = lambda: None) -> None:
        self.made: list[set[Change]] = []
        self.half_written: set[Change] = set()
        self.began: asyncio.Queue[None] = asyncio.Queue()
        self._outcomes = list(outcomes)
        self._on_attempt = on_attempt

    async def attempt(self, changes: frozenset[Change], seen_at: float, *, insist: bool = False) -> Outcome | Overtaken:
        """Note what is to be attempted."""
        self.made.append(set(changes))
        self.began.put_nowait(None)
        self._on_attempt()
        return self._outcomes.pop(0)

    def may_be_half_written(self, change: Change) -> bool:
        """Whether the test says so."""
        return change in self.half_written


class Case:
    """A follower with all that it needs."""

    def __init__(self, attempts: Attempts, clock: Callable[[], float] = lambda: 0.0) -> None:
        self.attempts = attempts
        self.reports: list[Outcome] = []
        self.feed = ChangeFeed(lambda changes: changes)
        self.follower = Follower(attempts, self.feed, self.reports.append, clock=clock)

    async def act(self, *changes: Change) -> Outcome:
        """Act on changes without waiting for silence."""
        return await self.follower.act(frozenset(changes), 0.0, quiet=0.0)


async def test_a_save_is_one_attempt_and_one_report() -> None:
    """What came of it is returned and reported."""
    case = Case(Attempts(reloaded("a")))
    assert await case.act(A) == reloaded("a")
    assert case.attempts.made == [{A}]
    assert case.reports == [reloaded("a")]


async def test_what_failed_is_tried_again_with_the_next_save() -> None:
    """A changed module whose load failed is in no graph: only its file is remembered, until a load works."""
    case = Case(Attempts(BROKEN, BROKEN, reloaded("a", "b", "c"), reloaded("a")))
    await case.act(A)
    await case.act(B)
    await case.act(C)
    await case.act(A)
    assert case.attempts.made == [{A}, {A, B}, {A, B, C}, {A}]


async def test_a_change_that_means_nothing_leaves_what_is_pending() -> None:
    """Pending changes wait for a load that works."""
    case = Case(Attempts(BROKEN, None, reloaded("a")))
    await case.act(A)
    await case.act(B)
    assert case.follower.pending == {A}
    await case.act(C)
    assert case.attempts.made[-1] == {A, C}


async def test_an_overtaken_attempt_is_made_again_without_a_word() -> None:
    """The next attempt covers its changes and those that overtook it; one report tells of both."""
    case = Case(Attempts(Overtaken(), reloaded("a", "b"), on_attempt=lambda: overtake()))

    def overtake() -> None:
        if len(case.attempts.made) == 1:
            case.feed.put(frozenset({B}))

    await case.act(A)
    assert case.attempts.made == [{A}, {A, B}]
    assert case.reports == [reloaded("a", "b")]


async def test_an_overtaken_failure_keeps_what_failed_before() -> None:
    """What was pending before an attempt that is overtaken is tried again with it."""
    case = Case(Attempts(BROKEN, Overtaken(), reloaded("a", "b")))
    await case.act(A)
    await case.act(B)
    assert case.attempts.made == [{A}, {A, B}, {A, B}]
    assert case.follower.pending == frozenset()


async def test_two_swaps_of_a_burst_are_one_report() -> None:
    """A first file was acted on at once, and more followed before it was quiet."""
    case = Case(Attempts(reloaded("a"), reloaded("b", "a")))
    task = asyncio.create_task(case.follower.act(frozenset({A}), 0.0))
    await case.attempts.began.get()
    case.feed.put(frozenset({B}))
    await task
    assert case.attempts.made == [{A}, {B}]
    assert [report.modules for report in case.reports if isinstance(report, Reloaded)] == [("a", "b")]


async def test_an_error_is_reported_only_when_the_files_are_quiet() -> None:
    """A file that others of the burst mend is not reported as broken."""
    case = Case(Attempts(BROKEN, reloaded("a", "b")))
    task = asyncio.create_task(case.follower.act(frozenset({A}), 0.0))
    await case.attempts.began.get()
    case.feed.put(frozenset({B}))
    await task
    assert case.attempts.made == [{A}, {A, B}]
    assert case.reports == [reloaded("a", "b")]


async def test_who_writes_without_a_pause_gets_a_report() -> None:
    """After two seconds of one swap after the other a report is made, although more changes wait."""
    now = 0.0

    def write_on() -> None:
        nonlocal now
        now += 0.9
        case.feed.put(frozenset({B}))

    case = Case(Attempts(*[reloaded("a")] * 5, on_attempt=write_on), clock=lambda: now)
    await case.act(A)
    assert len(case.attempts.made) == 3
    assert len(case.reports) == 1
    assert case.feed


async def follow(case: Case, batches: Iterable[Iterable[Change]], attempts: int) -> None:
    """Let the follower act on what arrives, until it has made so many attempts."""
    task = asyncio.create_task(case.follower.follow())
    for batch in batches:
        case.feed.put(frozenset(batch))
        await asyncio.sleep(0)
    async with asyncio.timeout(DEADLINE):
        for _ in range(attempts):
            await case.attempts.began.get()
    task.cancel()
    await asyncio.wait([task])


async def test_a_single_save_is_acted_on_at_once() -> None:
    """It waits for nothing else, so what follows is an attempt of its own."""
    case = Case(Attempts(reloaded("a"), reloaded("b")))
    await follow(case, [[A], [], [B]], attempts=2)
    assert case.attempts.made == [{A}, {B}]


async def test_a_burst_is_gathered_first() -> None:
    """Several files at once are the beginning of more: a checkout of a hundred files is one attempt."""
    case = Case(Attempts(reloaded("a", "b", "c")))
    await follow(case, [[A, B], [], [C]], attempts=1)
    assert case.attempts.made == [{A, B, C}]


async def test_an_emptied_file_is_not_believed_at_once() -> None:
    """An editor that truncates first writes in the next moment: its file is acted on when that has come."""
    attempts = Attempts(reloaded("a"))
    attempts.half_written.add(A)
    case = Case(attempts)
    await follow(case, [[A], [], [A, B]], attempts=1)
    assert attempts.made == [{A, B}]


async def test_irrelevant_changes_wake_nobody() -> None:
    """What means nothing to the app is forgotten on arrival."""
    feed = ChangeFeed(lambda changes: changes & {A}, clock=lambda: 5.0)
    feed.put(frozenset({B}))
    assert not feed
    feed.put(frozenset({A, B}), at=3.0)
    feed.put(frozenset({A}), at=4.0)
    assert await feed.wait() == 3.0
    assert feed.take() == {A}
    assert not feed


async def test_the_feed_takes_the_time_from_its_clock() -> None:
    """Who knows no better time leaves it out."""
    feed = ChangeFeed(lambda changes: changes, clock=lambda: 5.0)
    feed.put(frozenset({A}))
    assert await feed.wait() == 5.0


async def test_a_swap_and_a_failure_of_one_burst_are_both_reported() -> None:
    """When the last save of a quick row is broken, the log still says what the earlier ones replaced."""
    attempts = Attempts(reloaded("a"), BROKEN)
    case = Case(attempts)
    later = iter([lambda: case.feed.put(frozenset({B}))])
    attempts._on_attempt = lambda: next(later, lambda: None)()
    assert await case.act(A) is BROKEN
    assert case.reports == [reloaded("a"), BROKEN]


async def test_an_error_of_ours_does_not_end_the_watching(caplog: pytest.LogCaptureFixture) -> None:
    """Should an attempt itself raise, that is logged, and the next save is acted on with what was left undone."""

    def fail_once() -> None:
        if len(attempts.made) == 1:
            raise RuntimeError("ours")

    attempts = Attempts(reloaded("a"), on_attempt=fail_once)
    case = Case(attempts)
    following = asyncio.create_task(case.follower.follow())
    case.feed.put(frozenset({A}))
    await attempts.began.get()
    case.feed.put(frozenset({B}))
    await attempts.began.get()
    following.cancel()
    assert attempts.made == [{A}, {A, B}]
    assert "please report this" in caplog.text
